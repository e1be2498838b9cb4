"""What turns pixels 0..255 into what a network was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FORMS = "'xception' | 'imagenet' | 'none' | {'mean': m, 'std': s} | (scale, offset)"


def check_preprocess(preprocess: Any) -> tuple[list[float], list[float]]:
    """Return (scale, offset) of x * scale + offset, both empty for "none" or None.

    Raises
    ------
    ValueError
        If it is none of the forms that `load_model` takes.
    """
    if preprocess is None or (isinstance(preprocess, str) and preprocess == "none"):
        return [], []
    if isinstance(preprocess, str) and preprocess == "xception":
        return [1 / 127.5], [-1.0]
    if isinstance(preprocess, str) and preprocess == "imagenet":
        return _normalise(IMAGENET_MEAN, IMAGENET_STD)
    if isinstance(preprocess, Mapping) and set(preprocess) == {"mean", "std"}:
        mean, std = _to_channels((preprocess["mean"], preprocess["std"]), preprocess)
        if max(abs(np.concatenate([mean, std]))) > 3 or min(std) <= 0:
            raise ValueError(
                "preprocess={'mean': ..., 'std': ...} is in units of 0..1, as torchvision has it,"
                f" and std is positive, got {preprocess!r}: divide units of 0..255 by 255"
            )
        return _normalise(mean, std)
    scale, offset = _to_channels(preprocess, preprocess)
    if all(0.05 < each < 1 for each in (*scale, *offset)):
        warnings.warn(
            f"preprocess={preprocess!r} is (scale, offset) and makes {offset[0]:.3g} .."
            f" {255 * scale[0] + offset[0]:.3g} of pixels 0..255; if it is (mean, std), pass"
            " preprocess={'mean': ..., 'std': ...}",
            stacklevel=3,
        )
    return scale, offset


def _normalise(mean: Sequence[float], std: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the scale and offset of (x / 255 - mean) / std."""
    return [1 / (255 * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)]


def _to_channels(pair: Any, preprocess: Any) -> tuple[list[float], list[float]]:
    """Return two equally long lists of finite numbers, one for each channel or one for all."""
    try:
        first, second = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(part, np.float64)) for part in pair)
        )
        if first.ndim == 1 and first.size and np.isfinite([first, second]).all():
            return first.tolist(), second.tolist()
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"preprocess must be {FORMS}, finite numbers or one per channel, got {preprocess!r}"
    )
