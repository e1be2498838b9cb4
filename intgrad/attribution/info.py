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
from ..models.model import Backend, Model, Output
from ..models.targets import Targets
from .baselines import Baselines
from .doubts import NOTABLE
from .paths import Path
from .plan import Plan, Rule, has_error_bars
from .regions import Regions, Segments
from .sampling import Kind

UNKNOWN_REGIONS = (
    "how far they are off is unknown: along a guided path errors of neighbours pile up, or cancel"
)
"""The estimate was too small there, by more than it is anywhere else."""


@dataclass(frozen=True, eq=False, repr=False)
class AttributionInfo:
    """What an attribution was made of, and how far it may be off.

    Errors are relative: the L2 norm of the error over the norm of the attributions.

    Attributes
    ----------
    target : int
        The class that was explained.
    label : str or None
        Its name, if the model has labels or a `score=` of one number.
    score, baseline_score : float
        F at the image and at the baseline (the mean over several).
    delta : float
        Completeness gap: the sum of the attributions less (score - baseline_score); NaN of
        `smoothgrad`, which adds up to nothing. One number, in which errors of many pixels cancel
        or pile up: it says little of the attributions' error, and may be far larger or smaller. Go
        by `error`.
    error : float
        Estimated error: how far the attributions may be from those of infinitely many steps. For
        baselines drawn at random, the root sum of squares of the two below; else the quadrature
        error, because the given baselines are what was asked for. NaN where it is unknown: for
        rules without an estimate, and where the attributions explain nothing (all of them 0, or
        hardly any of the score's change), of which a warning says more.
    quadrature_error : float
        ||T - T_half|| / sqrt(3) / ||T||, where T_half is the trapezoid on every other node; NaN
        for other rules and for fewer than 2 steps.
    baseline_error : float
        Standard error of the mean over the baselines, or over draws; NaN with one.
    error_map : numpy.ndarray or None
        Standard deviation of each attribution, in the attributions' shape and unit; its norm is
        `error` times that of the attributions.
    pixel_error_map : numpy.ndarray or None
        (H, W), the same for the mean of the attributions over the channels; with `error_map`.
    gradient : numpy.ndarray or None
        The plain gradient at the image, in the attributions' shape, score units per pixel value;
        with `gradient=True`.
    regions : Regions or None
        What the regions made of the score, with `segments`: `print(info.regions)`. Their error is
        NaN with `path="guided"`, along which errors of neighbouring pixels pile up.
    unattributable : float
        The share of the image's pixels that equal the baseline (all baselines; within 2 of 255)
        and can get nothing, whatever they show: dark ones from black.
    evaluations : int
        Points at which the gradient was evaluated, over all baselines.
    alphas : numpy.ndarray or tuple of numpy.ndarray
        The nodes on the path, 0 the baseline and 1 the image. With a tolerance and several
        baselines, whose paths are refined where each needs it: one array for each.
    steps : int
        Intervals of the path; with a tolerance those of all baselines together.
    method : {"integrated_gradients", "expected_gradients", "smoothgrad"}
        What computed it.
    path : {"straight", "blur", "guided"} or None
        What it was integrated along; None where it is a gradient, of no path.
    sigma : float or None
        Of the blur that `path="blur"` begins with, in pixels.
    draws : int or None
        Paths that were drawn at random, where they were.
    kind : {"mean", "square", "variance"} or None
        What `smoothgrad` made of its draws.
    noise : float or None
        Standard deviation of its noise, as a share of the image's range.
    rule, tolerance, output, baseline, precision, device
        As asked for.
    backend : {"libtorch", "autograd", "callable"}
        What ran the model, as `Model.backend`.
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
    label: str | None
    score: float
    baseline_score: float
    delta: float
    error: float
    quadrature_error: float
    baseline_error: float
    error_map: Float32Array | None
    pixel_error_map: Float32Array | None
    gradient: Float32Array | None
    regions: Regions | None
    unattributable: float
    evaluations: int
    method: str
    path: Path | None
    sigma: float | None
    draws: int | None
    kind: Kind | None
    noise: float | None
    alphas: npt.NDArray[np.float64] | tuple[npt.NDArray[np.float64], ...] | None
    rule: Rule | None
    steps: int | None
    tolerance: float | None
    output: Output
    baseline: str
    batch_size: int
    precision: str
    device: str
    backend: Backend
    seed: int | None
    seconds: float
    versions: dict[str, str]

    def __repr__(self) -> str:
        """Say what matters, and of arrays only their shape."""

        def brief(value: Any) -> str:
            if isinstance(value, np.ndarray):
                return f"array{value.shape}"
            return f"{value:.4g}" if isinstance(value, float) else repr(value)

        left_out = ("versions", "alphas", "precision", "device", "backend", "batch_size")
        told = [
            f"{name}={brief(value)}"
            for name, value in vars(self).items()
            if name not in left_out and value is not None
        ]
        return f"AttributionInfo({', '.join(told)})"

    def summary(self) -> str:
        """Say in a few lines what was explained, how far it may be off, and what that means."""
        scores = [f"{self.output} {self.score:.4g} at the image", *self._tell_baseline(4)]
        lines = [
            f"{self._name()}: {', '.join(scores)}",
            *self._explain_regions(),
            f"estimated error: {self._explain_error()}",
            *self._explain_delta(),
        ]
        if self.unattributable > NOTABLE:
            lines.append(
                f"{_percent(self.unattributable)} of the pixels equal the baseline, and get nothing"
                " whatever they show: see what another baseline says"
            )
        return "\n".join(lines)

    def caption(self, probability: float | None = None) -> str:
        """Say in a line what a picture of the attributions shows.

        Parameters
        ----------
        probability : float, optional
            Of the class, to be told beside its name; `model.predict(image)[info.target]`.
        """
        name = self._name()
        parts = [
            name if probability is None else f"{name} {_percent(probability)}",
            f"{self.output} {self.score:.3g} here",
            *self._tell_baseline(3),
            f"attributions off by about {_percent(self.error)}"
            if math.isfinite(self.error)
            else "error of the attributions unknown",
        ]
        if self.regions is not None and math.isfinite(self.regions.error):
            parts[-1:] = [f"regions off by about {_percent(self.regions.error)}", parts[-1]]
        if self.unattributable > NOTABLE:
            parts.append(
                f"{_percent(self.unattributable)} of the pixels equal the baseline and get nothing"
            )
        return ", ".join(parts)

    def _name(self) -> str:
        return f"class {self.target}" if self.label is None else self.label

    def _tell_baseline(self, digits: int) -> list[str]:
        if math.isnan(self.baseline_score):
            return []
        return [f"{self.baseline_score:.{digits}g} on {self._baseline_name()}"]

    def _baseline_name(self) -> str:
        if self.method == "expected_gradients":
            return f"the mean of {self.baseline}"
        if self.path == "blur":
            return f"the image with a {self.baseline}"
        kind, _, count = self.baseline.rpartition(" ")
        if kind == "stack of":
            return f"the mean of {count} given baselines"
        if kind == "uniform x":
            return "a random baseline" if count == "1" else f"the mean of {count} random baselines"
        return "the given baseline" if count == "array" else f"the {self.baseline} baseline"

    def _explain_regions(self) -> list[str]:
        if self.regions is not None and self.path == "guided":
            return [f"regions: {UNKNOWN_REGIONS}"]
        if self.regions is None or not math.isfinite(self.regions.error):
            return []
        certain = int(self.regions.is_certain().sum())
        return [
            f"regions: off by about {_percent(self.regions.error)}; {certain} of"
            f" {len(self.regions)} are told from zero by 2 standard deviations"
        ]

    def _explain_error(self) -> str:
        if self.draws is not None and not math.isfinite(self.error):
            return "unknown; there is nothing, or too few draws to tell"
        if self.draws is None and not has_error_bars(
            self.rule or "", self.steps or 0, self.tolerance
        ):
            return "unknown; only the trapezoid, of 2 steps or more, comes with an estimate"
        if math.isnan(self.error):
            return "unknown; the attributions explain nothing of the score"
        if math.isinf(self.error):
            return "unknown; the attributions are 0, but with fewer points they were not"
        if self.draws is not None:
            return (
                f"{_percent(self.error)}, what {self.draws} draws{self._explain_steps()} make of"
                " the attributions (norm of the standard error over theirs)"
            )
        draws = " and drawing few baselines" if self.error > self.quadrature_error else ""
        return (
            f"{_percent(self.error)}, what stopping at {self.evaluations} points{draws} makes of"
            " the attributions (norm of the error over theirs)"
        )

    def _explain_steps(self) -> str:
        if math.isnan(self.quadrature_error):
            return ""
        return f" ({_percent(self.baseline_error)}) of {self.steps} steps each"

    def _explain_delta(self) -> list[str]:
        if math.isnan(self.delta):
            return []
        change = self.score - self.baseline_score
        share = f", {_percent(abs(self.delta / change))} of the score's change" if change else ""
        instead = ": go by the estimated error" if math.isfinite(self.error) else ""
        return [
            f"completeness gap: {self.delta:+.3g}{share}, a poor guide, because errors of many"
            f" pixels cancel or pile up in it{instead}"
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that `json.dumps` takes: NaN and inf become None.

        The error maps and the gradient, which have the size of the image, are left out.
        """
        fields = dict(vars(self))
        del fields["error_map"], fields["pixel_error_map"], fields["gradient"]
        alphas = self.alphas
        if isinstance(alphas, tuple):
            fields["alphas"] = [path.tolist() for path in alphas]
        elif alphas is not None:
            fields["alphas"] = alphas.tolist()
        fields["versions"] = dict(self.versions)
        fields["regions"] = None if self.regions is None else self.regions.to_dict()
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in fields.items()
        }


