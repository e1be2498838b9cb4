"""What a call has to say beside its result: one warning of a kind, at the caller's own line."""

from __future__ import annotations

from .._caller import caller_level, warn


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
            warn(text + self._end, caller_level())
