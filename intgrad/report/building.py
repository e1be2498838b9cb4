"""A report made anew of results that are there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._errors import describe
from ..images.reading import decode
from ..images.transform import Box
from ..pictures.framing import frame
from ..results.folder import PLACES
from ..results.reading import Reading
from ..results.records import Record
from ..results.result import Result
from .scripts import to_json
from .views import Maps, is_current, make_overview, make_thumbnail, make_view
from .writing import write_changed

DRAWN = ("view", "thumbnail")
"""Keys of what the page draws of a photograph."""


def complete(results: Reading, folder: Path, lost: dict[str, str]) -> Iterator[Record]:
    """Yield records of results whose views are in a folder, or are made now.

    What cannot be drawn is noted in `lost`, by its path, and has a record all the same.
    """
    for result in results:
        record = result.record
        drawn = find_view(folder, record)
        if drawn is None:
            try:
                drawn = draw_view(result, folder, _name(record))
            except (OSError, ValueError) as error:
                lost[record["image"]] = describe(error)
                drawn = dict.fromkeys(DRAWN)
        yield record | drawn
        result.forget()


def find_view(folder: Path, record: Record) -> dict[str, Any] | None:
    """Return where a folder has what the page draws of a photograph; None if it has not."""
    places = {key: PLACES[key].format(_name(record)) for key in DRAWN}
    if is_current(folder / places["view"]) and (folder / places["thumbnail"]).is_file():
        return places
    return None


def _name(record: Record) -> str:
    """Return what a photograph's files are called; without a picture no two runs share a name."""
    if record.get("picture") is None:
        explained = {key: value for key, value in record.items() if key != "metrics"}
        return hashlib.sha256(to_json(explained).encode("ascii")).hexdigest()[:16]
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
    places: dict[str, Any] = {"view": None, "thumbnail": PLACES["thumbnail"].format(name)}
    write_changed(folder / places["thumbnail"], make_thumbnail(framed))
    if "attributions" not in arrays:
        return places
    places["view"] = PLACES["view"].format(name)
    write_changed(folder / places["view"], make_view(framed, Maps.of(arrays)))
    return {**places, "overview": make_overview(result.attributions)}
