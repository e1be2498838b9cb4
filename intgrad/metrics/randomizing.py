"""Model randomisation: a map that does not change with the weights says nothing of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._caller import quiet
from .._optional import require
from ..attribution.call import check_seed
from ..models.model import Model, check_int
from .measuring import Measured, Metric, Work, measure_one, measures
from .ranking import Float64Array, Reduce, check_reduce, reduce_channels
from .result import MetricResult
from .statistics import correlate
from .subjects import Explain, Map, Subject, Subjects, check_explainers, run


class Randomization(Metric):
    """The correlation of a map with those of the network, its layers randomised from the top."""

    name = "randomization"
    higher_is_better = False
    formula = (
        "mean over stages of the rank correlation of |map| with |map of the randomised network|"
    )
    axes = ("fraction of the layers shuffled", "rank correlation")
    reference = "Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv 1810.03292"

    def __init__(self, stages: int, reduce: Reduce, seed: int) -> None:
        self._stages = self.passes = check_int(stages, "stages")
        self._reduce: Reduce = check_reduce(reduce)
        self.tells_apart = self._reduce
        self._seed = check_seed(seed) or 0
        self._places = np.arange(1, self._stages + 1) / self._stages
        self.fractions = self._places
        self._found: dict[str, tuple[Float64Array, Float64Array]] = {}

    @property
    def convention(self) -> str:
        """Say what is computed."""
        return (
            f"Spearman correlation of the channels' {self._reduce}, the mean of {self._stages}"
            " stages, the untouched network not among them; in each, as many layers from the one"
            f" that runs last on have their weights shuffled (seed {self._seed})"
        )

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the images."""
        check_explainers(subjects, self.name)
        if subjects.model._layers is None:
            raise TypeError(
                f"{self.name} shuffles the weights of a torch module, and this model was not loaded"
                " from one: load_model(module, ...) instead of its archive"
            )
        require("skimage.metrics", "scikit-image", self.name, extra="metrics")
        self._subjects = subjects
        self._found.clear()
        layers = len(subjects.model._layers.names)
        if self._stages > layers:
            raise ValueError(
                f"stages must be at most the {layers} layers of the module that have weights, got"
                f" {self._stages}"
            )
        self._counts = np.round(self._places * layers).astype(int).tolist()

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measured:
        """Measure a map of an image."""
        if map_.name not in self._found:
            self._found[map_.name] = self._compare(map_, work)
        curve, similarities = (found[subject.index] for found in self._found[map_.name])
        note = "" if np.isfinite(curve).all() else "a randomised network's map is 0 everywhere"
        others = {"ssim": float(similarities.mean())}
        return Measured(float(curve.mean()), curve, note=note, others=others)

    def _compare(self, map_: Map, work: Work) -> tuple[Float64Array, Float64Array]:
        """Return (N, stages), rank correlations and SSIM; a network at a time is in memory."""
        assert map_.explain is not None
        subjects = self._subjects
        originals = subjects.explain_again(map_.name, slice(None))
        correlations = np.empty((len(subjects), self._stages))
        similarities = np.empty_like(correlations)
        for stage, count in enumerate(self._counts):
            with quiet():  # such networks explain little
                model = subjects.model._layers.shuffle_from_top(count, self._seed)
                maps = run(map_.explain, model, subjects.images, subjects.targets)
            for number, original in enumerate(originals):
                a = reduce_channels(original, self._reduce)
                b = reduce_channels(maps[number], self._reduce)
                correlations[number, stage] = correlate(a, b, by_rank=True)
                similarities[number, stage] = _ssim(a, b)
            work.advance(len(subjects))
        return correlations, similarities


@measures(Randomization)
def randomization(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    explain: Explain,
    stages: int = 8,
    reduce: Reduce = "abs",
    seed: int = 0,
    progress: bool = False,
) -> MetricResult:
    """Compare maps with those of the same network after its layers were randomised from the top.

    The cascading model parameter randomisation test (Adebayo et al. 2018 [1]_). A map that stays
    the same says nothing of what the network has learned. Lower is better, down to 0.

    Parameters
    ----------
    model : Model
        Loaded from a torch module (`load_model(module, ...)`), which must still be there; an
        archive has no layers that can be named.
    images, attributions, targets
        As in `deletion`.
    explain : callable
        What made the attributions, called as `explain(model, images, targets)`: one of intgrad's
        functions, or `functools.partial(intgrad.integrated_gradients, steps=20)`.
        It is tried on the images first, and has to give the attributions.
    stages : int
        In how many steps all layers with weights are randomised, the one that runs last first. (Of
        a graph, which cannot be watched, the one that is defined last.) The weights of each are
        shuffled, tensor by tensor, so that they keep their distribution; the authors draw them
        anew.
    reduce : {"sum", "abs", "max", "norm"}
        What of the channels of an attribution is compared.
    seed : int
        Draws the order of the weights.
    progress : bool
        Show a progress bar (tqdm), of images that were explained.

    Returns
    -------
    MetricResult
        The mean rank correlation over the stages in `values`, that of each stage in `curves`;
        `others["ssim"]` is their structural similarity, of maps scaled to 0..1 (NaN for fewer than
        3 pixels a side).

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `deletion`; or if the model was not loaded from a module.
    ReferenceError
        If the module is gone.
    ImportError
        If scikit-image is not installed (`pip install intgrad[metrics]`).

    References
    ----------
    .. [1] Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, arXiv 1810.03292.
    """
    metric = Randomization(stages, reduce, seed)
    return measure_one(
        metric, model, images, attributions, targets, explain=explain, progress=progress
    )


def _ssim(a: Float64Array, b: Float64Array) -> float:
    metrics = require("skimage.metrics", "scikit-image", "randomization", extra="metrics")
    if min(a.shape) < 3:
        return math.nan
    side = min(7, *(length - (length + 1) % 2 for length in a.shape))  # odd
    return float(metrics.structural_similarity(_scale(a), _scale(b), win_size=side, data_range=1.0))


def _scale(values: Float64Array) -> Float64Array:
    """Return values in 0..1; those that are all the same are 0."""
    low = values.min()
    return np.asarray((values - low) / ((values.max() - low) or 1))
