"""The panels of `visualize`: what a column shows in a style, its scale, and what colours mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import styles
from .arguments import check_positive
from .colours import STEPS, Colour, diverging
from .contents import Bar, Column, Key

Array = npt.NDArray[Any]

SUBJECTS = {
    "gradients": ("Normal gradients", "gradient, mean over channels: score units per pixel value"),
    "integrated_gradients": (
        "Integrated gradients",
        "attribution per pixel, mean over channels: score units",
    ),
}
"""Titles of what a column shows, and units of its scale."""
EFFECTS = {"positive": "raises the score", "negative": "lowers the score"}


def draw_styled(
    subject: str,
    style: str,
    images: Array,
    attributions: Array,
    polarity: str,
    vmax: float | None,
    colours: tuple[Colour, Colour],
) -> Column:
    """Draw a column in any style but the example's."""
    title, unit = SUBJECTS[subject]
    maps, limit = _to_maps(attributions, polarity, vmax)
    pairs = list(zip(images, maps, strict=True))
    if style == "masked":
        return Column(title, [styles.masked(image, shown, limit) for image, shown in pairs])
    shades = diverging(*colours)
    ramp = np.linspace(-limit, limit, 2 * STEPS + 1)[np.newaxis]
    if style == "heat":
        pictures = [styles.heat(shown, limit, shades) for shown in maps]
        bar = styles.heat(ramp, limit, shades)
    else:
        pictures = [styles.blended(image, shown, limit, shades) for image, shown in pairs]
        bar = styles.blended(np.full((*ramp.shape, 3), 128, np.uint8), ramp, limit, shades)
    return Column(title, pictures, _to_bar(bar, limit, polarity, unit))


def draw_trusted(
    attributions: Array,
    deviations: Array,
    k: float,
    vmax: float | None,
    colours: tuple[Colour, Colour],
) -> Column:
    """Draw the integrated gradients, grey where they cannot be told from 0."""
    maps, limit = _to_maps(attributions, "both", vmax)
    shades = diverging(*colours)
    pictures = [
        styles.trusted(shown, deviation, k, limit, shades)
        for shown, deviation in zip(maps, deviations, strict=True)
    ]
    bar = _to_bar(shades[np.newaxis], limit, "both", SUBJECTS["integrated_gradients"][1])
    return Column("Too uncertain to call: grey", pictures, bar)


def explain_colours(
    style: str, polarity: str, colours: tuple[Colour, Colour], k: float | None
) -> list[Key]:
    """Return what the colours of a figure mean; `k` is that of its error panel, if it has one."""
    keys = []
    if style == "masked":
        keys.append(Key(None, f"bright: {EFFECTS.get(polarity, 'changes the score')}"))
    if style != "masked" or k is not None:
        signs = ("positive", "negative") if polarity == "both" or k is not None else (polarity,)
        of = dict(zip(("positive", "negative"), colours, strict=True))
        keys += [Key(of[sign], EFFECTS[sign]) for sign in signs]
    if k is not None:
        text = f"too uncertain to call: within {k:g} standard deviations of 0"
        keys.append(Key(styles.UNCERTAIN, text))
    return keys


def to_rgb(pictures: Array) -> npt.NDArray[np.uint8]:
    """Return pictures of 1, 3 or more channels in bytes, of three: the first, of more."""
    pixels = np.clip(pictures, 0, 255).astype(np.uint8)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]


def _to_maps(attributions: Array, polarity: str, vmax: float | None) -> tuple[Array, float]:
    """Return the means over the channels of (N, H, W, C), and the end of the scale they share."""
    maps = styles.select(attributions.mean(axis=3, dtype=np.float64), polarity)
    return maps, styles.scale_of(maps) if vmax is None else check_positive(vmax, "vmax")


def _to_bar(row: npt.NDArray[np.uint8], limit: float, polarity: str, unit: str) -> Bar:
    """Make a scale of the half that a polarity shows of (1, n, 3) shades, or of all of them."""
    if polarity == "positive":
        return Bar(row[:, STEPS:], 0.0, limit, unit)
    if polarity == "negative":
        return Bar(row[:, : STEPS + 1], -limit, 0.0, unit)
    return Bar(row, -limit, limit, unit)
