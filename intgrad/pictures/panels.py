"""The panels of `visualize`: what a column shows in a style, its scale, and what colours mean."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import styles
from .colours import STEPS, Colour, diverging
from .contents import Bar, Column, Key, Picture

Array = npt.NDArray[Any]

SUBJECTS = (
    ("Normal gradients", "score units per pixel value, mean over channels"),
    ("Integrated gradients", "score units per pixel, mean over channels"),
)
"""What is shown beside an image: titles of columns, units of scales."""
EFFECTS = {"positive": "raises the score", "negative": "lowers the score"}
EFFECT_UNSIGNED = {"positive": "changes the score"}
"""Of maps that have no sign, such as squares."""
KEY_SHADE = 160
"""Which shade of `STEPS` a key shows of a scale: one that stands out, but still looks coloured."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What a column shows.

    Attributes
    ----------
    title, unit : str
        Of the column, and of its scale.
    attributions : numpy.ndarray
        (N, H, W, C).
    vmax : float or None
        End of the scale; None if the values give it.
    """

    title: str
    unit: str
    attributions: Array
    vmax: float | None

    @functools.cached_property
    def means(self) -> Array:
        """Over the channels."""
        return styles.mean_of(self.attributions)

    @functools.cached_property
    def limit(self) -> float:
        """End of the scale for both signs."""
        return styles.scale_of(self.means) if self.vmax is None else self.vmax

    def select(self, polarity: str) -> tuple[Array, float]:
        """Return the means of one sign, or of both, and the end of the scale that they share."""
        if polarity == "both":
            return self.means, self.limit
        maps = styles.select(self.means, polarity)
        return maps, styles.scale_of(maps) if self.vmax is None else self.vmax


def draw_styled(
    subject: Subject,
    style: str,
    images: Iterable[Picture],
    polarity: str,
    colours: tuple[Colour, Colour],
) -> Column:
    """Draw a column in any style but the example's."""
    maps, limit = subject.select(polarity)
    pairs = list(zip(images, maps, strict=True))
    if style == "masked":
        pictures = [styles.masked(image, shown, limit) for image, shown in pairs]
        return Column(subject.title, pictures)
    shades = diverging(*colours)
    ramp = np.linspace(-limit, limit, 2 * STEPS + 1)[np.newaxis]
    if style == "heat":
        pictures = [styles.heat(shown, limit, shades) for shown in maps]
        bar = styles.heat(ramp, limit, shades)
    else:
        pictures = [styles.blended(image, shown, limit, shades) for image, shown in pairs]
        bar = styles.blended(np.full((*ramp.shape, 3), 128, np.uint8), ramp, limit, shades)
    return Column(subject.title, pictures, _to_bar(bar, limit, polarity, subject.unit))


def draw_trusted(
    subject: Subject,
    deviations: Iterable[Array],
    k: float,
    colours: tuple[Colour, Colour],
    polarity: str = "both",
) -> Column:
    """Draw both signs of a subject, or the one it has, grey where they cannot be told from 0."""
    shades = diverging(*colours)
    pictures = [
        styles.trusted(shown, deviation, k, subject.limit, shades)
        for shown, deviation in zip(subject.means, deviations, strict=True)
    ]
    bar = _to_bar(shades[np.newaxis], subject.limit, polarity, subject.unit)
    return Column("Too uncertain to call: grey", pictures, bar)


def draw_regions(
    images: Iterable[Picture],
    regions: Sequence[Any],
    k: float,
    colours: tuple[Colour, Colour],
    polarity: str = "both",
    unit: str = "score units per region",
) -> Column:
    """Draw what regions made of the score, those hatched that cannot be told from 0.

    `regions` have `labels` (H, W), `attributions` and `deviations` (R,), of both signs or the one
    that they have.
    """
    limit = max(float(np.abs(each.attributions).max()) for each in regions) or 1.0
    shades = diverging(*colours)
    pictures = [
        styles.regional(
            image,
            styles.stretch(each.labels, image.shape[:2]),
            each.attributions,
            ~(np.abs(each.attributions) <= k * each.deviations),
            limit,
            shades,
        )
        for image, each in zip(images, regions, strict=True)
    ]
    ramp = np.linspace(-limit, limit, 2 * STEPS + 1)[np.newaxis]
    grey = np.full((*ramp.shape, 3), 128, np.uint8)
    bar = styles.blended(grey, styles.OPAQUE * ramp, limit, shades)
    return Column("Regions", pictures, _to_bar(bar, limit, polarity, unit))


def explain_colours(
    style: str,
    polarity: str,
    colours: tuple[Colour, Colour],
    k: float | None,
    effects: Mapping[str, str] = EFFECTS,
) -> list[Key]:
    """Return what the colours of a figure mean; `k` is that of its error panel, if it has one.

    `effects` are of both signs, or of the one that the maps have.
    """
    keys = []
    if style == "masked":
        keys.append(Key(None, f"bright: {effects.get(polarity, 'changes the score')}"))
    if style != "masked" or k is not None:
        shown = dict(
            zip(EFFECTS, colours if style == "overlay" else _in_scale(colours), strict=True)
        )
        keys += [
            Key(shown[sign], effect)
            for sign, effect in effects.items()
            if k is not None or polarity in (sign, "both")
        ]
    if k is not None:
        text = f"too uncertain to call: within {k:g} standard deviations of 0"
        keys.append(Key(styles.UNCERTAIN, text))
    return keys


def _in_scale(colours: tuple[Colour, Colour]) -> list[Colour]:
    shades = diverging(*colours)
    return [tuple(shades[STEPS + sign * KEY_SHADE].tolist()) for sign in (1, -1)]


def to_rgb(pictures: Array) -> npt.NDArray[np.uint8]:
    """Return pictures of 1, 3 or more channels in bytes, of three: the first, of more."""
    pixels = np.clip(pictures, 0, 255).astype(np.uint8)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]


def _to_bar(row: npt.NDArray[np.uint8], limit: float, polarity: str, unit: str) -> Bar:
    """Make a scale of the half that a polarity shows of (1, n, 3) shades, or of all of them."""
    if polarity == "positive":
        return Bar(row[:, STEPS:], 0.0, limit, unit)
    if polarity == "negative":
        return Bar(row[:, : STEPS + 1], -limit, 0.0, unit)
    return Bar(row, -limit, limit, unit)
