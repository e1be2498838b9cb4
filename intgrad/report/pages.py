"""The page itself: templates filled in, and the files that it needs beside it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from .._optional import require
from .._version import __version__
from .about import Run

SCRIPTS = ("data.js", "maps.js", "list.js", "view.js", "page.js")
STYLE = "page.css"


@dataclass(frozen=True)
class Inline:
    """What a page holds that needs no other file.

    Attributes
    ----------
    style : str
    records : iterable of str
        The scripts that give the page its cards.
    views : iterable of (str, str)
        Names and JSON of what `make_view` makes.
    """

    style: str
    records: Iterable[str]
    views: Iterable[tuple[str, str]]


def render(
    title: str, lead: str, runs: Sequence[Run], inline: Inline | None = None
) -> Iterator[str]:
    """Yield the page in pieces, however long it is. All text is escaped.

    Raises
    ------
    ImportError
        If Jinja2 is not installed.
    """
    stream = _template().stream(
        title=title,
        lead=lead,
        runs=runs,
        version=__version__,
        scripts=[_script(name, inline) for name in SCRIPTS],
        inline=inline,
    )
    stream.enable_buffering(50)
    yield from stream


@functools.cache
def _template() -> Any:
    """Compile the page's template, once: it is filled in again and again while a run goes on."""
    jinja = require("jinja2", "jinja2", "the report")
    environment = jinja.Environment(
        loader=jinja.PackageLoader("intgrad.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja.StrictUndefined,
    )
    return environment.get_template("index.html")


def read_asset(name: str) -> bytes:
    """Return a file that comes with the page."""
    return files("intgrad.report").joinpath("templates", name).read_bytes()


def _script(name: str, inline: Inline | None) -> dict[str, Any]:
    return {"name": name, "text": None if inline is None else read_asset(name).decode("utf-8")}
