"""Paths from a baseline to an image: a straight line, less and less blur, or a guided one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from .. import _core
from ..images.arrays import Float32Array
from .baselines import Baselines
from .numbers import check_number

Path = Literal["straight", "blur", "guided"]
PATHS: tuple[Path, ...] = get_args(Path)
SIGMA = 50.0
FRACTION = 0.25
MAX_DISTANCE = 0.02
"""Those of the authors: of Blur IG, and of Guided IG."""
MAX_SIGMA = 1000.0
MIN_FRACTION = 0.001
"""A step takes a pass over the picture for each such share of it."""
RULES = ("trapezoid", "left")
"""Of paths that are not straight."""
OWNERS = {"sigma": "blur", "fraction": "guided", "max_distance": "guided"}


@dataclass(frozen=True)
class Curve:
    """A path, as the core takes it."""

    path: Path
    is_left: bool
    steps: int
    sigma: float
    fraction: float
    max_distance: float

    @property
    def rule(self) -> str:
        """Where the core's nodes are; the authors' blur has its own at the sharp end of steps."""
        if not self.is_left or self.path == "straight":
            return "trapezoid"
        return "right" if self.path == "blur" else "left"

    def core_options(self) -> dict[str, Any]:
        """Return what `_core.integrate` is to know of it."""
        if self.path == "straight":
            return {}
        numbers = (self.steps, self.sigma, self.fraction, self.max_distance)
        return {"curve": (self.path, self.is_left, *numbers)}

    def make_baselines(self, images: Float32Array) -> Baselines:
        """Return the blurred images that this path begins with."""
        blurred = np.stack([_core.blur(image, self.sigma) for image in images])
        return Baselines(blurred[:, np.newaxis], f"blur of {self.sigma:g} pixels")


def check_path(options: Mapping[str, Any]) -> Curve:
    """Return the path of a call, or raise the TypeError or ValueError that says what is wrong.

    Rule, steps and tolerance are looked at by `Plan`; here is what differs from path to path.
    """
    path = options["path"]
    if path not in PATHS:
        raise ValueError(f"path must be one of {', '.join(PATHS)}, got {path!r}")
    for name, owner in OWNERS.items():
        if options[name] is not None and path != owner:
            raise ValueError(
                f"{name}={options[name]!r} is for path={owner!r}, and the path is {path!r}"
            )
    if path != "straight" and options["rule"] not in RULES:
        raise ValueError(
            f"path={path!r} needs rule='trapezoid', or 'left' for its authors' sums, got"
            f" rule={options['rule']!r}"
        )
    baseline = options["baseline"]
    if path == "blur" and not (isinstance(baseline, str) and baseline == "black"):
        told = repr(baseline) if isinstance(baseline, str | int | float) else "..."
        raise ValueError(
            f"path='blur' begins with the image blurred by sigma: baseline={told} means nothing to"
            " it"
        )
    if path == "guided" and options["tolerance"] is not None:
        raise ValueError(
            f"tolerance={options['tolerance']!r} needs a path whose nodes can be chosen: each"
            " picture of path='guided' follows from the gradients before it, so give steps="
        )
    sigma, fraction, max_distance = (
        default
        if options[name] is None
        else check_number(options[name], name, least=least, most=most)
        for name, default, least, most in (
            ("sigma", SIGMA, 0.0, MAX_SIGMA),
            ("fraction", FRACTION, MIN_FRACTION, 1.0),
            ("max_distance", MAX_DISTANCE, 0.0, 1.0),
        )
    )
    is_left = options["rule"] == "left"
    return Curve(path, is_left, options["steps"], sigma, fraction, max_distance)
