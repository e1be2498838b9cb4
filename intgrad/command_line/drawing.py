"""The picture of a photograph that was explained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..explaining.attributing import Explained
from ..pictures.bitmaps import DPI, write_columns
from ..pictures.colours import NEGATIVE, POSITIVE
from ..pictures.contents import Column, Key
from ..pictures.framing import SHOWN
from ..pictures.layout import width_for
from ..pictures.panels import (
    EFFECT_UNSIGNED,
    EFFECTS,
    SUBJECTS,
    Subject,
    draw_regions,
    draw_styled,
    draw_trusted,
    explain_colours,
)
from ..pictures.styles import mean_of, scale_of, stretch

COLOURS = (POSITIVE, NEGATIVE)
STYLE, K = "blended", 2.0
UNSEEN = Key(None, "faded: outside of what the model sees")
PALETTE = 256
"""How many colours a picture has: a third of the bytes, and hardly a difference to the eye."""
WORDS = 1.5
"""Height of titles, scales, keys and a caption of two lines, in inches."""


def draw(explained: Explained, caption: str, path: Path) -> None:
    """Draw the maps over the photograph in its own shape, at the place that the model saw.

    As `GradVisualizer.visualize` does, but for its figure.
    """
    photograph, error = explained.task.photograph, explained.info.pixel_error_map
    meaning = explained.meaning
    polarity = "both" if meaning.is_signed else "positive"
    framed = photograph.framed
    picture = framed.seen
    shape = picture.shape[:2]
    subjects = [_subject(meaning.title, meaning.unit, explained.attributions, shape)]
    if explained.gradient is not None:
        subjects.insert(0, _subject(*SUBJECTS[0], explained.gradient, shape))
    columns = [Column("Input", [picture])]
    columns += [draw_styled(subject, STYLE, [picture], polarity, COLOURS) for subject in subjects]
    columns.append(
        draw_regions([picture], [explained.info.regions], K, COLOURS, polarity, meaning.region_unit)
    )
    if error is not None:
        deviations = [stretch(error, shape)]
        columns.append(draw_trusted(subjects[-1], deviations, K, COLOURS, polarity))
    columns = [
        replace(column, pictures=[framed.surround(each) for each in column.pictures])
        for column in columns
    ]
    effects = EFFECTS if meaning.is_signed else EFFECT_UNSIGNED
    keys = explain_colours(STYLE, polarity, COLOURS, K, effects)
    if not framed.is_whole:
        keys.append(UNSEEN)
    width, height = (pixels / DPI for pixels in SHOWN)
    write_columns(
        path,
        columns,
        figsize=(width_for(len(columns), width), height + WORDS),
        keys=keys,
        caption=f"{photograph.source.path.name}: {caption}",
        palette=PALETTE,
    )


def _subject(title: str, unit: str, maps: npt.NDArray[Any], shape: tuple[int, int]) -> Subject:
    """Make a column of maps (h, w, C) in another shape, on the scale of their own."""
    means = mean_of(maps)
    return Subject(title, unit, stretch(means, shape)[np.newaxis, ..., np.newaxis], scale_of(means))
