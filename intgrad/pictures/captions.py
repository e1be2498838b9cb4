"""The words of a figure: titles, scales, keys and a caption, and how high they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .contents import Bar, Column, Key
from .layout import EDGE, Layout, Texts
from .lettering import fit, height_of, printable, width_of
from .pages import Page

TITLE, CAPTION, SMALL = 11.0, 10.0, 8.0
"""Sizes of fonts, in points."""
SPACE = 0.06
"""Between what belongs together, in inches."""
BAR_WIDTH, BAR_HEIGHT = 2.4, 0.1
SWATCH = 0.11
"""Side of a patch of colour."""
BETWEEN_KEYS = 0.25


@dataclass(frozen=True)
class Captions:
    """What is written around the pictures."""

    columns: Sequence[Column]
    keys: Sequence[Key]
    caption: str | None

    def measure(self, cell: float, width: float) -> Texts:
        """Say how high it is in columns of this width, and a figure of this width."""
        titles = [_count(self.title(column, cell)) for column in self.columns]
        labels = [_count(_label(column.bar, cell)) for column in self.columns if column.bar]
        bars = 1.5 * SPACE + BAR_HEIGHT + height_of(1 + max(labels), SMALL) if labels else 0.0
        foot = sum(high for high, _ in self._key_rows(width))
        if self.caption:
            foot += SPACE + height_of(_count(self._caption(width)), CAPTION)
        return Texts(above=height_of(max(titles), TITLE) + SPACE, below=bars, foot=foot)

    def title(self, column: Column, cell: float) -> str:
        """Return the lines above a column of this width."""
        return fit(printable(column.title), cell, TITLE, most=3)

    def draw(self, page: Page, layout: Layout) -> None:
        """Write what is below the pictures."""
        for index, column in enumerate(self.columns):
            if column.bar is not None:
                _draw_bar(page, column.bar, layout, index)
        top = EDGE + layout.texts.foot
        width = layout.width - 2 * EDGE
        for high, entries in self._key_rows(width):
            for left, key, text in entries:
                if key.colour is not None:
                    page.patch((EDGE + left, top - SPACE - SWATCH, SWATCH, SWATCH), key.colour)
                    left += SWATCH + SPACE
                page.text(EDGE + left, top - SPACE, text, SMALL)
            top -= high
        if self.caption:
            page.text(EDGE, top - SPACE, self._caption(width), CAPTION)

    def _caption(self, width: float) -> str:
        return fit(printable(self.caption or ""), width, CAPTION, most=6)

    def _key_rows(self, width: float) -> Iterator[tuple[float, list[tuple[float, Key, str]]]]:
        """Yield the height of each row of keys, and where its keys begin, and their words."""
        row: list[tuple[float, Key, str]] = []
        left = 0.0
        for key in self.keys:
            patch = 0.0 if key.colour is None else SWATCH + SPACE
            text = fit(printable(key.text), width - patch, SMALL, most=3)
            wide = patch + max(width_of(line, SMALL) for line in text.split("\n"))
            if row and left + wide > width:
                yield _row_height(row), row
                row, left = [], 0.0
            row.append((left, key, text))
            left += wide + BETWEEN_KEYS
        if row:
            yield _row_height(row), row


def _draw_bar(page: Page, bar: Bar, layout: Layout, column: int) -> None:
    """Draw a scale below the last picture of a column."""
    left, bottom, width, _ = layout.picture(layout.rows - 1, column)
    middle, length = left + width / 2, min(BAR_WIDTH, layout.cell)
    bottom -= SPACE + BAR_HEIGHT
    page.strip((middle - length / 2, bottom, length, BAR_HEIGHT), bar.picture)
    ticks = {"left": bar.low, "right": bar.high}
    if bar.low < 0 < bar.high:
        ticks["center"] = 0.0
    for align, value in ticks.items():
        x = middle + length * {"left": -0.5, "center": 0.0, "right": 0.5}[align]
        page.text(x, bottom - SPACE / 2, f"{value:.2g}", SMALL, align)
    top = bottom - SPACE / 2 - height_of(1, SMALL)
    page.text(middle, top, _label(bar, layout.cell), SMALL, "center")


def _label(bar: Bar, cell: float) -> str:
    return fit(printable(bar.label), cell, SMALL, most=3)


def _row_height(row: Sequence[tuple[float, Key, str]]) -> float:
    return SPACE + max(height_of(_count(text), SMALL) for _, _, text in row)


def _count(text: str) -> int:
    return text.count("\n") + 1
