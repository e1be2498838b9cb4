"""A photograph as it is drawn, and where in it the model looked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.transform import ImageTransform

Picture = npt.NDArray[np.uint8]

SHOWN = (400, 600)
"""Width and height that a photograph is drawn in at most, in pixels."""
CONTEXT = 2.5
"""How many times as wide and high as the model's part is what is drawn of a photograph at most."""
FRAME = 64
"""The grey of the frame around the model's part."""


@dataclass(frozen=True)
class Framed:
    """A photograph in its own shape, as large as it is drawn.

    Attributes
    ----------
    picture : numpy.ndarray
        (h, w, 3) uint8.
    top, left, height, width : int
        The part of it that the model sees.
    """

    picture: Picture
    top: int
    left: int
    height: int
    width: int

    @property
    def is_whole(self) -> bool:
        """Say whether the model sees all of it."""
        return (self.height, self.width) == self.picture.shape[:2]

    @property
    def seen(self) -> Picture:
        """The part that the model sees."""
        return self.picture[self._part]

    def surround(self, drawing: Picture) -> Picture:
        """Return a drawing of the part that the model sees, with the rest faded around it."""
        if self.is_whole:
            return drawing
        result = 128 + self.picture // 2
        top, left = max(self.top - 1, 0), max(self.left - 1, 0)
        result[top : self.top + self.height + 1, left : self.left + self.width + 1] = FRAME
        result[self._part] = drawing
        return result

    @property
    def _part(self) -> tuple[slice, slice]:
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


def frame(photograph: Any, transform: ImageTransform | None) -> Framed:
    """Make it of an upright Pillow image: all of it, but no more than some way around the part.

    Where the model's picture is padded, the padding is drawn, which has attributions as well.
    """
    photograph = photograph.convert("RGB")
    width, height = photograph.size
    if transform is None:
        top, left, bottom, right = 0, 0, height, width
    else:
        view = transform.field_of_view(height, width)
        # Rounding to even, and exact resizing, leave a corner at 0 as it is.
        top, left = math.floor(view.top), math.floor(view.left)
        bottom, right = math.ceil(view.bottom), math.ceil(view.right)
    above, below = _context(top, bottom, height)
    before, after = _context(left, right, width)
    if (above, before, below, after) != (0, 0, height, width):
        pil = require("PIL.Image", "pillow", "explain")
        fill = 0 if transform is None else transform.fill
        colour = (
            fill if isinstance(fill, tuple) and len(fill) == 3 else np.ravel(fill)[:1].repeat(3)
        )
        canvas = pil.new("RGB", (after - before, below - above), tuple(map(int, colour)))
        canvas.paste(photograph, (-before, -above))
        photograph = canvas
    photograph.thumbnail(SHOWN)
    picture = np.asarray(photograph)
    down, across = picture.shape[0] / (below - above), picture.shape[1] / (after - before)
    first_row, last_row = _drawn(top - above, bottom - above, down, picture.shape[0])
    first_column, last_column = _drawn(left - before, right - before, across, picture.shape[1])
    return Framed(
        picture, first_row, first_column, last_row - first_row, last_column - first_column
    )


def _context(start: int, end: int, length: int) -> tuple[int, int]:
    """Return what is drawn along an axis, around what the model sees."""
    around = round((CONTEXT - 1) / 2 * (end - start))
    return max(min(0, start), start - around), min(max(length, end), end + around)


def _drawn(start: int, end: int, scale: float, length: int) -> tuple[int, int]:
    """Return what of the drawing's pixels a part is, at least one of them."""
    first = min(round(start * scale), length - 1)
    return first, max(round(end * scale), first + 1)
