"""A photograph as it is drawn, and where in it the model looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.transform import Box

Picture = npt.NDArray[np.uint8]
Fill = int | Sequence[int]

SHOWN = (320, 480)
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


def frame(photograph: Any, seen: Box | None, fill: Fill = 0) -> Framed:
    """Make it of an upright Pillow image: all of it, but no more than some way around the part.

    `seen` is the part that the model sees, None if that is all. Where it goes beyond the
    photograph, the padding is drawn, which has attributions as well.
    """
    photograph = photograph.convert("RGB")
    width, height = photograph.size
    whole = Box(0, 0, height, width)
    view = whole if seen is None else seen
    rows, columns = _context(view.top, view.bottom, height), _context(view.left, view.right, width)
    if view == whole:
        photograph.thumbnail(SHOWN)
    else:
        photograph = _draw(photograph, rows, columns, fill)
    picture = np.asarray(photograph)
    first_row, last_row = _part(view.top, view.bottom, rows, picture.shape[0])
    first_column, last_column = _part(view.left, view.right, columns, picture.shape[1])
    return Framed(
        picture, first_row, first_column, last_row - first_row, last_column - first_column
    )


def _context(start: float, end: float, length: int) -> tuple[int, int]:
    """Return what is drawn along an axis, around what the model sees."""
    around = (CONTEXT - 1) / 2 * (end - start)
    first = max(min(0, math.floor(start)), math.floor(start - around))
    return first, min(max(length, math.ceil(end)), math.ceil(end + around))


def _draw(photograph: Any, rows: tuple[int, int], columns: tuple[int, int], fill: Fill) -> Any:
    """Return that part of a photograph, as large as it is drawn, on padding."""
    pil = require("PIL.Image", "pillow", "explain")
    scale = min(SHOWN[0] / (columns[1] - columns[0]), SHOWN[1] / (rows[1] - rows[0]))
    scale = math.floor(scale) if scale > 1 else scale  # pixels of a small one stay of equal size

    def scaled(length: int) -> int:
        return max(round(length * scale), 1)

    visible = (
        max(columns[0], 0),
        max(rows[0], 0),
        min(columns[1], photograph.width),
        min(rows[1], photograph.height),
    )
    resample = pil.Resampling.BICUBIC if scale < 1 else pil.Resampling.NEAREST
    size = scaled(visible[2] - visible[0]), scaled(visible[3] - visible[1])
    red, green, blue = np.broadcast_to(fill, 3).tolist()
    canvas = pil.new(
        "RGB", (scaled(columns[1] - columns[0]), scaled(rows[1] - rows[0])), (red, green, blue)
    )
    corner = round((visible[0] - columns[0]) * scale), round((visible[1] - rows[0]) * scale)
    canvas.paste(photograph.resize(size, resample, visible, 2.0), corner)
    return canvas


def _part(start: float, end: float, drawn: tuple[int, int], length: int) -> tuple[int, int]:
    """Return which of the drawing's pixels a part is along an axis, at least one."""
    scale = length / (drawn[1] - drawn[0])
    first = min(round((start - drawn[0]) * scale), length - 1)
    return first, max(round((end - drawn[0]) * scale), first + 1)
