"""ROAD: the score when the most, or the least, relevant pixels are imputed from the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from .. import _core
from ..attribution.call import check_seed
from ..attribution.numbers import check_fraction, check_fractions
from ..images.arrays import Float32Array
from ..models.model import Model
from .measuring import Measured, Measuring, Metric, Work, measure_one, measures, rounds
from .passes import Mix
from .ranking import Reduce, check_reduce
from .result import MetricResult
from .subjects import Map, Subject, Subjects

Order = Literal["most", "least"]
TOGETHER = 8
"""Pictures that are in memory at once, of each map."""
FRACTIONS = tuple(k / 10 for k in range(1, 10))
"""Those of the authors."""


class Road(Metric):
    """The mean probability of the target over the fractions of pixels that are imputed."""

    name = "road"
    formula = "mean over f of P(target | image with the fraction f of pixels imputed)"
    axes = ("fraction of the pixels imputed", "probability")
    reference = "Rong et al., ICML 2022, arXiv 2202.00449"

    def __init__(
        self, order: Any, fractions: Sequence[float], noise: float, reduce: Reduce, seed: int
    ) -> None:
        if order not in get_args(Order):
            raise ValueError(f"order must be 'most' or 'least', got {order!r}")
        checked = check_fractions(fractions, "fractions")
        if checked[0] == 0 or checked[-1] == 1:
            raise ValueError(f"fractions must lie between 0 and 1, without both, got {fractions!r}")
        self._noise = check_fraction(noise, "noise")
        self._order: Order = order
        self._reduce: Reduce = check_reduce(reduce)
        self.tells_apart = self._reduce
        self._seed = check_seed(seed) or 0
        self.higher_is_better = order == "least"
        self.fractions, self.passes = np.array(checked), len(checked)
        self._fractions = checked

    @property
    def convention(self) -> str:
        """Say what is computed."""
        return (
            f"the {self._order} relevant pixels by rank of the channels' {self._reduce} imputed"
            f" from their 8 neighbours, with noise of {self._noise:g} of 255 (seed {self._seed});"
            f" the mean of the target's {self.scored} over the fractions"
            f" {', '.join(f'{fraction:g}' for fraction in self._fractions)}"
        )

    def prepare(self, subjects: Subjects) -> None:
        """Check that something is removed, and something stays."""
        pixels = subjects.images[0, :, :, 0].size
        if int(pixels * self._fractions[0]) < 1:
            raise ValueError(
                f"fractions must remove at least one of {pixels} pixels, got {self._fractions[0]:g}"
            )

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measuring:
        """Measure a map of an image."""
        ranks = map_.ranks(self._reduce, self._seed)
        if self._order == "least":
            ranks = ranks.size - 1 - ranks
        noise = subject.generator(self._seed).standard_normal(subject.pixels.shape, np.float32)
        noise *= np.float32(255 * self._noise)
        curve = []
        for number, size in rounds(len(self._fractions), TOGETHER):
            some = self._fractions[number * TOGETHER :][:size]
            pictures = [_impute(subject, ranks < int(ranks.size * f), noise) for f in some]
            scores = yield [Mix(picture) for picture in pictures]
            curve += scores[:, subject.target].tolist()
        return Measured(float(np.mean(curve)), np.array(curve))


def _impute(subject: Subject, missing: npt.NDArray[np.bool_], noise: Float32Array) -> Float32Array:
    """Return a picture whose missing pixels are those of their neighbours, and noise."""
    picture = _core.impute(subject.pixels, missing)
    picture[missing] += noise[missing]
    return picture


@measures(Road)
def road(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    order: Order = "most",
    fractions: Sequence[float] = FRACTIONS,
    noise: float = 0.01,
    reduce: Reduce = "sum",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> MetricResult:
    """Measure the probability when pixels are removed without a trace of which they were.

    ROAD, "remove and debias" (Rong et al. 2022 [1]_): pixels are replaced by the weighted means of
    their 8 neighbours, a system of linear equations, and noise. The value is the mean probability
    of the target over the fractions. Lower is better when the most relevant are removed first,
    higher when the least relevant are.

    Parameters
    ----------
    model, images, attributions, targets, reduce, batch_size, progress
        As in `deletion`.
    order : {"most", "least"}
        Which pixels go first.
    fractions : sequence of float
        Of the pixels that are removed, ascending. (The authors' code counts those that stay where
        the least relevant go.)
    noise : float
        Standard deviation, of the range of 255.
    seed : int
        Draws the noise, and the order of pixels of equal attribution.

    Returns
    -------
    MetricResult
        Means in `values`, and the `curves`.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `deletion`.

    References
    ----------
    .. [1] Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods",
       ICML 2022, arXiv 2202.00449.
    """
    metric = Road(order, fractions, noise, reduce, seed)
    return measure_one(
        metric, model, images, attributions, targets, batch_size=batch_size, progress=progress
    )
