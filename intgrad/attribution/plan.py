"""How the path integrals are to be computed: the options of a call, checked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from .. import _core
from ..models.model import Model, Output, check_int

Rule = Literal["trapezoid", "midpoint", "left", "right", "gauss-legendre"]
Whose = Literal["pixels", "regions"]
RULES: tuple[Rule, ...] = get_args(Rule)
MAX_STEPS = 100_000
MAX_GAUSS_STEPS = 10_000
"""Finding the nodes takes the square of their number."""
IMAGE_RULES = ("trapezoid", "right")
"""Those with a node at the image, whose gradient they give for free."""
RETAINED_BYTES = 2**30
"""What the gradients that bisection keeps may take, over all images in work."""


def has_error_bars(rule: str, steps: int, tolerance: float | None) -> bool:
    """Say whether the error of these nodes can be estimated."""
    return rule == "trapezoid" and (tolerance is not None or steps >= 2)


@dataclass(frozen=True)
class Plan:
    """Where gradients are computed, and what of them is kept."""

    rule: Rule
    steps: int
    tolerance: float | None
    max_evaluations: int
    output: Output
    batch_size: int | None
    error_map: bool
    gradient: bool
    tolerance_of: Whose

    @classmethod
    def check(cls, model: Any, options: Mapping[str, Any], *, return_info: bool) -> Plan:
        """Make a plan for a model, or raise the TypeError or ValueError that says what is wrong.

        `options` holds all `Options`; which of them concern it, the fields say.
        """
        if not isinstance(model, Model):
            raise TypeError(
                f"model must be an intgrad.Model, got {type(model).__name__}:"
                " intgrad.load_model(...)"
            )
        chosen = {field.name: options[field.name] for field in fields(cls)}
        chosen["steps"] = _check_steps(chosen["steps"], "steps")
        chosen["max_evaluations"] = _check_steps(chosen["max_evaluations"], "max_evaluations")
        chosen["tolerance"] = _check_tolerance(chosen["tolerance"])
        if chosen["batch_size"] is not None:
            size = check_int(chosen["batch_size"], "batch_size")
            chosen["batch_size"] = min(size, sys.maxsize)
        chosen["output"] = model.resolve_output(chosen["output"])
        plan = cls(**chosen)
        plan._check_rule(return_info)
        plan._check_regions(options["segments"] is not None, return_info)
        return plan

    def _check_regions(self, are_wanted: bool, return_info: bool) -> None:
        if are_wanted and not return_info:
            raise ValueError("segments= is for info.regions: it needs return_info=True")
        if self.tolerance_of not in get_args(Whose):
            raise ValueError(
                f"tolerance_of must be one of {', '.join(get_args(Whose))}, got"
                f" {self.tolerance_of!r}"
            )
        if self.tolerance_of == "regions":
            for name, value in (("tolerance", self.tolerance), ("segments", are_wanted or None)):
                if value is None:
                    raise ValueError(f"tolerance_of='regions' needs {name}=, and it is None")

    def _check_rule(self, return_info: bool) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        if self.rule == "gauss-legendre" and self.steps > MAX_GAUSS_STEPS:
            raise ValueError(
                f"steps must be at most {MAX_GAUSS_STEPS} for rule='gauss-legendre', got"
                f" {self.steps}"
            )
        if self.tolerance is not None and self.rule != "trapezoid":
            raise ValueError(
                f"tolerance={self.tolerance:g} needs rule='trapezoid', the one whose error can be"
                f" estimated, got rule={self.rule!r}"
            )
        for name in ("error_map", "gradient"):
            if getattr(self, name) and not return_info:
                raise ValueError(f"{name}=True is returned in the info: it needs return_info=True")
        if self.error_map and not has_error_bars(self.rule, self.steps, self.tolerance):
            raise ValueError(
                "error_map=True needs the trapezoid rule and at least 2 steps, got"
                f" rule={self.rule!r}, steps={self.steps}"
            )
        if self.gradient and self.rule not in IMAGE_RULES:
            raise ValueError(
                f"gradient=True takes the path's last node, and rule={self.rule!r} has none at the"
                " image: use rule='trapezoid', or model.gradients(...)"
            )

    def nodes(self) -> tuple[Any, Any, Any]:
        """Return alphas, weights and half weights (None if the rule has no error estimate)."""
        return _core.nodes(self.rule, self.steps)

    def core_options(self, baselines: int, point_bytes: int) -> dict[str, Any]:
        """Return what `_core.integrate` is to know of this plan.

        `point_bytes` is the size of a point's gradients, all targets together.
        """
        alphas, weights, half_weights = self.nodes()
        options: dict[str, Any] = {
            "alphas": alphas,
            "weights": weights,
            "half_weights": half_weights,
            "output": self.output,
            "error_map": self.error_map,
            "gradient": self.gradient,
        }
        if self.tolerance is not None:
            most = max(RETAINED_BYTES // point_bytes, 1)
            options["tolerance"] = self.tolerance
            options["max_evaluations"] = self._cap(most, baselines)
            options["most_retained"] = most
            options["by_region"] = self.tolerance_of == "regions"
        return options

    def _cap(self, most_retained: int, baselines: int) -> int:
        least = _core.FIRST_NODES * baselines
        if self.max_evaluations < least:
            raise ValueError(
                f"max_evaluations={self.max_evaluations} is too few for a tolerance: every baseline"
                f" starts with {_core.FIRST_NODES} gradients, {least} for {baselines}"
            )
        if most_retained < least:
            raise ValueError(
                f"tolerance={self.tolerance:g} keeps at least {least} gradients of {baselines}"
                f" baselines, and {most_retained} of this size and number of targets fit into the"
                f" {RETAINED_BYTES >> 20} MiB that they may take: use steps= instead"
            )
        return min(self.max_evaluations, most_retained)

    def shortfall(self, errors: Any, evaluations: Any, first_image: int) -> str:
        """Say which errors (N, T) are beyond the tolerance; "" if none is."""
        missed = np.argwhere(~(errors <= self.tolerance))
        if not len(missed):
            return ""
        image, target = missed[0]
        count = int(evaluations[image])
        why = "raise max_evaluations"
        if count < self.max_evaluations:
            why = f"more gradients than take {RETAINED_BYTES >> 20} MiB are not kept"
        others = f", and {len(missed) - 1} more" if len(missed) > 1 else ""
        return (
            f"tolerance={self.tolerance:g} was not reached: image {first_image + image} is at"
            f" {errors[image, target]:.3g} after {count} gradients{others}; {why}"
        )


def _check_steps(value: Any, name: str) -> int:
    number = check_int(value, name)
    if number > MAX_STEPS:
        raise ValueError(f"{name} must be at most {MAX_STEPS}, got {number}")
    return number


def _check_tolerance(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool | np.bool_ | str):
        raise TypeError(f"tolerance must be a number, got {value!r}")
    try:
        tolerance = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"tolerance must be a number, got {value!r}") from None
    if not 0 < tolerance < np.inf:
        raise ValueError(
            f"tolerance must be a positive number, the relative error to reach, got {value!r}"
        )
    return tolerance
