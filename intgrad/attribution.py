"""Integrated Gradients, and how exact they are."""

from __future__ import annotations

import dataclasses
import math
import platform
import sys
import time
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from . import _core
from ._optional import ProgressBar
from .baselines import Baselines, UniformDraws, make_baselines
from .images import Float32Array
from .model import Model, Output, check_int, squeeze

Rule = Literal["trapezoid", "midpoint", "left", "right", "gauss-legendre"]
MAX_STEPS = 100_000
RULES = ("trapezoid", "midpoint", "left", "right", "gauss-legendre")


@dataclass(frozen=True, eq=False)
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
    evaluations : int
        Points at which the gradient was evaluated, over all baselines.
    alphas : numpy.ndarray
        The nodes on the path, 0 the baseline and 1 the image.
    rule, steps, output, baseline, precision, device
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
    evaluations: int
    alphas: npt.NDArray[np.float64]
    rule: Rule
    steps: int
    output: Output
    baseline: str
    batch_size: int
    precision: str
    device: str
    seed: int | None
    seconds: float
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that `json.dumps` takes: NaN and inf become None.

        The error maps, which have the size of the image, are left out.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["error_map"], fields["pixel_error_map"]
        fields["alphas"] = self.alphas.tolist()
        fields["versions"] = dict(self.versions)
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in fields.items()
        }


Infos = AttributionInfo | list[AttributionInfo] | list[list[AttributionInfo]]


@overload
def integrated_gradients(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    baseline: Any = ...,
    steps: int = ...,
    rule: Rule = ...,
    tolerance: float | None = ...,
    max_evaluations: int = ...,
    output: Output = ...,
    batch_size: int | None = ...,
    seed: int | None = ...,
    progress: bool = ...,
    error_map: bool = ...,
    return_info: Literal[False] = ...,
) -> Float32Array: ...


@overload
def integrated_gradients(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    baseline: Any = ...,
    steps: int = ...,
    rule: Rule = ...,
    tolerance: float | None = ...,
    max_evaluations: int = ...,
    output: Output = ...,
    batch_size: int | None = ...,
    seed: int | None = ...,
    progress: bool = ...,
    error_map: bool = ...,
    return_info: Literal[True],
) -> tuple[Float32Array, Any]: ...


def integrated_gradients(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    baseline: Any = "black",
    steps: int = 50,
    rule: Rule = "trapezoid",
    tolerance: float | None = None,
    max_evaluations: int = 1024,
    output: Output = "softmax",
    batch_size: int | None = None,
    seed: int | None = None,
    progress: bool = False,
    error_map: bool = False,
    return_info: bool = False,
) -> Float32Array | tuple[Float32Array, Infos]:
    """Attribute a score to the pixels of an image.

    Integrated Gradients (Sundararajan, Taly and Yan 2017, arXiv 1703.01365): the attribution of a
    pixel is its distance from the baseline times the mean gradient on the straight path between
    them. Attributions add up to F(image) - F(baseline).

    Parameters
    ----------
    model : Model
        From `load_model`.
    images : array_like
        (H, W, C) or (N, H, W, C), values 0..255, any real dtype.
    targets : int, str or sequence, optional
        Class index or label: one for all images; `[3, 7]` one per image; `[[3, 7], [1, 2]]`
        several per image, which share the forward pass. Each image's top class if None.
    baseline : str, float or array_like
        `"black"` (0), `"white"` (255), `"gray"` (127.5), `"mean"` (the image's own, per channel),
        `"blur"` (Gaussian, standard deviation a 15th of the longer side), `"uniform"` (one random
        draw), a number, an array (H, W, C), or a stack (M, H, W, C), over which the attributions
        are averaged. In pixel space, 0..255.
    steps : int
        Intervals of the path. The trapezoid evaluates steps + 1 points, every other rule steps.
    rule : {"trapezoid", "midpoint", "left", "right", "gauss-legendre"}
        Quadrature. The error of a ReLU network's attributions falls as 1 / steps for every rule;
        the trapezoid alone comes with an estimate of it.
    tolerance : float, optional
        Not there yet: NotImplementedError.
    max_evaluations : int
        For `tolerance`.
    output : {"softmax", "log_softmax", "logit"}
        F, as seen from the logits of the target.
    batch_size : int, optional
        Points evaluated together; None is a fixed rule of shape and device.
    seed : int, optional
        For random baselines; the same draws serve every image of a batch.
    progress : bool
        Show a progress bar (tqdm).
    error_map : bool
        Add the standard deviation of each attribution, and of each pixel's mean over the
        channels, to the info; needs `return_info=True`, the trapezoid and at least 2 steps.
    return_info : bool
        Return (attributions, info).

    Returns
    -------
    attributions : numpy.ndarray
        float32 in the images' shape, in units of F; (N, T, H, W, C) or (T, H, W, C) for T targets
        per image. Those of the seed, which mixes units, are 127.5 times these.
    info : AttributionInfo or list
        With `return_info=True`: one for an image, a list for a batch; for T targets per image, a
        list of T in its place.

    Raises
    ------
    TypeError, ValueError, IndexError
        If an argument is wrong; the text quotes it and says what was expected.
    ModelError
        If the model fails, or gives NaN or inf; the text names the image and the point.
    KeyboardInterrupt
        On Ctrl-C, within one batch.
    """
    started = time.perf_counter()
    if not isinstance(model, Model):
        raise TypeError(
            f"model must be an intgrad.Model, got {type(model).__name__}: intgrad.load_model(...)"
        )
    steps, batch_size, seed = _check_numbers(steps, batch_size, seed)
    _check_rule(rule, steps, tolerance, max_evaluations, error_map, return_info)
    model._check_output(output)
    batch, single = model._to_batch(images)
    baselines = make_baselines(baseline, batch, seed)
    indices, many = model._resolve_targets(targets, batch)
    alphas, weights, half_weights = _core.nodes(rule, steps)
    with ProgressBar(progress, "gradient") as bar:
        result = _core.integrate(
            model._handle,
            batch,
            baselines.pixels,
            indices,
            alphas,
            weights,
            half_weights,
            output,
            model._batch_size(batch_size, batch.shape[1:]),
            baselines.is_sample,
            error_map,
            bar.update,
        )
    attributions = squeeze(result["attributions"], single, many)
    if not return_info:
        return attributions
    common = {
        "evaluations": baselines.pixels.shape[1] * len(alphas),
        "alphas": alphas,
        "rule": rule,
        "steps": steps,
        "output": output,
        "baseline": baselines.name,
        "batch_size": result["batch_size"],
        "precision": model.precision,
        "device": model.device,
        "seed": baselines.seed,
        "seconds": time.perf_counter() - started,
        "versions": _versions(model),
    }
    alphas.setflags(write=False)
    infos: list[Any] = [
        [_make_info(result, (i, t), int(target), baselines, common) for t, target in enumerate(row)]
        for i, row in enumerate(indices)
    ]
    if not many:
        infos = [row[0] for row in infos]
    return attributions, infos[0] if single else infos


