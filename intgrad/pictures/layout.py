"""Where the panels of a figure go, in inches: plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .pages import Box

EDGE = 0.08
"""Around everything."""
GAP = 0.1
"""Between panels."""
LEAST_CELL = 1.2
"""Least width of a column: its title must be readable over a narrow picture."""
LEAST_HEIGHT = 0.4
"""Of a picture, however low the figure is to be."""


@dataclass(frozen=True)
class Texts:
    """How high the text is above the pictures, below each column, and below all of them."""

    above: float
    below: float
    foot: float

    @property
    def height(self) -> float:
        """All of it, and the edges."""
        return self.above + self.below + self.foot + 2 * EDGE


@dataclass(frozen=True)
class Layout:
    """Rows and columns of equal pictures, in a figure that is no larger than they need.

    `cell` is the width of a column, in whose middle the pictures are.
    """

    rows: int
    columns: int
    cell: float
    picture_width: float
    picture_height: float
    texts: Texts

    @property
    def width(self) -> float:
        """Of the figure."""
        return width_for(self.columns, self.cell)

    @property
    def height(self) -> float:
        """Of the figure."""
        return self.texts.height + _span(self.rows, self.picture_height)

    def picture(self, row: int, column: int) -> Box:
        """Say where a picture is."""
        left = EDGE + column * (self.cell + GAP) + (self.cell - self.picture_width) / 2
        top = EDGE + self.texts.above + row * (self.picture_height + GAP)
        bottom = self.height - top - self.picture_height
        return left, bottom, self.picture_width, self.picture_height


def width_for(columns: int, cell: float) -> float:
    """Return the width of a figure of columns that are so wide."""
    return _span(columns, cell) + 2 * EDGE


def lay_out(
    most: tuple[float, float],
    grid: tuple[int, int],
    aspect: float,
    texts_at: Callable[[float, float], Texts],
) -> Layout:
    """Make the pictures as large as a figure of at most this width and height allows.

    `grid` is rows and columns, `aspect` height over width of a picture; `texts_at(cell, width)`
    says how high texts are, which break into more lines where a cell, or the figure, is narrow.
    """
    rows, columns = grid
    width = (most[0] - width_for(columns, 0)) / columns
    cell = max(width, LEAST_CELL)
    while True:  # a narrower cell may need more lines, which leave less room for the pictures
        texts = texts_at(cell, _span(columns, cell))
        room = (most[1] - texts.height - _span(rows, 0)) / rows
        width = min(cell, max(room, LEAST_HEIGHT) / aspect)
        narrower = max(width, LEAST_CELL)
        if narrower == cell:
            return Layout(rows, columns, cell, width, width * aspect, texts)
        cell = narrower


def _span(count: int, size: float) -> float:
    return count * size + (count - 1) * GAP
