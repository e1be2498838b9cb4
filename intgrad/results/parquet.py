"""Results as rows: what a cluster writes, and what pandas, DuckDB and Ray read."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_whole
from .._optional import require
from .records import PART, ROWS, Record, from_line, to_line
from .result import Array, Result, check_schema, drop_explained

ARRAYS = {
    "attributions": np.float32,
    "gradient": np.float32,
    "error_map": np.float32,
    "pixel_error_map": np.float32,
    "regions": np.int32,
}
"""Columns of arrays, flat; "shape" is that of the attributions, and what has no channels lacks the
last of its numbers."""
WITHOUT_CHANNELS = ("pixel_error_map", "regions")
TEXTS = ("image", "reason", "label")
NUMBERS = ("score", "baseline_score", "delta", "error")


def make_schema() -> Any:
    """Return the Arrow schema of results.

    Raises
    ------
    ImportError
        If PyArrow is not installed.
    """
    pa = require("pyarrow", "pyarrow", "Parquet", extra="ray")
    return pa.schema(
        [
            *((name, pa.string()) for name in TEXTS),
            ("target", pa.int64()),
            *((name, pa.float64()) for name in NUMBERS),
            ("record", pa.string()),
            ("shape", pa.list_(pa.int32())),
            *((name, pa.list_(pa.from_numpy_dtype(kind))) for name, kind in ARRAYS.items()),
        ]
    )


def make_row(record: Record, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Return the row of a photograph that was explained; of one that failed, without arrays."""
    texts = {name: record.get(name) for name in TEXTS}
    row = {
        # Names that are no UTF-8 are whole in the record alone.
        **{key: text and text.encode("utf-8", "replace").decode() for key, text in texts.items()},
        "target": record.get("target"),
        **{name: record.get(name) for name in NUMBERS},
        "record": to_line(record),
    }
    if "attributions" in arrays:
        row["shape"] = arrays["attributions"].shape
    return row | {name: array.ravel() for name, array in arrays.items()}


def make_table(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Return rows as an Arrow table."""
    pa = require("pyarrow", "pyarrow", "Parquet", extra="ray")
    schema, rows = make_schema(), list(rows)
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


class NotWholeError(ValueError):
    """A file that was not written to its end."""


def read(path: Path) -> Iterator[Result]:
    """Yield what was explained, of a file or all files of a folder."""
    # Rows of a group are asked for one by one. Not for longer: the file may be written anew.
    read_group = functools.lru_cache(maxsize=1)(_read_group)
    read_texts = functools.lru_cache(maxsize=1)(_read_texts)
    for file, group, row, record in _rows(path):
        if "reason" not in record:
            check_schema(record, f"a row of {str(file)!r}")
            yield Result(
                record,
                functools.partial(_read_record, read_texts, file, group, row),
                functools.partial(_read_arrays, read_group, file, group, row),
            )


def read_failures(path: Path) -> Iterator[Record]:
    """Yield the records of what failed, and has not been explained since."""
    return drop_explained(record for _, _, _, record in _rows(path))


def find_files(path: Path) -> list[Path]:
    """Return the files of Parquet that a path stands for, in their order.

    Of a folder of `intgrad explain --ray` these are its rows, and nothing else that is in it.
    """
    if not path.is_dir():
        return [path]
    rows = path / ROWS
    found = rows.glob("*.parquet") if rows.is_dir() else path.rglob("*.parquet")
    return sorted(file for file in found if file.is_file())


def _rows(path: Path) -> Iterator[tuple[Path, int, int, Record]]:
    """Yield the records, and where their rows are: file, group and number."""
    for file in find_files(path):
        for group, texts in enumerate(read_records(file)):
            for row, text in enumerate(texts):
                yield file, group, row, from_line(text)


def read_records(path: Path) -> Iterator[list[str]]:
    """Yield the records of a file as texts, a group of rows at a time.

    Raises
    ------
    NotWholeError
        If it was not written to its end.
    ValueError
        If it holds something else.
    OSError
        If it cannot be read.
    """
    with _open(path) as file:
        for group in range(file.num_row_groups):
            yield _texts_of(file, group)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    pa = require("pyarrow", "pyarrow", "Parquet", extra="ray")
    parquet = require("pyarrow.parquet", "pyarrow", "Parquet", extra="ray")
    try:
        opened = parquet.ParquetFile(os.fspath(path))
    except pa.ArrowInvalid as error:
        raise NotWholeError(
            f"{str(path)!r} is no whole file of Parquet ({error}): remove it, and let its"
            " photographs be explained again"
        ) from error
    with opened:
        if "record" not in opened.schema_arrow.names:
            raise ValueError(f"{str(path)!r} holds other columns than results of intgrad")
        yield opened


def _texts_of(file: Any, group: int) -> list[str]:
    texts: list[str] = file.read_row_group(group, columns=["record"])["record"].to_pylist()
    return texts


def replace_records(path: Path, records: Sequence[Record]) -> None:
    """Write other records into the rows of what was explained, in their order.

    Files of which none changes are left as they are.
    """
    waiting = iter(records)
    for file in find_files(path):
        groups = list(read_records(file))
        changed = [[_replace(text, waiting) for text in texts] for texts in groups]
        if changed != groups:
            part = file.with_name(f"{PART}.rows")
            write_whole(file, part, functools.partial(_write_texts, file, changed))


def _replace(text: str, waiting: Iterator[Record]) -> str:
    return text if "reason" in from_line(text) else to_line(next(waiting))


def _write_texts(file: Path, groups: list[list[str]], part: Path) -> None:
    """Write a file with other records, in the groups that it has."""
    pa = require("pyarrow", "pyarrow", "Parquet", extra="ray")
    parquet = require("pyarrow.parquet", "pyarrow", "Parquet", extra="ray")
    with (
        _open(file) as old,
        parquet.ParquetWriter(os.fspath(part), old.schema_arrow, compression="zstd") as new,
    ):
        column = old.schema_arrow.names.index("record")
        for group, texts in enumerate(groups):
            table = old.read_row_group(group)
            field = table.schema.field(column)
            table = table.set_column(column, field, pa.array(texts, field.type))
            new.write_table(table, row_group_size=max(1, len(texts)))


def _read_texts(path: Path, group: int) -> list[str]:
    """Read the records of rows that are next to each other, as texts."""
    with _open(path) as file:
        return _texts_of(file, group)


def _read_record(
    read_texts: Callable[[Path, int], list[str]], path: Path, group: int, row: int
) -> Record:
    return from_line(read_texts(path, group)[row])


def _read_group(path: Path, group: int) -> Any:
    """Read the arrays of rows that are next to each other."""
    with _open(path) as file:
        names = [name for name in ("shape", *ARRAYS) if name in file.schema_arrow.names]
        return file.read_row_group(group, columns=names)


def _read_arrays(
    read_group: Callable[[Path, int], Any], path: Path, group: int, row: int
) -> dict[str, Array]:
    table = read_group(path, group)
    shape = table["shape"][row].as_py()
    found = {}
    for name, kind in ARRAYS.items():
        values = table[name][row].values if name in table.column_names else None
        if values is not None:
            flat = np.asarray(values, kind)
            found[name] = flat.reshape(shape[:2] if name in WITHOUT_CHANNELS else shape)
    return found
