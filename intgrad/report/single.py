"""A report in one file, which can be mailed: everything that the page reads is in the page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from .._files import write_whole
from ..results.records import PART
from .about import Run
from .pages import STYLE, Inline, read_asset, render
from .scripts import call, read_call, to_json


def write_single(folder: Path, title: str, lead: str, runs: list[Run]) -> None:
    """Make the page of a folder hold all that is in its `report`, which stays as it is."""
    records = folder / "report/records"
    (about,) = read_call((records / "index.js").read_bytes())
    inline = Inline(
        read_asset(STYLE).decode("utf-8"),
        _embed_cards(folder, about),
        _embed_views(folder, about),
    )

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", errors="replace") as file:
            file.writelines(render(title, lead, runs, inline))

    write_whole(folder / "index.html", folder / f"{PART}.html", write)


def _embed_cards(folder: Path, about: dict[str, Any]) -> Iterator[str]:
    """Yield the scripts of cards, whose thumbnails are in them."""
    for number, cards in _read_cards(folder, about):
        for run in (run for card in cards for run in card["runs"]):
            run["picture"] = None  # which is not mailed
            jpeg = _read(folder, run.get("thumbnail"))
            run["thumbnail"] = jpeg and f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        yield call("add", number, cards).decode("ascii")
        details = folder / f"report/records/{number:04}.details.js"
        if details.exists():
            yield details.read_text(encoding="ascii")
    yield call("begin", about | {"files": []}).decode("ascii")


def _embed_views(folder: Path, about: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for _, cards in _read_cards(folder, about):
        for address in (run.get("view") for card in cards for run in card["runs"]):
            script = _read(folder, address)
            if script:
                (view,) = read_call(script)
                yield address, to_json(view)


def _read_cards(folder: Path, about: dict[str, Any]) -> Iterator[tuple[int, list[Any]]]:
    for name in about["files"]:
        number, cards = read_call((folder / "report/records" / name).read_bytes())
        yield number, cards


def _read(folder: Path, address: str | None) -> bytes | None:
    """Return what an address within the page leads to, None if it is lost."""
    if address is None:
        return None
    try:
        return (folder / unquote_to_bytes(address).decode("utf-8", "surrogateescape")).read_bytes()
    except FileNotFoundError:
        return None
