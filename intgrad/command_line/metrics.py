"""`intgrad metrics`: how good the maps are that `intgrad explain` left in a folder."""

from __future__ import annotations

import argparse
import functools
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import describe
from .._optional import require
from ..attribution.baselines import CONSTANTS
from ..metrics.comparison import METRICS, find_metric
from ..metrics.measuring import Measured, Metric, measure_all
from ..metrics.result import make_result
from ..metrics.subjects import Subjects
from ..models.model import Model
from ..report.building import complete
from ..report.writing import Report
from ..results.folder import lock
from ..results.reading import read_results, replace_records
from ..results.records import RECORDS, Record
from ..results.result import Array, Result
from . import archives
from .report import tell_lost
from .telling import Telling, printable, say

OF_A_SCORE = ("infidelity", "mu_fidelity", "sensitivity_n")
"""Those that take what was explained for what they perturb."""
KNOWN = ("deletion", "insertion", "aic", "sic", "road", *OF_A_SCORE)
"""Those that need nothing but a map and the model."""
SAME = 0.02
"""How far off a score may be that is the same: another device rounds otherwise."""
BETWEEN = 30.0
"""Seconds after which records are written anew, so that a kill loses no more."""
CERTAIN = (*CONSTANTS, "mean", "blur")
"""Baselines that can be made again by their names."""
METRICS_EXAMPLES = """examples:
  intgrad metrics explained --model model.pt
  intgrad metrics explained --model model.pt --metrics deletion insertion road infidelity
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what `intgrad metrics` takes."""
    parser.description = (
        "Measures the maps in a folder that intgrad explain wrote, and says their means and\n"
        "standard errors over the photographs. What each photograph has is added to its line in\n"
        f'{RECORDS}, or to its row, as "metrics"; what has one of these settings is not measured\n'
        "again."
    )
    parser.epilog = METRICS_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what intgrad explain wrote")
    parser.add_argument(
        "--model", type=Path, required=True, help="the archive that the maps were made with"
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        choices=KNOWN,
        default=["deletion", "insertion"],
        metavar="METRIC",
        help=f"of {', '.join(KNOWN)} (default: deletion insertion)",
    )
    parser.add_argument("--batch-size", type=int, help="pictures at once (default: what fits)")
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: CUDA if there is one)")
    archives.add_options(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Outcome:
    """What a photograph has by one metric, as its record holds it."""

    convention: str
    value: float | None
    error: float | None
    note: str

    @classmethod
    def of(cls, metric: Metric, measured: Measured) -> Outcome:
        """Make it of what was measured."""
        value = None if math.isnan(measured.value) else measured.value
        return cls(metric.convention, value, measured.error, measured.note)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status.

    Raises
    ------
    OSError, TypeError, ValueError, ImportError
        What concerns all photographs. What concerns one is told, and the others are measured.
    """
    require("jinja2", "jinja2", "the page of the folder", extra="metrics")
    names = list(dict.fromkeys(options.metrics))
    held = lock(options.folder)
    try:
        results = list(read_results(options.folder))
        records = [result.record for result in results]
        _check_records(records, options)
        model = archives.load(options.model, options)
        failed = _measure_folder(model, results, records, names, options)
        lost = _write_report(options.folder, records)
    finally:
        os.close(held)
    tell_lost(lost)
    for name in names:
        say(_summarise(name, records, model))
    return 1 if failed else 0


def _write_report(folder: Path, records: list[Record]) -> dict[str, str]:
    """Write the page anew, with what was measured; return what it cannot draw, and why."""
    results, lost = read_results(folder), dict[str, str]()
    # Of rows no record says what the page has drawn.
    shown = records if (folder / RECORDS).exists() else complete(results, folder, lost)
    report = Report(folder, records[0]["request"], None, shown, results.failures())
    report.finish(single_file=False)
    return lost


def _measure_folder(
    model: Model,
    results: list[Result],
    records: list[Record],
    names: list[str],
    options: argparse.Namespace,
) -> int:
    """Measure what was not measured yet, and write it down; return how many failed."""
    todo = list(_find_work(records, names, model))
    if len(todo) < len(records):
        say(f"{len(records) - len(todo)} of {len(records)} were measured before")
    failed, written = 0, time.monotonic()
    try:
        with Telling(len(todo)) as telling:
            for number, metrics in todo:
                record, line = records[number], None
                name = printable(Path(record["image"]).name)
                try:
                    found = _measure(model, options, record, _read_maps(results[number]), metrics)
                except MemoryError:
                    raise
                except Exception as error:  # of decoders and damaged files, whatever they raise
                    failed += 1
                    say(f"intgrad: {name}: {describe(error)}", error=True)
                else:
                    record["metrics"] = record.get("metrics", {}) | found
                    line = f"{name}: {_tell(found)}"
                telling.tell_line(line)
                if time.monotonic() > written + BETWEEN:
                    replace_records(options.folder, records)
                    written = time.monotonic()
    finally:
        replace_records(options.folder, records)
    return failed


def _read_maps(result: Result) -> Array:
    arrays = result.arrays
    result.forget()
    if "attributions" not in arrays:
        raise ValueError("no arrays were kept (--arrays none), which metrics measure")
    return arrays["attributions"]


def _find_work(
    records: list[Record], names: list[str], model: Model
) -> Iterator[tuple[int, dict[str, Metric | str]]]:
    """Yield the numbers of records, and the metrics that they do not have yet."""
    for number, record in enumerate(records):
        metrics = {name: _make_metric(name, record, model) for name in names}
        known = record.get("metrics", {})
        missing = {
            name: metric
            for name, metric in metrics.items()
            if known.get(name, {}).get("convention") != _convention(metric)
        }
        if missing:
            yield number, missing


def _convention(metric: Metric | str) -> str:
    return metric if isinstance(metric, str) else metric.convention


def _make_metric(name: str, record: Record, model: Model) -> Metric | str:
    """Return a metric, told what was explained; or why it says nothing of such maps."""
    options: dict[str, Any] = {}
    if name in OF_A_SCORE:
        method, path = record.get("method"), record.get("path")
        is_slope = method == "smoothgrad" and path is None and record.get("kind") == "mean"
        if method == "smoothgrad" and not (is_slope and name == "infidelity"):
            return f"the maps of {method} add up to nothing"
        if not is_slope and record.get("baseline") not in CERTAIN:
            return (
                f"perturbations need the maps' own baseline, which {record.get('baseline')} is not"
            )
        options["output"] = record["output"]
        if is_slope:
            options["meaning"] = "slopes"
        else:
            options["baseline"] = record["baseline"]
    metric, _ = find_metric(functools.partial(METRICS[name], **options))
    metric.meet(model)
    return metric


def _measure(
    model: Model,
    options: argparse.Namespace,
    record: Record,
    maps: Array,
    asked: dict[str, Metric | str],
) -> dict[str, dict[str, Any]]:
    """Return what a photograph has by each metric, by its name."""
    pixels = model.load_image(record["image"])
    _check_same_score(model, pixels, record)
    subjects = Subjects(model, pixels, record["target"], {"attributions": maps}, {})
    metrics = {name: metric for name, metric in asked.items() if not isinstance(metric, str)}
    rows = measure_all(list(metrics.values()), subjects, options.batch_size, False)
    found = {
        name: vars(Outcome.of(metric, row["attributions"][0]))
        for (name, metric), row in zip(metrics.items(), rows, strict=True)
    }
    unmeasurable = {
        name: vars(Outcome(metric, None, None, metric))
        for name, metric in asked.items()
        if isinstance(metric, str)
    }
    return found | unmeasurable


def _check_records(records: list[Record], options: argparse.Namespace) -> None:
    """Raise a ValueError where there are none, or they were made with another model."""
    if not records:
        raise ValueError(f"{str(options.folder)!r} has no photographs explained")
    digest = archives.identify(options.model)
    for record in records:
        if record["request"].get("model") != digest:
            raise ValueError(
                f"{record['image']!r} was explained with another model than"
                f" {str(options.model)!r}: give the one of intgrad explain"
            )


def _check_same_score(model: Model, pixels: Any, record: Record) -> None:
    """Raise a ValueError where the model does not give what it gave when it was explained."""
    output = model.resolve_output(record["output"])
    score = float(model._compute_scores(pixels[np.newaxis], output)[0, record["target"]])
    if not math.isclose(score, record["score"], rel_tol=SAME, abs_tol=SAME / 100):
        raise ValueError(
            f"its {record['output']} was {record['score']:.4g} when it was explained, and is"
            f" {score:.4g} now: the photograph was changed since, or --preprocess, --size or"
            " --scores are not those of intgrad explain"
        )


def _tell(found: dict[str, dict[str, Any]]) -> str:
    return ", ".join(
        f"{name} {'none' if each['value'] is None else format(each['value'], '.4g')}"
        + (f" ({each['note']})" if each["note"] else "")
        for name, each in found.items()
    )


def _summarise(name: str, records: list[Record], model: Model) -> str:
    """Say what a metric came to over all photographs that have it by today's convention."""
    measured, images, metric = [], [], None
    for record in records:
        metric = _make_metric(name, record, model)
        known = record.get("metrics", {}).get(name)
        if known is None or known["convention"] != _convention(metric):
            continue
        value = math.nan if known["value"] is None else known["value"]
        measured.append(Measured(value, error=known["error"], note=known["note"]))
        images.append(printable(Path(record["image"]).name))
    if metric is None or isinstance(metric, str) or not measured:
        return f"{name}: {metric if isinstance(metric, str) else 'no photograph was measured'}"
    return make_result(metric, measured).summary(images)
