"""What a record says of a photograph that was explained."""

from __future__ import annotations

from typing import Any

from ..attribution.doubts import NOTABLE
from ..models.model import Model
from ..report.views import make_overview
from .attributing import Explained


def tell(explained: Explained, model: Model, model_name: str) -> dict[str, Any]:
    """Return the facts of its record: all but the photograph, its files, and the request."""
    photograph, info = explained.task.photograph, explained.info
    facts = {"model": model_name, "top": explained.task.top, **info.to_dict()}
    return facts | {
        "label": model._label(info.target),
        "note": note(facts),
        "size": photograph.size,
        "seen": photograph.seen,
        "fill": photograph.fill,
        "overview": make_overview(explained.attributions),
    }


def arrays_of(explained: Explained) -> dict[str, Any]:
    """Return the arrays that are kept of it, by their names."""
    info = explained.info
    found = {
        "attributions": explained.attributions,
        "gradient": explained.gradient,
        "regions": None if info.regions is None else info.regions.labels,
        "error_map": info.error_map,
        "pixel_error_map": info.pixel_error_map,
    }
    return {name: array for name, array in found.items() if array is not None}


def note(record: dict[str, Any]) -> str | None:
    """Say what to beware of in the attributions of a photograph, if anything."""
    if record["unattributable"] <= NOTABLE:
        return None
    other = "gray" if record["baseline"] == "blur" else "blur"
    return (
        f"{record['unattributable']:.0%} of the pixels are as the {record['baseline']} baseline and"
        f" can get nothing, whatever they show: try --baseline {other}"
    )
