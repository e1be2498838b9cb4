"""Files of JSON lines that can be read after a kill at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote_to_bytes

from .._files import write_whole

RECORDS = "explained.jsonl"
"""What the file of those that were explained is called."""

ROWS = "rows"
"""What the folder of Parquet is called that a cluster writes instead."""

SCHEMA = 1
"""Of a record: which of the schemas in this folder it follows."""

PART = ".part-"
"""What a file is called that is being written, before its suffix."""

Record = dict[str, Any]


class Records:
    """A file of records, a line each.

    Lines are JSON that every reader takes. Names that are no Unicode, as files may have them, have
    question marks there, and are whole under "exact", percent-encoded.

    Parameters
    ----------
    file, part : Path
        The file, and where it is written when all of it is written anew.
    keys : sequence of str
        The texts that every record holds, beside its "request".
    """

    def __init__(self, file: Path, part: Path, keys: Iterable[str]) -> None:
        self._file, self._part, self._keys = file, part, tuple(keys)
        self._out: IO[bytes] | None = None

    def __iter__(self) -> Iterator[Record]:
        """Yield the records, but for a line that was cut.

        Raises
        ------
        ValueError
            If the file holds something else.
        """
        return (record for _, record in self.located())

    def located(self) -> Iterator[tuple[int, Record]]:
        """Yield each record after the byte at which it begins, for `read_at`."""
        if not self._file.exists():
            return
        start = 0
        with self._file.open("rb") as file:
            for number, line in enumerate(file):
                if line.endswith(b"\n"):
                    yield start, self._parse(self.place(number), line)
                start += len(line)

    def read_at(self, start: int) -> Record:
        """Read the record that begins at a byte."""
        with self._file.open("rb") as file:
            file.seek(start)
            return self._parse(f"byte {start} of {str(self._file)!r}", file.readline())

    def was_cut(self) -> bool:
        """Say whether the last line is not whole, and has to be removed before others come."""
        if not self._file.exists() or not self._file.stat().st_size:
            return False
        with self._file.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() != b"\n"

    def place(self, index: int) -> str:
        """Return what messages call a record."""
        return f"line {index + 1} of {str(self._file)!r}"

    def append(self, record: Record) -> None:
        """Write a record."""
        if self._out is None:
            self._out = self._file.open("ab")
        self._out.write(_to_bytes(record))
        self._out.flush()

    def replace(self, records: Iterable[Record]) -> None:
        """Write all records anew; they may come from this very file."""
        self.close()

        def write(part: Path) -> None:
            with part.open("wb") as file:
                file.writelines(map(_to_bytes, records))

        write_whole(self._file, self._part, write)

    def remove(self) -> None:
        """Remove the file."""
        self.close()
        self._file.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file until something is written again."""
        out, self._out = self._out, None
        if out is not None:
            out.close()

    def _parse(self, place: str, line: bytes) -> Record:
        try:
            record = from_line(line)
            texts = [record[key] for key in self._keys]
            record["request"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{place} is no record ({error!r}): choose another --out") from None
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{place} is no record: choose another --out")
        return dict(record)


def explained(folder: Path) -> Records:
    """Return the records of what was explained into a folder."""
    part = folder / f"{PART}.jsonl"
    return Records(folder / RECORDS, part, ("image", "picture"))


def drawn_in(folder: Path) -> set[str]:
    """Return the real paths of the pictures that a folder has records of."""
    file = folder / RECORDS
    try:
        records = list(Records(file, file, ("picture",)))
    except (OSError, ValueError):  # it is not ours
        return set()
    return {os.path.realpath(folder / record["picture"]) for record in records}


def is_report(folder: Path) -> bool:
    """Say whether a folder is what a page reads, in which there are pictures too."""
    return folder.name == "report" and (folder / "records/index.js").is_file()


def to_line(record: Record) -> str:
    """Return a record as JSON, in ASCII."""
    exact = {
        key: quote(text.encode("utf-8", "surrogatepass"))
        for key, text in record.items()
        if isinstance(text, str) and not _is_unicode(text)
    }
    if exact:
        told = {key: record[key].encode("utf-8", "replace").decode() for key in exact}
        record = {**record, **told, "exact": exact}
    return json.dumps(record, allow_nan=False)


def from_line(line: str | bytes) -> Record:
    """Return the record that was made JSON; names have their own bytes again."""
    record: Record = json.loads(line)
    exact = record.pop("exact", {})
    return record | {
        key: unquote_to_bytes(text).decode("utf-8", "surrogatepass") for key, text in exact.items()
    }


def _is_unicode(text: str) -> bool:
    """Say whether a text is Unicode, and not bytes that passed for a name."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _to_bytes(record: Record) -> bytes:
    return f"{to_line(record)}\n".encode("ascii")
