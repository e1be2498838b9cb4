"""Baselines: where the path of integrated gradients starts, in pixel space."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.arrays import Float32Array, to_float32, to_real_array

CONSTANTS = {"black": 0.0, "white": 255.0, "gray": 127.5}
NAMES = (*CONSTANTS, "mean", "blur", "uniform")
BLUR_SIGMA = 1 / 15
"""Standard deviation of `"blur"`, as a fraction of the image's longer side (20 pixels in 299)."""


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


def make_baselines(baseline: Any, images: Float32Array, seed: int | None) -> Baselines:
    """Make the baselines that `integrated_gradients` was asked for.

    Raises
    ------
    TypeError, ValueError
        If `baseline` is no name, number or array of the images' shape.
    """
    shape = images.shape[1:]
    if isinstance(baseline, UniformDraws):
        return _draw(baseline.runs, shape, seed)
    if isinstance(baseline, str):
        return _named(baseline, images, seed)
    array = to_real_array(baseline, "baseline")
    if array.ndim == 0:
        return Baselines(np.full((1, 1, *shape), array, np.float32), f"{array}")
    if array.shape[-3:] != shape or array.ndim not in (3, 4) or array.shape[0] == 0:
        raise ValueError(
            f"baseline must have the shape of an image, {shape}, or be a stack"
            f" (M, {', '.join(map(str, shape))}), got shape {array.shape}"
        )
    if array.ndim == 3:
        return Baselines(to_float32(array)[np.newaxis, np.newaxis], "array")
    return Baselines(to_float32(array)[np.newaxis], f"stack of {len(array)}")


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
