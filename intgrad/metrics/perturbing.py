"""Random perturbations of an image, the same for all maps, beside what a map says of each."""

from __future__ import annotations

import functools
from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..attribution.call import check_seed
from ..images.arrays import Float32Array
from ..models.model import Model, check_int
from .measuring import Measured, Measuring, Metric, Work, rounds
from .passes import Mix
from .ranking import Float64Array
from .subjects import Baseline, Map, Subject, Subjects

TOGETHER = 32
"""Perturbations that are in memory at once."""

Taken = npt.NDArray[Any]
"""(n, ...), what perturbations take away, as the metric that drew them keeps it."""


class Perturbing(Metric):
    """What the score does under perturbations towards a baseline, and what maps say of it."""

    def __init__(self, baseline: Any, draws: Any, least: int, output: Any, seed: Any) -> None:
        self._baseline, self._asked, self._told = baseline, output, output
        self._seed = check_seed(seed) or 0
        self.draws = self._count = check_int(draws, "draws", at_least=least)
        self.passes = self._count + 1

    def meet(self, model: Model) -> None:
        """Learn which output is meant."""
        super().meet(model)
        self.output = model.resolve_output(self._asked)
        self._told = "score" if model.score is not None else self.output

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the images."""
        self._baselines = Baseline(subjects, self._baseline, self._seed)

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measuring:
        """Measure a map of an image."""
        first = yield [Mix(subject.pixels)]
        score = first[0, subject.target]
        baseline = self._baselines.of(subject)
        sums, changes = [], []
        for number, size in rounds(self._count, TOGETHER):
            rng = subject.generator(self._seed, number)
            mixes, taken = subject.latest(
                (type(self).draw, self.settings, self._seed, self._count, id(baseline)),
                number,
                functools.partial(self.draw, subject.pixels, baseline, rng, size),
            )
            scores = yield mixes
            changes.append(score - scores[:, subject.target])
            sums.append(self.add_up(taken, map_, subject.pixels, baseline))
        return self.compare(np.concatenate(sums), np.concatenate(changes))

    @property
    @abstractmethod
    def settings(self) -> tuple[Any, ...]:
        """What, beside the seed, decides about its perturbations."""

    @abstractmethod
    def draw(
        self, pixels: Float32Array, baseline: Float32Array, rng: np.random.Generator, count: int
    ) -> tuple[list[Mix], Taken]:
        """Return pictures, and what was taken away."""

    @abstractmethod
    def add_up(
        self, taken: Taken, map_: Map, pixels: Float32Array, baseline: Float32Array
    ) -> Float64Array:
        """Return (n,), what a map says of what was taken away."""

    @abstractmethod
    def compare(self, sums: Float64Array, changes: Float64Array) -> Measured:
        """Return what becomes of what a map says, and of the score's changes."""
