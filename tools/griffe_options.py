"""For the documentation: functions that take `**options`, with each of them as `help` shows it.

mkdocstrings reads the source without running it, and `takes_options` fills in signature and
docstring at run time.
"""

import importlib
import inspect
from typing import Any

import griffe


class Options(griffe.Extension):
    """Replaces what was read in the source by what the function says of itself."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Look at the function itself where it is decorated."""
        if not any("takes_options" in str(decorator.value) for decorator in func.decorators):
            return
        live = getattr(importlib.import_module(func.module.path), func.name)
        func.docstring = griffe.Docstring(inspect.getdoc(live) or "", parent=func)
        func.parameters = griffe.Parameters(
            *map(_read, inspect.signature(live).parameters.values())
        )
        func.overloads = None


def _read(parameter: inspect.Parameter) -> griffe.Parameter:
    return griffe.Parameter(
        parameter.name,
        kind=griffe.ParameterKind[parameter.kind.name.lower()],
        default=None if parameter.default is parameter.empty else repr(parameter.default),
    )
