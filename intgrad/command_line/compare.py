"""`intgrad compare`: where two runs over the same photographs disagree."""

from __future__ import annotations

import argparse
import math
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from .._optional import ProgressBar, require
from ..report.pairing import Compared, compare_runs, write_comparison
from ..report.writing import check_page
from ..results.folder import lock
from ..results.records import RECORDS, ROWS
from .report import tell_lost
from .telling import is_terminal, printable, say

COMPARE_EXAMPLES = """examples:
  intgrad compare xception efficientnet
  intgrad compare black gray blur --out baselines
"""
TOLD = 5
"""Photographs that are told of."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what `intgrad compare` takes."""
    parser.description = (
        "Compares two runs of intgrad explain, or three, over the same photographs: two models,\n"
        "two baselines, two methods. Says where they disagree most, and writes a page that shows\n"
        "them side by side."
    )
    parser.epilog = COMPARE_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folders of intgrad explain, or Parquet"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("compared"), help="folder of the page (default: compared)"
    )
    parser.add_argument(
        "--single-file", action="store_true", help="make index.html one file, to be mailed"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command; what it raises, `main` tells."""
    if not 2 <= len(options.runs) <= 3:
        raise ValueError(f"compare takes two runs or three, got {len(options.runs)}")
    for module, package in (("PIL", "pillow"), ("jinja2", "jinja2")):
        require(module, package, "compare")
    if (options.out / RECORDS).exists() or (options.out / ROWS).is_dir():
        raise ValueError(f"{str(options.out)!r} holds results of explain: choose another --out")
    check_page(options.out)
    with ProgressBar(is_terminal(), "photograph") as bar:
        compared = compare_runs(options.runs, bar.update)
    options.out.mkdir(parents=True, exist_ok=True)
    held = lock(options.out)
    try:
        lost = write_comparison(
            compared, options.runs, options.out, options.command, options.single_file
        )
    finally:
        os.close(held)
    tell_lost(lost)
    for line in _summarise(compared):
        say(line)
    say(f"page: {options.out / 'index.html'}")


def _summarise(compared: Sequence[Compared]) -> list[str]:
    """Say how far runs agree, and where they do not."""
    known = [each for each in compared if not math.isnan(each.agreement.correlation)]
    lines = [f"{len(compared)} photographs in all runs"]
    if known:
        middle = statistics.median(each.agreement.correlation for each in known)
        lines[0] += f"; correlation of their maps: median {middle:.2f}"
    changed = [each.agreement.changed for each in compared if each.agreement.changed is not None]
    if changed:
        lines.append(
            f"{sum(map(bool, changed))} have regions whose sign changed beyond the error bars"
        )
    lines += [f"  {printable(each.name)}: {_tell(each)}" for each in known[:TOLD]]
    return lines


def _tell(compared: Compared) -> str:
    agreement = compared.agreement
    text = f"correlation {agreement.correlation:.2f}, score {agreement.score:+.3g}"
    if agreement.changed:
        text += f", {agreement.changed} regions of changed sign"
    return text
