"""Integrated Gradients, and how exact they are."""

from __future__ import annotations

import time
import warnings
from typing import Any, Literal, overload

import numpy as np

from .._optional import ProgressBar
from ..images.arrays import Float32Array
from ..models.model import Model, Output, check_int, squeeze
from ..models.targets import Targets
from .baselines import Baselines, UniformDraws, make_baselines
from .devices import Update, integrate
from .info import AttributionInfo, Infos, make_info, versions
from .plan import Plan, Rule


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
    gradient: bool = ...,
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
    gradient: bool = ...,
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
    gradient: bool = False,
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
        Instead of a number of steps, the `info.quadrature_error` to reach: 0.05 for 5 %. Each
        image's paths are bisected where its gradient moves, from 9 nodes on and never less than 17;
        every gradient is used again, and kept until the image is done, up to 1 GiB in all. Needs
        the trapezoid; `steps` is not looked at.
    max_evaluations : int
        With `tolerance`: the most gradients for an image, all its baselines together. A warning
        says what was reached.
    output : {"softmax", "log_softmax", "logit"}
        F, as seen from the logits of the target.
    batch_size : int, optional
        Points evaluated together; None is a fixed rule of shape on a CPU, and
        on CUDA what fits into the free memory.
    seed : int, optional
        For random baselines; the same draws serve every image of a batch.
    progress : bool
        Show a progress bar (tqdm).
    error_map : bool
        Add the standard deviation of each attribution, and of each pixel's mean over the
        channels, to the info; needs `return_info=True`, the trapezoid and at least 2 steps.
    gradient : bool
        Add the plain gradient at the image to the info: it is the path's last node and costs
        nothing. Needs `return_info=True` and a rule with a node there.
    return_info : bool
        Return (attributions, info).

    Returns
    -------
    attributions : numpy.ndarray
        float32 in the images' shape, in units of F; (N, T, H, W, C) or (T, H, W, C) for T targets
        per image. Those of the Keras example, which mixes units, are 127.5 times these.
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
    plan = Plan.check(
        model,
        rule=rule,
        steps=steps,
        tolerance=tolerance,
        max_evaluations=max_evaluations,
        output=output,
        batch_size=batch_size,
        error_map=error_map,
        gradient=gradient,
        return_info=return_info,
    )
    batch, single = model._to_batch(images)
    baselines = make_baselines(baseline, batch, check_seed(seed))
    indices, many = model._resolve_targets(targets, batch)
    with ProgressBar(progress, "gradient") as bar:
        result = compute(model, batch, baselines, indices, plan, bar.update)
    attributions = squeeze(result["attributions"], single, many)
    if not return_info:
        return attributions
    seconds = time.perf_counter() - started
    infos: list[Any] = make_infos(model, result, indices, baselines, plan, seconds)
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
    """Average Integrated Gradients over baselines drawn uniformly from [0, 255).

    So does the Keras example. Two draws hardly agree: on a real Xception and photograph their maps
    correlated at 0.05, and the mean of two had a standard error of 96 %
    (`benchmarks/exactness.py`). Look at `info.baseline_error`.

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


def check_seed(seed: Any) -> int | None:
    """Return `seed` as an int or None, or raise a TypeError or ValueError."""
    return None if seed is None else check_int(seed, "seed", at_least=0)


def compute(
    model: Model,
    batch: Float32Array,
    baselines: Baselines,
    indices: Targets,
    plan: Plan,
    update: Update | None,
    first_image: int = 0,
) -> dict[str, Any]:
    """Run the core on a batch (N, H, W, C) for targets (N, T), and warn where it fell short.

    `first_image` is what messages call the first one. The answer is that of `_core.integrate`.
    """
    count = baselines.pixels.shape[1]
    options = plan.core_options(count, indices.shape[1] * batch[0].nbytes)
    options["batch_size"] = model._batch_size(plan.batch_size, batch.shape[1:])
    options["sample"] = baselines.is_sample
    result = integrate(model, batch, baselines.pixels, indices, options, update, first_image)
    if plan.tolerance is not None:
        evaluations = result["node_counts"].sum(axis=1)
        shortfall = plan.shortfall(result["quadrature_error"], evaluations, first_image)
        if shortfall:
            warnings.warn(shortfall, stacklevel=3)
    return result


def make_infos(
    model: Model,
    result: dict[str, Any],
    indices: Targets,
    baselines: Baselines,
    plan: Plan,
    seconds: float,
) -> list[list[AttributionInfo]]:
    """Make the info of every image and target: N lists of T."""
    common = {
        "rule": plan.rule,
        "tolerance": plan.tolerance,
        "output": plan.output,
        "baseline": baselines.name,
        "batch_size": result["batch_size"],
        "precision": model.precision,
        "device": model.device,
        "seed": baselines.seed,
        "seconds": seconds,
        "versions": versions(model),
    }
    return [
        [
            make_info(result, (i, t), int(target), baselines, nodes, common)
            for t, target in enumerate(row)
        ]
        for i, (row, nodes) in enumerate(
            zip(indices, _list_nodes(result, baselines, plan), strict=True)
        )
    ]


def _list_nodes(result: dict[str, Any], baselines: Baselines, plan: Plan) -> list[dict[str, Any]]:
    """Say of each image where its gradients were evaluated."""
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
