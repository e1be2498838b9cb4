"""What Ray Data calls with batches of photographs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
            references=[_source(os.fspath(path), None) for path in references],
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
            them, with `include_paths=True`.

        Returns
        -------
        pyarrow.Table
            A row for each photograph: "image" (its path), "reason" (null unless it failed),
            "label", "target", "score", "baseline_score", "delta", "error", "record" (JSON, all that
            `intgrad explain` would say), "shape", and the arrays, flat: "attributions",
            "gradient", "error_map", "pixel_error_map", "regions". `intgrad.read_results` reads what
            is written of it.

        Raises
        ------
        ValueError
            If it has none of these columns.
        """
        return parquet.make_table(self._stage.run(_list_sources(batch)))


def _list_sources(batch: Mapping[str, Any]) -> list[Source]:
    names = [name for name in (*INPUTS, "path") if name in batch]
    if not names:
        raise ValueError(
            f"a batch needs a column path, bytes or image, got {', '.join(batch)}: read photographs"
            " with include_paths=True"
        )
    count = len(batch[names[0]])
    paths = batch["path"] if "path" in batch else [f"photograph {k}" for k in range(count)]
    contents = batch[names[0]] if names[0] != "path" else [None] * count
    return [
        _source(os.fsdecode(path), content) for path, content in zip(paths, contents, strict=True)
    ]


def _source(path: str, content: Any) -> Source:
    real = os.path.realpath(path) if content is None else path
    if content is not None and not isinstance(content, bytes):
        content = np.asarray(content)
    return Source(Path(path), Path(path).stem, real, content)
