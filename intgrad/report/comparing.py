"""Runs side by side: how far their maps of the same photographs agree, and where they do not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.transform import Box
from ..pictures.styles import mean_of
from ..results.records import Record
from ..results.result import Result

K = 2.0
"""Standard deviations by which a region is told from zero."""
GRID = 32
"""Side of the grid on which maps of different shapes are compared."""

Map = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Agreement:
    """How far two runs agree on a photograph, or several: the worst pair then.

    Attributes
    ----------
    correlation : float
        Of the maps (Pearson's), NaN where one is constant.
    changed : int or None
        Regions whose sign differs beyond `K` standard deviations of both; None where the regions
        differ or have no error bars.
    score : float
        Difference of the scores.
    """

    correlation: float
    changed: int | None
    score: float

    def to_facts(self) -> dict[str, float | None]:
        """Return what a page sorts by."""
        correlation = None if math.isnan(self.correlation) else self.correlation
        return {
            "correlation": correlation,
            "regions of changed sign": self.changed,
            "score difference": self.score,
        }


def agree(results: Sequence[Result]) -> Agreement:
    """Compare what several runs made of one photograph; of more than two the worst pair counts."""
    pairs = [_agree(*pair) for pair in itertools.combinations(results, 2)]
    changed = [pair.changed for pair in pairs if pair.changed is not None]
    correlations = [pair.correlation for pair in pairs]
    return Agreement(
        math.nan if any(map(math.isnan, correlations)) else min(correlations),
        max(changed) if changed else None,
        max((pair.score for pair in pairs), key=abs),
    )


def _agree(first: Result, second: Result) -> Agreement:
    records = first.record, second.record
    try:
        correlation = _correlate(*_align(first, second))
    except (OSError, ValueError):  # arrays of one are lost, or were not kept
        correlation = math.nan
    return Agreement(
        correlation,
        count_changed(*records),
        records[1]["score"] - records[0]["score"],
    )


def _align(first: Result, second: Result) -> tuple[Map, Map]:
    """Return two maps on the same grid: their own, or one over what both models saw."""
    maps = mean_of(first.attributions), mean_of(second.attributions)
    places = [_seen(result.record) for result in (first, second)]
    same_shape = maps[0].shape == maps[1].shape
    if same_shape and (places[0] == places[1] or None in places):
        return maps
    if places[0] is None or places[1] is None:
        raise ValueError("an older version did not say what the model saw of the photograph")
    known = [place for place in places if place is not None]
    corner, end = (
        map(max, *(place[:2] for place in known)),
        map(min, *(place[2:] for place in known)),
    )
    common = Box(*corner, *end)
    resampled = [_resample(each, box, common) for each, box in zip(maps, known, strict=True)]
    return resampled[0], resampled[1]


def _seen(record: Record) -> Box | None:
    """Return what a model saw of a photograph, in its pixels; None if an old record."""
    if "size" not in record:
        return None
    return Box(*(record["seen"] or (0, 0, *record["size"])))


def _resample(values: Map, box: Box, common: Box) -> Map:
    """Return means over a grid of a part of a map that lies in `box`."""
    pil = require("PIL.Image", "pillow", "compare")
    height, width = values.shape
    across, down = width / (box.right - box.left), height / (box.bottom - box.top)
    part = (
        (common.left - box.left) * across,
        (common.top - box.top) * down,
        (common.right - box.left) * across,
        (common.bottom - box.top) * down,
    )
    image = pil.fromarray(values.astype(np.float32))
    return np.asarray(image.resize((GRID, GRID), pil.Resampling.BOX, part))


def _correlate(first: Map, second: Map) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def count_changed(first: Record, second: Record) -> int | None:
    """Count the regions whose sign differs, where both runs tell them from zero."""
    regions = first["regions"], second["regions"]
    if regions[0]["ids"] != regions[1]["ids"] or regions[0]["pixels"] != regions[1]["pixels"]:
        return None
    if any(deviation is None for each in regions for deviation in each["deviations"]):
        return None
    values = [np.array(each["attributions"]) for each in regions]
    certain = [
        np.abs(value) > K * np.array(each["deviations"])
        for value, each in zip(values, regions, strict=True)
    ]
    return int(np.sum(certain[0] & certain[1] & (values[0] * values[1] < 0)))
