"""MuFidelity and sensitivity-n: whether attributions add up as the score does."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from ..attribution.call import check_seed
from ..attribution.numbers import check_fraction
from ..models.model import Model, Output, check_int
from .measuring import FLAT, Measured, Measuring, Metric, Work, measure_one, measures, rounds
from .passes import Mix
from .ranking import Int32Array
from .result import MetricResult
from .statistics import correlate
from .subjects import Baseline, Map, Subject, Subjects, tell_baseline

Correlation = Literal["rank", "linear"]
TOGETHER = 32
"""Subsets that are in memory at once."""


class _Subsets(Metric):
    """The correlation of the score's change with the attributions of what was taken away."""

    higher_is_better = True
    formula = "correlation over subsets S of sum(attributions in S) with F(x) - F(x without S)"

    def __init__(
        self,
        size: float,
        draws: int,
        cells: int | None,
        baseline: Any,
        correlation: Any,
        output: Any,
        seed: int,
    ) -> None:
        if correlation not in ("rank", "linear"):
            raise ValueError(f"correlation must be 'rank' or 'linear', got {correlation!r}")
        self._size = check_fraction(size, "size")
        if not 0 < self._size < 1:
            raise ValueError(f"size must be more than 0 and less than 1, got {size!r}")
        self._cells = None if cells is None else check_int(cells, "cells", at_least=2)
        self._baseline, self._correlation, self._asked = baseline, correlation, output
        self._seed = check_seed(seed) or 0
        self.draws = self._count = check_int(draws, "draws", at_least=3)
        self.passes = self._count + 1

    @property
    def convention(self) -> str:
        """Say what is computed."""
        baseline = tell_baseline(self._baseline)
        what = "pixels" if self._cells is None else f"cells of a grid of {self._cells}"
        return (
            f"{self._correlation} correlation over {self.draws} subsets of {self._size:g} of the"
            f" {what}, drawn by seed {self._seed} and set to the baseline ({baseline}); F is the"
            f" {self._asked}"
        )

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the images."""
        self.output = subjects.model.resolve_output(self._asked)
        self._baselines = Baseline(subjects, self._baseline, self._seed)
        height, width = subjects.images.shape[1:3]
        if self._cells is not None and self._cells > min(height, width):
            raise ValueError(
                f"cells must be at most {min(height, width)}, the pixels of the shorter side, got"
                f" {self._cells}"
            )
        self._parts = _make_cells((height, width), self._cells)
        self._taken = round(self._size * (int(self._parts.max()) + 1))
        if not 0 < self._taken <= self._parts.max():
            raise ValueError(
                f"size={self._size:g} of {int(self._parts.max()) + 1} leaves nothing to be taken"
                " away, or nothing to stay"
            )

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measuring:
        """Measure a map of an image."""
        if map_.is_flat("sum"):
            return Measured(math.nan, note=FLAT.format("sum"))
        first = yield [Mix(subject.pixels)]
        score = first[0, subject.target]
        count = int(self._parts.max()) + 1
        said = np.bincount(self._parts.ravel(), map_.relevance("sum").ravel(), count)
        baseline = self._baselines.of(subject)
        sums, changes = [], []
        for number, size in rounds(self._count, TOGETHER):
            ranks, orders = self._draw(subject, number, size)
            scores = yield [Mix(subject.pixels, baseline, order, self._taken) for order in orders]
            changes.append(score - scores[:, subject.target])
            sums.append((ranks < self._taken) @ said)
        found = correlate(
            np.concatenate(sums), np.concatenate(changes), by_rank=self._correlation == "rank"
        )
        if math.isnan(found):
            return Measured(found, note="all subsets change the score alike, or have equal sums")
        return Measured(found)

    def _draw(
        self, subject: Subject, number: int, size: int
    ) -> tuple[Int32Array, list[Int32Array]]:
        """Return the ranks (n, cells) of a round, and the orders (H, W) that they make."""

        def make() -> tuple[Int32Array, list[Int32Array]]:
            rng = subject.generator(self._seed, number)
            cells = np.arange(int(self._parts.max()) + 1, dtype=np.int32)
            ranks = rng.permuted(np.tile(cells, (size, 1)), axis=1)
            return ranks, [each[self._parts] for each in ranks]

        key = ("subsets", self._seed, self._cells, self._count)
        return subject.latest(key, number, make)


class MuFidelity(_Subsets):
    """By rank, over cells of a grid."""

    name = "mu_fidelity"
    reference = "Bhatt, Weller and Moura, IJCAI 2020, arXiv 2005.00631; xplique's MuFidelity"


class SensitivityN(_Subsets):
    """Linear, over pixels."""

    name = "sensitivity_n"
    reference = "Ancona et al., ICLR 2018, arXiv 1711.06104"


@measures(MuFidelity)
def mu_fidelity(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    size: float = 0.2,
    draws: int = 200,
    cells: int | None = 9,
    baseline: Any = "black",
    correlation: Correlation = "rank",
    output: Output = "softmax",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> MetricResult:
    """Correlate attributions of random subsets with what taking them away does to the score.

    MuFidelity (Bhatt et al. 2020 [1]_): the correlation, over random subsets of a fixed size that
    are set to the baseline, of the sum of their attributions with F(x) - F(x without them). Higher
    is better; 1 is perfect. Cells and ranks are those of xplique's code; the paper has the linear
    correlation of single features.

    Parameters
    ----------
    model, images, attributions, targets, batch_size, progress
        As in `deletion`.
    size : float
        The part of the cells that is taken away.
    draws : int
        How many subsets.
    cells : int or None
        Subsets are of the cells of a grid of so many a side; of single pixels if None. Cells are of
        a size where it divides the image's; where it does not, larger ones count for more.
    baseline : str, float or array_like
        What they are set to, as in `integrated_gradients`.
    correlation : {"rank", "linear"}
        Spearman's or Pearson's.
    output : {"softmax", "log_softmax", "logit", "sigmoid"}
        F: the one that was attributed.
    seed : int
        Draws the subsets, which are the same for all methods.

    Returns
    -------
    MetricResult

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `deletion`.

    References
    ----------
    .. [1] Bhatt, Weller and Moura, "Evaluating and Aggregating Feature-based Model Explanations",
       IJCAI 2020, arXiv 2005.00631.
    """
    metric = MuFidelity(size, draws, cells, baseline, correlation, output, seed)
    return measure_one(
        metric, model, images, attributions, targets, batch_size=batch_size, progress=progress
    )


@measures(SensitivityN)
def sensitivity_n(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    size: float = 0.2,
    draws: int = 100,
    cells: int | None = None,
    baseline: Any = "black",
    correlation: Correlation = "linear",
    output: Output = "softmax",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> MetricResult:
    """Correlate attributions of random subsets of n pixels with what taking them away does.

    Sensitivity-n (Ancona et al. 2018 [1]_): `mu_fidelity` with the linear correlation over single
    pixels, n of which is `size`. It is 1 for every n where the model is linear.

    Parameters
    ----------
    model, images, attributions, targets, batch_size, progress
        As in `deletion`.
    size, draws, cells, baseline, correlation, output, seed
        As in `mu_fidelity`.

    Returns
    -------
    MetricResult

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `deletion`.

    References
    ----------
    .. [1] Ancona et al., "Towards better understanding of gradient-based attribution methods for
       Deep Neural Networks", ICLR 2018, arXiv 1711.06104.
    """
    metric = SensitivityN(size, draws, cells, baseline, correlation, output, seed)
    return measure_one(
        metric, model, images, attributions, targets, batch_size=batch_size, progress=progress
    )


def _make_cells(shape: tuple[int, int], cells: int | None) -> Int32Array:
    """Return (H, W), the cell of each pixel: of a grid, or its own."""
    height, width = shape
    if cells is None:
        return np.arange(height * width, dtype=np.int32).reshape(shape)
    rows, columns = np.arange(height) * cells // height, np.arange(width) * cells // width
    return (rows[:, None] * cells + columns).astype(np.int32)
