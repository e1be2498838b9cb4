"""AIC and SIC: what the model makes of a picture that holds as much information."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..attribution.call import check_seed
from ..attribution.numbers import check_fraction, check_fractions
from ..images.arrays import Float32Array
from ..models.model import Model
from .measuring import Measured, Measuring, Metric, Work, measure_one, measures, rounds
from .passes import Mix
from .ranking import Float64Array, Int32Array, Reduce, check_reduce
from .result import MetricResult
from .statistics import trapezoid
from .subjects import Map, Subject, Subjects

PIC = (
    "Kapishnikov et al., XRAI, ICCV 2019, arXiv 1906.02825; PAIR saliency, saliency/metrics/pic.py"
)
THRESHOLDS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.10, 0.13, 0.21, 0.34, 0.5, 0.75)
"""Fractions of the pixels that the authors reveal."""
KNOWN = 0.01
"""The part of the pixels that the blurred picture begins with."""
TOGETHER = 8
"""Pictures that are in memory at once, of each map."""
PLACES = np.linspace(0, 1, 1001)
"""Of the curve."""

Mask = npt.NDArray[np.bool_]
Pictures = list[tuple[Float32Array, int]]
"""Pictures and how many bytes they take."""


class _Information(Metric):
    """The prediction over the information of pictures whose most relevant pixels are sharp."""

    higher_is_better = True
    reference = PIC
    unlikely: str
    left_out: str
    fractions = PLACES

    def __init__(
        self,
        thresholds: Sequence[float],
        least_probability: float,
        keep_monotonous: bool,
        reduce: Reduce,
        seed: int,
    ) -> None:
        self._thresholds = check_fractions(thresholds, "thresholds")
        self._least = check_fraction(least_probability, "least_probability")
        self._keep_monotonous = bool(keep_monotonous)
        self._reduce: Reduce = check_reduce(reduce)
        self.tells_apart = self._reduce
        self._seed = check_seed(seed) or 0
        self.passes = len(self._thresholds) + 2

    @property
    def convention(self) -> str:
        """Say what is computed."""
        return (
            f"pictures blurred by linear interpolation of the {KNOWN:.0%} of pixels drawn by seed"
            f" {self._seed} and of the most relevant by the channels' {self._reduce}, in fractions"
            f" {', '.join(f'{threshold:g}' for threshold in self._thresholds)}; information is the"
            " size as lossless WebP; both axes from 0 for the blurred picture to 1 for the image"
            + ", the curve not falling" * self._keep_monotonous
            + f"; images left out {self.left_out.format(self._least)}"
        )

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the model and the images."""
        score = subjects.model.score
        if score is not None:
            raise TypeError(
                f"{self.name} asks how probable a class is, and this model explains score={score},"
                " which is no probability: deletion, insertion, road and infidelity take any number"
            )
        channels = subjects.images.shape[3]
        if channels not in (1, 3):
            raise ValueError(f"{self.name} needs images of 1 or 3 channels, got {channels}")
        require("PIL.Image", "pillow", self.name)
        require("scipy.interpolate", "scipy", self.name, extra="metrics")

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measuring:
        """Measure a map of an image."""
        key = ("information", self._seed)
        image, image_size = subject.shared(
            (*key, "image"), lambda: _sized(_to_bytes(subject.pixels))
        )
        rng = subject.generator(self._seed)
        known = subject.shared((*key, "known"), lambda: draw_mask(image.shape[:2], rng))
        blurred, blurred_size = subject.shared(
            (*key, "blurred"), lambda: _sized(blur(image, known))
        )
        if blurred_size >= image_size:
            return Measured(math.nan, note="the blurred picture holds as much information")
        scores = yield [Mix(image), Mix(blurred)]
        whole, least = self.predict(scores, subject.target).tolist()
        if whole < self._least:
            return Measured(math.nan, note=self.unlikely.format(whole, self._least))
        if least >= whole:
            return Measured(math.nan, note="the blurred picture scores as high")
        ranks, sizes, between = map_.ranks(self._reduce, self._seed), [], []
        for number, count in rounds(len(self._thresholds), TOGETHER):
            pictures = map_.latest(
                (*key, self._reduce, *self._thresholds),
                number,
                functools.partial(
                    self._reveal, image, known, ranks, first=number * TOGETHER, count=count
                ),
            )
            scores = yield [Mix(picture) for picture, _ in pictures]
            sizes += [size for _, size in pictures]
            between += self.predict(scores, subject.target).tolist()
        curve = self._interpolate(
            (np.array(sizes) - blurred_size) / (image_size - blurred_size),
            (np.array(between) - least) / (whole - least),
        )
        return Measured(trapezoid(curve, PLACES), curve)

    def summarise(self, curves: Float64Array) -> tuple[Float64Array, float]:
        """Return the median of curves (N, P), and its area, as the authors do."""
        curve = np.asarray(np.median(curves, axis=0))
        return curve, trapezoid(curve, PLACES)

    def predict(self, scores: Float64Array, target: int) -> Float64Array:
        """Return what the model predicts, of probabilities (n, K)."""
        raise NotImplementedError

    def _reveal(
        self, image: Float32Array, known: Mask, ranks: Int32Array, first: int, count: int
    ) -> Pictures:
        """Return some pictures in which the most relevant pixels are those of the image."""
        last, some = ranks.size - 1, self._thresholds[first : first + count]
        counts = [ranks.size - math.ceil(last * (1 - t)) for t in some]
        return [_sized(blur(image, known | (ranks < count))) for count in counts]

    def _interpolate(self, information: Float64Array, predicted: Float64Array) -> Float64Array:
        predicted = predicted.clip(0, 1)
        if self._keep_monotonous:
            predicted = np.maximum.accumulate(predicted)
        x = np.append(information.clip(0, 1), (0.0, 1.0))
        y = np.append(predicted, (0.0, 1.0))
        order = np.argsort(x, kind="stable")
        curve: Float64Array = np.interp(PLACES, x[order], y[order])
        curve[-1] = 1.0
        return curve