Infos = AttributionInfo | list[AttributionInfo] | list[list[AttributionInfo]]


def make_infos(
    model: Model,
    result: dict[str, Any],
    targets: Targets,
    baselines: Baselines,
    segments: Segments | None,
    plan: Plan,
    seconds: float,
) -> list[list[AttributionInfo]]:
    """Make the info of every image and target: N lists of T."""
    sampling = plan.sampling
    common = {
        "method": "integrated_gradients" if sampling is None else sampling.method,
        "path": plan.curve.path if sampling is None or sampling.has_path else None,
        "sigma": plan.curve.sigma if plan.curve.path == "blur" else None,
        "kind": None if sampling is None else sampling.kind,
        "noise": None if sampling is None else sampling.noise,
        "rule": plan.rule if plan.has_baseline else None,
        "tolerance": plan.tolerance,
        "output": plan.output,
        "baseline": baselines.name,
        "batch_size": result["batch_size"],
        "precision": model.precision,
        "device": model.device,
        "backend": model.backend,
        "seed": baselines.seed,
        "seconds": seconds,
        "versions": versions() if model.backend == "callable" else versions() | torch_version(),
    }
    nodes = _list_nodes(result, baselines, plan)
    return [
        [
            AttributionInfo(
                target=int(target),
                label=_label(model, int(target)),
                unattributable=float(result["unattributable"][i]),
                **_numbers(result, (i, t), baselines.is_sample, plan),
                regions=None
                if segments is None
                else segments.read(
                    result,
                    i,
                    t,
                    is_sample=baselines.is_sample,
                    is_known=plan.curve.path != "guided",
                ),
                **({"draws": None} | nodes[i]),
                **common,
            )
            for t, target in enumerate(row)
        ]
        for i, row in enumerate(targets)
    ]


