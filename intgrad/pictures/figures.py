"""Figures: pictures in a grid, made so that nothing is shown unless it is asked for."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require

Grid = Sequence[Sequence[npt.NDArray[Any]]]


def draw_grid(
    pictures: Grid,
    titles: Sequence[str],
    *,
    figsize: tuple[float, float],
    axes: Any = None,
    show: bool = False,
    save: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw rows of pictures.

    Parameters
    ----------
    pictures : sequence of rows of numpy.ndarray
        Each picture (H, W, 3), or whatever `imshow` takes.
    titles : sequence of str
        Above the columns.
    figsize : (float, float)
        Width and height in inches.
    axes : array_like of matplotlib.axes.Axes, optional
        What to draw into, one for each picture; a new figure if None.
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
        If there is not one of `axes` for each picture, or one title for each column.
    ImportError
        If matplotlib is not installed.
    """
    rows, columns = len(pictures), len(pictures[0])
    if len(titles) != columns:
        raise ValueError(f"titles must be {columns}, one for each panel, got {list(titles)!r}")
    panels = _new_panels(rows, columns, figsize, show) if axes is None else np.ravel(axes)
    if len(panels) != rows * columns:
        raise ValueError(f"axes must be {rows} x {columns}, one for each panel, got {len(panels)}")
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        panel.imshow(pictures[row][column])
        panel.set_axis_off()
        if row == 0:
            panel.set_title(titles[column])
    figure = panels[0].figure
    if save is not None:
        figure.savefig(save)
    if show:
        require("matplotlib.pyplot", "matplotlib", "drawing").show()
    return figure


def _new_panels(rows: int, columns: int, figsize: tuple[float, float], show: bool) -> Any:
    options: dict[str, Any] = {"figsize": figsize, "layout": "constrained"}
    if show:
        figure = require("matplotlib.pyplot", "matplotlib", "drawing").figure(**options)
    else:
        figure = require("matplotlib.figure", "matplotlib", "drawing").Figure(**options)
        # Notebooks know by themselves only how to draw pyplot's figures.
        figure._repr_png_ = functools.partial(_to_png, figure)
    return figure.subplots(rows, columns, squeeze=False).ravel()


def _to_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()
