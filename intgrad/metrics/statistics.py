"""Means and how sure they are, correlations, areas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from .ranking import Float64Array


def mean(values: Float64Array) -> float:
    """Return the mean of the values that are known; NaN if none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def standard_error(values: Float64Array) -> float:
    """Return that of the mean of the values that are known; NaN for fewer than two."""
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1) / math.sqrt(len(known))) if len(known) > 1 else math.nan


def trapezoid(values: Float64Array, places: Float64Array) -> float:
    """Return the area under a curve."""
    return float(((values[1:] + values[:-1]) / 2 * np.diff(places)).sum())


def mean_ranks(values: npt.NDArray[Any]) -> Float64Array:
    """Return the rank of each value, from 1; equals share the mean of theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[group.reshape(values.shape)])


def correlate(a: npt.NDArray[Any], b: npt.NDArray[Any], *, by_rank: bool) -> float:
    """Return the linear correlation of two arrays, or of their ranks; NaN if one is constant."""
    if by_rank:
        a, b = mean_ranks(a), mean_ranks(b)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 0 else np.nan


def t_test(mean: float, error: float, count: int) -> float:
    """Return the two-sided p value of a mean that would be 0.

    NaN where its error is unknown, or 0, which says that all values are the same and no more.
    """
    if math.isnan(error) or (error == 0 and mean != 0):
        return math.nan
    if error == 0:
        return 1.0
    special = require("scipy.special", "scipy", "a p value", extra="metrics")
    return float(2 * special.stdtr(count - 1, -abs(mean / error)))


def correct(p_values: Sequence[float]) -> list[float]:
    """Return p values for that many comparisons (Holm 1979); NaN are none, and stay."""
    known = [k for k, p in enumerate(p_values) if not math.isnan(p)]
    corrected, least = [math.nan] * len(p_values), 0.0
    for done, k in enumerate(sorted(known, key=lambda k: p_values[k])):
        least = max(least, min(1.0, p_values[k] * (len(known) - done)))
        corrected[k] = least
    return corrected
