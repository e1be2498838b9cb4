"""From the attributions of an image to a coloured picture, as the example does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core

SIGNS = {"positive": (1.0,), "negative": (-1.0,), "both": (1.0, -1.0)}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tone:
    """From attributions to maps of 0..1, one for each sign; both share the scale."""

    signs: tuple[float, ...]
    limit: float
    high: float
    low: float
    vmax: float | None

    def means(self, array: Array) -> Array:
        """Return the mean over the channels of each sign's attributions: (signs, H, W)."""
        maps = [_core.channel_mean(array, sign, self.limit) for sign in self.signs]
        return maps[0][np.newaxis] if len(maps) == 1 else np.stack(maps)

    def apply(self, array: Array) -> Array:
        """Return the same, scaled to 0..1."""
        maps = self.means(array)
        if self.vmax is not None:
            return np.clip(maps / self.vmax, 0, 1)
        shaped: Array = _core.linear_transform(maps, self.high, self.low, 0.0, maps)
        return shaped


def paint(picture: Array | None, layers: list[Array], colours: list[tuple[float, ...]]) -> Array:
    """Colour the layers, and lay them over the picture; those of two signs add up."""
    if picture is not None:
        for layer, colour in zip(layers, colours, strict=True):
            picture = _core.overlay(picture, layer, colour)
        return picture
    whole = all(isinstance(value, int) for colour in colours for value in colour)
    painted = [
        _core.colour(layer if whole else layer.astype(np.float64, copy=False), colour)
        for layer, colour in zip(layers, colours, strict=True)
    ]
    return painted[0] if len(painted) == 1 else painted[0] + painted[1]
