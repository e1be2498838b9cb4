"""How the path integrals are to be computed: the options of a call, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from .. import _core
from ..images.arrays import Float32Array
from ..models.model import Model, Output, check_batch_size, check_int
from .baselines import Baselines, make_baselines
from .numbers import check_number
from .paths import Curve, check_path
from .remarks import Remarks
from .sampling import Draws, Sampling

Rule = Literal["trapezoid", "midpoint", "left", "right", "gauss-legendre"]
Whose = Literal["pixels", "regions"]
RULES: tuple[Rule, ...] = get_args(Rule)
MAX_STEPS = 100_000
MAX_GAUSS_STEPS = 10_000
"""Finding the nodes takes the square of their number."""
IMAGE_RULES = ("trapezoid", "right")
"""Those with a node at the image, whose gradient they give for free."""
CHOSEN = (
    "rule",
    "steps",
    "tolerance",
    "max_evaluations",
    "output",
    "batch_size",
    "error_map",
    "gradient",
    "tolerance_of",
)
"""Options that a plan holds as they are."""
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
    curve: Curve
    sampling: Sampling | None = None
    draws: Draws | None = None

    @classmethod
    def check(
        cls,
        model: Any,
        options: Mapping[str, Any],
        *,
        return_info: bool,
        sampling: Sampling | None = None,
    ) -> Plan:
        """Make a plan for a model, or raise the TypeError or ValueError that says what is wrong.

        `options` holds all `Options`; `sampling` is what draws paths, if they are drawn.
        """
        if not isinstance(model, Model):
            raise TypeError(
                f"model must be an intgrad.Model, got {type(model).__name__}:"
                " intgrad.load_model(...)"
            )
        chosen = {name: options[name] for name in CHOSEN}
        chosen["steps"] = _check_steps(chosen["steps"], "steps")
        chosen["max_evaluations"] = _check_steps(chosen["max_evaluations"], "max_evaluations")
        chosen["tolerance"] = _check_tolerance(chosen["tolerance"])
        chosen["batch_size"] = check_batch_size(chosen["batch_size"])
        chosen["output"] = model.resolve_output(chosen["output"])
        if options["rule"] not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {options['rule']!r}")
        curve = check_path({**options, "steps": chosen["steps"], "tolerance": chosen["tolerance"]})
        plan = cls(**chosen, curve=curve, sampling=sampling)
        plan._check_info(return_info)
        plan._check_rule()
        plan._check_regions(options["segments"] is not None, return_info)
        return plan if sampling is None else plan._draw()

    def _draw(self) -> Plan:
        """Return this plan with the paths that are drawn."""
        assert self.sampling is not None
        draws = self.sampling.design(self)
        paths = draws.count if draws.per_stratum else 4 if draws.kind == "variance" else 2
        least = paths * len(draws.nodes[0])
        if self.tolerance is not None and self.max_evaluations < least:
            raise ValueError(
                f"max_evaluations={self.max_evaluations} is too few for a tolerance: it takes"
                f" {least} gradients to tell how exact they are"
            )
        return replace(self, draws=draws)

    @property
    def has_quadrature(self) -> bool:
        """Say whether the error of stopping at so many nodes is estimated."""
        if self.draws is not None:
            return self.draws.nodes[2] is not None
        return has_error_bars(self.rule, self.steps, self.tolerance)

    @property
    def has_baseline(self) -> bool:
        """Say whether all paths begin with the same pictures, and have nodes of their own."""
        return self.sampling is None or self.sampling.has_baseline

    @property
    def adds_up(self) -> bool:
        """Say whether attributions add up to a change of the score."""
        return self.sampling is None or self.sampling.adds_up

    @property
    def is_straight(self) -> bool:
        """Say whether what equals the baseline stays as it is all the way, and gets nothing."""
        return self.sampling is None and self.curve.path != "blur"

    def make_baselines(
        self, baseline: Any, images: Float32Array, seed: int | None, remarks: Remarks, *, each: bool
    ) -> Baselines:
        """Make what the paths begin with; `each` says whether every image may have its own."""
        if self.sampling is not None:
            return self.sampling.make_baselines(baseline, images, remarks, each)
        if self.curve.path == "blur":
            return self.curve.make_baselines(images)
        return make_baselines(baseline, images, seed, remarks, each=each)

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

    def _check_info(self, return_info: bool) -> None:
        for name in ("error_map", "gradient"):
            if getattr(self, name) and not return_info:
                raise ValueError(f"{name}=True is returned in the info: it needs return_info=True")

    def _check_rule(self) -> None:
        if self.rule == "gauss-legendre" and self.steps > MAX_GAUSS_STEPS:
            raise ValueError(
                f"steps must be at most {MAX_GAUSS_STEPS} for rule='gauss-legendre', got"
                f" {self.steps}"
            )
        if self.sampling is not None:
            return
        if self.tolerance is not None and self.rule != "trapezoid":
            raise ValueError(
                f"tolerance={self.tolerance:g} needs rule='trapezoid', the one whose error can be"
                f" estimated, got rule={self.rule!r}"
            )
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
        on_curve = self.curve.path != "straight"
        return _core.nodes(self.curve.rule if on_curve else self.rule, self.steps)

    def core_options(self, baselines: int, point_bytes: int) -> dict[str, Any]:
        """Return what `_core.integrate` is to know of this plan.

        `point_bytes` is the size of a point's gradients, all targets together.
        """
        alphas, weights, half_weights = self.draws.nodes if self.draws else self.nodes()
        options: dict[str, Any] = {
            "alphas": alphas,
            "weights": weights,
            "half_weights": half_weights,
            "output": self.output,
            "error_map": self.error_map,
            "gradient": self.gradient,
            **self._core_path(),
        }
        if self.tolerance is not None and self.draws is None:
            most = max(RETAINED_BYTES // point_bytes, 1)
            options["tolerance"] = self.tolerance
            options["max_evaluations"] = self._cap(most, baselines)
            options["most_retained"] = most
            options["by_region"] = self.tolerance_of == "regions"
        return options

    def _core_path(self) -> dict[str, Any]:
        if self.sampling is None or self.sampling.has_path:
            return self.curve.core_options()
        return {"curve": ("stay", False, 0, 0.0, 0.0, 0.0)}

    def core_draws(self, images: Float32Array) -> dict[str, Any]:
        """Return what `_core.integrate` is to know of the paths that are drawn for these images."""
        draws, sampling = self.draws, self.sampling
        if draws is None or sampling is None:
            return {}
        return {
            "draws": (
                draws.count,
                draws.per_stratum,
                sampling.pictures(images),
                draws.starts,
                draws.kind,
                self.tolerance or 0.0,
                self.tolerance_of == "regions",
                self.max_evaluations,
            )
        }

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
        if self.draws is not None:
            has_all = count == self.draws.count < self.max_evaluations
            if has_all:
                why = "all references are drawn: give more of them, or raise max_evaluations to"
                why += f" {8 * count}, for several points of each"
        elif count < self.max_evaluations:
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
    return check_number(value, "tolerance", meaning=", the relative error to reach")
