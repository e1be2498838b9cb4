"""Outcomes in; files, records and lines out, in a thread beside the one that computes."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from ..models.model import Model
from .attributing import Explained, Failure
from .drawing import draw
from .records import Record
from .results import Results
from .telling import Telling, note

MOST = 16
"""How many outcomes wait at most."""


class Writing:
    """Draws, writes and tells what became of photographs, in their order.

    Drawing keeps Python busy, while the core computes without it. One that cannot be drawn or
    written is a failure, and the others go on.

    Parameters
    ----------
    results : Results
    telling : Telling
    model : Model
    model_name : str
        What records call the model.
    """

    def __init__(self, results: Results, telling: Telling, model: Model, model_name: str) -> None:
        self.failures: list[Failure] = []
        self._results = results
        self._telling = telling
        self._model = model
        self._model_name = model_name
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="intgrad-write")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Writing:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish all; or, if an exception passes, the one that is being written."""
        try:
            while kind is None and self._waiting:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def put(self, outcome: Explained | Failure) -> None:
        """Have an outcome written when those before it are.

        Raises
        ------
        Exception
            What ends the run, of an earlier outcome: a folder that can no longer be written to.
        """
        while self._waiting and (len(self._waiting) >= MOST or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, outcome))

    def _write(self, outcome: Explained | Failure) -> None:
        record, summary = None, ""
        if isinstance(outcome, Explained):
            try:
                record, summary = self._store(outcome), outcome.info.summary()
            except (OSError, MemoryError):
                raise  # `Results` has seen that the next ones would fail as well
            except Exception as error:
                outcome = Failure.of(outcome.task.photograph.source, error)
        if isinstance(outcome, Failure):
            self._results.fail(outcome.source, outcome.reason)
            self.failures.append(outcome)
        self._telling.tell(record, summary)

    def _store(self, explained: Explained) -> Record:
        info, task = explained.info, explained.task
        arrays: dict[str, Any] = {"attributions": explained.attributions}
        if explained.gradient is not None:
            arrays["gradient"] = explained.gradient
        if info.regions is not None:
            arrays["regions"] = info.regions.labels
        if info.pixel_error_map is not None:
            arrays |= {"error_map": info.error_map, "pixel_error_map": info.pixel_error_map}
        label = self._model._label(info.target)
        facts = {"model": self._model_name, "top": task.top, **info.to_dict(), "label": label}
        probability = {index: value for _, index, value in task.top}.get(info.target)
        facts["note"] = note(facts)

        def draw_to(path: Path) -> None:
            draw(explained, info.caption(probability), path)

        return self._results.add(task.photograph.source, facts, arrays, draw_to)
