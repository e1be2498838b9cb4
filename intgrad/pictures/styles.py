"""Maps as pictures: heat, masked and blended, on a scale that several maps can share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .colours import STEPS, Shades

STYLES = ("overlay", "heat", "masked", "blended")
CUT = 99.5
"""Percentile of the magnitudes that is the end of a scale; a few pixels are far beyond it."""
UNCERTAIN = (160, 160, 160)
OUTLINE = (80, 80, 80)
OPAQUE = 0.75
"""Of a region at the end of the scale: the photograph is still seen below it."""
HATCHES = 150
"""How wide the stripes of a hatching are: the longer side over it."""

Map = npt.NDArray[np.floating[Any]]
Picture = npt.NDArray[np.uint8]


def select(values: Map, polarity: str) -> Map:
    """Keep one sign of a map, or both; a negative map keeps its sign."""
    if polarity == "both":
        return values
    return np.clip(values, 0, None) if polarity == "positive" else np.clip(values, None, 0)


def scale_of(maps: Map) -> float:
    """Return a limit that all of the maps can share: 1 if they are 0 everywhere."""
    magnitudes = np.abs(maps)
    return float(np.percentile(magnitudes, CUT) or magnitudes.max() or 1.0)


def stretch(maps: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Resize maps (h, w) or (h, w, C) to another height and width by nearest neighbour.

    So every value that is drawn is one that was computed, and its deviation stays beside it.
    """
    rows, columns = (
        np.arange(new) * old // new for new, old in zip(shape, maps.shape[:2], strict=True)
    )
    stretched: npt.NDArray[Any] = maps[rows][:, columns]
    return stretched


def heat(values: Map, vmax: float, shades: Shades) -> Picture:
    """Colour a map on the scale of `diverging`, which is symmetric about 0."""
    return np.take(shades, _places(values, vmax), axis=0)


def masked(image: Picture, values: Map, vmax: float) -> Picture:
    """Show the image where the map is strong, and darkness where it is 0."""
    return np.asarray(image * _strength(values, vmax)[..., np.newaxis], np.uint8)


def blended(image: Picture, values: Map, vmax: float, shades: Shades) -> Picture:
    """Lay the heat map over a grey image, the more opaque the stronger it is."""
    strength = _strength(values, vmax)
    positive = np.where(values > 0, strength, np.float32(0))
    negative = strength - positive
    grey = (1 - strength) * to_grey(image)
    picture = np.empty((*values.shape, 3), np.uint8)
    for channel, (low, high) in enumerate(shades[[0, -1]].T.astype(np.float32)):
        picture[..., channel] = grey + negative * low + positive * high
    return picture


def trusted(values: Map, deviations: Map, k: float, vmax: float, shades: Shades) -> Picture:
    """Draw the heat map, with the pixels greyed out that lie within k standard deviations of 0."""
    places = _places(values, vmax)
    places[np.abs(values) <= k * deviations] = len(shades)
    return np.take(np.concatenate([shades, np.array([UNCERTAIN], np.uint8)]), places, axis=0)


def regional(
    image: Picture,
    labels: npt.NDArray[Any],
    values: Map,
    certain: npt.NDArray[np.bool_],
    vmax: float,
    shades: Shades,
) -> Picture:
    """Colour each region of a grey image by its value, between outlines; hatch uncertain ones.

    `labels` (H, W) are indices into `values` and `certain` (R,).
    """
    picture = blended(image, (OPAQUE * values * certain)[labels], vmax, shades)
    height, width = labels.shape
    stripe = max(2, max(height, width) // HATCHES)
    hatched = np.add.outer(np.arange(height), np.arange(width)) // stripe % 3 == 0
    picture[hatched & ~certain[labels]] = UNCERTAIN
    edges = np.zeros(labels.shape, bool)
    edges[:-1] |= labels[1:] != labels[:-1]
    edges[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    picture[edges] = OUTLINE
    return picture


def to_grey(image: Picture) -> npt.NDArray[np.float32]:
    """Luminance (ITU-R BT.601), lightened so that colours stand out."""
    luminance = image @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(127 + luminance / 2, np.float32)


def mean_of(attributions: npt.NDArray[Any]) -> Map:
    """Return the mean over the last axis in float64; a few channels are added up faster so."""
    total: npt.NDArray[np.float64] = attributions[..., 0].astype(np.float64)
    for channel in range(1, attributions.shape[-1]):
        total += attributions[..., channel]
    total /= attributions.shape[-1]
    return total


def _places(values: Map, vmax: float) -> npt.NDArray[np.int16]:
    """Return where on the scale of `diverging` values are."""
    with np.errstate(over="ignore"):  # what overflows is beyond the scale
        places = values / vmax
    np.clip(places, -1, 1, out=places)
    places *= STEPS
    np.rint(places, out=places)  # both signs alike
    places += STEPS
    return places.astype(np.int16)


def _strength(values: Map, vmax: float) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what overflows is beyond the scale
        return np.clip(np.abs(values) / vmax, 0, 1).astype(np.float32)