class AIC(_Information):
    """Whether the target is the top class."""

    name = "aic"
    unlikely = "the target is not its top class"
    left_out = "whose top class is another"
    axes = ("information", "the target is the top class")
    formula = "integral of [target is the top class] d information, both from 0 to 1; median curve"

    def __init__(
        self, thresholds: Sequence[float], keep_monotonous: bool, reduce: Reduce, seed: int
    ) -> None:
        super().__init__(thresholds, 1.0, keep_monotonous, reduce, seed)

    def predict(self, scores: Float64Array, target: int) -> Float64Array:
        """Return 1 where it is."""
        return np.asarray(scores.argmax(axis=1) == target, np.float64)


class SIC(_Information):
    """The probability of the target."""

    name = "sic"
    unlikely = "its probability {:.3g} is below {:g}"
    left_out = "below a probability of {:g}"
    axes = ("information", "probability")
    formula = "integral of P(target) d information, both from 0 to 1; median curve"

    def predict(self, scores: Float64Array, target: int) -> Float64Array:
        """Return it."""
        return np.asarray(scores[:, target])


@measures(AIC)
def aic(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    keep_monotonous: bool = True,
    reduce: Reduce = "sum",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> MetricResult:
    """Measure how little information of the image the model needs to name the target.

    The Accuracy Information Curve (Kapishnikov et al. 2019 [1]_): pictures are blurred, but for the
    most relevant pixels; a picture's information is its size as lossless WebP, and its value
    whether the target is the top class. Higher is better. As PAIR's code has it, whose results
    these are for a map without equal values. Images whose top class is another are left out (NaN,
    and `notes` says so).

    Parameters
    ----------
    model, images, attributions, targets, reduce, batch_size, progress
        As in `deletion`. Pixels are rounded to whole numbers.
    thresholds : sequence of float
        Fractions of the pixels that are revealed, ascending; the authors' 13.
    keep_monotonous : bool
        Whether the curve may not fall, as for the authors.
    seed : int
        Draws the 1 % of pixels of each image that the blurred picture is made of.

    Returns
    -------
    MetricResult
        The area of each image's curve in `values`; `curve` is the median of all, `area` its own.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `deletion`.
    ImportError
        If SciPy or Pillow are not installed (`pip install intgrad[metrics]`).

    References
    ----------
    .. [1] Kapishnikov et al., "XRAI: Better Attributions Through Regions", ICCV 2019, arXiv
       1906.02825.
    """
    metric = AIC(thresholds, keep_monotonous, reduce, seed)
    return measure_one(
        metric, model, images, attributions, targets, batch_size=batch_size, progress=progress
    )


@measures(SIC)
def sic(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    least_probability: float = 0.8,
    keep_monotonous: bool = True,
    reduce: Reduce = "sum",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> MetricResult:
    """Measure how little information of the image the model needs to be as sure of the target.

    The Softmax Information Curve (Kapishnikov et al. 2019): as `aic`, but the value of a picture is
    the probability of the target. Higher is better.

    Parameters
    ----------
    model, images, attributions, targets, reduce, batch_size, progress
        As in `deletion`.
    thresholds, keep_monotonous, seed
        As in `aic`, with which it shares all passes in `compare`.
    least_probability : float
        Images are left out (NaN, and `notes` says so) whose probability is less: the authors' 0.8.

    Returns
    -------
    MetricResult
        As `aic`.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError, ImportError
        As `aic`.
    """
    metric = SIC(thresholds, least_probability, keep_monotonous, reduce, seed)
    return measure_one(
        metric, model, images, attributions, targets, batch_size=batch_size, progress=progress
    )


def draw_mask(shape: tuple[int, ...], rng: np.random.Generator) -> Mask:
    """Return (H, W), the pixels that the blurred picture is made of, its corners among them."""
    height, width = shape
    mask = np.zeros(shape, np.bool_)
    drawn = rng.permutation(mask.size)
    mask.flat[drawn[: int(mask.size * KNOWN)]] = True
    mask[:: max(height - 1, 1), :: max(width - 1, 1)] = True
    return mask


def blur(image: Float32Array, known: Mask) -> Float32Array:
    """Return the image with pixels interpolated linearly between those that are known."""
    known = known.copy()
    height, width = known.shape
    known[:: max(height - 1, 1), :: max(width - 1, 1)] = True
    if known.all() or min(known.shape) < 2:
        return image
    interpolate = require("scipy.interpolate", "scipy", "blurring", extra="metrics")
    missing = np.argwhere(~known)
    blurred = image.copy()
    plane = interpolate.LinearNDInterpolator(np.argwhere(known), image[known].astype(np.float64))
    blurred[~known] = np.round(plane(missing).astype(np.float32))  # so the authors
    return blurred


def _to_bytes(pixels: Float32Array) -> Float32Array:
    whole = np.asarray(np.round(pixels.clip(0, 255)), np.float32)
    return pixels if (whole == pixels).all() else whole


def _sized(picture: Float32Array) -> tuple[Float32Array, int]:
    """Return a picture and its size as lossless WebP, with the authors' settings."""
    image = require("PIL.Image", "pillow", "measuring information")
    data = picture.astype(np.uint8)
    file = io.BytesIO()
    image.fromarray(data[..., 0] if data.shape[2] == 1 else data).save(
        file, format="webp", lossless=True, quality=100
    )
    return picture, len(file.getbuffer())
