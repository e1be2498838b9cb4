"""Baselines: where the path of integrated gradients starts, in pixel space."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.arrays import Float32Array, to_float32, to_real_array
from .remarks import Remarks

CONSTANTS = {"black": 0.0, "white": 255.0, "gray": 127.5}
NAMES = (*CONSTANTS, "mean", "blur", "uniform")
BLUR_SIGMA = 1 / 15
"""Standard deviation of `"blur"`, as a fraction of the image's longer side (20 pixels in 299)."""


EQUAL = 2.0
"""How far apart, of 255, values are that pictures show as one."""


@dataclass(frozen=True)
class UniformDraws:
    """`runs` baselines, each value drawn uniformly from [0, 255), as in the seed."""

    runs: int


@dataclass(frozen=True)
class Baselines:
    """The baselines of a batch of images.

    Attributes
    ----------
    pixels : numpy.ndarray
        (N, M, H, W, C) float32, or (1, M, H, W, C) where all images share them.
    name : str
        What to call them in `AttributionInfo.baseline`.
    is_sample : bool
        Whether they were drawn at random, so that their spread is an error.
    seed : int or None
        What they were drawn with.
    """

    pixels: Float32Array
    name: str
    is_sample: bool = False
    seed: int | None = None

    @property
    def is_plain(self) -> bool:
        """Say whether each is of one colour."""
        first = self.pixels[:, :, :1, :1]
        return bool((self.pixels == first).all())


def make_baselines(
    baseline: Any, images: Float32Array, seed: int | None, remarks: Remarks, *, each: bool = True
) -> Baselines:
    """Make the baselines that `integrated_gradients` was asked for.

    `each` says whether every image may be given its own.

    Raises
    ------
    TypeError, ValueError
        If `baseline` is no name, number or array of the images' shape, or may be a stack as well
        as one for each image.
    """
    shape = images.shape[1:]
    if isinstance(baseline, UniformDraws):
        return _draw(baseline.runs, shape, seed)
    if isinstance(baseline, str):
        return _named(baseline, images, seed)
    array = to_real_array(baseline, "baseline")
    if array.ndim == 0:
        name, pixels = f"{array}", np.full((1, 1, *shape), array, np.float32)
    else:
        _check_shape(array.shape, images.shape, each)
        pixels = to_float32(array.reshape((1,) * (5 - array.ndim) + array.shape))
        is_stack = array.ndim == 4 or pixels.shape[1] > 1
        name = f"stack of {pixels.shape[1]}" if is_stack else "array"
    range_ = (float(pixels.min()), float(pixels.max()))
    doubt_pixels("baseline", *range_, array.dtype.kind == "f", images, remarks)
    return Baselines(pixels, name)


def _check_shape(shape: tuple[int, ...], images: tuple[int, ...], each: bool) -> None:
    """Raise a ValueError if an array of this shape is no baseline of the images (N, H, W, C)."""
    count, image = images[0], images[1:]
    if shape[-3:] != image or not 3 <= len(shape) <= 5 or 0 in shape:
        raise ValueError(
            f"baseline must have the shape of an image, {image}, or be a stack"
            f" (M, {', '.join(map(str, image))}), got shape {shape}"
        )
    if len(shape) == 4 and each and shape[0] == count > 1:
        raise ValueError(
            f"baseline of shape {shape} with {count} images may be one for each image, or a stack"
            " over which every image's attributions are averaged: give baseline[:, None] for one"
            f" each (shape {(count, 1, *image)}), baseline[None] for the stack"
            f" (shape {(1, *shape)})"
        )
    if len(shape) == 5 and shape[0] != 1 and not (each and shape[0] == count):
        raise ValueError(
            f"baseline of shape {shape} is of {shape[0]} images, one or a stack for each, but"
            + (
                f" there are {count} images: give the same number, or (1, M, H, W, C) for all"
                if each
                else " images that come one by one share theirs: give (H, W, C) or a stack"
                " (M, H, W, C), or call integrated_gradients with a batch"
            )
        )


def doubt_pixels(
    name: str, low: float, high: float, is_float: bool, images: Float32Array, remarks: Remarks
) -> None:
    """Warn of a baseline in low..high that was scaled or normalised, where images were not."""
    is_scaled = is_float and low >= 0 and 0 < high <= 1
    if not np.isfinite([low, high]).all() or (low >= 0 and high <= 255 and not is_scaled):
        return  # where it is not finite, the core says
    if images.min() < 0 or not 1 < images.max() <= 255:
        return
    advice = f"255 * {name}" if is_scaled else "it as it was before it was normalised"
    remarks.make(
        name,
        f"the {name}'s values lie in {low:.4g}..{high:.4g}, and the images' are pixels in 0..255:"
        f" pass {advice}",
    )


def share_equal(images: Float32Array, baselines: Float32Array) -> npt.NDArray[np.float64]:
    """Return the share of each image's pixels that equal their baselines, and so get nothing.

    Parameters
    ----------
    images : numpy.ndarray
        (N, H, W, C).
    baselines : numpy.ndarray
        (N, M, H, W, C), or (1, M, H, W, C) for all. A pixel has to equal all M.

    Returns
    -------
    numpy.ndarray
        (N,), 0 to 1.
    """
    shares = np.zeros(len(images))
    for k, image in enumerate(images):
        # Where all is as good as one colour, or no pixels in 0..255, nothing is as good as equal.
        close = EQUAL if np.ptp(image) > 5 * EQUAL else 0.0
        equal = np.ones(image.shape[:2], np.bool_)
        for baseline in baselines[k if len(baselines) > 1 else 0]:
            equal &= (abs(image - baseline) <= close).all(axis=-1)
            if not equal.any():
                break
        shares[k] = equal.mean()
    return shares


def _named(name: str, images: Float32Array, seed: int | None) -> Baselines:
    shape = images.shape[1:]
    if name in CONSTANTS:
        return Baselines(np.full((1, 1, *shape), CONSTANTS[name], np.float32), name)
    if name == "mean":
        mean = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        return Baselines(to_float32(np.broadcast_to(mean, images.shape))[:, np.newaxis], name)
    if name == "blur":
        return Baselines(np.stack([_blur(image) for image in images])[:, np.newaxis], name)
    if name == "uniform":
        return _draw(1, shape, seed)
    raise ValueError(
        f"baseline must be one of {', '.join(map(repr, NAMES))}, a number, an array of the"
        f" image's shape or a stack of them, got {name!r}"
    )


def _draw(runs: int, shape: tuple[int, ...], seed: int | None) -> Baselines:
    """Draw the same baselines for every image, so that a batch equals its images one by one."""
    seed = secrets.randbits(32) if seed is None else seed
    pixels = np.random.default_rng(seed).random((1, runs, *shape)) * 255
    return Baselines(to_float32(pixels), f"uniform x {runs}", is_sample=True, seed=seed)


def _blur(image: Float32Array) -> Float32Array:
    """Blur with a Gaussian, its weights renormalised at the border."""
    sigma = max(image.shape[:2]) * BLUR_SIGMA

    def weights(length: int) -> npt.NDArray[np.float64]:
        distance = np.subtract.outer(np.arange(length), np.arange(length))
        kernel = np.exp(-0.5 * (distance / sigma) ** 2)
        return np.asarray(kernel / kernel.sum(axis=1, keepdims=True))

    rows = np.tensordot(weights(image.shape[0]), image, axes=(1, 0))
    columns = np.tensordot(weights(image.shape[1]), rows, axes=(1, 1))
    return to_float32(np.moveaxis(columns, 0, 1))
