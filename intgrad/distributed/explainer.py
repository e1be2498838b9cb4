"""What Ray Data calls with batches of photographs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..explaining.stage import Stage
from ..models.model import Output
from ..results import parquet
from ..results.arrays import Kept
from ..results.sources import Source

INPUTS = ("image", "bytes")
"""Columns that hold a photograph; without them it is read from its "path"."""


class Explainer:
    """Explains batches of photographs of any sizes: for `Dataset.map_batches`.

    The model is loaded once for each worker. A photograph that cannot be read or explained is a row
    with a "reason", and the others go on.

    Parameters
    ----------
    model : path or bytes
        A TorchScript archive or `.pt2`, as every worker finds it, or what is in it.
    method : str
        "integrated-gradients", "blur", "guided", "expected" or "smoothgrad".
    target : int or str, optional
        The class to explain; each photograph's most probable if None.
    output : {"softmax", "logit", "log_softmax", "sigmoid"}
        What is explained.
    batch_size : int, optional
        Points evaluated together; what fits if None.
    segments : str or int, optional
        Regions, as of `integrated_gradients`; patches of an eighth if None.
    arrays : {"compact", "full", "none"}
        Rounded to half a percent of a map's norm; as they were computed; or none, regions only.
    references : sequence of path
        Photographs that "expected" compares with.
    load : mapping
        Arguments of `load_model`, such as `device`, or what an archive does not say itself.
    name : str, optional
        What records call the model: the file's name if None.
    request : mapping, optional
        What records say was asked for: these arguments if None.
    **options
        Of the method: `steps`, `tolerance`, `baseline`, `rule`, `seed`, `sigma`, `draws`, `noise`,
        `kind`.

    Raises
    ------
    ImportError
        If PyArrow or Pillow is not installed.
    TypeError, ValueError, OSError, ModelError
        If the model cannot be loaded, or an option is wrong.

    See Also
    --------
    check_workers : whether a cluster has room for them.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        method: str = "integrated-gradients",
        target: int | str | None = None,
        output: Output = "softmax",
        batch_size: int | None = None,
        segments: str | int | None = None,
        arrays: Kept = "compact",
        references: Sequence[str | os.PathLike[str]] = (),
        load: Mapping[str, Any] | None = None,
        name: str | None = None,
        request: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        parquet.make_schema()  # without PyArrow it would fail after the first batch
        self._stage = Stage(
            model,
            name=name,
            method=method,
            target=target,
            output=output,
            batch_size=batch_size,
            segments=segments,
            arrays=arrays,
            references=[_find(os.fspath(path)) for path in references],
            load={} if load is None else load,
            request=request,
            options=options,
        )

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        """Explain a batch.

        Parameters
        ----------
        batch : mapping of str to array
            "path", and perhaps the photographs themselves: "bytes", what their files hold, or
            "image", (H, W, C) uint8 each. So `ray.data.read_binary_files` and `read_images` give
            them, with `include_paths=True`; without, a photograph is called by a digest.

        Returns
        -------
        pyarrow.Table
            A row for each photograph, in their order: "image" (its path), "reason" (null unless it
            failed), "label", "target", "score", "baseline_score", "delta", "error", "record" (JSON,
            all that `intgrad explain` would say), "shape", and the arrays, flat: "attributions",
            "gradient", "error_map", "pixel_error_map", "regions"; and the batch's other columns
            but those of these names. `intgrad.read_results` reads what is written of it.

        Raises
        ------
        ValueError
            If it has none of these columns.
        """
        table = parquet.make_table(self._stage.run(_list_sources(batch)))
        for name in sorted(set(batch) - {*INPUTS, "path", *table.column_names}):
            table = table.append_column(name, [list(batch[name])])
        return table


def _list_sources(batch: Mapping[str, Any]) -> list[Source]:
    names = [name for name in (*INPUTS, "path") if name in batch]
    if not names:
        raise ValueError(
            f"a batch needs a column path, bytes or image, got {', '.join(batch)}: read photographs"
            " with include_paths=True"
        )
    contents = [_to_content(each) for each in batch[names[0]]] if names[0] != "path" else None
    if contents is None:
        return [_find(_to_path(path)) for path in batch["path"]]
    if "path" not in batch:
        return [_named(_identify(content), content) for content in contents]
    paths = [_to_path(path) for path in batch["path"]]
    return [_named(path, content) for path, content in zip(paths, contents, strict=True)]


def _to_content(given: Any) -> bytes | npt.NDArray[Any]:
    return given if isinstance(given, bytes) else np.asarray(given)


def _to_path(given: Any) -> str:
    """Return a path; of what is none, such as None, what it looks like, where there is no file."""
    return os.fsdecode(given) if isinstance(given, str | bytes | os.PathLike) else repr(given)


def _find(path: str) -> Source:
    """Return the photograph at a path, which need not be there."""
    try:
        real = os.path.realpath(path)
    except ValueError:  # of a path that holds a null
        real = path
    return Source(Path(path), Path(path).stem, real)


def _named(path: str, content: Any) -> Source:
    return Source(Path(path), Path(path).stem, path, content)


def _identify(content: bytes | npt.NDArray[Any]) -> str:
    """Return what to call a photograph without a path: the same in every batch."""
    held = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    return f"photograph {hashlib.sha256(held).hexdigest()[:16]}"
