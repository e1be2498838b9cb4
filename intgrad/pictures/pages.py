"""What pictures and words are put on."""

from __future__ import annotations

from typing import Protocol

from .contents import Picture

Box = tuple[float, float, float, float]
"""Left, bottom, width and height."""


class Page(Protocol):
    """A page that is filled in inches from its lower left corner; sizes of fonts are in points."""

    def panel(self, box: Box, picture: Picture, title: str | None) -> None:
        """Show a picture (H, W, 3), as many pixels as it has, perhaps with a title above."""

    def strip(self, box: Box, picture: Picture) -> None:
        """Show a scale of colours (1, n, 3)."""

    def patch(self, box: Box, colour: tuple[int, int, int]) -> None:
        """Show a colour, in a thin frame."""

    def text(self, left: float, top: float, text: str, size: float, align: str = "left") -> None:
        """Write printable lines; `left` is their left end, or what `align` says: center, right."""
