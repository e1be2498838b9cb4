"""From the attributions of an image to a coloured picture, by the example's recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .arguments import check_choice, check_clip, check_percentage, check_positive, to_structure

POLARITIES = ("positive", "negative", "both")
SIGNS = {"positive": (1.0,), "negative": (-1.0,), "both": (1.0, -1.0)}
RANKS = ("pixels", "attribution")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recipe:
    """What `GradVisualizer.process_grads` is asked for, checked.

    `limit` is the clip, `high` and `low` are the percentages of the thresholds, `brush` is the
    structure of the cleanup; both signs share the scale. `rim` says whether the edge of the picture
    outlines the regions that reach it, as in the example.
    """

    signs: tuple[float, ...]
    limit: float
    high: float
    low: float
    vmax: float | None
    brush: Array | None
    outlines: bool
    outlined: float
    rank: str
    overlay: bool
    rim: bool = True

    @classmethod
    def of(
        cls,
        polarity: str,
        clip_above_percentile: float,
        clip_below_percentile: float,
        morphological_cleanup: bool,
        structure: npt.ArrayLike,
        outlines: bool,
        outlines_component_percentage: float,
        overlay: bool,
        clip: float | None,
        rank: str,
        vmax: float | None,
    ) -> Recipe:
        """Check the arguments of `process_grads`."""
        return cls(
            signs=SIGNS[check_choice(polarity, POLARITIES, "polarity")],
            limit=check_clip(clip),
            high=100 - check_percentage(clip_above_percentile, "clip_above_percentile"),
            low=100 - check_percentage(clip_below_percentile, "clip_below_percentile"),
            vmax=None if vmax is None else check_positive(vmax, "vmax"),
            brush=to_structure(structure) if morphological_cleanup else None,
            outlines=outlines,
            outlined=check_percentage(
                outlines_component_percentage, "outlines_component_percentage"
            ),
            rank=check_choice(rank, RANKS, "rank"),
            overlay=overlay,
        )

    def means(self, array: Array) -> Array:
        """Return the mean over the channels of each sign's attributions: (signs, H, W)."""
        maps = [_core.channel_mean(array, sign, self.limit) for sign in self.signs]
        return maps[0][np.newaxis] if len(maps) == 1 else np.stack(maps)

    def tone(self, array: Array) -> list[Array]:
        """Return the same, scaled to 0..1, and cleaned up."""
        maps = self.means(array)
        if self.vmax is not None:
            maps = np.clip(maps / self.vmax, 0, 1)
        else:
            maps = _core.linear_transform(maps, self.high, self.low, 0.0, maps)
        if self.brush is None:
            return list(maps)
        return [_core.cleanup(shown, self.brush, shown) for shown in maps]


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
