"""Infidelity: whether attributions say how far perturbations move the score."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..attribution.call import check_seed
from ..attribution.numbers import check_number
from ..images.arrays import Float32Array
from ..models.model import Model, Output, check_int
from .measuring import Measured, Measuring, Metric, Work, measure_one, measures, rounds
from .passes import Mix
from .ranking import Float64Array, Int32Array
from .result import MetricResult
from .subjects import Baseline, Map, Subject, Subjects, tell_baseline

Perturbation = Literal["square", "gaussian"]
Meaning = Literal["contributions", "slopes"]
LARGEST = 10 / 28
"""Side of the largest square, of the shorter side of the image: that of the authors' MNIST."""
TOGETHER = 32
"""Draws that are in memory at once."""


class Squares:
    """Squares of random sides and places are set to the baseline.

    The sum over a square of what a map says is what the square is said to have made.
    """

    def draw(
        self, pixels: Float32Array, baseline: Float32Array, rng: np.random.Generator, count: int
    ) -> tuple[list[Mix], npt.NDArray[Any]]:
        """Return pictures, and masks (n, H, W) of what was taken away."""
        inside = np.zeros((count, *pixels.shape[:2]), np.bool_)
        most = max(1, round(min(pixels.shape[:2]) * LARGEST))
        for k in range(count):
            side = int(rng.integers(1, most + 1))
            top, left = (int(rng.integers(length - side + 1)) for length in pixels.shape[:2])
            inside[k, top : top + side, left : left + side] = True
        orders: Int32Array = (~inside).astype(np.int32)
        return [Mix(pixels, baseline, orders[k], 1) for k in range(count)], inside

    def add_up(
        self, inside: npt.NDArray[Any], map_: Map, way: Float64Array, meaning: Meaning
    ) -> Float64Array:
        """Return (n,), what a map says of each."""
        said = map_.relevance("sum") if meaning == "contributions" else (map_.values * way).sum(2)
        return np.asarray(np.tensordot(inside, said, 2))


class Noise:
    """All pixels are set to the baseline under Gaussian noise: the authors' noisy baseline."""

    def __init__(self, deviation: float) -> None:
        self._deviation = np.float32(deviation)

    def draw(
        self, pixels: Float32Array, baseline: Float32Array, rng: np.random.Generator, count: int
    ) -> tuple[list[Mix], npt.NDArray[Any]]:
        """Return pictures, and what was taken away (n, H, W, C)."""
        pictures = rng.standard_normal((count, *pixels.shape), dtype=np.float32)
        pictures *= self._deviation
        pictures += baseline
        pictures.clip(0, 255, out=pictures)
        return [Mix(picture) for picture in pictures], pixels - pictures

    def add_up(
        self, taken: npt.NDArray[Any], map_: Map, way: Float64Array, meaning: Meaning
    ) -> Float64Array:
        """Return (n,), what a map says of each."""
        slopes = map_.values.astype(np.float64)
        if meaning == "contributions":
            slopes = np.divide(slopes, way, out=np.zeros_like(slopes), where=way != 0)
        return np.asarray(np.tensordot(taken, slopes, 3))


