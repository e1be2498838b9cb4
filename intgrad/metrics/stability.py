"""Max-sensitivity: how far a map moves when its image is moved a little."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._caller import quiet
from ..attribution.call import check_seed
from ..attribution.numbers import check_number
from ..images.arrays import Float32Array
from ..models.model import Model, check_int
from .measuring import Measured, Metric, Work, measure_one, measures, rounds
from .result import MetricResult
from .subjects import Explain, Map, Subject, Subjects, check_explainers, run

TOGETHER = 8
"""Perturbed images that are explained at once."""


class MaxSensitivity(Metric):
    """The largest change of a map over random perturbations of its image."""

    name = "max_sensitivity"
    higher_is_better = False
    formula = "max over d of |attributions(x + d) - attributions(x)| / |attributions(x)|"
    reference = "Yeh et al., NeurIPS 2019, arXiv 1901.09392"

    def __init__(self, radius: float, draws: int, seed: int) -> None:
        self._radius = check_number(radius, "radius", most=1.0)
        self._seed = check_seed(seed) or 0
        self.draws = self._count = self.passes = check_int(draws, "draws")

    @property
    def convention(self) -> str:
        """Say what is computed."""
        return (
            f"the largest of {self.draws} draws (seed {self._seed}), and so the larger, the more"
            f" there are; d is uniform within {self._radius:g} of 255 for every value, and norms"
            " are Euclidean"
        )

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the images."""
        check_explainers(subjects, self.name)
        self._subjects = subjects

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measured:
        """Measure a map of an image."""
        assert map_.explain is not None
        values = map_.values.astype(np.float64)
        with quiet():  # of pictures that were moved beyond 0..255
            place = slice(subject.index, subject.index + 1)
            self._subjects.explain_again(map_.name, place)
            norm = float(np.linalg.norm(values))
            rng = subject.generator(self._seed)
            changes: list[float] = []
            for _, size in rounds(self._count, TOGETHER):
                moved = self._move(subject.pixels, rng, size)
                maps = run(map_.explain, subject.model, moved, np.full(size, subject.target))
                changes += [float(np.linalg.norm(each - values)) / norm for each in maps]
                work.advance(size)
        return Measured(max(changes), others={"mean": math.fsum(changes) / len(changes)})

    def _move(self, pixels: Float32Array, rng: np.random.Generator, count: int) -> Float32Array:
        moves = rng.random((count, *pixels.shape), np.float32)
        moves -= np.float32(0.5)
        moves *= np.float32(2 * 255 * self._radius)
        return pixels + moves


@measures(MaxSensitivity)
def max_sensitivity(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    explain: Explain,
    radius: float = 0.02,
    draws: int = 10,
    seed: int = 0,
    progress: bool = False,
) -> MetricResult:
    """Measure how far a map moves, at most, when its image is moved a little.

    The maximum over random d of |attributions(x + d) - attributions(x)| / |attributions(x)| (Yeh et
    al. 2019 [1]_). Lower is better. It grows with the number of draws, which is why that is
    reported: compare methods by the same.

    Parameters
    ----------
    model, images, attributions, targets
        As in `deletion`.
    explain : callable
        What made the attributions, called as `explain(model, images, targets)`: one of intgrad's
        functions, or `functools.partial(intgrad.smoothgrad, draws=64, seed=0)`.
        It is tried on the images first, and has to give the attributions.
    radius : float
        How far any value is moved at most, of the range of 255.
    draws : int
        How many perturbations, each of which is explained.
    seed : int
        Draws them.
    progress : bool
        Show a progress bar (tqdm), of perturbed images.

    Returns
    -------
    MetricResult
        `others["mean"]` is the mean over the draws.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `deletion`.

    References
    ----------
    .. [1] Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019, arXiv
       1901.09392.
    """
    metric = MaxSensitivity(radius, draws, seed)
    return measure_one(
        metric, model, images, attributions, targets, explain=explain, progress=progress
    )
