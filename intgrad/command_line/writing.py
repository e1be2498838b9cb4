"""Outcomes in; files, records and lines out, in a thread beside the one that computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from ..explaining.attributing import Explained, Failure
from ..explaining.telling import arrays_of, tell
from ..models.model import Model
from ..report.views import Maps, make_thumbnail, make_view
from ..report.writing import Report
from ..results.arrays import Kept, keep, write_compactly, write_exactly
from ..results.folder import Results
from ..results.records import Record
from .drawing import draw
from .telling import Telling

MOST = 16
"""How many outcomes wait at most."""


class Writing:
    """Draws, writes and tells what became of photographs, in their order.

    Drawing keeps Python busy, while the core computes without it. One that cannot be drawn or
    written is a failure, and the others go on.

    Parameters
    ----------
    results : Results
    report : Report
    telling : Telling
    model : Model
    model_name : str
        What records call the model.
    precision : {"compact", "full", "none"}
        How arrays are kept.
    """

    def __init__(
        self,
        results: Results,
        report: Report,
        telling: Telling,
        model: Model,
        model_name: str,
        precision: Kept,
    ) -> None:
        self.failures: list[Failure] = []
        self._results = results
        self._report = report
        self._telling = telling
        self._model = model
        self._model_name = model_name
        self._precision: Kept = precision
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
                outcome = Failure.of(outcome.source, error)
        if isinstance(outcome, Failure):
            self._report.fail(self._results.fail(outcome.source, outcome.reason))
            self.failures.append(outcome)
        self._telling.tell(record, summary)

    def _store(self, explained: Explained) -> Record:
        info, task = explained.info, explained.task
        framed = task.photograph.framed
        arrays = arrays_of(explained)
        kept, steps = keep(arrays, self._precision)
        facts = tell(explained, self._model, self._model_name)
        probability = {index: value for _, index, value in task.top}.get(info.target)
        maps = Maps.of(arrays)
        files: dict[str, Callable[[Path], object]] = {
            "picture": lambda path: draw(explained, info.caption(probability), path),
            "view": lambda path: path.write_bytes(make_view(framed, maps)),
            "thumbnail": lambda path: path.write_bytes(make_thumbnail(framed)),
        }
        if kept:
            write = write_compactly if self._precision == "compact" else write_exactly
            files["arrays"] = lambda path: write(path, kept)
        facts["steps_of_arrays"] = steps
        record = self._results.add(task.photograph.source, facts, files)
        self._report.add(record)
        return record
