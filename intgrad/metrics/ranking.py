"""Which pixel comes first: what a map says of each, and their order."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Reduce = Literal["sum", "abs", "max", "norm"]
REDUCTIONS: tuple[Reduce, ...] = get_args(Reduce)

Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]


def check_reduce(reduce: Any) -> Reduce:
    """Return the name of a reduction, or raise a ValueError that lists them."""
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be one of {', '.join(REDUCTIONS)}, got {reduce!r}")
    return reduce  # type: ignore[no-any-return]


def reduce_channels(values: npt.NDArray[Any], reduce: Reduce) -> Float64Array:
    """Return (H, W), what a map (H, W, C) says of each pixel.

    The sum is what keeps completeness; "abs" is the sum of magnitudes, "max" the largest value,
    "norm" the Euclidean length.
    """
    if reduce == "max":
        return np.asarray(values.max(axis=2), np.float64)
    wide = values.astype(np.float64)
    if reduce == "norm":
        return np.asarray(np.linalg.norm(wide, axis=2))
    return np.asarray((abs(wide) if reduce == "abs" else wide).sum(axis=2))


def rank(relevance: Float64Array, seed: int) -> Int32Array:
    """Return (H, W), the rank of each pixel, 0 for the most relevant; equals are drawn by lot."""
    lots = np.random.default_rng(seed).permutation(relevance.size)
    order = np.lexsort((lots, -relevance.ravel()))
    ranks = np.empty(relevance.size, np.int32)
    ranks[order] = np.arange(relevance.size, dtype=np.int32)
    return ranks.reshape(relevance.shape)
