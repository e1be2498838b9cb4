"""Results as rows: what a cluster writes, and what pandas, DuckDB and Ray read."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import require
from .records import Record
from .result import Array, Result, check_schema

ARRAYS = {
    "attributions": np.float32,
    "gradient": np.float32,
    "error_map": np.float32,
    "pixel_error_map": np.float32,
    "regions": np.int32,
}
"""Columns of arrays, flat; "shape" is that of the attributions, and what has no channels lacks the
last of its numbers."""
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
        "record": json.dumps(record, allow_nan=False),
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


def read(path: Path) -> Iterator[Result]:
    """Yield what was explained, of a file or all files of a folder."""
    for group in _groups(path):
        for row, record in enumerate(group.records):
            if "reason" not in record:
                check_schema(record, f"a row of {str(group.path)!r}")
                yield Result(record, functools.partial(group.read, row))


def read_failures(path: Path) -> Iterator[Record]:
    """Yield the records of what failed, and has not been explained since."""
    failed: dict[str, Record] = {}
    explained = set()
    for record in (record for group in _groups(path) for record in group.records):
        if "reason" in record:
            failed[record["image"]] = record
        else:
            explained.add(record["image"])
    return (record for image, record in failed.items() if image not in explained)


def find_files(path: Path) -> list[Path]:
    """Return the files of Parquet that a path stands for, in their order."""
    return sorted(path.rglob("*.parquet")) if path.is_dir() else [path]


def _groups(path: Path) -> Iterator[_Group]:
    for file in find_files(path):
        opened = open_file(file)
        for number in range(opened.num_row_groups):
            yield _Group(file, opened, number)


def open_file(path: Path) -> Any:
    """Open a file of results.

    Raises
    ------
    ValueError
        If it is not whole, or holds something else.
    """
    pa = require("pyarrow", "pyarrow", "Parquet", extra="ray")
    parquet = require("pyarrow.parquet", "pyarrow", "Parquet", extra="ray")
    try:
        opened = parquet.ParquetFile(os.fspath(path))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{str(path)!r} is no whole file of Parquet ({error}): remove it, and let its"
            " photographs be explained again"
        ) from error
    if "record" not in opened.schema_arrow.names:
        raise ValueError(f"{str(path)!r} holds other columns than results of intgrad")
    return opened


class _Group:
    """Rows of a file that are read together: their records at once, arrays when they are needed."""

    def __init__(self, path: Path, file: Any, number: int) -> None:
        self.path, self._file, self._number = path, file, number
        texts = file.read_row_group(number, columns=["record"])["record"].to_pylist()
        self.records: list[Record] = list(map(json.loads, texts))

    @functools.cached_property
    def _table(self) -> Any:
        names = [name for name in ARRAYS if name in self._file.schema_arrow.names]
        return self._file.read_row_group(self._number, columns=["shape", *names])

    def read(self, row: int) -> dict[str, Array]:
        shape = self._table["shape"][row].as_py()
        found = {}
        for name, kind in ARRAYS.items():
            values = self._table[name][row].values if name in self._table.column_names else None
            if values is not None:
                flat = np.asarray(values, kind)
                found[name] = flat.reshape(shape if flat.size == np.prod(shape) else shape[:2])
        return found
