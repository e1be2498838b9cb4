"""`intgrad report`: the page of results that are there, made anew."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from .._optional import require
from ..report.building import complete
from ..report.writing import Report, check_page
from ..results.folder import lock
from ..results.reading import Reading, read_results
from ..results.records import RECORDS, explained
from .telling import printable, say

REPORT_EXAMPLES = """examples:
  intgrad report explained
  intgrad report explained --single-file
  intgrad report explained.parquet --out page
"""
MOST_TOLD = 5


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what `intgrad report` takes."""
    parser.description = (
        "Writes the page index.html of results, as intgrad explain does: of a folder that another\n"
        "version wrote, or whose report was lost, or of the Parquet that a cluster wrote."
    )
    parser.epilog = REPORT_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "results", type=Path, metavar="RESULTS", help="a folder of intgrad explain, or Parquet"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of the page (default: that of the results; of a file of Parquet: report)",
    )
    parser.add_argument(
        "--single-file", action="store_true", help="make index.html one file, to be mailed"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status.

    Raises
    ------
    OSError, ValueError, ImportError
        If there are no results, or the page cannot be written.
    """
    for module, package in (("PIL", "pillow"), ("jinja2", "jinja2")):
        require(module, package, "report")
    results = read_results(options.results)
    is_folder = (options.results / RECORDS).exists()
    if is_folder and options.out is not None:
        raise ValueError("--out is for Parquet: the page of a folder is in the folder")
    place = options.results if options.results.is_dir() else Path("report")
    folder = options.out or place
    folder.mkdir(parents=True, exist_ok=True)
    check_page(folder)
    lost: dict[str, str] = {}
    held = lock(folder)
    try:
        records = complete(results, folder, lost)
        if is_folder:  # whoever goes on with the folder is to know of the views
            explained(folder).replace(records)
            records = iter(explained(folder))
        report = Report(folder, _find_request(results), None, records, results.failures())
        report.finish(options.single_file)
    finally:
        os.close(held)
    tell_lost(lost)
    say(f"report: {folder / 'index.html'}")
    return 1 if lost else 0


def tell_lost(lost: dict[str, str]) -> None:
    """Say which photographs a page cannot draw, and why: of the first few."""
    for image, reason in list(lost.items())[:MOST_TOLD]:
        say(f"intgrad: {printable(image)} is not drawn: {reason}", error=True)
    if len(lost) > MOST_TOLD:
        say(f"intgrad: and {len(lost) - MOST_TOLD} more are not drawn", error=True)


def _find_request(results: Reading) -> dict[str, Any]:
    """Return what was asked for, of any of them."""
    request: dict[str, Any] = next((record["request"] for record in results.records()), {})
    return request