class Infidelity(Metric):
    """The mean square of what attributions miss of the score's change."""

    name = "infidelity"
    higher_is_better = False
    formula = "mean over I of (beta * sum(I' * attributions) - (F(x) - F(x - I)))^2"
    reference = "Yeh et al., NeurIPS 2019, arXiv 1901.09392"

    def __init__(
        self,
        perturbation: Perturbation,
        draws: int,
        baseline: Any,
        noise: float,
        meaning: Meaning,
        fit_scale: bool,
        output: Any,
        seed: int,
    ) -> None:
        if perturbation not in get_args(Perturbation):
            raise ValueError(f"perturbation must be 'square' or 'gaussian', got {perturbation!r}")
        if meaning not in get_args(Meaning):
            raise ValueError(f"meaning must be 'contributions' or 'slopes', got {meaning!r}")
        self._perturbation = perturbation
        self._meaning: Meaning = meaning
        self.by_channel = perturbation == "gaussian" or meaning == "slopes"
        self._baseline, self._fit_scale = baseline, bool(fit_scale)
        self._noise = check_number(noise, "noise", most=10.0)
        self._kind = Squares() if perturbation == "square" else Noise(255 * self._noise)
        self._asked: Any = output
        self._seed = check_seed(seed) or 0
        self.draws = self._count = check_int(draws, "draws", at_least=2)
        self.passes = self._count + 1

    @property
    def convention(self) -> str:
        """Say what is computed."""
        baseline = tell_baseline(self._baseline)
        what = (
            f"squares of 1 pixel to {LARGEST:.0%} of the shorter side set to the baseline"
            f" ({baseline})"
            if self._perturbation == "square"
            else f"all pixels set to the baseline ({baseline}) under Gaussian noise of"
            f" {self._noise:g} of 255, clipped to 0..255"
        )
        means = "I / (x - baseline)" if self._meaning == "contributions" else "I"
        scale = "fitted to each map" if self._fit_scale else "1"
        return (
            f"{self.draws} perturbations drawn by seed {self._seed}: {what}; I' is {means}, beta"
            f" {scale}; F is the {self._asked}"
        )

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the images."""
        self.output = subjects.model.resolve_output(self._asked)
        self._baselines = Baseline(subjects, self._baseline, self._seed)

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measuring:
        """Measure a map of an image."""
        first = yield [Mix(subject.pixels)]
        score = first[0, subject.target]
        way = subject.pixels.astype(np.float64) - self._baselines.of(subject)
        sums, changes = [], []
        for number, size in rounds(self._count, TOGETHER):
            mixes, taken = self._draw(subject, number, size)
            scores = yield mixes
            changes.append(score - scores[:, subject.target])
            sums.append(self._kind.add_up(taken, map_, way, self._meaning))
        return self._compare(np.concatenate(sums), np.concatenate(changes))

    def _draw(self, subject: Subject, number: int, size: int) -> tuple[list[Mix], npt.NDArray[Any]]:
        """Return the perturbations of a round, the same for all maps."""
        rng = subject.generator(self._seed, number)
        baseline = self._baselines.of(subject)
        return subject.latest(
            (self._perturbation, self._noise, self._seed, self._count, id(baseline)),
            number,
            lambda: self._kind.draw(subject.pixels, baseline, rng, size),
        )

    def _compare(self, sums: Float64Array, changes: Float64Array) -> Measured:
        scale = 1.0
        if self._fit_scale:
            if not changes.any():
                return Measured(math.nan, note="no perturbation changes the score")
            size = float((sums * sums).sum())
            if size == 0:
                return Measured(
                    math.nan, note="attributions are 0 in all that was perturbed: no scale fits"
                )
            scale = float((changes * sums).sum()) / size
        squares = (changes - scale * sums) ** 2
        error = float(squares.std(ddof=1)) / math.sqrt(len(squares))
        return Measured(float(squares.mean()), error=error)


@measures(Infidelity)
def infidelity(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    perturbation: Perturbation = "square",
    draws: int = 256,
    baseline: Any = "black",
    noise: float = 0.2,
    meaning: Meaning = "contributions",
    fit_scale: bool = True,
    output: Output = "softmax",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> MetricResult:
    """Measure how far attributions are from saying what perturbations do to the score.

    The mean square of beta * sum(I' * attributions) - (F(x) - F(x - I)) over random perturbations
    I (Yeh et al. 2019 [1]_), in units of the score squared. Lower is better.

    Parameters
    ----------
    model, images, attributions, targets, batch_size, progress
        As in `deletion`.
    perturbation : {"square", "gaussian"}
        `"square"`: a square of a random side, up to 10/28 of the shorter one as in the authors'
        code, is set to the baseline. `"gaussian"`: all of the image is set to the baseline under
        noise, the authors' "noisy baseline".
    draws : int
        How many; `value_errors` is what that makes of each value.
    baseline : str, float or array_like
        As in `integrated_gradients`, and the one that attributions were computed from.
    noise : float
        Standard deviation of the Gaussian's, of the range of 255.
    meaning : {"contributions", "slopes"}
        What attributions are: parts of the score's change from the baseline, as those of
        Integrated Gradients (I' is I / (x - baseline), 1 within a square), or its slope, as those
        of SmoothGrad (I' is I). What equals the baseline has no contribution, and under "gaussian"
        noise I' is 0 there; a map that gives much to what is nearly so is far off by it, and
        "square" is the fairer question.
    fit_scale : bool
        Multiply attributions by the beta that suits them best, as the authors' code does, be it
        negative: a map and its opposite are as good then. Without it, maps on another scale than
        the score are far off.
    output : {"softmax", "log_softmax", "logit", "sigmoid"}
        F: the one that was attributed.
    seed : int
        Draws the perturbations, which are the same for all methods.

    Returns
    -------
    MetricResult

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `deletion`.

    References
    ----------
    .. [1] Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019, arXiv
       1901.09392.
    """
    metric = Infidelity(perturbation, draws, baseline, noise, meaning, fit_scale, output, seed)
    return measure_one(
        metric, model, images, attributions, targets, batch_size=batch_size, progress=progress
    )