def _label(model: Model, target: int) -> str | None:
    # Nobody may have counted the labels of a callable yet.
    return model.labels[target] if model.labels and target < len(model.labels) else None


def _numbers(
    result: dict[str, Any], cell: tuple[int, int], is_sample: bool, plan: Plan
) -> dict[str, Any]:
    """Return the fields that the core found for image and target `cell`."""
    score, baseline_score, total, quadrature_error, baseline_error = (
        float(result[name][cell])
        for name in ("scores", "baseline_scores", "sums", "quadrature_error", "baseline_error")
    )
    error_map, pixel_error_map, gradient = (
        None if result[name] is None else result[name][cell]
        for name in ("error_map", "pixel_error_map", "gradients")
    )
    has_draws = is_sample and not math.isnan(baseline_error)
    error = math.hypot(quadrature_error, baseline_error) if has_draws else quadrature_error
    if plan.draws is not None and not plan.has_quadrature:
        error = baseline_error
    return {
        "score": score,
        "baseline_score": baseline_score,
        "delta": total - (score - baseline_score) if plan.adds_up else math.nan,
        "error": error,
        "quadrature_error": quadrature_error,
        "baseline_error": baseline_error,
        "error_map": error_map,
        "pixel_error_map": pixel_error_map,
        "gradient": gradient,
    }


def _list_nodes(result: dict[str, Any], baselines: Baselines, plan: Plan) -> list[dict[str, Any]]:
    """Say of each image where its gradients were evaluated, and how many were drawn."""
    if plan.draws is not None:
        return _list_draws(result, plan)
    count = baselines.pixels.shape[1]
    if plan.tolerance is None:
        alphas = plan.nodes()[0]
        alphas.setflags(write=False)
        fixed = {"evaluations": count * len(alphas), "alphas": alphas, "steps": plan.steps}
        return [fixed] * len(result["scores"])
    nodes = []
    for row, counts in zip(result["alphas"], result["node_counts"], strict=True):
        evaluations = int(counts.sum())
        paths = np.split(row[:evaluations].copy(), np.cumsum(counts)[:-1])
        for path in paths:
            path.setflags(write=False)
        alphas = paths[0] if count == 1 else tuple(paths)
        nodes.append({"evaluations": evaluations, "alphas": alphas, "steps": evaluations - count})
    return nodes


def _list_draws(result: dict[str, Any], plan: Plan) -> list[dict[str, Any]]:
    """Of expected gradients each point is a draw; of smoothed ones each path."""
    assert plan.draws is not None
    alphas = plan.draws.nodes[0] if plan.has_baseline else None
    if alphas is not None:
        alphas.setflags(write=False)
    each = 1 if alphas is None else len(alphas)
    return [
        {
            "evaluations": int(evaluations),
            "alphas": alphas,
            "steps": None if alphas is None else plan.steps,
            "draws": int(evaluations) // each,
        }
        for evaluations in result["evaluations"]
    ]


def _percent(share: float) -> str:
    return "less than 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def versions() -> dict[str, str]:
    """Return the versions of what always takes part."""
    return {
        "intgrad": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def torch_version() -> dict[str, str]:
    """Return torch's version, where it has been imported."""
    return {"torch": str(sys.modules["torch"].__version__)} if "torch" in sys.modules else {}
