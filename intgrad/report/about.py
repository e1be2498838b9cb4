"""What a page says of all its photographs together, and of how they came about."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._version import __version__
from ..pictures.colours import NEGATIVE, POSITIVE, diverging
from ..pictures.contents import Key
from ..pictures.meanings import MEANINGS, Meaning, find_meaning
from ..pictures.panels import EFFECT_UNSIGNED, EFFECTS, explain_colours
from ..pictures.styles import UNCERTAIN
from ..results.records import Record

K = 2.0
"""Standard deviations within which of zero nothing is called certain, at first."""
COLOURS = (POSITIVE, NEGATIVE)
MOST_TOLD = 12
"""Of a list, such as a thousand labels."""


@dataclass(frozen=True)
class Run:
    """How the maps of a folder came about.

    Attributes
    ----------
    title : str
    meaning : Meaning
    facts : list of (str, str)
        Settings and versions.
    command : str or None
        What made it.
    output : str
        Which score was explained.
    """

    title: str
    meaning: Meaning
    facts: list[tuple[str, str]]
    command: str | None
    output: str

    @classmethod
    def of(
        cls, record: Record | None, request: Mapping[str, Any], command: Sequence[str] | None
    ) -> Run:
        """Make it of any of its records; None if there is none yet."""
        meaning = MEANINGS["straight"] if record is None else find_meaning(record)
        facts = {name: value for name, value in request.items() if value is not None}
        title = meaning.title
        if record is not None:
            title = f"{meaning.title}, {record['model']}"
            facts = {"model file": record["model"]} | facts
            facts |= {name: record[name] for name in ("precision", "device", "backend")}
            facts |= {f"{name} version": value for name, value in record["versions"].items()}
        told = [(name, _say(value)) for name, value in facts.items()]
        words = None if command is None else shlex.join(command)
        return cls(title, meaning, told, words, "score" if record is None else record["output"])

    def with_command(self, title: str, command: Sequence[str]) -> Run:
        """Return what a command made of runs such as this one."""
        facts = [("intgrad version", __version__)]
        return dataclasses.replace(self, title=title, facts=facts, command=shlex.join(command))

    def named(self, name: str) -> Run:
        """Return it under a title that begins with a name of its own."""
        return dataclasses.replace(self, title=f"{name}: {self.title}")


def make_about(
    runs: Sequence[Run], files: Sequence[str], facts: Sequence[str], order: str
) -> dict[str, Any]:
    """Return what the page's scripts have to know.

    `files` are the scripts with its cards, `facts` what these can be sorted by, and `order` says
    how they are sorted already.
    """
    meaning, shades = runs[0].meaning, diverging(*COLOURS)
    polarity, effects = ("both", EFFECTS) if meaning.is_signed else ("positive", EFFECT_UNSIGNED)
    key = explain_colours("blended", polarity, COLOURS, K, effects)
    return {
        "files": files,
        "runs": len(runs),
        "titles": [run.title for run in runs],
        "meanings": [
            {
                "title": run.meaning.title,
                "unit": run.meaning.unit,
                "regionUnit": run.meaning.region_unit,
                "gradientUnit": "score units per pixel value, mean over channels",
                "signed": run.meaning.is_signed,
                "scale": f"{_without_area(run.meaning.region_unit)}, {run.output}",
            }
            for run in runs
        ],
        "facts": facts,
        "order": order,
        "key": [_tell_key(each) for each in key],
        "colours": {"raises": shades[-1].tolist(), "lowers": shades[0].tolist()},
    }


def _without_area(unit: str) -> str:
    return unit.removesuffix(" per region").removesuffix(", sum over region")


def _tell_key(key: Key) -> dict[str, Any]:
    """Return a key, of what is uncertain without a number, for which the page has a slider."""
    of_bars = key.colour == UNCERTAIN
    text = "too uncertain to call: within the error bars of 0" if of_bars else key.text
    return {"colour": key.colour, "text": text, "ofBars": of_bars}


def _say(value: Any) -> str:
    if isinstance(value, list | tuple):
        more = f" and {len(value) - MOST_TOLD} more" if len(value) > MOST_TOLD else ""
        return ", ".join(map(_say, value[:MOST_TOLD])) + more
    return f"{value:g}" if isinstance(value, float) else str(value)
