"""Photographs in, rows out: all that a worker does, with no cluster in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.loading import load_model
from ..models.model import Model, Output
from ..models.targets import resolve_targets
from ..results import parquet
from ..results.arrays import KEPT, Kept, keep
from ..results.folder import PLACES
from ..results.records import SCHEMA
from ..results.sources import Source
from .attributing import Attributing, Explained, Failure
from .methods import OPTIONS, Choice, choose
from .references import References
from .telling import arrays_of, tell


class Stage:
    """Explains batches of photographs; what it loads it loads once.

    Parameters
    ----------
    model : path or bytes
        An archive, or what is in one.
    name : str, optional
        What records call the model: the file's name if None.
    method : str
        As `--method` of `intgrad explain`.
    target : int or str, optional
        The class to explain; each one's most probable if None.
    output, batch_size, segments
        As in `integrated_gradients`.
    arrays : {"compact", "full", "none"}
        As `--arrays` of `intgrad explain`.
    references : sequence of Source
        What expected gradients compare with.
    load : dict
        Arguments of `load_model`.
    request : dict, optional
        What records say was asked for; made of the arguments if None.
    options : dict
        Those of the method.

    Raises
    ------
    TypeError, ValueError, OSError, ModelError
        Whatever is wrong with these.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        name: str | None = None,
        method: str,
        target: int | str | None,
        output: Output,
        batch_size: int | None,
        segments: str | int | None,
        arrays: Kept,
        references: Sequence[Source] = (),
        load: Mapping[str, Any],
        request: Mapping[str, Any] | None = None,
        options: Mapping[str, Any],
    ) -> None:
        if arrays not in KEPT:
            raise ValueError(f"arrays must be one of {', '.join(KEPT)}, got {arrays!r}")
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise TypeError(f"there is no option {unknown[0]!r}; there are {', '.join(OPTIONS)}")
        if isinstance(model, bytes):
            content, called = model, "model"
        else:
            content, called = Path(model).read_bytes(), Path(model).name
        self._name = name or called
        self._arrays: Kept = arrays
        self._model = load_model(content, **load)
        index = None if target is None else find_target(target, self._model)
        pool = {"references": References(references, self._model)} if references else {}
        choice = choose(method, {**options, **pool})
        digest = hashlib.sha256(content).hexdigest()
        self._request = request or make_request(digest, index, output, choice, segments)
        self._attributing = Attributing(
            self._model,
            choice,
            index,
            output=output,
            batch_size=batch_size,
            segments=segments,
            progress=False,
        )

    def run(self, sources: list[Source]) -> list[dict[str, Any]]:
        """Return a row for each photograph, in their order, as `results.parquet` has them."""
        rows = {id(each.source): self._make_row(each) for each in self._attributing.run(sources)}
        return [rows[id(source)] for source in sources]

    def _make_row(self, outcome: Explained | Failure) -> dict[str, Any]:
        if isinstance(outcome, Failure):
            record = {"image": outcome.source.real, "reason": outcome.reason}
            return parquet.make_row({**record, "request": self._request}, {})
        return self._make_whole_row(outcome)

    def _make_whole_row(self, explained: Explained) -> dict[str, Any]:
        arrays, steps = keep(arrays_of(explained), self._arrays)
        record = {
            "schema": SCHEMA,
            "image": explained.source.real,
            **dict.fromkeys(PLACES),
            **tell(explained, self._model, self._name),
            "steps_of_arrays": steps,
            "request": self._request,
        }
        return parquet.make_row(record, arrays)


def make_request(
    model: str, target: int | None, output: Output, choice: Choice, segments: str | int | None
) -> dict[str, Any]:
    """Return what makes two runs ask for the same; `model` is the digest of the archive."""
    options = {**choice.options, "segments": segments}
    request = {"model": model, "target": target, "score": output, "method": choice.name}
    return request | {name: _identify(value) for name, value in options.items()}


def _identify(value: Any) -> Any:
    """Return what stands for an option in a record: numbers and names for themselves."""
    if isinstance(value, References):
        return value.identify()
    if callable(value):
        return getattr(value, "__qualname__", repr(value))
    if not isinstance(value, np.ndarray | np.generic | list | tuple):
        return value
    array = np.asarray(value)
    if array.ndim == 0:
        return array.item()
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{array.dtype} {array.shape}, sha256 {digest}"


def find_target(target: int | str, model: Model) -> int:
    """Return the index of a class by its index or its label."""
    indices, _ = resolve_targets(target, 1, model.labels, model.num_classes)
    return int(indices[0, 0])
