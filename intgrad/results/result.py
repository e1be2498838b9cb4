"""What was found of one photograph, read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy.typing as npt

from .records import SCHEMA, Record

Array = npt.NDArray[Any]
NEEDED = (
    *("image", "model", "top", "target", "label", "score", "baseline_score"),
    *("delta", "error", "evaluations", "method", "path", "kind", "output", "baseline", "precision"),
    *("device", "backend", "versions", "regions", "note", "request"),
)
"""Keys without which a record cannot be shown or compared: those that all have that can be read."""


class Result:
    """What was found of a photograph; its arrays are read when they are first asked for."""

    def __init__(
        self,
        record: Record,
        read_record: Callable[[], Record],
        read_arrays: Callable[[], Mapping[str, Array]],
    ) -> None:
        self._image: str = record["image"]
        self._label: str | None = record["label"]
        self._record: Record | None = record
        self._arrays: Mapping[str, Array] | None = None
        self._read_record = read_record
        self._read_arrays = read_arrays

    def __repr__(self) -> str:
        """Say of which photograph it is."""
        return f"<intgrad Result: {self._image!r}, {self._label}>"

    @property
    def record(self) -> Record:
        """Label, score, error, regions, settings, versions: see `intgrad.record_schema`.

        Raises
        ------
        OSError, ValueError
            If it was forgotten, and its file is lost or was written anew since.
        """
        if self._record is None:
            try:
                record = self._read_record()
            except (IndexError, ValueError):
                record = {}
            if record.get("image") != self._image:
                raise ValueError(
                    f"the results of {self._image!r} were written anew: read_results them again"
                )
            self._record = record
        return self._record

    @property
    def arrays(self) -> Mapping[str, Array]:
        """All arrays that were kept, by their names.

        Those of `record["steps_of_arrays"]` were rounded to multiples of what that says.

        Raises
        ------
        OSError
            If their file is lost.
        ValueError
            If it is damaged.
        """
        if self._arrays is None:
            self._arrays = self._read_arrays()
        return self._arrays

    def forget(self) -> None:
        """Let go of record and arrays; they are read anew when they are asked for again."""
        self._record = self._arrays = None

    @property
    def attributions(self) -> Array:
        """(H, W, C) float32.

        Raises
        ------
        ValueError
            If arrays were not kept.
        """
        if "attributions" not in self.arrays:
            raise ValueError(f"of {self._image!r} no attributions were kept (--arrays none)")
        return self.arrays["attributions"]

    @property
    def gradient(self) -> Array | None:
        """The plain gradient at the photograph, (H, W, C) float32, where there is one."""
        return self.arrays.get("gradient")

    @property
    def error_map(self) -> Array | None:
        """Standard deviations of the attributions, (H, W, C) float32, where they are known."""
        return self.arrays.get("error_map")

    @property
    def pixel_error_map(self) -> Array | None:
        """The same of their mean over channels, (H, W) float32."""
        return self.arrays.get("pixel_error_map")

    @property
    def regions(self) -> Array | None:
        """(H, W) int32, the region of each pixel: a place in the lists of `record["regions"]`."""
        return self.arrays.get("regions")


def check_schema(record: Record, place: str) -> None:
    """Raise a ValueError of a record that a newer intgrad wrote, or one that was too old."""
    lacking = [key for key in NEEDED if key not in record]
    if lacking:
        raise ValueError(
            f"{place} lacks {', '.join(lacking)}: an intgrad that was too old wrote it, or somebody"
            " else. Explain its photograph again, into another folder"
        )
    if not isinstance(record.get("schema", SCHEMA), int):
        raise ValueError(f"{place} follows schema {record['schema']!r}, which is no number")
    if record.get("schema", SCHEMA) > SCHEMA:
        raise ValueError(
            f"{place} follows schema {record['schema']}, and this intgrad knows {SCHEMA}: a newer"
            " one wrote it, which reads it too"
        )


def drop_explained(records: Iterable[Record]) -> Iterator[Record]:
    """Yield the last record of each photograph that failed, and was not explained since."""
    failed: dict[str, Record] = {}
    explained = set()
    for record in records:
        if "reason" in record:
            failed[record["image"]] = record
        else:
            explained.add(record["image"])
    return (record for image, record in failed.items() if image not in explained)
