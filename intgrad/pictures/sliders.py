"""Sliders for GradVisualizer in Jupyter."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.mending import warn_of_range
from .arguments import to_photographs, to_real
from .panels import to_rgb
from .recipe import Recipe
from .visualizer import GradVisualizer


def explore(
    image: npt.ArrayLike,
    gradients: npt.ArrayLike,
    attributions: npt.ArrayLike,
    *,
    visualizer: GradVisualizer | None = None,
    clip: float | None = None,
) -> Any:
    """Look at attributions through sliders, in a Jupyter notebook.

    Percentiles, polarity, cleanup and outlines are those of `GradVisualizer.process_grads`, except
    that the edge of the picture outlines nothing: a region that fills the picture would be framed.
    The pictures are redrawn as the sliders move.

    Parameters
    ----------
    image, gradients, attributions : array_like
        (H, W, 3) each; the image in 0..255.
    visualizer : GradVisualizer, optional
        Whose colours to use.
    clip : float, optional
        As in `process_grads`; None, which cuts nothing, suits every unit.

    Returns
    -------
    ipywidgets.VBox
        Display it, or let it be the last line of a cell. Its attribute `controls` is a dict of
        the sliders, `pictures` one of the pictures, so that a program can move and read them.

    Warns
    -----
    UserWarning
        If the image's values are no pixels.

    Raises
    ------
    TypeError, ValueError
        As `GradVisualizer.process_grads`.
    ImportError
        If ipywidgets or Pillow is not installed.
    """
    widgets = require("ipywidgets", "ipywidgets", "explore")
    painter = GradVisualizer() if visualizer is None else visualizer
    controls = _make_controls(widgets)
    pictures = {
        name: widgets.Image(format="png", width=300)
        for name in ("Photograph", "Gradients", "Integrated gradients")
    }
    photograph = to_photographs(to_real(image, "image", ndim=3))[0]
    warn_of_range(photograph, stacklevel=3)
    pictures["Photograph"].value = _to_png(to_rgb(photograph))

    def redraw(change: Any = None) -> None:
        low, high = controls["percentiles"].value
        size = controls["cleanup"].value
        recipe = Recipe.of(
            polarity=controls["polarity"].value,
            clip_above_percentile=high,
            clip_below_percentile=low,
            morphological_cleanup=size > 0,
            structure=np.ones((size or 1, size or 1)),
            outlines=controls["outlines"].value,
            outlines_component_percentage=controls["outlined"].value,
            overlay=controls["overlay"].value,
            clip=clip,
            rank="pixels",
            vmax=None,
        )
        for name, values in (("Gradients", gradients), ("Integrated gradients", attributions)):
            shown = painter._cook(replace(recipe, rim=False), photograph, values)
            pictures[name].value = _to_png(to_rgb(shown))

    redraw()
    for control in controls.values():
        control.observe(redraw, names="value")
    columns = [widgets.VBox([widgets.Label(name), picture]) for name, picture in pictures.items()]
    box = widgets.VBox([widgets.HBox(columns), *controls.values()])
    box.controls, box.pictures = controls, pictures
    return box


def _make_controls(widgets: Any) -> dict[str, Any]:
    common = {
        "layout": widgets.Layout(width="600px"),
        "style": {"description_width": "140px"},
    }
    return {
        "percentiles": widgets.FloatRangeSlider(
            value=(0, 99), min=0, max=100, step=0.5, description="Percentiles", **common
        ),
        "polarity": widgets.Dropdown(
            options=["positive", "negative", "both"], description="Polarity", **common
        ),
        "cleanup": widgets.IntSlider(
            value=0, min=0, max=9, description="Cleanup, pixels", **common
        ),
        "outlines": widgets.Checkbox(value=False, description="Outlines", **common),
        "outlined": widgets.FloatSlider(
            value=90, min=1, max=100, description="Outlined, %", **common
        ),
        "overlay": widgets.Checkbox(value=True, description="Over the photograph", **common),
    }


def _to_png(picture: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    require("PIL.Image", "pillow", "explore").fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
