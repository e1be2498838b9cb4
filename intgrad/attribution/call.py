"""Integrated Gradients, and how exact they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from .._caller import caller_level
from .._optional import ProgressBar
from ..images.arrays import Float32Array
from ..models.model import Model, check_int, squeeze
from ..models.targets import Targets
from .baselines import Baselines, UniformDraws
from .devices import Update, integrate
from .doubts import doubt, find_unattributable
from .info import Infos, make_infos
from .options import Options, complete, takes_options
from .plan import Plan
from .regions import Segments, make_segments
from .remarks import Remarks
from .sampling import Sampling

if TYPE_CHECKING:
    from typing_extensions import Unpack


@overload
def integrated_gradients(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    return_info: Literal[False] = ...,
    **options: Unpack[Options],
) -> Float32Array: ...


@overload
def integrated_gradients(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    return_info: Literal[True],
    **options: Unpack[Options],
) -> tuple[Float32Array, Any]: ...


@takes_options()
def integrated_gradients(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    return_info: bool = False,
    **options: Unpack[Options],
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
    return_info : bool
        Return (attributions, info).
    **options
        Those of `Options`.

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

    Warns
    -----
    UserWarning
        Of attributions that explain nothing, because the gradient is 0 on the path or the score is
        the same at both ends (`info.error` is NaN then); of a probability of 1 at both ends; of a
        tolerance that was not reached; of images and baselines that seem to be no pixels in 0..255.
    """
    chosen = complete(integrated_gradients, options)
    return attribute(model, images, targets, chosen, return_info)


@takes_options(without=("baseline",))
def random_baseline_integrated_gradients(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    runs: int = 2,
    return_info: bool = False,
    **options: Unpack[Options],
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
    return_info : bool
        Return (attributions, info).
    **options
        Those of `Options`, except `baseline`.

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
    chosen = complete(random_baseline_integrated_gradients, options)
    chosen["baseline"] = UniformDraws(check_int(runs, "runs"))
    return attribute(model, images, targets, chosen, return_info)


def attribute(
    model: Model,
    images: Any,
    targets: Any,
    options: dict[str, Any],
    return_info: bool,
    sampling: Sampling | None = None,
) -> Float32Array | tuple[Float32Array, Infos]:
    """Attribute by any method: what functions of the public have in common.

    `options` holds all `Options`; `sampling` draws the paths, if they are drawn.
    """
    started = time.perf_counter()
    remarks = Remarks()
    plan = Plan.check(model, options, return_info=return_info, sampling=sampling)
    batch, single = model._to_batch(images, stacklevel=caller_level() + 2)
    seed = check_seed(options["seed"])
    baselines = plan.make_baselines(options["baseline"], batch, seed, remarks, each=True)
    segments = make_segments(options["segments"], batch)
    indices, many = model._resolve_targets(targets, batch)
    with ProgressBar(options["progress"], "gradient") as bar:
        result = compute(model, batch, baselines, indices, segments, plan, bar.update, remarks)
    attributions = squeeze(result["attributions"], single, many)
    if not return_info:
        return attributions
    seconds = time.perf_counter() - started
    infos: list[Any] = make_infos(model, result, indices, baselines, segments, plan, seconds)
    if not many:
        infos = [row[0] for row in infos]
    return attributions, infos[0] if single else infos


def check_seed(seed: Any) -> int | None:
    """Return `seed` as an int or None, or raise a TypeError or ValueError."""
    return None if seed is None else check_int(seed, "seed", at_least=0)


def compute(
    model: Model,
    batch: Float32Array,
    baselines: Baselines,
    indices: Targets,
    segments: Segments | None,
    plan: Plan,
    update: Update | None,
    remarks: Remarks,
    first_image: int = 0,
) -> dict[str, Any]:
    """Run the core on a batch (N, H, W, C) for targets (N, T), and remark where it fell short.

    `first_image` is what messages call the first one. The answer is that of `_core.integrate`,
    with errors of NaN where the attributions explain nothing.
    """
    result = _run(model, batch, baselines, indices, segments, plan, update, first_image)
    if plan.sampling is not None:
        scores = plan.sampling.score_baselines(model, result, indices, plan)
        result["baseline_scores"] = scores
    result["unattributable"] = (
        find_unattributable(batch, baselines, remarks, first_image)
        if plan.is_straight
        else np.zeros(len(batch))
    )
    starts = baselines.pixels if plan.has_baseline else None
    unknown = doubt(result, batch, starts, plan.output, remarks, first_image, adds_up=plan.adds_up)
    if plan.tolerance is not None:
        drawn = result["evaluations"]
        evaluations = result["node_counts"].sum(axis=1) if drawn is None else drawn
        name = "quadrature_error" if drawn is None else "baseline_error"
        name = "region_error" if plan.tolerance_of == "regions" else name
        errors = np.where(unknown, 0, result[name])  # of those all was said
        shortfall = plan.shortfall(errors, evaluations, first_image)
        if shortfall:
            remarks.make("tolerance", shortfall)
    return result


def _run(
    model: Model,
    batch: Float32Array,
    baselines: Baselines,
    indices: Targets,
    segments: Segments | None,
    plan: Plan,
    update: Update | None,
    first_image: int,
) -> dict[str, Any]:
    """Run the core. A guided path follows the gradient of one target: each has its own image."""
    targets, pixels = indices.shape[1], baselines.pixels
    point_bytes = indices.shape[1] * batch[0].nbytes
    alone = plan.curve.path == "guided" and targets > 1
    if alone:
        numbers = np.repeat(np.arange(len(batch)), targets)
        pixels = pixels if len(pixels) == 1 else pixels[numbers]
        segments = segments and segments[numbers]
        batch, indices = batch[numbers], indices.reshape(-1, 1)
    if plan.curve.path != "straight":
        point_bytes += batch[0].nbytes  # the picture is kept beside its gradients
    options = plan.core_options(pixels.shape[1], point_bytes)
    options["batch_size"] = model._batch_size(plan.batch_size, batch.shape[1:])
    options["sample"] = baselines.is_sample
    options["per_image"] = targets if alone else 1
    # Of a guided path a point at a time is known: batches are filled from many images.
    options["apart"] = model._keeps_apart and plan.curve.path != "guided"
    result = integrate(model, batch, pixels, indices, segments, plan, options, update, first_image)
    if alone:
        for name, values in result.items():
            if isinstance(values, np.ndarray) and values.ndim > 1:
                result[name] = values.reshape(-1, targets, *values.shape[2:])
    return result
