"""`intgrad explain --ray`: the same work by the workers of a cluster."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import describe
from .._optional import require
from ..distributed import Explainer, check_workers, count_workers
from ..report.building import complete
from ..report.writing import Report, check_page
from ..results import parquet
from ..results.folder import check_request, lock
from ..results.reading import read_results
from ..results.records import RECORDS, ROWS
from . import archives
from .report import tell_lost
from .telling import is_terminal, say

if TYPE_CHECKING:
    from .explain import Work

BATCH = 8
"""Photographs that a worker is given at once, and that a file of rows holds."""


def explain_on_cluster(work: Work, options: argparse.Namespace) -> list[tuple[str, str]]:
    """Explain photographs by the workers of a cluster; return those that failed, and why.

    Raises
    ------
    ImportError, OSError, ValueError
        If Ray is not there, the cluster has no room, or the folder holds something else.
    """
    ray = require("ray", "ray[data]", "--ray", extra="ray")
    require("pyarrow", "pyarrow", "--ray", extra="ray")
    out, rows = options.out, options.out / ROWS
    if (out / RECORDS).exists():
        raise ValueError(f"{str(out)!r} holds results of a run without --ray: choose another --out")
    rows.mkdir(parents=True, exist_ok=True)
    check_page(out)
    held = lock(out)
    try:
        finished = _find_finished(out, work.request)
        todo = [source.real for source in work.sources if source.real not in finished]
        if len(todo) < len(work.sources):
            say(f"{len(work.sources) - len(todo)} of {len(work.sources)} were explained before")
        if todo:
            _connect(ray, options)
            try:
                _run(todo, rows, work, options)
            except ray.exceptions.RayError as error:
                raise ValueError(f"a worker failed: {describe(_find_cause(error))}") from error
        lost: dict[str, str] = {}
        asked = {source.real for source in work.sources}
        results = read_results(out)
        failures = [
            record
            for record in results.failures()
            if record["image"] in asked and record["request"] == work.request
        ]
        records = complete(results, out, lost)
        report = Report(out, work.request, options.command, records, failures)
        report.finish(options.single_file)
    finally:
        os.close(held)
    tell_lost(lost)
    say(f"report: {out / 'index.html'}")
    return [(record["image"], record["reason"]) for record in failures]


def _find_cause(error: BaseException) -> BaseException:
    """Return what a worker raised, of what Ray made of it."""
    cause = getattr(error, "cause", None) or error.__cause__
    return _find_cause(cause) if isinstance(cause, BaseException) else error


def _connect(ray: Any, options: argparse.Namespace) -> None:
    if ray.is_initialized():
        return
    if options.ray == "local":
        cpus = (options.workers or 0) * options.cpus_per_worker
        # Reading and writing take little, and may have a CPU that there is not.
        count = max(os.cpu_count() or 1, cpus + 1, options.cpus_per_worker + 1)
        ray.init(address="local", num_cpus=count, log_to_driver=False, include_dashboard=False)
    else:
        ray.init(address=options.ray, log_to_driver=False)


def _run(todo: list[str], rows: Path, work: Work, options: argparse.Namespace) -> None:
    """Have photographs explained, whose rows are written as they come."""
    data = require("ray.data", "ray[data]", "--ray", extra="ray")
    cpus, gpus = options.cpus_per_worker, options.gpus_per_worker
    workers = count_workers(cpus, gpus) if options.workers is None else options.workers
    check_workers(workers, cpus, gpus)
    data.DataContext.get_current().enable_progress_bars = is_terminal()
    paths = [{"path": os.fsencode(path)} for path in todo]
    dataset = data.from_items(paths, override_num_blocks=math.ceil(len(paths) / BATCH))
    explained = dataset.map_batches(
        Explainer,
        fn_constructor_kwargs={
            "model": options.model.read_bytes(),
            "name": options.model.name,
            "method": work.choice.name,
            "target": work.target,
            "output": options.score,
            "batch_size": options.batch_size,
            "segments": options.segments,
            "arrays": options.arrays,
            "references": [source.real for source in work.references],
            "load": archives.arguments_of(options),
            "request": work.request,
            **{k: v for k, v in work.choice.options.items() if k != "references"},
        },
        batch_size=BATCH,
        # Two each, one to do and one to come: whoever is done first takes the next.
        compute=data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
        num_cpus=cpus,
        num_gpus=gpus or None,
    )
    # Absolute: the processes of a cluster have folders of their own.
    explained.write_parquet(os.path.abspath(rows), compression="zstd")


def _find_finished(out: Path, request: dict[str, Any]) -> set[str]:
    """Return the photographs that have rows; files that were not written to their end are removed.

    Raises
    ------
    ValueError
        If rows answer another request.
    """
    finished: set[str] = set()
    for file in parquet.find_files(out):
        try:
            records = [result.record for result in parquet.read(file)]
        except parquet.NotWholeError:
            say(f"intgrad: {file} was not written to its end: its photographs are explained again")
            file.unlink()
            continue
        for record in records:
            check_request(record, request, f"a row of {str(file)!r}")
            finished.add(record["image"])
    return finished
