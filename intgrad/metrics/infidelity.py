"""Infidelity: whether attributions say how far perturbations move the score."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..attribution.numbers import check_number
from ..images.arrays import Float32Array
from ..models.model import Model, Output
from .measuring import Measured, measure_one, measures
from .passes import Mix
from .perturbing import Perturbing, Taken
from .ranking import Float64Array
from .result import MetricResult
from .subjects import Map, tell_baseline

Perturbation = Literal["square", "gaussian"]
Meaning = Literal["contributions", "slopes"]
LARGEST = 10 / 28
"""Side of the largest square, of the shorter side of the image: that of the authors' MNIST."""


class Infidelity(Perturbing):
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
        super().__init__(baseline, draws, 2, output, seed)
        self._perturbation, self._meaning = perturbation, meaning
        self.by_channel = perturbation == "gaussian" or meaning == "slopes"
        self._noise = check_number(noise, "noise", most=10.0)
        self._fit_scale = bool(fit_scale)

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
            f" {scale}; F is the {self._told}"
        )

    @property
    def settings(self) -> tuple[Any, ...]:
        """Return what decides about perturbations."""
        return self._perturbation, self._noise

    def draw(
        self, pixels: Float32Array, baseline: Float32Array, rng: np.random.Generator, count: int
    ) -> tuple[list[Mix], Taken]:
        """Return pictures, and masks (n, H, W) of squares, or differences (n, H, W, C)."""
        if self._perturbation == "square":
            inside = _draw_squares(pixels.shape[:2], rng, count)
            orders = (~inside).astype(np.int32)
            return [Mix(pixels, baseline, order, 1) for order in orders], inside
        pictures = rng.standard_normal((count, *pixels.shape), dtype=np.float32)
        pictures *= np.float32(255 * self._noise)
        pictures += baseline
        pictures.clip(0, 255, out=pictures)
        return [Mix(picture) for picture in pictures], pixels - pictures

    def add_up(
        self, taken: Taken, map_: Map, pixels: Float32Array, baseline: Float32Array
    ) -> Float64Array:
        """Return (n,), the sums of I' times attributions."""
        way = pixels.astype(np.float64) - baseline
        are_slopes = self._meaning == "slopes"
        if self._perturbation == "square":
            said = (map_.values * way).sum(axis=2) if are_slopes else map_.relevance("sum")
            return np.asarray(np.tensordot(taken, said, 2))
        slopes = map_.values.astype(np.float64)
        if not are_slopes:
            slopes = np.divide(slopes, way, out=np.zeros_like(slopes), where=way != 0)
        return np.asarray(np.tensordot(taken, slopes, 3))

    def compare(self, sums: Float64Array, changes: Float64Array) -> Measured:
        """Return the mean square of what is missed, once scaled."""
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


def _draw_squares(
    shape: tuple[int, ...], rng: np.random.Generator, count: int
) -> npt.NDArray[np.bool_]:
    """Return masks (n, H, W) of squares of random sides and places."""
    inside = np.zeros((count, *shape), np.bool_)
    most = max(1, round(min(shape) * LARGEST))
    for mask in range(count):
        side = int(rng.integers(1, most + 1))
        top, left = (int(rng.integers(length - side + 1)) for length in shape)
        inside[mask, top : top + side, left : left + side] = True
    return inside


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
