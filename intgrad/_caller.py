"""The line of the user's that a warning is about."""

from __future__ import annotations

import sys
from types import FrameType

PACKAGE = __name__.partition(".")[0]


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
