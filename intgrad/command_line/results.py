"""A folder of results that a run can stop at any moment, and another go on with.

For every photograph there are NAME.png and NAME.npz, and a line in explained.jsonl. Files get their
names when they are whole, and the line is written last: what has a line is finished.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .._files import write_whole
from .photographs import Source

RECORDS = "explained.jsonl"
PART = ".part-"
"""How the names of files begin that are being written."""


class Results:
    """A folder of results, for as long as one process writes to it.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    request : dict
        What was asked for. A folder holds the answers to one request only.
    sources : sequence of Source
        No result is given the name of one of these files.

    Raises
    ------
    ValueError
        If the folder holds answers to another request, or something else than records, or
        another process writes to it.
    OSError
        If the folder cannot be written to.
    """

    def __init__(self, folder: Path, request: dict[str, Any], sources: Sequence[Source]) -> None:
        self.folder = folder
        self._request = request
        folder.mkdir(parents=True, exist_ok=True)
        self._taken = {source.path.resolve() for source in sources}
        self._pictures: set[Path] = set()
        self._lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._finished = self._read_records()
            self._remove_parts()
            self._records = (folder / RECORDS).open("a", encoding="utf-8")
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, BlockingIOError):
                raise ValueError(f"another process is writing to {str(folder)!r}") from None
            raise

    def __enter__(self) -> Results:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let another process have the folder."""
        self._records.close()
        os.close(self._lock)

    def has(self, source: Source) -> bool:
        """Say whether a photograph is finished."""
        return str(source.path.resolve()) in self._finished

    def made(self, source: Source) -> bool:
        """Say whether a photograph is a picture of these results, in a folder that is explained."""
        return source.path.resolve() in self._pictures

    def add(
        self,
        source: Source,
        facts: Mapping[str, Any],
        arrays: Mapping[str, Any],
        draw: Callable[[Path], None],
    ) -> dict[str, Any]:
        """Write what belongs to a photograph; return its record.

        `draw` writes a picture to the path that it is given.
        """
        name = self._free_name(source.name)
        picture, npz = f"{name}.png", f"{name}.npz"
        self._write(npz, lambda path: np.savez(path, **arrays))
        self._write(picture, draw)
        record = {
            "image": str(source.path.resolve()),
            "picture": picture,
            "arrays": npz,
            **facts,
            "request": self._request,
        }
        self._records.write(json.dumps(record, allow_nan=False) + "\n")
        self._records.flush()
        self._finished.add(record["image"])
        return record

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.folder / f"{PART}{path.suffix}", write)

    def _free_name(self, wish: str) -> str:
        """Return a name that neither other results have nor a photograph."""
        name, count = wish, 1
        while not self._take(name):
            count += 1
            name = f"{wish}-{count}"
        return name

    def _take(self, name: str) -> bool:
        files = {(self.folder / f"{name}{suffix}").resolve() for suffix in (".png", ".npz")}
        if files & self._taken:
            return False
        self._taken |= files
        return True

    def _read_records(self) -> set[str]:
        """Return the images that are finished.

        A line that was not written to its end, or whose files are lost, is dropped.
        """
        file = self.folder / RECORDS
        lines = file.read_bytes().split(b"\n") if file.exists() else [b""]
        records = [self._parse(number, line) for number, line in enumerate(lines[:-1], 1)]
        finished = {record["image"]: record for record in records if self._is_whole(record)}
        if len(finished) < len(records) or lines[-1]:
            text = "".join(json.dumps(record) + "\n" for record in finished.values())
            self._write(RECORDS, lambda part: part.write_text(text, encoding="utf-8"))
        for record in finished.values():
            self._take(record["picture"].removesuffix(".png"))
            self._pictures.add((self.folder / record["picture"]).resolve())
        return set(finished)

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        place = f"line {number} of {str(self.folder / RECORDS)!r}"
        try:
            record = json.loads(line)
            names = [record[key] for key in ("image", "picture", "arrays")]
            request = record["request"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{place} is no record ({error!r}): choose another --out") from None
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{place} is no record: choose another --out")
        if request != self._request:
            raise ValueError(
                f"{place} answers another request ({_difference(request, self._request)}):"
                " choose another --out"
            )
        return dict(record)

    def _is_whole(self, record: dict[str, Any]) -> bool:
        return all((self.folder / record[key]).is_file() for key in ("picture", "arrays"))

    def _remove_parts(self) -> None:
        for part in self.folder.glob(f"{PART}*"):
            part.unlink()


def _difference(found: Any, asked: dict[str, Any]) -> str:
    """Say in which entry two requests differ."""
    if isinstance(found, dict):
        for key, value in asked.items():
            if found.get(key) != value:
                return f"{key} was {found.get(key)!r}, and now is {value!r}"
    return repr(found)
