"""What regions made of the score as bars, the largest first, with how far each may be off."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._optional import require
from .captions import SMALL, TITLE
from .colours import Colour
from .contents import Key, Picture
from .figures import hand_out, new_figure
from .lettering import VERBATIM, printable
from .styles import UNCERTAIN

WIDTH, BAR, AROUND = 6.4, 0.24, 1.3
"""Of the bars, in inches: how wide they are, how high one with its gap, and what is around them."""
SIDE = 4.0
"""Of the picture beside them, the longer one."""
THICK = 0.72
"""Of a bar and its gap."""
HATCH = "////"
INK, PALE = "0.25", "0.45"


def draw_bars(
    regions: Any,
    *,
    k: float,
    most: int,
    keys: Sequence[Key],
    picture: Picture | None,
    title: str,
    axes: Sequence[Any] | None,
    show: bool,
    save: str | os.PathLike[str] | None,
) -> Any:
    """Draw a bar for each of the `most` largest regions, and one for all others.

    `regions` have `labels` (H, W), `ids`, `attributions` and `deviations` (R,); `keys` are what
    colours mean: what raises the score, what lowers it, what cannot be told from 0. A `picture` of
    the regions has its axes before those of the bars, and their names in it. Given `axes` get no
    keys.
    """
    order = np.argsort(-np.abs(regions.attributions), kind="stable")
    first, rest = order[:most], order[most:]
    rows = len(first) + (len(rest) > 0)
    *beside, panel = axes or _new_panels(BAR * rows + AROUND, picture, show)
    if picture is not None:
        _name(beside[0], picture, regions, first)
    values, deviations = regions.attributions[first], regions.deviations[first]
    _draw_first(panel, values, deviations, k, [key.colour for key in keys])
    names = [f"region {name}" for name in regions.ids[first].tolist()]
    if len(rest):
        total = regions.attributions[rest].sum()
        panel.barh(len(first), total, THICK, facecolor="none", edgecolor=PALE, linestyle="--")
        names.append(f"{len(rest)} {'others' if len(rest) > 1 else 'other'}")
    panel.set_yticks(range(rows), names, fontsize=SMALL)
    panel.set_ylim(rows - 0.4, -0.6)  # the largest on top
    is_known = bool(np.isfinite(deviations).any())
    doubt = ", \N{PLUS-MINUS SIGN} 1 standard deviation" if is_known else ""
    panel.set_xlabel(f"score units per region{doubt}", fontsize=SMALL)
    panel.set_title(printable(title), fontsize=TITLE, **VERBATIM)
    _leave_out_the_frame(panel)
    if axes is None:
        _explain(panel.figure, keys)
    return hand_out(panel.figure, is_new=axes is None, show=show, save=save)


def _new_panels(height: float, picture: Picture | None, show: bool) -> list[Any]:
    """Return the axes of a new figure: of the picture, if there is one, and of the bars."""
    if picture is None:
        return [new_figure((WIDTH, height), show, "constrained").add_subplot()]
    scale = SIDE / max(picture.shape[:2])
    high, wide = (scale * side for side in picture.shape[:2])
    figure = new_figure((WIDTH + wide, max(height, high + AROUND)), show, "constrained")
    return list(figure.subplots(1, 2, width_ratios=(wide, WIDTH)))


def _name(panel: Any, picture: Picture, regions: Any, first: Any) -> None:
    """Show the regions, and write into those that have a bar what they are called."""
    panel.imshow(picture)
    panel.set_axis_off()
    outline = require("matplotlib.patheffects", "matplotlib", "drawing").withStroke(
        linewidth=2, foreground="white"
    )
    for region in first:
        places = np.argwhere(regions.labels == region)
        middle = np.abs(places - places.mean(axis=0)).sum(axis=1).argmin()  # one of its own pixels
        row, column = places[middle].tolist()
        name = str(regions.ids[region])
        style = {"ha": "center", "va": "center", "fontsize": SMALL, "path_effects": [outline]}
        panel.text(column, row, name, **style)


def _draw_first(panel: Any, values: Any, deviations: Any, k: float, colours: Sequence[Any]) -> None:
    """Draw the bars of the largest, with their deviations where these are known."""
    raises, lowers, uncertain = (_to_fraction(colour) for colour in colours)
    doubtful = np.abs(values) <= k * deviations
    for row, (value, is_doubtful) in enumerate(zip(values, doubtful, strict=True)):
        colour = uncertain if is_doubtful else raises if value > 0 else lowers
        panel.barh(
            row,
            value,
            THICK,
            color=colour,
            edgecolor="white" if is_doubtful else colour,
            linewidth=0,
            hatch=HATCH if is_doubtful else None,
        )
    known = np.isfinite(deviations).nonzero()[0]
    panel.errorbar(
        values[known],
        known,
        xerr=deviations[known],
        fmt="none",
        ecolor=INK,
        elinewidth=1,
        capsize=2.5,
    )


def _leave_out_the_frame(panel: Any) -> None:
    panel.axvline(0, color=INK, linewidth=0.8)
    panel.tick_params("x", labelsize=SMALL)
    panel.tick_params("y", length=0)
    panel.spines[["top", "left", "right"]].set_visible(False)


def _explain(figure: Any, keys: Sequence[Key]) -> None:
    """Write below the bars what the colours mean."""
    patch = require("matplotlib.patches", "matplotlib", "drawing").Patch
    handles = [
        patch(
            facecolor=_to_fraction(key.colour),
            edgecolor="white",
            linewidth=0,
            hatch=HATCH if key.colour == UNCERTAIN else None,
            label=key.text,
        )
        for key in keys
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        handlelength=1.2,
        columnspacing=1.5,
        fontsize=SMALL,
        frameon=False,
    )


def _to_fraction(colour: Colour | None) -> list[float]:
    return [component / 255 for component in colour or (0, 0, 0)]
