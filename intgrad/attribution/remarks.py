"""What a call has to say beside its result: one warning of a kind, at the caller's own line."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

PACKAGE = __name__.partition(".")[0]


class Remarks:
    """Warns of each kind of thing once.

    Parameters
    ----------
    end : str
        What every text ends with.
    """

    def __init__(self, end: str = "") -> None:
        self._end = end
        self._made: set[str] = set()

    def make(self, kind: str, text: str) -> None:
        """Warn, unless it was done for this kind."""
        if kind not in self._made:
            self._made.add(kind)
            warnings.warn(text + self._end, stacklevel=caller_level())


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
