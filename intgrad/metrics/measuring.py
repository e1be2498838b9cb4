"""Metrics of maps: what each is asked, and how all of them are measured at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from .._optional import ProgressBar
from ..images.arrays import Float32Array
from ..models.model import Model, Output, check_batch_size
from .passes import Mix, Passes
from .ranking import Float64Array, Reduce
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
"""Of a map that tells no pixels apart."""

Measuring = Generator[list[Mix], Float64Array, Measured]
"""Asks for the scores (n, K) of pictures, in as many rounds as it likes; or needs none."""


class Work:
    """How much of the work is done, shown by a bar where there is one."""

    def __init__(self, bar: ProgressBar, total: int) -> None:
        self._update = bar.update
        self._done, self._total = 0, total

    def advance(self, count: int) -> None:
        """Tell of so many pictures more."""
        self.reach(self._done + count)

    def reach(self, done: int) -> None:
        """Tell that so many are done, which is more than were told of where some were shared."""
        self._done = done
        if self._update is not None:
            self._update(done, self._total)

    def within(self) -> Callable[[int, int], None] | None:
        """Return what is told of pictures while they are computed."""
        update, done, total = self._update, self._done, self._total
        return None if update is None else lambda more, _: update(done + more, total)


class Metric(ABC):
    """A metric and its options, checked.

    Attributes
    ----------
    name, formula, reference : str
    higher_is_better : bool
    output : str or None
        Of the scores that it asks for; None for probabilities.
    passes : int
        How many pictures it asks for, or explains, for each map.
    fractions : numpy.ndarray or None
        Where its curves are.
    axes : (str, str)
        What the axes of its curves are called.
    draws : int or None
        How many its value rests on.
    by_channel : bool
        Whether a map must have the channels of the image.
    tells_apart : str or None
        The reduction by which a map has to tell pixels apart; where it does not, it has no value.
    scored : str
        What a model's number is called: "probability", or "score" where it explains one.
    """

    name: str
    formula: str
    reference: str
    higher_is_better: bool
    output: Output | None = None
    passes: int = 0
    fractions: Float64Array | None = None
    axes: tuple[str, str] = ("", "")
    draws: int | None = None
    by_channel: bool = False
    tells_apart: Reduce | None = None
    scored: str = "probability"

    def meet(self, model: Model) -> None:
        """Learn what the model's numbers are, which the convention tells."""
        if model.score is not None:
            self.scored = "score"
            self.formula = self.formula.replace("P(", "F(")
            self.axes = (self.axes[0], self.axes[1].replace("probability", "score"))

    @property
    @abstractmethod
    def convention(self) -> str:
        """What is computed, in a sentence."""

    @abstractmethod
    def prepare(self, subjects: Subjects) -> None:
        """Look at what it needs of the images, before any work; raise what is wrong."""

    @abstractmethod
    def measure(self, subject: Subject, map_: Map, work: Work) -> Measuring | Measured:
        """Measure a map of an image; what it does but for its pictures, it tells `work`."""

    def summarise(self, curves: Float64Array) -> tuple[Float64Array, float]:
        """Return the mean of curves (N, P), and its area where it has both ends."""
        assert self.fractions is not None
        curve: Float64Array = curves.mean(axis=0)
        is_whole = self.fractions[0] == 0 and self.fractions[-1] == 1
        return curve, trapezoid(curve, self.fractions) if is_whole else math.nan


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
    size = check_batch_size(batch_size)
    known = {} if explain is None else {"attributions": explain}
    subjects = Subjects(model, images, targets, {"attributions": attributions}, known)
    (row,) = measure_all([metric], subjects, size, progress)
    return make_result(metric, row["attributions"])


def measure_all(
    metrics: Sequence[Metric], subjects: Subjects, batch_size: int | None, progress: bool
) -> list[dict[str, list[Measured]]]:
    """Measure all maps of all images: for each metric, by the name of the map, image by image."""
    with ProgressBar(progress, "picture") as bar:
        for metric in metrics:
            metric.meet(subjects.model)
            metric.prepare(subjects)
        for name, maps in subjects.make_maps():
            for metric in metrics:
                _check_channels(metric, name, maps, subjects)
        found: list[dict[str, list[Measured]]] = [{n: [] for n in subjects.names} for _ in metrics]
        each = sum(metric.passes for metric in metrics) * len(subjects.names)
        work = Work(bar, each * len(subjects))
        for subject in subjects:
            passes = Passes(subjects.model, subject, batch_size)
            jobs = [
                _Job(metric, _measure(metric, subject, map_, work), found[k][name], passes)
                for k, metric in enumerate(metrics)
                for name, map_ in subject.maps.items()
            ]
            _run(jobs, passes, work)
            work.reach((subject.index + 1) * each)
    return found


def _measure(metric: Metric, subject: Subject, map_: Map, work: Work) -> Measuring | Measured:
    reduce = metric.tells_apart
    if reduce is not None and map_.is_flat(reduce):
        return Measured(math.nan, note=FLAT.format(reduce))
    return metric.measure(subject, map_, work)


def _check_channels(metric: Metric, name: str, maps: Float32Array, subjects: Subjects) -> None:
    if metric.by_channel and maps.shape[3] != subjects.images.shape[3]:
        raise ValueError(
            f"{name} must have the images' channels for {metric.name}, by this convention:"
            f" {metric.convention}; give it before its channels are added up"
        )


def rounds(count: int, together: int) -> Iterator[tuple[int, int]]:
    """Yield the number of each round, and how many are in it."""
    for number in range(-(-count // together)):
        yield number, min(together, count - number * together)


class _Job:
    """One metric of one map: what it asks for, until it is done."""

    def __init__(
        self,
        metric: Metric,
        measuring: Measuring | Measured,
        into: list[Measured],
        passes: Passes,
    ) -> None:
        self.output: Output = passes.resolve(metric.output)
        self.asked: list[Mix] = []
        self._convert = passes.to_probabilities if metric.output is None else None
        self._into = into
        self.is_done = False
        if isinstance(measuring, Measured):
            self._finish(measuring)
        else:
            self._measuring = measuring
            self._go_on(None)

    def answer(self, scores: Float32Array) -> None:
        """Go on with the scores of what was asked for."""
        self._go_on((self._convert(scores) if self._convert else scores).astype(np.float64))

    def _go_on(self, scores: Float64Array | None) -> None:
        try:
            self.asked = self._measuring.send(scores)  # type: ignore[arg-type]
        except StopIteration as end:
            self._finish(end.value)

    def _finish(self, measured: Measured) -> None:
        self._into.append(measured)
        self.is_done = True


def _run(jobs: list[_Job], passes: Passes, work: Work) -> None:
    """Answer the jobs of an image round by round, so that what they share is computed once."""
    while jobs := [job for job in jobs if not job.is_done]:
        outputs: list[Output] = list(dict.fromkeys(job.output for job in jobs))
        for output in outputs:
            alike = [job for job in jobs if job.output == output]
            asked = [mix for job in alike for mix in job.asked]
            scores = passes.score(output, asked, work.within())
            work.advance(len(asked))
            first = 0
            for job in alike:
                count = len(job.asked)
                job.answer(scores[first : first + count])
                first += count