def random_baseline_integrated_gradients(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    runs: int = 2,
    seed: int | None = None,
    **options: Any,
) -> Any:
    """Average Integrated Gradients over baselines drawn uniformly from [0, 255), as the seed does.

    Two draws hardly agree: on a real Xception and photograph their maps correlated at 0.04, and
    the mean of two had a standard error of 97 %. Look at `info.baseline_error`.

    Parameters
    ----------
    model, images, targets
        As in `integrated_gradients`.
    runs : int
        How many baselines.
    seed : int, optional
        Repeats the draws of an earlier call; `info.seed` says what they were made with.
    **options
        Those of `integrated_gradients`, except `baseline`.

    Returns
    -------
    numpy.ndarray or (numpy.ndarray, AttributionInfo)
        As `integrated_gradients`.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `integrated_gradients`.
    """
    if "baseline" in options:
        raise TypeError(
            "random_baseline_integrated_gradients draws its own baselines: give yours to"
            " integrated_gradients(..., baseline=...)"
        )
    draws = UniformDraws(check_int(runs, "runs"))
    return integrated_gradients(model, images, targets, baseline=draws, seed=seed, **options)


def _check_numbers(steps: Any, batch_size: Any, seed: Any) -> tuple[int, int | None, int | None]:
    steps = check_int(steps, "steps")
    if steps > MAX_STEPS:
        raise ValueError(f"steps must be at most {MAX_STEPS}, got {steps}")
    return (
        steps,
        None if batch_size is None else min(check_int(batch_size, "batch_size"), sys.maxsize),
        None if seed is None else check_int(seed, "seed", at_least=0),
    )


def _check_rule(
    rule: Any,
    steps: int,
    tolerance: float | None,
    max_evaluations: int,
    error_map: bool,
    return_info: bool,
) -> None:
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    check_int(max_evaluations, "max_evaluations")
    if tolerance is not None:
        raise NotImplementedError(
            f"tolerance={tolerance!r} is not there yet: choose steps, and look at info.error"
        )
    if error_map and not return_info:
        raise ValueError("error_map=True is returned in the info: it needs return_info=True")
    if error_map and (rule != "trapezoid" or steps < 2):
        raise ValueError(
            "error_map=True needs the trapezoid rule and at least 2 steps, got"
            f" rule={rule!r}, steps={steps}"
        )


def _make_info(
    result: dict[str, Any],
    cell: tuple[int, int],
    target: int,
    baselines: Baselines,
    common: dict[str, Any],
) -> AttributionInfo:
    score, baseline_score, total, quadrature_error, baseline_error = (
        float(result[name][cell])
        for name in ("scores", "baseline_scores", "sums", "quadrature_error", "baseline_error")
    )
    error_map, pixel_error_map = (
        None if result[name] is None else result[name][cell]
        for name in ("error_map", "pixel_error_map")
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
        **common,
    )


def _versions(model: Model) -> dict[str, str]:
    from . import __version__

    versions = {
        "intgrad": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    if model.device != "callable":
        versions["torch"] = str(sys.modules["torch"].__version__)
    return versions
