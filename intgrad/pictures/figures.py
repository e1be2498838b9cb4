"""Figures of pictures in columns: drawn once, with nothing blank, and shown only when asked for."""

from __future__ import annotations

import functools
import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from .captions import SPACE, TITLE
from .composing import compose
from .contents import Column, Key, Picture
from .lettering import POINTS_PER_INCH, VERBATIM, printable
from .pages import Box

RASTERS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


def draw_columns(
    columns: Sequence[Column],
    *,
    figsize: tuple[float, float],
    keys: Sequence[Key] = (),
    caption: str | None = None,
    axes: Any = None,
    show: bool = False,
    save: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw columns of equally large pictures.

    Parameters
    ----------
    columns : sequence of Column
    figsize : (float, float)
        Width and height in inches that the figure may have at most.
    keys : sequence of Key
        Below the pictures.
    caption : str, optional
        Below the keys.
    axes : array_like of matplotlib.axes.Axes, optional
        What to draw into, one for each picture, row by row, without scales, keys and caption;
        a new figure if None.
    show : bool
        Call `matplotlib.pyplot.show()`. Without it pyplot does not learn of a new figure: a
        notebook draws it where it is a cell's last line, and nowhere else.
    save : path, optional
        A file to write, its format by its suffix.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is not one of `axes` for each picture.
    ImportError
        If matplotlib is not installed.
    """
    if axes is None:
        new_page = functools.partial(_FigurePage, show)
        figure = compose(new_page, columns, keys, caption, figsize).figure
    else:
        figure = _draw_into(np.ravel(axes), columns)
    return hand_out(figure, is_new=axes is None, show=show, save=save)


def hand_out(figure: Any, *, is_new: bool, show: bool, save: str | os.PathLike[str] | None) -> Any:
    """Return a figure that is drawn, saved and shown where that is asked for."""
    if save is not None and is_new:
        _write(figure, save, Path(save).suffix.lower())
    elif save is not None:
        figure.savefig(save)
    if show:
        require("matplotlib.pyplot", "matplotlib", "drawing").show()
    return figure


def _draw_into(axes: npt.NDArray[Any], columns: Sequence[Column]) -> Any:
    rows, count = len(columns[0].pictures), len(columns)
    if len(axes) != rows * count:
        raise ValueError(f"axes must be {rows} x {count}, one for each panel, got {len(axes)}")
    for index, panel in enumerate(axes):
        row, column = divmod(index, count)
        panel.imshow(columns[column].pictures[row])
        panel.set_axis_off()
        if row == 0:
            panel.set_title(printable(columns[column].title), **VERBATIM)
    return axes[0].figure


class _FigurePage:
    """A new figure."""

    def __init__(self, show: bool, width: float, height: float) -> None:
        self.figure = new_figure((width, height), show)
        self._size = width, height

    def panel(self, box: Box, picture: Picture, title: str | None) -> None:
        panel = self.figure.add_axes(self._fractions(box))
        # The extent is that of the pixels, and stays when there are fewer, in `_write`.
        height, width = picture.shape[:2]
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        panel.imshow(picture, extent=extent, aspect="auto")
        panel.set_axis_off()
        if title is not None:
            panel.set_title(title, fontsize=TITLE, y=1.0, pad=POINTS_PER_INCH * SPACE, **VERBATIM)

    def strip(self, box: Box, picture: Picture) -> None:
        transforms = require("matplotlib.transforms", "matplotlib", "drawing")
        bounds = transforms.Bbox.from_bounds(*self._fractions(box))
        image = require("matplotlib.image", "matplotlib", "drawing").BboxImage(
            transforms.TransformedBbox(bounds, self.figure.transFigure), interpolation="nearest"
        )
        image.set_data(picture)
        self.figure.add_artist(image)

    def patch(self, box: Box, colour: tuple[int, int, int]) -> None:
        left, bottom, width, height = self._fractions(box)
        self.figure.add_artist(
            require("matplotlib.patches", "matplotlib", "drawing").Rectangle(
                (left, bottom),
                width,
                height,
                transform=self.figure.transFigure,
                facecolor=[component / 255 for component in colour],
                edgecolor="0.5",
                linewidth=0.5,
            )
        )

    def text(self, left: float, top: float, text: str, size: float, align: str = "left") -> None:
        x, y, _, _ = self._fractions((left, top, 0, 0))
        self.figure.text(x, y, text, fontsize=size, ha=align, va="top", **VERBATIM)

    def _fractions(self, box: Box) -> Box:
        """Return a box in parts of the figure."""
        left, bottom, width, height = box
        across, along = self._size
        return left / across, bottom / along, width / across, height / along


def new_figure(size: tuple[float, float], show: bool, layout: str = "none") -> Any:
    """Return a figure (width, height in inches) that pyplot knows if it is to be shown."""
    options: dict[str, Any] = {"figsize": size, "layout": layout}
    if show:
        return require("matplotlib.pyplot", "matplotlib", "drawing").figure(**options)
    figure = require("matplotlib.figure", "matplotlib", "drawing").Figure(**options)
    # Notebooks know by themselves only how to draw pyplot's figures.
    figure._repr_png_ = functools.partial(_to_png, figure)
    return figure


def _to_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    _write(figure, buffer, ".png")
    return buffer.getvalue()


def _write(figure: Any, target: Any, suffix: str) -> None:
    """Save a figure; where it becomes pixels, without resampling large pictures the slow way."""
    options: dict[str, Any] = {"format": suffix[1:]} if suffix else {}
    if suffix == ".png":
        options["pil_kwargs"] = {
            "compress_level": 1
        }  # a tenth larger than by 6, four times as fast
    with _at_panels_size(figure) if suffix in RASTERS else nullcontext():
        figure.savefig(target, **options)


@contextmanager
def _at_panels_size(figure: Any) -> Iterator[None]:
    """Give each panel no more pixels than it shows."""
    dpi = require("matplotlib", "matplotlib", "drawing").rcParams["savefig.dpi"]
    scale = 1.0 if dpi == "figure" else dpi / figure.dpi
    whole = []
    for image in (image for panel in figure.axes for image in panel.images):
        picture, box = np.asarray(image.get_array()), image.axes.get_window_extent()
        shown = math.ceil(scale * box.width), math.ceil(scale * box.height)
        if picture.shape[1] > shown[0] or picture.shape[0] > shown[1]:
            whole.append((image, picture, image.get_interpolation()))
            image.set_data(_reduce(picture, shown))
            image.set_interpolation("nearest")
    try:
        yield
    finally:
        for image, picture, interpolation in whole:
            image.set_data(picture)
            image.set_interpolation(interpolation)


def _reduce(picture: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Average the pixels of a picture to at most this width and height."""
    pil = require("PIL.Image", "pillow", "drawing")
    width, height = min(picture.shape[1], size[0]), min(picture.shape[0], size[1])
    reduced = pil.fromarray(picture).resize((width, height), pil.Resampling.BOX, None, 1.0)
    return np.asarray(reduced.convert("RGBA"))  # what matplotlib would make of it anyway
