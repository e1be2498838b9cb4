"""Pages of pixels: files and no figures, in a quarter of the time that figures take."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import require
from .captions import SPACE, TITLE
from .composing import compose
from .contents import Column, Key, Picture
from .lettering import POINTS_PER_INCH, by_font, height_of
from .pages import Box

DPI = 100
"""Pixels an inch; matplotlib's, unless it is told otherwise."""
ASCENT = 0.76 / POINTS_PER_INCH
"""Height of tall letters, in inches for a font of one point."""
FRAME = 128
"""Grey around a patch of colour."""
BEFORE = {"left": 0.0, "center": 0.5, "right": 1.0}
"""The part of a line that is left of where it is aligned."""


def write_columns(
    path: Path,
    columns: Sequence[Column],
    *,
    figsize: tuple[float, float],
    keys: Sequence[Key] = (),
    caption: str | None = None,
    palette: int | None = None,
) -> None:
    """Write what `draw_columns` draws as a PNG file, at `DPI` pixels an inch.

    A picture that is as large as its panel is not resized. With `palette` the file has no more than
    so many colours, those that suit it best, which makes it a third as large.

    Raises
    ------
    ImportError
        If matplotlib, whose fonts are used, or Pillow is not installed.
    """
    page = compose(_Bitmap, columns, keys, caption, figsize)
    pil = require("PIL.Image", "pillow", "drawing")
    image = pil.fromarray(page.pixels)
    if palette is not None:
        image = image.quantize(palette, pil.Quantize.MAXCOVERAGE, dither=pil.Dither.NONE)
    # Maps are noise in enlarged pixels, of which more effort makes hardly smaller files.
    image.save(path, "PNG", compress_level=1)


class _Bitmap:
    """A white page."""

    def __init__(self, width: float, height: float) -> None:
        self._height = height
        self.pixels = np.full((round(height * DPI), round(width * DPI), 3), 255, np.uint8)

    def panel(self, box: Box, picture: Picture, title: str | None) -> None:
        self.strip(box, picture)
        if title is not None:
            left, bottom, width, height = box
            lines = title.split("\n")
            first = bottom + height + SPACE + height_of(len(lines) - 1, TITLE)
            self._write(left + width / 2, first, lines, TITLE, "center")

    def strip(self, box: Box, picture: Picture) -> None:
        left, top, right, bottom = self._edges(box)
        self.pixels[top:bottom, left:right] = _resize(picture, (right - left, bottom - top))

    def patch(self, box: Box, colour: tuple[int, int, int]) -> None:
        left, top, right, bottom = self._edges(box)
        self.pixels[top:bottom, left:right] = FRAME
        self.pixels[top + 1 : bottom - 1, left + 1 : right - 1] = colour

    def text(self, left: float, top: float, text: str, size: float, align: str = "left") -> None:
        self._write(left, top - ASCENT * size, text.split("\n"), size, align)

    def _write(
        self, x: float, baseline: float, lines: Sequence[str], size: float, align: str
    ) -> None:
        for index, line in enumerate(lines):
            if not line:
                continue
            letters, above = _draw_line(by_font(line), size)
            left = max(round(x * DPI - BEFORE[align] * letters.shape[1]), 0)
            top = round((self._height - baseline + height_of(index, size)) * DPI) - above
            under = self.pixels[top:, left:][: letters.shape[0], : letters.shape[1]]
            np.minimum(under, letters[: under.shape[0], : under.shape[1]], out=under)

    def _edges(self, box: Box) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom in pixels."""
        left, bottom, width, height = box
        top = self._height - bottom - height
        edges = (left, top, left + width, top + height)
        first, second, third, fourth = (round(edge * DPI) for edge in edges)
        return first, second, third, fourth


def _resize(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return means of pixels where there are too many, and larger ones where there are too few."""
    if picture.shape[1::-1] == size:
        return picture
    pil = require("PIL.Image", "pillow", "drawing")
    return np.asarray(pil.fromarray(picture).resize(size, pil.Resampling.BOX))


@functools.lru_cache
def _draw_line(parts: tuple[tuple[str, str], ...], size: float) -> tuple[Picture, int]:
    """Return a line of text, (h, w, 1), black on white, and how many pixels its baseline is down.

    Most lines are the same in the next picture.
    """
    pil = require("PIL.Image", "pillow", "drawing")
    fonts = [_font(path, size) for path, _ in parts]
    lengths = [font.getlength(part) for font, (_, part) in zip(fonts, parts, strict=True)]
    above, below = np.max([font.getmetrics() for font in fonts], axis=0).tolist()
    image = pil.new("L", (math.ceil(sum(lengths)), above + below), "white")
    pen, left = require("PIL.ImageDraw", "pillow", "drawing").Draw(image), 0.0
    for font, length, (_, part) in zip(fonts, lengths, parts, strict=True):
        pen.text((left, above), part, fill="black", font=font, anchor="ls")
        left += length
    return np.asarray(image)[..., np.newaxis], above


@functools.lru_cache
def _font(path: str, size: float) -> Any:
    """Return a font in whole pixels, whose letters are as wide as matplotlib draws them."""
    font = require("PIL.ImageFont", "pillow", "drawing")
    pixels = round(size * DPI / POINTS_PER_INCH)
    return font.truetype(str(path), pixels, layout_engine=font.Layout.BASIC)
