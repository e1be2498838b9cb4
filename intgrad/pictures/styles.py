"""Maps as pictures: heat, masked and blended, on a scale that several maps can share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require

STYLES = ("overlay", "heat", "masked", "blended")

# Diverging for both signs, and for one sign the half of it that it uses.
COLOUR_MAPS = {"both": "RdBu_r", "positive": "Reds", "negative": "Blues"}
CUT = 99.5
"""Percentile of the magnitudes that is the end of a scale; a few pixels are far beyond it."""

Map = npt.NDArray[np.float64]
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


def heat(values: Map, vmax: float, polarity: str) -> Picture:
    """Colour a map: both signs on a diverging scale that is symmetric about 0."""
    scaled = (values / vmax + 1) / 2 if polarity == "both" else np.abs(values) / vmax
    return _colour(np.clip(scaled, 0, 1), COLOUR_MAPS[polarity])


def masked(image: npt.NDArray[Any], values: Map, vmax: float) -> Picture:
    """Show the image where the map is strong, and darkness where it is 0."""
    strength = np.clip(np.abs(values) / vmax, 0, 1)[..., np.newaxis]
    return np.asarray(_to_rgb(image) * strength, np.uint8)


def blended(image: npt.NDArray[Any], values: Map, vmax: float, polarity: str) -> Picture:
    """Lay the heat map over a grey image, the more opaque the stronger it is."""
    strength = np.clip(np.abs(values) / vmax, 0, 1)[..., np.newaxis]
    colours = heat(np.sign(values) * vmax, vmax, polarity)
    return np.asarray(strength * colours + (1 - strength) * _to_grey(image), np.uint8)


def trusted(values: Map, deviations: Map, k: float, vmax: float) -> Picture:
    """Draw the heat map, with the pixels greyed out that lie within k standard deviations of 0."""
    picture = heat(values, vmax, "both")
    picture[np.abs(values) <= k * deviations] = 160
    return picture


def _colour(scaled: Map, name: str) -> Picture:
    colours = require("matplotlib", "matplotlib", "drawing").colormaps[name]
    return np.asarray(255 * colours(scaled)[..., :3], np.uint8)


def _to_rgb(image: npt.NDArray[Any]) -> Map:
    rgb: Map = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return np.clip(rgb, 0, 255).astype(np.float64)


def _to_grey(image: npt.NDArray[Any]) -> Map:
    """Luminance (ITU-R BT.601), lightened so that colours stand out."""
    luminance = _to_rgb(image)[..., :3] @ np.array([0.299, 0.587, 0.114])
    return np.asarray(127 + luminance[..., np.newaxis] / 2)
