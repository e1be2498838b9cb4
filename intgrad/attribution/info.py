"""What an attribution was made of, and how far it may be off."""

from __future__ import annotations

import math
import platform
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._version import __version__
from ..images.arrays import Float32Array
from ..models.model import Model, Output
from .baselines import Baselines
from .plan import Rule


@dataclass(frozen=True, eq=False, repr=False)
class AttributionInfo:
    """What an attribution was made of, and how far it may be off.

    Errors are relative: the L2 norm of the error over the norm of the attributions.

    Attributes
    ----------
    target : int
        The class that was explained.
    score, baseline_score : float
        F at the image and at the baseline (the mean over several).
    delta : float
        Completeness gap: the sum of the attributions less (score - baseline_score). It says
        little of the attributions' error, which may be far smaller or larger.
    error : float
        Estimated error. For baselines drawn at random, the root sum of squares of the two
        below; else the quadrature error, because the given baselines are what was asked for.
    quadrature_error : float
        ||T - T_half|| / sqrt(3) / ||T||, where T_half is the trapezoid on every other node; NaN
        for other rules and for fewer than 2 steps.
    baseline_error : float
        Standard error of the mean over the baselines; NaN with one baseline.
    error_map : numpy.ndarray or None
        Standard deviation of each attribution, in the attributions' shape and unit; its norm is
        `error` times that of the attributions.
    pixel_error_map : numpy.ndarray or None
        (H, W), the same for the mean of the attributions over the channels; with `error_map`.
    gradient : numpy.ndarray or None
        The plain gradient at the image, in the attributions' shape, score units per pixel value;
        with `gradient=True`.
    evaluations : int
        Points at which the gradient was evaluated, over all baselines.
    alphas : numpy.ndarray or tuple of numpy.ndarray
        The nodes on the path, 0 the baseline and 1 the image. With a tolerance and several
        baselines, whose paths are refined where each needs it: one array for each.
    steps : int
        Intervals of the path; with a tolerance those of all baselines together.
    rule, tolerance, output, baseline, precision, device
        As asked for.
    batch_size : int
        Points evaluated together; smaller than asked for where memory was short.
    seed : int or None
        What random baselines were drawn with; passing it again repeats them.
    seconds : float
        Wall time of the whole call.
    versions : dict
        Of intgrad, Python, NumPy and, where it was used, torch.
    """

    target: int
    score: float
    baseline_score: float
    delta: float
    error: float
    quadrature_error: float
    baseline_error: float
    error_map: Float32Array | None
    pixel_error_map: Float32Array | None
    gradient: Float32Array | None
    evaluations: int
    alphas: npt.NDArray[np.float64] | tuple[npt.NDArray[np.float64], ...]
    rule: Rule
    steps: int
    tolerance: float | None
    output: Output
    baseline: str
    batch_size: int
    precision: str
    device: str
    seed: int | None
    seconds: float
    versions: dict[str, str]

    def __repr__(self) -> str:
        """Say what matters, and of arrays only their shape."""

        def brief(value: Any) -> str:
            if isinstance(value, np.ndarray):
                return f"array{value.shape}"
            return f"{value:.4g}" if isinstance(value, float) else repr(value)

        left_out = ("versions", "alphas", "precision", "device", "batch_size")
        told = [
            f"{name}={brief(value)}"
            for name, value in vars(self).items()
            if name not in left_out and value is not None
        ]
        return f"AttributionInfo({', '.join(told)})"

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that `json.dumps` takes: NaN and inf become None.

        The error maps and the gradient, which have the size of the image, are left out.
        """
        fields = dict(vars(self))
        del fields["error_map"], fields["pixel_error_map"], fields["gradient"]
        alphas = self.alphas
        fields["alphas"] = (
            [path.tolist() for path in alphas] if isinstance(alphas, tuple) else alphas.tolist()
        )
        fields["versions"] = dict(self.versions)
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in fields.items()
        }


Infos = AttributionInfo | list[AttributionInfo] | list[list[AttributionInfo]]


def make_info(
    result: dict[str, Any],
    cell: tuple[int, int],
    target: int,
    baselines: Baselines,
    nodes: dict[str, Any],
    common: dict[str, Any],
) -> AttributionInfo:
    """Make the info of image and target `cell` from what the core returned.

    `nodes` holds the fields that say where its gradients were evaluated, `common` those that all
    images share.
    """
    score, baseline_score, total, quadrature_error, baseline_error = (
        float(result[name][cell])
        for name in ("scores", "baseline_scores", "sums", "quadrature_error", "baseline_error")
    )
    error_map, pixel_error_map, gradient = (
        None if result[name] is None else result[name][cell]
        for name in ("error_map", "pixel_error_map", "gradients")
    )
    has_draws = baselines.is_sample and not math.isnan(baseline_error)
    return AttributionInfo(
        target=target,
        score=score,
        baseline_score=baseline_score,
        delta=total - (score - baseline_score),
        error=math.hypot(quadrature_error, baseline_error) if has_draws else quadrature_error,
        quadrature_error=quadrature_error,
        baseline_error=baseline_error,
        error_map=error_map,
        pixel_error_map=pixel_error_map,
        gradient=gradient,
        **nodes,
        **common,
    )


def versions(model: Model) -> dict[str, str]:
    """Return the versions of what took part."""
    found = {
        "intgrad": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    if model.device != "callable":
        found["torch"] = str(sys.modules["torch"].__version__)
    return found
