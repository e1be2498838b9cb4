"""Pictures in columns, and the words around them, on a page of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from .captions import Captions
from .contents import Column, Key
from .layout import lay_out
from .pages import Page

P = TypeVar("P", bound=Page)


def compose(
    new_page: Callable[[float, float], P],
    columns: Sequence[Column],
    keys: Sequence[Key],
    caption: str | None,
    figsize: tuple[float, float],
) -> P:
    """Fill a page, made as large as its contents need, and at most `figsize` (inches)."""
    captions = Captions(columns, keys, caption)
    rows = len(columns[0].pictures)
    height, width = columns[0].pictures[0].shape[:2]
    layout = lay_out(figsize, (rows, len(columns)), height / width, captions.measure)
    page = new_page(layout.width, layout.height)
    for row in range(rows):
        for index, column in enumerate(columns):
            title = captions.title(column, layout.cell) if row == 0 else None
            page.panel(layout.picture(row, index), column.pictures[row], title)
    captions.draw(page, layout)
    return page
