"""The picture of a photograph that was explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..pictures.styles import stretch
from ..pictures.visualizer import GradVisualizer
from .attributing import Explained

PANEL, HEIGHT = 4.0, 7.0
"""Width of a panel and height of the figure at most, in inches; `SHOWN` at 100 pixels an inch."""


def draw(explained: Explained, caption: str, path: Path) -> None:
    """Draw the maps over the photograph in its own shape, whatever shape the model saw."""
    photograph, info = explained.task.photograph, explained.info
    shape = photograph.picture.shape[:2]
    error = info.pixel_error_map
    panels = 3 if error is None else 4
    GradVisualizer().visualize(
        photograph.picture,
        _stretch_mean(explained.gradient, shape),
        _stretch_mean(explained.attributions, shape),
        polarity="both",
        style="blended",
        error=None if error is None else stretch(error, shape),
        figsize=(PANEL * panels, HEIGHT),
        caption=f"{photograph.source.path.name}: {caption}",
        show=False,
        save=path,
    )


def _stretch_mean(maps: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Return the mean over the channels, which is what is drawn, in another shape."""
    return stretch(maps.mean(axis=2, dtype=np.float64, keepdims=True), shape)
