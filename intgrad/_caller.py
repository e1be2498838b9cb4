"""The line of the user's that a warning is about."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType

PACKAGE = __name__.partition(".")[0]
_is_quiet = ContextVar("intgrad._is_quiet", default=False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the package from warning, in this thread: of pictures that it made itself."""
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def warn(text: str, stacklevel: int) -> None:
    """Warn the user, at the line that `stacklevel` says as seen from the caller."""
    if not _is_quiet.get():
        warnings.warn(text, stacklevel=stacklevel + 1)


def caller_level() -> int:
    """Return the `stacklevel` of the first line outside the package, for a warning given here.

    That of a generator is the line that asks for its next value.
    """
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
        level += 1
    return level


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == PACKAGE
