"""What is imported only where it is used, with an error that says how to get it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import TracebackType
from typing import Any


def require(module: str, package: str, purpose: str, extra: str = "all") -> Any:
    """Import an optional dependency, which one of intgrad's extras has.

    Raises
    ------
    ImportError
        If it is not installed; the text holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        what = "everything optional" if extra == "all" else "the extra"
        raise ImportError(
            f"{purpose} needs {package}, which is not installed: pip install {package}"
            f" (or {what}: pip install 'intgrad[{extra}]')"
        ) from None


class ProgressBar:
    """A tqdm bar around a call of the core, or nothing at all.

    `with ProgressBar(show, "gradients") as bar: _core.integrate(..., bar.update)`
    """

    def __init__(self, show: bool, unit: str) -> None:
        self._tqdm = require("tqdm.auto", "tqdm", "progress=True").tqdm if show else None
        self._unit = unit
        self._bar: Any = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def update(self) -> Callable[[float, int], None] | None:
        """What is called with (done, total) after each batch; None without a bar."""
        return None if self._tqdm is None else self._advance

    def _advance(self, done: float, total: int) -> None:
        if self._bar is None:
            assert self._tqdm is not None
            self._bar = self._tqdm(unit=self._unit)
        self._bar.total = total or None  # with a tolerance nobody knows it
        self._bar.n = done
        self._bar.update(0)  # draws it, if it is time
