"""The methods: what computes each, and which options mean something to it."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..attribution.expected import iter_expected_gradients
from ..attribution.plan import IMAGE_RULES, has_error_bars
from ..attribution.smooth import iter_smoothgrad
from ..attribution.stream import iter_integrated_gradients

PLAIN = "integrated-gradients"


@dataclass(frozen=True)
class Method:
    """A function, whose defaults are those of the options too, and the options that it takes."""

    iterate: Callable[..., Iterator[tuple[Any, Any]]]
    takes: tuple[str, ...]


METHODS = {
    PLAIN: Method(iter_integrated_gradients, ("baseline", "rule", "steps", "tolerance", "seed")),
    "blur": Method(
        functools.partial(iter_integrated_gradients, path="blur"),
        ("sigma", "rule", "steps", "tolerance"),
    ),
    "guided": Method(
        functools.partial(iter_integrated_gradients, path="guided"),
        ("baseline", "rule", "steps", "seed"),
    ),
    "expected": Method(iter_expected_gradients, ("references", "draws", "tolerance", "seed")),
    "smoothgrad": Method(iter_smoothgrad, ("noise", "kind", "draws", "tolerance", "seed")),
}


OPTIONS = sorted({name for each in METHODS.values() for name in each.takes})


@dataclass(frozen=True)
class Choice:
    """A method, and the options that it takes: those that were given, and defaults."""

    name: str
    options: dict[str, Any]

    @property
    def iterate(self) -> Callable[..., Iterator[tuple[Any, Any]]]:
        """What computes it."""
        return METHODS[self.name].iterate

    @property
    def has_error_bars(self) -> bool:
        """Say whether its error can be estimated."""
        rule, tolerance = self.options.get("rule"), self.options.get("tolerance")
        return rule is None or has_error_bars(rule, self.options.get("steps", 0), tolerance)

    @property
    def has_gradient(self) -> bool:
        """Say whether it comes to the image's own gradient on its way."""
        return self.options.get("rule") in IMAGE_RULES


def choose(name: str, given: Mapping[str, Any]) -> Choice:
    """Return what was chosen.

    `given` are options by their names, of which None was not given.

    Raises
    ------
    ValueError
        If an option was given that means nothing to the method, or one is missing.
    """
    if name not in METHODS:
        raise ValueError(f"method {name!r} is none of {', '.join(METHODS)}")
    method = METHODS[name]
    for option in OPTIONS:
        value = given.get(option)
        if value is not None and option not in method.takes:
            words = map(str, value if isinstance(value, list) else [value])
            owners = ", ".join(key for key, each in METHODS.items() if option in each.takes)
            raise ValueError(
                f"--{option} {shlex.join(words)} means nothing to --method {name}: it is for"
                f" {owners}"
            )
    if "references" in method.takes and given.get("references") is None:
        raise ValueError(
            f"--method {name} needs --references: photographs, or folders of them, such as"
            " some that the model was trained on"
        )
    known = inspect.signature(method.iterate).parameters
    options = {
        option: known[option].default if given.get(option) is None else given[option]
        for option in method.takes
    }
    if options.get("tolerance") is not None:  # it says how many
        options = {key: value for key, value in options.items() if key not in ("steps", "draws")}
    return Choice(name, options)
