"""Metrics of maps: what each is asked, and how all of them are measured at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .._optional import ProgressBar
from ..models.model import Model, Output
from .passes import Mix, Passes
from .ranking import Float64Array
from .result import MetricResult, make_result
from .statistics import trapezoid
from .subjects import Map, Subject, Subjects

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class Measured:
    """What a metric says of one map of one image.

    `error` is the standard error of the value where it is a mean over draws; `note` says why a
    value is NaN; `others` are other numbers of the same.
    """

    value: float
    curve: Float64Array | None = None
    error: float | None = None
    note: str = ""
    others: Mapping[str, float] = field(default_factory=dict)


FLAT = "its channels' {} is the same for every pixel, and ranks none before another"

Measuring = Generator[list[Mix], Float64Array, Measured]
"""Asks for the scores (n, K) of pictures, in as many rounds as it likes."""


class Metric(ABC):
    """A metric and its options, checked.

    Attributes
    ----------
    name, formula, reference : str
    higher_is_better : bool
    output : str or None
        Of the scores that it asks for; None for probabilities.
    passes : int
        How many pictures it asks for, for each map.
    fractions : numpy.ndarray or None
        Where its curves are.
    draws : int or None
        How many its value rests on.
    """

    name: str
    formula: str
    reference: str
    higher_is_better: bool
    output: Output | None = None
    passes: int = 0
    fractions: Float64Array | None = None
    draws: int | None = None

    @property
    @abstractmethod
    def convention(self) -> str:
        """What is computed, in a sentence."""

    @abstractmethod
    def prepare(self, subjects: Subjects) -> None:
        """Look at what it needs of the images, before any work; raise what is wrong."""

    @abstractmethod
    def measure(self, subject: Subject, map_: Map) -> Measuring:
        """Measure a map of an image."""

    def summarise(self, curves: Float64Array) -> tuple[Float64Array, float]:
        """Return the curve of all images (N, P), here the mean, and its area."""
        assert self.fractions is not None
        curve: Float64Array = curves.mean(axis=0)
        return curve, trapezoid(curve, self.fractions)


def measures(metric: type[Any]) -> Callable[[Function], Function]:
    """Say of a function which metric it measures, so that `compare` knows."""

    def mark(function: Function) -> Function:
        function.metric = metric  # type: ignore[attr-defined]
        return function

    return mark


def measure_one(
    metric: Metric,
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any,
    *,
    explain: Any = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> MetricResult:
    """Measure one method's maps by one metric."""
    known = {} if explain is None else {"attributions": explain}
    subjects = Subjects(model, images, targets, {"attributions": attributions}, known)
    (row,) = measure_all([metric], subjects, batch_size, progress)
    return make_result(metric, row["attributions"])


def measure_all(
    metrics: Sequence[Metric], subjects: Subjects, batch_size: int | None, progress: bool
) -> list[dict[str, list[Measured]]]:
    """Measure all maps of all images: for each metric, by the name of the map, image by image."""
    for metric in metrics:
        metric.prepare(subjects)
    found: list[dict[str, list[Measured]]] = [{n: [] for n in subjects.names} for _ in metrics]
    each = sum(metric.passes for metric in metrics) * len(subjects.names)
    with ProgressBar(progress, "picture") as bar:
        for subject in subjects:
            passes = Passes(subjects.model, subject.pixels, batch_size)
            jobs = [
                _Job(metric, metric.measure(subject, map_), found[k][name])
                for k, metric in enumerate(metrics)
                for name, map_ in subject.maps.items()
            ]
            _run(jobs, passes, bar, subject.index * each, each * len(subjects))
    return found


class _Job:
    """One metric of one map: what it asks for, until it is done."""

    def __init__(self, metric: Metric, measuring: Measuring, into: list[Measured]) -> None:
        self.output: Output | None = metric.output
        self.asked: list[Mix] = []
        self._measuring = measuring
        self._into = into
        self.is_done = self._go_on(None)

    def answer(self, scores: Float64Array) -> None:
        """Go on with the scores of what was asked for."""
        self.is_done = self._go_on(scores)

    def _go_on(self, scores: Float64Array | None) -> bool:
        try:
            self.asked = self._measuring.send(scores)  # type: ignore[arg-type]
        except StopIteration as end:
            self._into.append(end.value)
            return True
        return False


def _run(jobs: list[_Job], passes: Passes, bar: ProgressBar, done: int, total: int) -> None:
    """Answer the jobs of an image round by round, so that what they share is computed once."""
    update = bar.update
    while jobs := [job for job in jobs if not job.is_done]:
        outputs: dict[Output | None, None] = dict.fromkeys(job.output for job in jobs)
        for output in outputs:
            alike = [job for job in jobs if job.output == output]
            asked = [mix for job in alike for mix in job.asked]
            tell = None if update is None else _from(update, done, total)
            scores = passes.score(output, asked, tell)
            done += len(asked)
            first = 0
            for job in alike:
                count = len(job.asked)
                job.answer(scores[first : first + count])
                first += count
    if update is not None:
        update(done, total)


def _from(
    update: Callable[[float, int], None], done: int, total: int
) -> Callable[[int, int], None]:
    return lambda more, _: update(done + more, total)
