"""The colours of maps: white where a map is 0, and darker the further from it, by sign."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

STEPS = 255
"""How many shades of a colour there are beside white."""
DARKEST = 30.0
"""Lightness (CIE L*) of the last, unless a colour is darker itself."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of the primaries of sRGB."""

Colour = tuple[int, int, int]
POSITIVE: Colour = (0, 255, 0)
NEGATIVE: Colour = (255, 0, 0)
"""Of the example."""
Shades = npt.NDArray[np.uint8]


@functools.lru_cache
def diverging(positive: Colour, negative: Colour) -> Shades:
    """Return the shades from the negative end over white to the positive one: (511, 3).

    Each side goes from white by its colour to a darker shade of it, with a lightness that falls
    evenly and alike on both: equal magnitudes are equally dark.
    """
    colours = np.array([positive, negative], np.float64)
    end = min(DARKEST, *_lightness(colours).tolist())
    shades = np.concatenate([_shades(colours[1], end)[:0:-1], _shades(colours[0], end)])
    shades.setflags(write=False)
    return shades


def _shades(colour: npt.NDArray[np.float64], end: float) -> Shades:
    """Return white and `STEPS` shades of a colour, evenly darker down to a lightness of `end`.

    On a curve (Bezier's) from white to the last shade that the colour draws to its side, since a
    bend at the colour itself would look like an edge in the map.
    """
    t = np.linspace(0, 1, 1000)[:, np.newaxis]
    darker = (1 - t) * colour
    last = darker[np.argmin(np.abs(_lightness(darker) - end))]
    curve = (1 - t) ** 2 * 255 + 2 * t * (1 - t) * colour + t**2 * last
    wanted, found = np.linspace(100, end, STEPS + 1), _lightness(curve)[::-1]
    components = [np.interp(wanted, found, component[::-1]) for component in curve.T]
    shades: Shades = np.rint(np.stack(components, axis=1)).astype(np.uint8)
    return shades


def _lightness(colours: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the lightness L* (0..100) of colours (..., 3) of sRGB."""
    scaled = colours / 255
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    y = linear @ LUMINANCE
    return np.asarray(np.where(y <= 0.008856, 903.3 * y, 116 * np.cbrt(y) - 16))
