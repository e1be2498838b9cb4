"""What the page's list shows of a photograph, made of its record."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from ..results.records import Record

FACTS = {
    "probability": "probability",
    "score": "score",
    "error": "error",
    "delta": "completeness gap",
}
"""What cards can be sorted by, beside metrics: keys of records, and what the page calls them."""


def make_card(record: Record) -> dict[str, Any]:
    """Return the card of a photograph that was explained."""
    run = make_run(record)
    known = {"probability": run["probability"], **record}
    facts = {name: known[key] for key, name in FACTS.items()}
    facts |= {name: metric["value"] for name, metric in record.get("metrics", {}).items()}
    return {"name": name_of(record), "facts": facts, "runs": [run]}


def make_failed_card(record: Record) -> dict[str, Any]:
    """Return the card of one that failed."""
    run = {"image": record["image"], "label": None}
    name = PurePath(record["image"]).name
    return {"name": name, "reason": record["reason"], "facts": {}, "runs": [run]}


def make_run(record: Record) -> dict[str, Any]:
    """Return what a card holds of one run."""
    probabilities = {index: value for _, index, value in record["top"]}
    label = record["label"]
    return {
        "image": record["image"],
        "label": f"class {record['target']}" if label is None else label,
        "probability": probabilities.get(record["target"]),
        "error": record["error"],
        "note": record["note"],
        "overview": record.get("overview"),
        **{key: to_url(record.get(key)) for key in ("picture", "view", "thumbnail")},
    }


def name_of(record: Record) -> str:
    """Return what a photograph is called: what its results are, and its suffix."""
    image = PurePath(record["image"])
    if record.get("picture") is None:
        return image.name
    return str(record["picture"]).removesuffix(".png") + image.suffix


def to_url(path: str | None) -> str | None:
    """Return the address of a file of the folder, whatever bytes its name has."""
    return None if path is None else quote(os.fsencode(path))
