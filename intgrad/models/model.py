"""Models, and what they are asked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from .. import _core
from ..images.arrays import Float32Array, check_size, to_batch
from ..images.reading import load_pixels
from ..images.transform import Box, ImageTransform
from .targets import Targets, resolve_targets

Output = Literal["softmax", "log_softmax", "logit", "sigmoid"]
Precision = Literal["ieee", "tf32", "bfloat16"]

Backend = Literal["libtorch", "autograd", "callable"]

BACKENDS: tuple[Backend, ...] = ("libtorch", "autograd", "callable")
OUTPUTS: tuple[Output, ...] = ("softmax", "log_softmax", "logit", "sigmoid")

ONE_LABEL = ": one number is the score of one class, whose name it is, or of what it measures"


class Model:
    """A classifier whose scores can be explained; made by `load_model`.

    Any number of threads may use one model.

    Attributes
    ----------
    device : str
        `"cpu"`, `"cuda:0"`, `"cuda:0, cuda:1"`, or `"callable"`.
    input_size : (int, int) or None
        Height and width that images must have; None if the model takes any.
    channels : int or None
        Channels that images must have: 3 for RGB, 1 for grey; None if nobody knows, as of a
        callable.
    labels : tuple of str or None
        Class names; what `score` is called, where that is one number.
    num_classes : int or None
        None for a callable that has not been called yet.
    precision : str
        What the model computes in.
    multilabel : bool
        Whether the classes are independent labels, each with a sigmoid as its probability; a single
        logit is one.
    backend : {"libtorch", "autograd", "callable"}
        What runs it: C++ over TorchScript, Python's torch, or a callable of the user's.
    score : str or None
        What `load_model(score=)` is called, which is explained then, and what `predict` returns.
    backend_reason : str
        Why it is not "libtorch"; empty where it is, and of a callable.
    transform : intgrad.images.transform.ImageTransform or None
        How photographs become the model's pictures, as `preprocess` said: `crop_size`,
        `resize_size`, `interpolation` and so on; None if nobody said.
    """

    def __init__(
        self,
        handles: Sequence[Any],
        *,
        device: str,
        input_size: tuple[int, int] | None,
        channels: int | None,
        labels: tuple[str, ...] | None,
        num_classes: int | None,
        precision: Precision,
        scores: str,
        multilabel: bool = False,
        callable_output: Output | None = None,
        takes_batches: bool = True,
        backend: Backend,
        backend_reason: str = "",
        score: str | None = None,
        transform: ImageTransform | None = None,
    ) -> None:
        self._handle = handles[0]
        self._handles = tuple(handles)  # one for each device
        self._fitting: dict[tuple[int, ...], int] = {}
        self.channels = channels
        self._scores = scores
        self._callable_output: Output | None = callable_output
        self._takes_batches = takes_batches
        self._layers: Any = None  # of the user's module, where there is one (models/torch/layers)
        self.device = device
        self.input_size = input_size
        self.labels = labels
        self.num_classes = num_classes
        self.precision = precision
        self.multilabel = multilabel
        self.backend = backend
        self.backend_reason = backend_reason
        self.score = score
        self.transform = transform

    def __repr__(self) -> str:
        """Say what the model takes and gives."""
        size = "any size" if self.input_size is None else "{} x {}".format(*self.input_size)
        classes = "?" if self.num_classes is None else self.num_classes
        return f"<intgrad.Model: {size} -> {classes} classes, {self.device}, {self.precision}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: what runs the model belongs to its process."""
        raise TypeError("an intgrad.Model cannot be pickled or copied: load it in each process")

    def load_image(self, source: Any) -> Float32Array:
        """Read a photograph as the deployed model sees it, before its pixels are normalised.

        It is resized and cropped as `preprocess` said (`transform`), with Pillow's arithmetic, and
        so equal to the last bit to what timm, torchvision and transformers' slow processors make of
        a Pillow image. Where these resize tensors, as transformers' fast processors do, roundings
        differ: mostly by one level, by more for bicubic on noise. What a file holds is read as
        `intgrad.load_image` reads it: turned by its EXIF orientation, transparent pictures over
        white, more than 8 bits unrounded; the frameworks leave that to whoever calls them.

        Parameters
        ----------
        source : path, PIL.Image.Image or array_like
            A file, or a photograph of any size: (H, W, C) or (H, W), values 0..255. Whole numbers
            are resized as bytes are.

        Returns
        -------
        numpy.ndarray
            (H, W, C) float32, values 0..255. If nobody said how, resized by nearest neighbour, as
            `intgrad.load_image(path, size=model.input_size)` does.

        Raises
        ------
        TypeError, ValueError, OSError
            As `intgrad.load_image`; or if an array is no image, or has other channels.
        """
        return load_pixels(source, self.image_transform, self.channels)

    def field_of_view(self, size: tuple[int, int]) -> Box:
        """Say which part of a photograph the model sees of what `load_image` makes of it.

        Pixel (i, j) of an attribution, of h x w, lies over that part of the photograph whose upper
        edge is `top + i / h * (bottom - top)` and whose left edge is
        `left + j / w * (right - left)`.

        Parameters
        ----------
        size : (int, int)
            Height and width of the photograph, upright.

        Returns
        -------
        Box
            `(top, left, bottom, right)` as float, in pixels of the photograph, whose own is
            (0, 0, height, width). It reaches beyond that where the model's pictures are padded.
        """
        height, width = check_size(size, "size")
        if self.image_transform is None:
            return Box(0.0, 0.0, float(height), float(width))
        return self.image_transform.field_of_view(height, width)

    def predict(self, images: Any) -> Float32Array:
        """Compute class probabilities.

        The softmax of the logits; of independent labels and of a single logit the sigmoid.

        Parameters
        ----------
        images : array_like
            (H, W, C) or (N, H, W, C), values 0..255.

        Returns
        -------
        numpy.ndarray
            (K,) or (N, K) float32.

        Raises
        ------
        TypeError, ValueError
            If the images are not what the model takes.
        ModelError
            If the model fails or gives NaN or inf.
        """
        batch, single = self._to_batch(images)
        scores = self._to_probabilities(self._compute_scores(batch, self._probabilities_output))
        return scores[0] if single else scores

    def _to_probabilities(self, scores: Float32Array) -> Float32Array:
        """Return the probabilities behind scores (N, K) of `_probabilities_output`."""
        if self._callable_output == "log_softmax":
            return np.asarray(np.exp(scores))
        if self._callable_output != "logit":
            return scores
        if scores.shape[1] == 1:  # against 0, the logit of all else
            scores = np.concatenate([scores, np.zeros_like(scores)], axis=1)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray((scores / scores.sum(axis=1, keepdims=True))[:, : self.num_classes])

    def top(
        self, images: Any, k: int = 5
    ) -> list[tuple[str, int, float]] | list[list[tuple[str, int, float]]]:
        """Name the most probable classes.

        Parameters
        ----------
        images : array_like
            (H, W, C) or (N, H, W, C), values 0..255.
        k : int
            How many; all if the model has fewer.

        Returns
        -------
        list
            (label, index, probability), most probable first; a list of such lists for a batch.
            Without labels, the label is the index as text.
        """
        k = check_int(k, "k")
        probabilities = np.atleast_2d(self.predict(images))
        ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        result = [
            [(self._label(int(i)), int(i), float(row[i])) for i in order]
            for row, order in zip(probabilities, ranked, strict=True)
        ]
        return result[0] if np.ndim(images) == 3 else result

    def gradients(
        self, images: Any, targets: Any = None, *, output: Output = "softmax"
    ) -> Float32Array:
        """Compute the plain gradient at the images, in score units per pixel value.

        Parameters
        ----------
        images : array_like
            (H, W, C) or (N, H, W, C), values 0..255.
        targets : int, str or sequence, optional
            As in `integrated_gradients`.
        output : {"softmax", "log_softmax", "logit", "sigmoid"}
            Which score is differentiated.

        Returns
        -------
        numpy.ndarray
            float32 in the images' shape; (N, T, H, W, C) or (T, H, W, C) for T targets per image.
            The Keras example's, with respect to preprocessed pixels, are 127.5 times these.
        """
        output = self.resolve_output(output)
        batch, single = self._to_batch(images)
        indices, many = self._resolve_targets(targets, batch)
        size = self._batch_size(None, batch.shape[1:])
        result = _core.gradients(self._handle, batch, indices, output, size, None)
        return squeeze(result, single, many)

    # What other rooms need too.

    @property
    def image_transform(self) -> ImageTransform | None:
        """`transform`, or the seed's nearest neighbour; None if any size will do."""
        if self.transform is not None or self.input_size is None:
            return self.transform
        return ImageTransform.exact(self.input_size, "nearest")

    def _to_batch(self, images: Any, stacklevel: int = 4) -> tuple[Float32Array, bool]:
        return to_batch(
            images,
            input_size=self.input_size,
            channels=self.channels,
            has_transform=self.transform is not None,
            stacklevel=stacklevel,
        )

    @property
    def _probabilities_output(self) -> Output:
        if self.score is not None:
            return "logit"
        return self._callable_output or ("sigmoid" if self.multilabel else "softmax")

    def resolve_output(self, output: str) -> Output:
        """Return the output that is meant, or raise a ValueError that says which there are.

        The softmax of a single logit, or of independent labels, is their sigmoid.
        """
        known: Output | None = next((each for each in OUTPUTS if each == output), None)
        if known is None:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
        if self._callable_output is not None and output != self._callable_output:
            raise ValueError(
                f"this callable differentiates output={self._callable_output!r}, and was asked for"
                f" {output!r}: pass output={self._callable_output!r}"
            )
        if self._callable_output is not None:
            return self._callable_output
        if self.score is not None:
            if output not in ("softmax", "logit"):
                raise ValueError(
                    f"output={output!r} is for classes, and this model explains score={self.score}:"
                    " leave out output"
                )
            return "logit"
        if self._scores == "probabilities" and output == "logit":
            raise ValueError(
                "output='logit' was asked of a model whose scores are probabilities:"
                " use 'softmax', 'log_softmax' or, of independent labels, 'sigmoid', or convert the"
                " model without its last layer"
            )
        if self.multilabel:
            if output == "log_softmax":
                raise ValueError(
                    "output='log_softmax' was asked of a model whose classes are independent"
                    " labels: use 'sigmoid' or 'logit'"
                )
            return "sigmoid" if known == "softmax" else known
        if self._scores == "probabilities" and output == "sigmoid":
            raise ValueError(
                "output='sigmoid' was asked of a model whose scores are probabilities of classes"
                " that exclude each other, which add up to 1: use 'softmax' or 'log_softmax'"
            )
        return known

    def _resolve_targets(
        self, targets: Any, batch: Float32Array, first_image: int = 0
    ) -> tuple[Targets, bool]:
        """Return targets as `resolve_targets` does; None is each image's top class.

        `first_image` is what messages call the first one.
        """
        if targets is None:
            scores = self._score_apart(batch, self._probabilities_output, first_image)
            return scores.argmax(axis=1)[:, np.newaxis], False
        return resolve_targets(targets, len(batch), self.labels, self.num_classes)

    def _compute_scores(
        self,
        batch: Float32Array,
        output: Output,
        first_image: int = 0,
        batch_size: int | None = None,
    ) -> Float32Array:
        shape = batch.shape[1:]
        self._find_classes(shape)
        size = self._batch_size(batch_size, shape)
        return _core.scores(self._handle, batch, output, size, None, first_image)

    def _score_apart(
        self,
        batch: Float32Array,
        output: Output,
        first_image: int = 0,
        batch_size: int | None = None,
    ) -> Float32Array:
        """As `_compute_scores`, of images whose bits must not depend on each other."""
        size = 1 if self._keeps_apart else batch_size
        return self._compute_scores(batch, output, first_image, size)

    def _find_classes(self, shape: tuple[int, ...]) -> None:
        """Ask a callable how many classes it has, unless that is known."""
        if self.num_classes is None:
            self.num_classes, _ = _core.describe(self._handle, *shape)
            self._check_labels()

    def _check_labels(self) -> None:
        if self.labels is not None and len(self.labels) != self.num_classes:
            raise ValueError(
                f"labels must hold one name for each of the model's {self.num_classes} classes,"
                f" got {len(self.labels)}: {', '.join(map(repr, self.labels[:6]))}"
                + ", ..." * (len(self.labels) > 6)
                + ONE_LABEL * (self.num_classes == 1)
            )

    def _batch_size(self, wish: int | None, shape: tuple[int, ...]) -> int:
        """Return how many images go through the model at once.

        On a CPU a fixed rule, never a timing: 2 images of 299 x 299; with more, memory grows and
        time does not fall. On CUDA what fits into the free memory, up to 64 such images, found
        once for each shape.
        """
        if not self._takes_batches:
            return 1
        if wish is not None:
            return wish

        def images(count: int, most: int) -> int:
            return int(np.clip(count * 299 * 299 // (shape[0] * shape[1]), 1, most))

        if not self.device.startswith("cuda"):
            return images(2, 32)
        if shape not in self._fitting:
            height, width, channels = shape
            most = images(64, 256)
            self._fitting[shape] = _core.fitting_batch(self._handle, height, width, channels, most)
        return self._fitting[shape] or images(16, 64)

    @property
    def _keeps_apart(self) -> bool:
        """Whether an image has batches of its own, so that its bits do not depend on others.

        On a CPU that costs next to nothing; a GPU wants batches that are full.
        """
        return self.backend != "callable" and not self.device.startswith("cuda")

    def _label(self, index: int) -> str:
        return str(index) if self.labels is None else self.labels[index]


def squeeze(array: npt.NDArray[Any], single: bool, many_targets: bool) -> npt.NDArray[Any]:
    """Drop the axes of (N, T, ...) that the caller did not ask for."""
    if not many_targets:
        array = array[:, 0]
    return array[0] if single else array


def check_batch_size(value: Any) -> int | None:
    """Return how many pictures go through a model at once, or raise a TypeError or ValueError."""
    return None if value is None else min(check_int(value, "batch_size"), sys.maxsize)


def check_int(value: Any, name: str, at_least: int = 1) -> int:
    """Return `value` as an int, or raise a TypeError or ValueError that names it."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = int(value.__index__())
    except (TypeError, AttributeError):
        raise TypeError(f"{name} must be an int, got {value!r}") from None
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {number}")
    return number
