"""Deletion and insertion: the score while the most relevant pixels go, or come."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..attribution.call import check_seed
from ..models.model import Model, check_int
from .measuring import Measured, Measuring, Metric, Work, measure_one, measures
from .passes import Mix
from .ranking import Reduce, check_reduce
from .result import MetricResult
from .statistics import trapezoid
from .subjects import Baseline, Map, Subject, Subjects, tell_baseline

RISE = "Petsiuk, Das and Saenko, RISE, BMVC 2018, arXiv 1806.07421"


class _Curve(Metric):
    """The probability of the target while pixels are changed in the order of their rank."""

    changed: str
    reference = RISE

    def __init__(self, baseline: Any, steps: int, reduce: Reduce, seed: int) -> None:
        self._baseline = baseline
        self._reduce: Reduce = check_reduce(reduce)
        self.tells_apart = self._reduce
        self._steps = check_int(steps, "steps")
        self._seed = check_seed(seed) or 0
        self.passes = self._steps + 1

    @property
    def convention(self) -> str:
        """Say what is computed."""
        told = tell_baseline(self._baseline)
        return (
            f"{self.changed.format(baseline=told)}, whole pixels by rank of the channels'"
            f" {self._reduce}, equals by lot (seed {self._seed}), in {self._steps} steps, both ends"
            f" included; the area under the target's {self.scored} over the fraction of pixels"
        )

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the images."""
        height, width = subjects.images.shape[1:3]
        if self._steps > height * width:
            raise ValueError(
                f"steps must be at most the {height * width} pixels of an image, got {self._steps}"
            )
        places = np.linspace(0, 1, self._steps + 1)
        self._counts = np.round(places * height * width).astype(np.int64)
        self.fractions = self._fractions = self._counts / (height * width)
        self._baselines = Baseline(subjects, self._baseline, self._seed)

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measuring:
        """Measure a map of an image."""
        ranks = map_.ranks(self._reduce, self._seed)
        start, end = self.ends(subject)
        if (start == end).all():
            return Measured(math.nan, note="the image is its own baseline: nothing is changed")
        scores = yield [Mix(start, end, ranks, int(count)) for count in self._counts]
        curve = scores[:, subject.target]
        return Measured(trapezoid(curve, self._fractions), curve)

    def ends(self, subject: Subject) -> tuple[Any, Any]:
        """Return the picture at the beginning and that at the end."""
        raise NotImplementedError


class Deletion(_Curve):
    """From the image to its baseline."""

    name = "deletion"
    higher_is_better = False
    axes = ("fraction of the pixels removed", "probability")
    changed = "the most relevant pixels are set to the baseline ({baseline}) first"
    formula = "integral of P(target | image without its f most relevant pixels) df, f from 0 to 1"

    def ends(self, subject: Subject) -> tuple[Any, Any]:
        """Return the image and its baseline."""
        return subject.pixels, self._baselines.of(subject)


class Insertion(_Curve):
    """From the blurred image to the image."""

    name = "insertion"
    higher_is_better = True
    axes = ("fraction of the pixels put in", "probability")
    changed = "the most relevant pixels are put first into the baseline ({baseline})"
    formula = "integral of P(target | baseline with the f most relevant pixels) df, f from 0 to 1"

    def ends(self, subject: Subject) -> tuple[Any, Any]:
        """Return the baseline and the image."""
        return self._baselines.of(subject), subject.pixels


@measures(Deletion)
def deletion(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    baseline: Any = "mean",
    steps: int = 100,
    reduce: Reduce = "sum",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> MetricResult:
    """Measure how fast the probability falls when the most relevant pixels are taken away first.

    The area under P(target) over the fraction f of pixels that are replaced by the baseline's,
    by trapezoids with both end points (Petsiuk et al. 2018, RISE [1]_). Lower is better.

    Parameters
    ----------
    model : Model
        From `load_model`.
    images : array_like
        (H, W, C) or (N, H, W, C), values 0..255.
    attributions : array_like
        In the shape of the images, or without channels.
    targets : int, str or sequence, optional
        Class index or label: one for all images, or one for each. Each image's top class if None.
    baseline : str, float or array_like
        What pixels are replaced by, as `integrated_gradients` takes it: the image's mean colour.
    steps : int
        In how many steps.
    reduce : {"sum", "abs", "max", "norm"}
        What of the channels of an attribution counts; their sum is the only one that keeps
        completeness.
    seed : int
        Draws the order of pixels of equal attribution.
    batch_size : int, optional
        Pictures evaluated together; what fits if None.
    progress : bool
        Show a progress bar (tqdm).

    Returns
    -------
    MetricResult
        Areas in `values`, and the `curves`.

    Raises
    ------
    TypeError, ValueError, IndexError
        If an argument is wrong, attributions are not finite, or the same everywhere.
    ModelError
        If the model fails, or gives NaN or inf.

    References
    ----------
    .. [1] Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
       Models", BMVC 2018, arXiv 1806.07421.
    """
    metric = Deletion(baseline, steps, reduce, seed)
    return measure_one(
        metric, model, images, attributions, targets, batch_size=batch_size, progress=progress
    )


@measures(Insertion)
def insertion(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    baseline: Any = "blur",
    steps: int = 100,
    reduce: Reduce = "sum",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> MetricResult:
    """Measure how fast the probability rises when the most relevant pixels are put in first.

    The area under P(target) over the fraction f of pixels of the image in the baseline, by
    trapezoids with both end points (Petsiuk et al. 2018, RISE). Higher is better.

    Parameters
    ----------
    model, images, attributions, targets, steps, reduce, seed, batch_size, progress
        As in `deletion`.
    baseline : str, float or array_like
        What pixels are put into, as `integrated_gradients` takes it: the blurred image. (RISE's own
        is blurred by 5 pixels, cut off at 5.)

    Returns
    -------
    MetricResult
        Areas in `values`, and the `curves`.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `deletion`.
    """
    metric = Insertion(baseline, steps, reduce, seed)
    return measure_one(
        metric, model, images, attributions, targets, batch_size=batch_size, progress=progress
    )
