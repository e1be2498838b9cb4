"""From Keras's files to a TorchScript archive or a `.pt2`."""

from __future__ import annotations

import contextlib
import hashlib
import operator
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import check_destination
from ..models.archive import check_format
from ..models.preprocessing import check_preprocess
from ..models.torch.copying import copy_module
from ..models.torch.writing import make_archive, write_archive
from .keras_config import Rescaling
from .keras_weights import KerasXception, read
from .network import Xception

MINIMUM_SIZE = 71  # Keras's: the smallest image that leaves a pixel to every layer


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    input_size: tuple[int, int] | None = None,
    labels: Sequence[str] | None = None,
    hidden_activation: str | None = None,
    preprocess: Any = None,
    license: str | None = None,
) -> dict[str, Any]:
    """Convert a Keras Xception into a self-describing TorchScript archive or `.pt2`.

    The archive takes pixels (n, 3, height, width) in 0..255 and returns logits: the preprocessing
    is inside and a final softmax is left out.

    Parameters
    ----------
    source : path
        A ``.keras``, ``.weights.h5`` or legacy ``.h5`` file: Xception with its own top or with a
        dense head.
    destination : path
        The archive to write, a `.pt2` of torch.export if it ends so, else TorchScript; replaced
        whole if it exists.
    input_size : (int, int), optional
        Height and width. Default: the model's own; 299 x 299 for a file of weights alone.
    labels : sequence of str, optional
        One name per class.
    hidden_activation : str, optional
        What stands between the dense layers, for a file of weights alone that has several. Such a
        file does not state its pooling either: it is taken to be the average.
    preprocess : str or (scale, offset), optional
        What the network sees, as in `load_model`. Default: ``"xception"``, pixels / 127.5 - 1,
        unless the model has a Rescaling layer.
    license : str, optional
        The weights' licence, to be kept in the archive.

    Returns
    -------
    dict
        What the archive says of itself in ``intgrad.json``.

    Raises
    ------
    ValueError
        If the file is not an Xception that can be converted, or an argument does not fit it.
    """
    source, destination = Path(source), Path(destination)
    check_destination(destination)
    if source.is_dir():
        raise ValueError(f"{source} is a folder: save the model as .keras or .h5 first")
    if destination.exists() and destination.samefile(source):
        raise ValueError(f"{destination} is the file to convert: choose another destination")
    with _naming(source):
        keras = read(source, hidden_activation=hidden_activation)
        scale, offset = _preprocessing(preprocess, keras.rescaling)
        size = _checked_size(input_size, keras)
        names = _checked_labels(labels, int(keras.head[-1]))
        model = Xception(keras.head, pooling=keras.pooling, scale=scale, offset=offset)
        model.load_keras(keras.weights)
    metadata = {
        "format": 1,
        "architecture": "xception",
        "input_size": list(size),
        "channels": 3,
        "preprocess": {"scale": scale, "offset": offset},
        "scores": "logits",
        "labels": names,
        "source": {"file": source.name, "sha256": _sha256(source)},
        "license": license,
    }
    archive = make_archive(copy_module(model), check_format(None, destination), metadata)
    write_archive(destination, archive)
    return metadata


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _preprocessing(preprocess: Any, rescaling: Rescaling | None) -> tuple[list[float], list[float]]:
    """Return scale and offset, of one channel or three."""
    if rescaling is not None:
        if preprocess is not None:
            raise ValueError("the model has a Rescaling layer: leave preprocess out")
        scales, offsets = np.broadcast_arrays(*rescaling)
        return scales.tolist(), offsets.tolist()
    scale, offset = check_preprocess("xception" if preprocess is None else preprocess)
    return scale or [1.0], offset or [0.0]


def _checked_size(input_size: tuple[int, int] | None, keras: KerasXception) -> tuple[int, int]:
    size = input_size if input_size is not None else keras.input_size
    if size is None:
        raise ValueError("the model takes images of any size: give input_size=(height, width)")
    try:
        height, width = (operator.index(length) for length in size)
    except (TypeError, ValueError):
        raise ValueError(f"input_size must be (height, width), two ints, not {size!r}") from None
    if min(height, width) < MINIMUM_SIZE:
        raise ValueError(
            f"input_size {height} x {width} is too small: Xception needs at least 71 x 71"
        )
    return height, width


def _checked_labels(labels: Sequence[str] | None, classes: int) -> list[str] | None:
    if labels is None:
        return None
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise ValueError("labels must be a list of str")
    if len(labels) != classes:
        raise ValueError(f"{len(labels)} labels for a model of {classes} classes")
    return list(labels)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
