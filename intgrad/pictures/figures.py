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
from .captions import Captions
from .contents import Column, Key
from .layout import lay_out
from .lettering import VERBATIM, printable

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
        figure = _draw_new(columns, Captions(columns, keys, caption), figsize, show)
        if save is not None:
            _write(figure, save, Path(save).suffix.lower())
    else:
        figure = _draw_into(np.ravel(axes), columns)
        if save is not None:
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


def _draw_new(
    columns: Sequence[Column], captions: Captions, figsize: tuple[float, float], show: bool
) -> Any:
    rows = len(columns[0].pictures)
    height, width = columns[0].pictures[0].shape[:2]
    layout = lay_out(figsize, (rows, len(columns)), height / width, captions.measure)
    figure = _new_figure((layout.width, layout.height), show)
    for row in range(rows):
        for index, column in enumerate(columns):
            left, bottom, wide, high = layout.picture(row, index)
            panel = figure.add_axes(
                (
                    left / layout.width,
                    bottom / layout.height,
                    wide / layout.width,
                    high / layout.height,
                )
            )
            # The extent is that of the pixels, and stays when there are fewer, in `_write`.
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            panel.imshow(column.pictures[row], extent=extent, aspect="auto")
            panel.set_axis_off()
    captions.draw(figure, layout)
    return figure


def _new_figure(size: tuple[float, float], show: bool) -> Any:
    options: dict[str, Any] = {"figsize": size, "layout": "none"}
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
    for panel in figure.axes:
        (image,) = panel.images
        picture, box = np.asarray(image.get_array()), panel.get_window_extent()
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
