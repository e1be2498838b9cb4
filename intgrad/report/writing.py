"""The report of a folder of results, written while it fills: only what changed is written again.

`index.html` is the page, and `report/*.js` and `.css` make it work. `report/records/index.js` says
what holds for all; `0000.js` and so on have the cards of `CHUNK` photographs each, and
`0000.details.js` their records, which are read when one is looked at; `failed.js` has those that
failed. What is drawn of a photograph is in `report/views`, and written with its picture
(`results.folder`).
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .._files import write_whole
from ..results.records import PART, Record
from ..results.result import check_schema
from .about import Run, make_about
from .cards import FACTS, make_card, make_failed_card
from .pages import SCRIPTS, STYLE, read_asset, render
from .scripts import call, to_json
from .single import write_single

CHUNK = 200
"""Photographs in a file of cards."""
BETWEEN = 2.0
"""Seconds after which new cards are written."""
ORDER = "order of the run"
COMMAND = "intgrad-command.txt"
"""What a folder keeps the command in that made its results."""
GENERATOR = b'<meta name="generator" content="intgrad'
"""By which our pages are known."""
Card = dict[str, Any]


class Cards:
    """Files of cards, and of the details of each, that grow by one card at a time.

    Parameters
    ----------
    folder : Path
        That of the page.
    facts : sequence of str
        What cards have, in the order in which the page offers to sort by it; others come after.
    """

    def __init__(self, folder: Path, facts: Sequence[str]) -> None:
        self._folder = folder
        self._rows: list[tuple[str, str]] = []
        self._chunk = 0
        self.facts = dict.fromkeys(facts)

    @property
    def files(self) -> list[str]:
        """The names of the files of cards, in their order."""
        return [f"{chunk:04}.js" for chunk in range(self._chunk + bool(self._rows))]

    def add(self, card: Card, details: list[Record]) -> None:
        """Add a card; it is written when the file is full, or by `flush`."""
        self.facts |= dict.fromkeys(card["facts"])
        self._rows.append((to_json(card), to_json(details)))
        if len(self._rows) == CHUNK:
            self.flush()
            self._rows, self._chunk = [], self._chunk + 1

    def flush(self) -> None:
        """Write what is not written."""
        if not self._rows:
            return
        for function, suffix, column in (("add", "js", 0), ("addDetails", "details.js", 1)):
            rows = ",".join(row[column] for row in self._rows)
            text = f"intgrad.{function}({self._chunk},[{rows}]);\n".encode("ascii")
            write_changed(self._folder / f"report/records/{self._chunk:04}.{suffix}", text)


class Report:
    """The report of a folder, for as long as one process writes to it.

    Parameters
    ----------
    folder : Path
        It is there.
    request : dict
        What was asked for.
    command : sequence of str or None
        In what words; None are those that the folder keeps.
    records, failures : iterable of dict
        What is in the folder already.

    Raises
    ------
    OSError
        If it cannot be written, now or later.
    ValueError
        If the folder has a page of somebody else, or records that are too old.
    """

    def __init__(
        self,
        folder: Path,
        request: dict[str, Any],
        command: Sequence[str] | None,
        records: Iterable[Record],
        failures: Iterable[Record],
    ) -> None:
        check_page(folder)
        for place in ("", "report", "report/records", "report/views"):
            (folder / place / f"{PART}.report").unlink(missing_ok=True)  # of a run that was killed
        self._folder, self._request = folder, request
        self._command = read_command(folder) if command is None else list(command)
        if command is not None:
            write_changed(folder / COMMAND, os.fsencode(f"{shlex.join(command)}\n"))
        self._cards = Cards(folder, list(FACTS.values()))
        self._failed = {record["image"]: record for record in failures}
        self._last: Record | None = None
        write_assets(folder)
        for record in records:
            check_schema(record, f"the record of {record['image']!r} in {str(folder)!r}")
            self._take(record)
        self.flush()

    def add(self, record: Record) -> None:
        """Add a photograph that was explained."""
        self._take(record)
        self._flush_sometimes()

    def fail(self, record: Record) -> None:
        """Add one that failed."""
        self._failed[record["image"]] = record
        self._flush_sometimes()

    def finish(self, single_file: bool) -> None:
        """Write what is not written; and all of it into the page, if that is asked for."""
        self.flush()
        if single_file:
            write_single(self._folder, *self._describe())

    def flush(self) -> None:
        """Write what is not written."""
        self._cards.flush()
        failed = list(map(make_failed_card, self._failed.values()))
        write_changed(self._folder / "report/records/failed.js", call("add", -1, failed))
        files = [*self._cards.files, "failed.js"]
        title, lead, runs = self._describe()
        about = make_about(runs, files, list(self._cards.facts), ORDER)
        write_page(self._folder, about, title, lead, runs)
        self._flushed = time.monotonic()

    def _describe(self) -> tuple[str, str, list[Run]]:
        """Return the page's title, what it begins with, and how all came about."""
        run = Run.of(self._last, self._request, self._command)
        lead = (
            f"Which pixels made the score: {run.meaning.title}, {run.meaning.unit}. Choose a"
            " photograph to look closer; what lies within its error bars of zero is not drawn."
        )
        return run.title, lead, [run]

    def _take(self, record: Record) -> None:
        self._last = record
        self._failed.pop(record["image"], None)
        self._cards.add(make_card(record), [record])

    def _flush_sometimes(self) -> None:
        if time.monotonic() > self._flushed + BETWEEN:
            self.flush()


def write_assets(folder: Path) -> None:
    """Write what pages need beside them, whatever they show."""
    for name in (*SCRIPTS, STYLE):
        write_changed(folder / "report" / name, read_asset(name))


def write_page(
    folder: Path, about: dict[str, Any], title: str, lead: str, runs: Sequence[Run]
) -> None:
    """Write the page itself, and what holds for all that it shows."""
    write_changed(folder / "report/records/index.js", call("begin", about))
    page = "".join(render(title, lead, runs))
    write_changed(folder / "index.html", page.encode("utf-8", "replace"))


def check_page(folder: Path) -> None:
    """Raise a ValueError if a folder has an `index.html` of somebody else."""
    page = folder / "index.html"
    if page.exists() and GENERATOR not in page.read_bytes()[:4096]:
        raise ValueError(f"{str(page)!r} is no page of intgrad: choose another --out")


def read_command(folder: Path) -> list[str] | None:
    """Return the words that made the results in a folder, where it keeps them."""
    try:
        return shlex.split(os.fsdecode((folder / COMMAND).read_bytes()))
    except (OSError, ValueError):
        return None


def write_changed(path: Path, content: bytes) -> None:
    """Write a file that does not hold this already."""
    try:
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return
    except OSError:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, path.with_name(f"{PART}.report"), lambda part: part.write_bytes(content))
