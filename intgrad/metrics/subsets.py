"""MuFidelity and sensitivity-n: whether attributions add up as the score does."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from ..attribution.numbers import check_fraction
from ..images.arrays import Float32Array
from ..models.model import Model, Output, check_int
from .measuring import Measured, measure_one, measures
from .passes import Mix
from .perturbing import Perturbing, Taken
from .ranking import Float64Array, Int32Array, Reduce
from .result import MetricResult
from .statistics import correlate
from .subjects import Map, Subjects, tell_baseline

Correlation = Literal["rank", "linear"]


class _Subsets(Perturbing):
    """The correlation of the score's change with the attributions of what was taken away."""

    higher_is_better = True
    tells_apart: Reduce | None = "sum"
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
        self._correlation = correlation
        super().__init__(baseline, draws, 3, output, seed)

    @property
    def convention(self) -> str:
        """Say what is computed."""
        baseline = tell_baseline(self._baseline)
        what = "pixels" if self._cells is None else f"cells of a grid of {self._cells}"
        return (
            f"{self._correlation} correlation over {self.draws} subsets of {self._size:g} of the"
            f" {what}, drawn by seed {self._seed} and set to the baseline ({baseline}); F is the"
            f" {self._told}"
        )

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the images."""
        super().prepare(subjects)
        height, width = subjects.images.shape[1:3]
        if self._cells is not None and self._cells > min(height, width):
            raise ValueError(
                f"cells must be at most {min(height, width)}, the pixels of the shorter side, got"
                f" {self._cells}"
            )
        self._parts = _make_cells((height, width), self._cells)
        self._parts_count = int(self._parts.max()) + 1
        self._taken = round(self._size * self._parts_count)
        if not 0 < self._taken < self._parts_count:
            raise ValueError(
                f"size={self._size:g} of {self._parts_count} leaves nothing to be taken away, or"
                " nothing to stay"
            )

    @property
    def settings(self) -> tuple[Any, ...]:
        """Return what decides about perturbations."""
        return self._size, self._cells

    def draw(
        self, pixels: Float32Array, baseline: Float32Array, rng: np.random.Generator, count: int
    ) -> tuple[list[Mix], Taken]:
        """Return pictures, and the cells (n, cells) that each lacks."""
        cells = np.arange(self._parts_count, dtype=np.int32)
        ranks = rng.permuted(np.tile(cells, (count, 1)), axis=1)
        mixes = [Mix(pixels, baseline, each[self._parts], self._taken) for each in ranks]
        return mixes, ranks < self._taken

    def add_up(
        self, taken: Taken, map_: Map, pixels: Float32Array, baseline: Float32Array
    ) -> Float64Array:
        """Return (n,), the sums of the attributions of what each lacks."""
        said = np.bincount(self._parts.ravel(), map_.relevance("sum").ravel(), self._parts_count)
        return np.asarray(taken @ said, np.float64)

    def compare(self, sums: Float64Array, changes: Float64Array) -> Measured:
        """Return their correlation."""
        found = correlate(sums, changes, by_rank=self._correlation == "rank")
        if math.isnan(found):
            return Measured(found, note="all subsets change the score alike, or have equal sums")
        return Measured(found)


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
