"""Figures: what is drawn, on matplotlib's object interface, so that no global state is touched."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._optional import require
from .images import Float32Array


def draw_explanation(
    image: Float32Array, gradient: Float32Array, attributions: Float32Array, title: str
) -> Any:
    """Draw a photograph, its plain gradient and its attributions side by side.

    Parameters
    ----------
    image, gradient, attributions : numpy.ndarray
        (H, W, C) each.
    title : str
        Above all three.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = require("matplotlib.figure", "matplotlib", "drawing").Figure(
        figsize=(12, 4.6), layout="constrained"
    )
    panels = figure.subplots(1, 3)
    panels[0].imshow(image.astype(np.uint8))
    panels[0].set_title("Photograph")
    for panel, values, name in (
        (panels[1], gradient, "Gradient"),
        (panels[2], attributions, "Integrated gradients"),
    ):
        _draw_heat(panel, values)
        panel.set_title(f"{name} (red: for, blue: against)")
    for panel in panels:
        panel.set_axis_off()
    figure.suptitle(title)
    return figure


def _draw_heat(panel: Any, values: Float32Array) -> None:
    """Draw the channel sum on a diverging scale, cut where 1 % of the pixels lie beyond."""
    heat = values.sum(axis=2)
    limit = float(np.percentile(np.abs(heat), 99)) or 1.0
    panel.imshow(heat, cmap="RdBu_r", vmin=-limit, vmax=limit)
