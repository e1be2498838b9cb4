"""A folder of results that a run can stop at any moment, and another go on with.

For every photograph there are NAME.png, NAME.npz and what the report draws, and a line in
explained.jsonl. Files get their names when they are whole, and the line is written last: what has a
line is finished. A photograph that failed has a line in failed.jsonl instead, with its path
("image") and what went wrong ("reason"), until it is explained; every run tries it again. The last
line of a photograph counts.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from .._files import write_whole
from .records import PART, RECORDS, SCHEMA, Record, Records, explained
from .sources import Source

FAILURES = "failed.jsonl"
PLACES = {
    "arrays": "{}.npz",
    "view": "report/views/{}.js",
    "thumbnail": "report/views/{}.jpg",
    "picture": "{}.png",
}
"""Where the files of a photograph are, by the keys of its record, in the order in which they are
written; each is called as its results."""
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors of a disk, which the next photograph meets as well."""


def lock(folder: Path) -> int:
    """Keep a folder from other processes, until what is returned is closed.

    Raises
    ------
    ValueError
        If another process has it.
    OSError
        If there is none.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ValueError(f"another process is writing to {str(folder)!r}") from None
    return descriptor


class Results:
    """A folder of results, for as long as one process writes to it.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    request : dict
        What was asked for. A folder holds the answers to one request only.
    sources : iterable of Source
        No result is given the name of one of these files.

    Raises
    ------
    ValueError
        If the folder is none, holds answers to another request, or something else than records,
        or another process writes to it.
    OSError
        If the folder cannot be written to.
    """

    def __init__(self, folder: Path, request: dict[str, Any], sources: Iterable[Source]) -> None:
        self.folder = folder
        self.request = request
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise ValueError(f"{str(folder)!r} is no folder: choose another --out") from None
        self._longest_name = os.pathconf(folder, "PC_NAME_MAX")
        self._taken = {source.real for source in sources}
        part = self._part(".jsonl")
        self._records = explained(folder)
        self._failures = Records(folder / FAILURES, part, ("image", "reason"))
        self._lock = lock(folder)
        try:
            self._check_writable()
            self._finished = self._read_records()
            self._failed = self._read_failures()
            self._remove_parts()
            (folder / RECORDS).touch()
        except BaseException:
            os.close(self._lock)
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
        try:
            self._records.close()
            if self._failed:
                self._failures.replace(self._failed.values())
            else:
                self._failures.remove()
        finally:
            os.close(self._lock)

    def has(self, source: Source) -> bool:
        """Say whether a photograph is finished."""
        return source.real in self._finished

    def records(self) -> Iterator[Record]:
        """Yield the records of what is finished."""
        return iter(self._records)

    def failures(self) -> list[Record]:
        """Return those of what failed."""
        return list(self._failed.values())

    def add(
        self,
        source: Source,
        facts: Mapping[str, Any],
        files: Mapping[str, Callable[[Path], object]],
    ) -> Record:
        """Write what belongs to a photograph; return its record.

        `files` are those of `PLACES` that it has: each writes to the path that it is given.

        Raises
        ------
        OSError
            If the folder can no longer be written to.
        Exception
            Whatever else: it concerns this photograph only.
        """
        name = self._free_name(source.name)
        places = {key: place.format(name) for key, place in PLACES.items() if key in files}
        for key, place in places.items():
            self._write(place, files[key])
        record = {
            "schema": SCHEMA,
            "image": source.real,
            **dict.fromkeys(PLACES),
            **places,
            **facts,
            "request": self.request,
        }
        self._records.append(record)
        self._finished.add(source.real)
        self._failed.pop(source.real, None)
        return record

    def fail(self, source: Source, reason: str) -> Record:
        """Write down that a photograph failed; return the record of it."""
        record = {"image": source.real, "reason": reason, "request": self.request}
        self._failures.append(record)
        self._failed[source.real] = record
        return record

    # ---- Files -----------------------------------------------------------------------------------

    def _part(self, suffix: str) -> Path:
        return self.folder / f"{PART}{suffix}"

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        path = self.folder / name
        try:
            if path.parent != self.folder:  # which was there, and is not made anew if it is lost
                path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, self._part(path.suffix), write)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise OSError(error.errno, error.strerror, str(path)) from error
            self._check_writable()
            # As names that are too long for this disk, or a folder that is in the way.
            raise ValueError(f"{str(path)!r} cannot be written: {error}") from error

    def _check_writable(self) -> None:
        probe = self._part(".probe")
        probe.touch()
        probe.unlink()

    def _remove_parts(self) -> None:
        for suffix in (".png", ".npz", ".js", ".jpg", ".jsonl", ".html", ".probe"):
            self._part(suffix).unlink(missing_ok=True)

    # ---- Names -----------------------------------------------------------------------------------

    def _free_name(self, wish: str) -> str:
        """Return a name that neither other results have nor a photograph."""
        name, count = self._shorten(wish, ""), 1
        while not self._take(name):
            count += 1
            name = self._shorten(wish, f"-{count}")
        return name

    def _shorten(self, wish: str, ending: str) -> str:
        """Return `wish` and `ending`, made to fit into a file name with its suffix."""
        folder, stem = os.path.split(wish)
        while len(os.fsencode(f"{stem}{ending}.png")) > self._longest_name:
            stem = stem[:-1]
        return os.path.join(folder, stem + ending)

    def _take(self, name: str) -> bool:
        files = {os.path.realpath(self.folder / f"{name}{suffix}") for suffix in (".png", ".npz")}
        if files & self._taken:
            return False
        self._taken |= files
        return True

    # ---- What earlier runs left ------------------------------------------------------------------

    def _read_records(self) -> set[str]:
        """Return the images that are finished.

        A line that was not written to its end, or whose files are lost, is dropped.
        """
        finished: dict[str, int] = {}
        count = 0
        for index, record in enumerate(self._records):
            check_request(record, self.request, self._records.place(index))
            count += 1
            if self._is_whole(record):
                finished[record["image"]] = index
                self._take(record["picture"].removesuffix(".png"))
        if len(finished) < count or self._records.was_cut():
            last = set(finished.values())
            self._records.replace(
                record for index, record in enumerate(self._records) if index in last
            )
        return set(finished)

    def _read_failures(self) -> dict[str, Record]:
        """Return the failures that this request still has."""
        failed = {
            record["image"]: record
            for record in self._failures
            if record["request"] == self.request and record["image"] not in self._finished
        }
        if self._failures.was_cut():
            self._failures.replace(failed.values())
        return failed

    def _is_whole(self, record: Record) -> bool:
        """Say whether the files are there; one of an older version has no view."""
        names = [record[key] for key in PLACES if record.get(key) is not None]
        return all(os.path.isfile(self.folder / name) for name in names)


def check_request(record: Record, request: dict[str, Any], place: str) -> None:
    """Raise a ValueError of a record that answers another request."""
    if record["request"] != request:
        difference = _difference(record["request"], request)
        raise ValueError(f"{place} answers another request ({difference}): choose another --out")


def _difference(found: Any, asked: dict[str, Any]) -> str:
    """Say in which entry two requests differ."""
    if isinstance(found, dict):
        for key in {**asked, **found}:
            if found.get(key) != asked.get(key):
                return f"{key} was {found.get(key)!r}, and now is {asked.get(key)!r}"
    return repr(found)
