"""What is told of a run: a line for each photograph, how many there are and the time left."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from .._optional import ProgressBar


class Telling:
    """Tells lines, on a terminal above a bar.

    Parameters
    ----------
    total : int
        How many photographs there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._bar = ProgressBar(total > 1 and is_terminal(), "photograph")

    def __enter__(self) -> Telling:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        self._bar.__exit__(kind, error, traceback)

    def tell(self, record: dict[str, Any] | None, summary: str = "") -> None:
        """Tell of a photograph that is done; None is one that failed.

        `summary` is that of its `AttributionInfo`, for one by itself.
        """
        if record is None:
            self.tell_line(None)
        else:
            self.tell_line(summarise(record) if self._total > 1 else report(record, summary))

    def tell_line(self, text: str | None) -> None:
        """Tell a text of a photograph that is done, after its number if there are more."""
        self._done += 1
        if text is not None:
            say(f"[{self._place()}] {text}" if self._total > 1 else text)
        if self._bar.update is not None:
            self._bar.update(self._done, self._total)

    def _place(self) -> str:
        spent = time.monotonic() - self._started
        left = spent / self._done * (self._total - self._done)
        place = f"{self._done}/{self._total}"
        return f"{place}, {duration(left)} left" if self._done < self._total else place


def duration(seconds: float) -> str:
    """Return a time in round numbers."""
    if seconds < 90:
        return f"{max(1, round(seconds)) if seconds < 10 else round(seconds, -1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


# ---- Texts ---------------------------------------------------------------------------------------


def summarise(record: dict[str, Any]) -> str:
    """Say in a line, or two, what became of a photograph."""
    line = (
        f"{_name(record)}: {_top(record)}; {record['label']} explained, error {_error(record)}:"
        f" {printable(record['picture'])}"
    )
    return line if record["note"] is None else f"{line}\n  note: {record['note']}"


def report(record: dict[str, Any], summary: str) -> str:
    """Say of a single photograph what was found, and where it is."""
    lines = [
        f"{_name(record)}: {_top(record)}",
        *summary.split("\n"),
        f"time: {record['seconds']:.1f} s for {record['evaluations']} gradients on"
        f" {record['device']}",
        ", ".join(
            f"{kind}: {printable(record[kind])}" for kind in ("picture", "arrays") if record[kind]
        ),
    ]
    return "\n  ".join(lines)


def _name(record: dict[str, Any]) -> str:
    return printable(Path(record["image"]).name)


def _top(record: dict[str, Any]) -> str:
    return ", ".join(f"{label} {probability:.1%}" for label, _, probability in record["top"])


def _error(record: dict[str, Any]) -> str:
    return "unknown" if record["error"] is None else f"{record['error']:.1%}"


# ---- Printing ------------------------------------------------------------------------------------


def say(text: str, *, error: bool = False) -> None:
    """Print to stdout or stderr, above the progress bar where there is one."""
    stream: TextIO | None = sys.stderr if error else sys.stdout
    if stream is None:  # it was closed before Python started
        return
    encoding = stream.encoding or "utf-8"
    text = "\n".join(map(printable, text.split("\n")))
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    if is_terminal() and "tqdm.auto" in sys.modules:
        sys.modules["tqdm.auto"].tqdm.write(text, file=stream)
    else:
        print(text, file=stream, flush=True)


def is_terminal() -> bool:
    """Say whether somebody looks on, for whom a bar is drawn."""
    return sys.stderr is not None and sys.stderr.isatty()


def printable(text: str) -> str:
    """Return a line with escapes for what cannot be printed, such as bytes that are no UTF-8."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
