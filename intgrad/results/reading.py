"""Results that were written, one photograph at a time."""

from __future__ import annotations

import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from . import parquet
from .folder import FAILURES
from .records import PART, RECORDS, SCHEMA, Record, Records, explained
from .result import Array, Result, check_schema, drop_explained


class Reading:
    """The results in a folder or in Parquet: iterate over them, as often as you like.

    Nothing is kept of what has been passed: a hundred thousand take no more memory than one.
    """

    def __init__(
        self, results: Callable[[], Iterator[Result]], failures: Callable[[], Iterator[Record]]
    ) -> None:
        self._results, self._failures = results, failures

    def __iter__(self) -> Iterator[Result]:
        """Yield what was explained."""
        return self._results()

    def records(self) -> Iterator[Record]:
        """Yield records alone."""
        return (result.record for result in self)

    def failures(self) -> Iterator[Record]:
        """Yield records of what failed: its path ("image"), and the "reason"."""
        return self._failures()


def read_results(source: str | os.PathLike[str]) -> Reading:
    """Read what `intgrad explain`, or `intgrad.distributed.Explainer`, wrote.

    Parameters
    ----------
    source : path
        A folder of `intgrad explain`; a file of Parquet, or a folder of such files.

    Returns
    -------
    Reading
        Iterate over it: each `Result` has a `record`, and `attributions` that are read when they
        are asked for.

    Raises
    ------
    OSError
        If it is not there.
    ValueError
        If it holds no results, or they are damaged, or a newer intgrad wrote them: of records while
        they are read.
    ImportError
        If PyArrow is needed and not installed.

    Examples
    --------
    >>> results = intgrad.read_results("explained")
    >>> worst = max(results.records(), key=lambda record: record["error"] or 0)
    """
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}")
    if (path / RECORDS).exists():
        return Reading(lambda: _read_folder(path), lambda: read_failures(path))
    if parquet.find_files(path):
        return Reading(lambda: parquet.read(path), lambda: parquet.read_failures(path))
    raise ValueError(f"{str(path)!r} holds neither {RECORDS} nor files of Parquet")


def replace_records(source: Path, records: Sequence[Record]) -> None:
    """Write anew the records of what was explained, in the order in which they were read.

    Raises
    ------
    OSError
        If they cannot be written; those that were there stay then.
    """
    if (source / RECORDS).exists():
        explained(source).replace(records)
    else:
        parquet.replace_records(source, records)


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the records that this version writes.

    Its number is each record's "schema"; what changes the meaning of a key changes the number.
    """
    text = files("intgrad.results").joinpath(f"record-{SCHEMA}.schema.json").read_text("utf-8")
    return dict(json.loads(text))


def _read_folder(folder: Path) -> Iterator[Result]:
    records = explained(folder)
    for index, (start, record) in enumerate(records.located()):
        check_schema(record, records.place(index))
        read_arrays = functools.partial(_read_arrays, folder, record.get("arrays"))
        yield Result(record, functools.partial(records.read_at, start), read_arrays)


def read_failures(folder: Path) -> Iterator[Record]:
    """Yield the records of what failed in a folder, and has not been explained since."""
    failures = Records(folder / FAILURES, folder / PART, ("image", "reason"))
    return drop_explained(itertools.chain(failures, explained(folder)))


def _read_arrays(folder: Path, name: str | None) -> dict[str, Array]:
    if name is None:
        return {}
    path = folder / name
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of what is damaged, whatever it raises
        raise ValueError(f"{str(path)!r} is damaged: {error}") from error
