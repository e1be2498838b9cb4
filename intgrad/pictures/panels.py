"""The panels of `visualize`: maps drawn in a style, on a scale that several images share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import styles
from .arguments import check_positive

Array = npt.NDArray[Any]


def draw_styled(
    style: str, images: Array, values: Array, polarity: str, vmax: float | None
) -> list[Array]:
    """Draw a column in any style but the example's."""
    maps = styles.select(values.mean(axis=3, dtype=np.float64), polarity)
    limit = _scale(maps, vmax)
    if style == "heat":
        return [styles.heat(shown, limit, polarity) for shown in maps]
    if style == "masked":
        return [styles.masked(*pair, limit) for pair in zip(images, maps, strict=True)]
    return [styles.blended(*pair, limit, polarity) for pair in zip(images, maps, strict=True)]


def draw_trusted(values: Array, deviations: Array, k: float, vmax: float | None) -> list[Array]:
    """Draw the column of what can be told from 0."""
    maps = values.mean(axis=3, dtype=np.float64)
    limit = _scale(maps, vmax)
    return [
        styles.trusted(shown, deviation, k, limit)
        for shown, deviation in zip(maps, deviations, strict=True)
    ]


def _scale(maps: Array, vmax: float | None) -> float:
    return styles.scale_of(maps) if vmax is None else check_positive(vmax, "vmax")


def to_uint8(picture: Array) -> Array:
    """Return a picture in bytes."""
    return np.clip(picture, 0, 255).astype(np.uint8)


def fit(figsize: tuple[float, float], shape: tuple[int, ...], columns: int) -> tuple[float, float]:
    """Make the rows of several images no higher than their pictures and a title need."""
    width, height = figsize
    count, rows_of_pixels, pixels = shape
    if count == 1:
        return width, height
    title = 0.2
    return width, count * min(height, width / columns * rows_of_pixels / pixels + title)
