"""A report made anew of results that are there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..images.reading import decode
from ..images.transform import Box
from ..pictures.framing import frame
from ..pictures.styles import mean_of
from ..results.folder import PLACES
from ..results.reading import Reading
from ..results.records import Record
from ..results.result import Result
from .views import Maps, is_current, make_overview, make_thumbnail, make_view
from .writing import Report, write_changed


def build(
    results: Reading,
    folder: Path,
    request: dict[str, Any],
    command: Sequence[str] | None,
    single_file: bool,
) -> dict[str, str]:
    """Write the report of results into a folder, and what photographs need for it and lack.

    Returns the photographs that it cannot draw, and why: they are in the list all the same.
    """
    lost: dict[str, str] = {}
    records = _complete(results, folder, lost)
    report = Report(folder, request, command, records, results.failures())
    report.finish(single_file)
    return lost


def _complete(results: Reading, folder: Path, lost: dict[str, str]) -> Iterator[Record]:
    """Yield records whose views are there, or made now."""
    for result in results:
        record = result.record
        name = _name(record)
        places = {key: PLACES[key].format(name) for key in ("view", "thumbnail")}
        if is_current(folder / places["view"]) and (folder / places["thumbnail"]).is_file():
            yield record | places
            continue
        try:
            yield record | draw_view(result, folder, name)
        except (OSError, ValueError) as error:
            lost[record["image"]] = str(error)
            yield record | dict.fromkeys(places)


def _name(record: Record) -> str:
    """Return what a photograph's files are called; without a picture after where it was."""
    if record["picture"] is None:
        return hashlib.sha256(os.fsencode(record["image"])).hexdigest()[:16]
    return str(record["picture"]).removesuffix(".png")


def draw_view(result: Result, folder: Path, name: str) -> dict[str, Any]:
    """Write what the page draws of a photograph; return what its record says of it.

    Raises
    ------
    OSError, ValueError
        If the photograph or its arrays cannot be read any more.
    """
    record, arrays = result.record, result.arrays
    photograph = decode(os.fspath(record["image"]), 3)
    seen = record.get("seen")  # of an older version all is drawn
    framed = frame(photograph, None if seen is None else Box(*seen), record.get("fill", 0))
    gradient = result.gradient
    maps = Maps(
        mean_of(result.attributions),
        arrays.get("pixel_error_map"),
        None if gradient is None else mean_of(gradient),
        arrays.get("regions"),
    )
    places = {key: PLACES[key].format(name) for key in ("view", "thumbnail")}
    write_changed(folder / places["view"], make_view(framed, maps))
    write_changed(folder / places["thumbnail"], make_thumbnail(framed))
    return {**places, "overview": make_overview(result.attributions)}
