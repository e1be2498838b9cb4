"""What the maps of a method mean: their names, units and signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Meaning:
    """What a map is called, its unit and that of a region's sum, and whether it has a sign."""

    title: str
    unit: str = "score units per pixel, mean over channels"
    region_unit: str = "score units per region"
    is_signed: bool = True


SLOPE = "score units per pixel value"
SQUARES = (f"({SLOPE})², mean over channels", f"({SLOPE})², sum over region", False)
MEANINGS = {
    "straight": Meaning("Integrated gradients"),
    "blur": Meaning("Blur IG"),
    "guided": Meaning("Guided IG"),
    "expected_gradients": Meaning("Expected gradients"),
    "mean": Meaning("SmoothGrad", f"{SLOPE}, mean over channels", f"{SLOPE}, sum over region"),
    "square": Meaning("SmoothGrad, squared", *SQUARES),
    "variance": Meaning("VarGrad", *SQUARES),
}
"""By the kind, where there are several; else by the path of Integrated Gradients, or the method."""


def find_meaning(facts: Mapping[str, Any]) -> Meaning:
    """Return what a map means of which `AttributionInfo.to_dict` has the facts."""
    if facts["method"] == "integrated_gradients":
        return MEANINGS[facts["path"]]
    return MEANINGS[facts["kind"] or facts["method"]]
