"""What turns pixels 0..255 into what a network was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def check_preprocess(preprocess: Any) -> tuple[list[float], list[float]]:
    """Return (scale, offset) of x * scale + offset, both empty for "none" or None.

    Raises
    ------
    ValueError
        If it is none of the forms that `load_model` takes.
    """
    if preprocess is None or (isinstance(preprocess, str) and preprocess == "none"):
        return [], []
    if isinstance(preprocess, str):
        if preprocess == "xception":
            return [1 / 127.5], [-1.0]
        if preprocess == "imagenet":
            scale = [1 / (255 * std) for std in IMAGENET_STD]
            offset = [-m / std for m, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
            return scale, offset
    try:
        scales, offsets = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(part, np.float64)) for part in preprocess)
        )
        if scales.ndim == 1 and scales.size and np.isfinite([scales, offsets]).all():
            return scales.tolist(), offsets.tolist()
    except (TypeError, ValueError):
        pass
    raise ValueError(
        "preprocess must be 'xception', 'imagenet', 'none' or (scale, offset), finite numbers or"
        f" one per channel, got {preprocess!r}"
    )
