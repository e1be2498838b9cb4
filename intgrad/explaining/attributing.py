"""Photographs in, attributions out: one that fails does not end the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from .._errors import describe
from ..attribution.baselines import make_baselines
from ..attribution.info import AttributionInfo
from ..attribution.regions import cut_coarsely, make_segments
from ..attribution.remarks import Remarks
from ..attribution.segmentation import check_name
from ..images.arrays import Float32Array
from ..models.model import Model, Output
from ..pictures.meanings import Meaning, find_meaning
from ..results.sources import Source
from .methods import Choice
from .photographs import Photograph, read_ahead
from .references import UnreadableReferenceError

Top = list[tuple[str, int, float]]
ANY_SIZE = (64, 64)
"""On which options are tried where the model takes any."""


@dataclass(frozen=True)
class Task:
    """A photograph, its most probable classes, and the one to explain."""

    photograph: Photograph
    top: Top
    target: int


@dataclass(frozen=True)
class Explained:
    """A photograph that was explained.

    The plain gradient is there where it can be compared with what was computed.
    """

    task: Task
    meaning: Meaning
    attributions: Float32Array
    gradient: Float32Array | None
    info: AttributionInfo

    @property
    def source(self) -> Source:
        """Of the photograph."""
        return self.task.photograph.source


@dataclass(frozen=True)
class Failure:
    """A photograph that was not, and why."""

    source: Source
    reason: str

    @classmethod
    def of(cls, source: Source, error: Exception) -> Failure:
        """Make it of what was raised."""
        if isinstance(error, FileNotFoundError):
            return cls(source, "there is no such file")
        if isinstance(error, OSError) and error.strerror:
            return cls(source, error.strerror)
        return cls(source, describe(error))


class Attributing:
    """Explains photographs with a model.

    Parameters
    ----------
    model : Model
    choice : Choice
        The method and its options.
    target : int or None
        The class to explain, or each one's most probable.
    output, batch_size
        As in `integrated_gradients`.
    segments
        As there; None for patches of an eighth.
    progress : bool
        Whether a single photograph has a bar of its gradients.

    Raises
    ------
    TypeError, ValueError
        If an option is wrong.
    """

    def __init__(
        self,
        model: Model,
        choice: Choice,
        target: int | None,
        *,
        output: Output,
        batch_size: int | None,
        segments: str | int | None,
        progress: bool,
    ) -> None:
        self._model = model
        self._choice = choice
        self._target = target
        self._progress = progress
        self._unread: deque[Failure] = deque()
        self._options = {
            **choice.options,
            "output": output,
            "batch_size": batch_size,
            "segments": cut_coarsely if segments is None else segments,
            "error_map": choice.has_error_bars,
        }
        if choice.has_gradient:
            self._options["gradient"] = True
        self._check()

    def run(self, sources: list[Source]) -> Iterator[Explained | Failure]:
        """Yield what becomes of each photograph; those that are explained in order.

        The stream of images ends at the first that fails; it starts again with those after it.

        Raises
        ------
        Exception
            What is no photograph's fault: a wrong option, a reference that cannot be read, or
            memory that is short, for all are as large to the model.
        """
        one_by_one = len(sources) == 1 and self._progress
        tasks = self._read(sources)
        while True:
            feed = _Feed(tasks, len(sources))
            try:
                for result in self._choice.iterate(
                    self._model, feed, feed.targets(), progress=one_by_one, **self._options
                ):
                    explained = self._complete(feed.taken[0], *result)
                    feed.taken.popleft()
                    yield from self._take_unread()
                    yield explained
                yield from self._take_unread()
                return
            except (MemoryError, UnreadableReferenceError):
                raise
            except Exception as error:
                if not feed.taken:
                    raise  # it was no photograph's fault
                yield Failure.of(feed.taken.popleft().photograph.source, error)
                tasks = chain(feed.taken, tasks)

    def _check(self) -> None:
        """Raise what is wrong with the options: no photograph is to blame for it."""
        self._choice.iterate(self._model, iter(()), **self._options)
        size = self._model.input_size or ANY_SIZE
        picture = np.zeros((1, *size, self._model.channels or 3), np.float32)
        baseline, segments = self._options.get("baseline", 0), self._options["segments"]
        has_size = self._model.input_size is not None
        if has_size or np.ndim(baseline) == 0:
            make_baselines(baseline, picture, 0, Remarks(), each=False)
        if isinstance(segments, str):  # which may find too little in a black picture
            check_name(segments)
        elif has_size or np.ndim(segments) == 0:
            make_segments(segments, picture, each=False)

    def _read(self, sources: Iterable[Source]) -> Iterator[Task]:
        model = self._model
        for source, future in read_ahead(sources, model):
            try:
                photograph = future.result()
            except Exception as error:  # of decoders, whatever they raise
                self._unread.append(Failure.of(source, error))
                continue
            try:
                top: Any = model.top(photograph.pixels, 3)
            except (ValueError, TypeError) as error:
                self._unread.append(Failure.of(source, error))
                continue
            yield Task(photograph, top, top[0][1] if self._target is None else self._target)

    def _take_unread(self) -> Iterator[Failure]:
        while self._unread:
            yield self._unread.popleft()

    def _complete(self, task: Task, attributions: Float32Array, info: AttributionInfo) -> Explained:
        meaning, gradient = find_meaning(vars(info)), info.gradient
        if gradient is None and meaning.is_signed:  # there was no node at the image
            pixels = task.photograph.pixels
            gradient = self._model.gradients(pixels, info.target, output=info.output)
        return Explained(task, meaning, attributions, gradient, info)


class _Feed:
    """The images of tasks as a stream takes them; `taken` are those that it has not given back."""

    def __init__(self, tasks: Iterator[Task], count: int) -> None:
        self._tasks = tasks
        self._count = count
        self.taken: deque[Task] = deque()

    def __len__(self) -> int:
        return self._count  # for the progress bar

    def __iter__(self) -> Iterator[Float32Array]:
        for task in self._tasks:
            self.taken.append(task)
            yield task.photograph.pixels

    def targets(self) -> Iterator[int]:
        """Yield the target of each image, after the image."""
        while True:
            yield self.taken[-1].target
