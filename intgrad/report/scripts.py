"""Scripts that give a page data: a call of one of its functions with JSON, and nothing else."""

from __future__ import annotations

import json
from typing import Any

PREFIX = "intgrad."


def to_json(value: Any) -> str:
    """Return JSON, in ASCII, that a script within a page may hold: nothing ends the script."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def call(function: str, *values: Any) -> bytes:
    """Return a script that calls one of the page's functions."""
    return f"{PREFIX}{function}({','.join(map(to_json, values))});\n".encode("ascii")


def read_call(script: bytes) -> list[Any]:
    """Return the values that a script passes.

    Raises
    ------
    ValueError
        If it is none of ours, or not whole.
    """
    text = script.decode("ascii")
    start, end = text.find("("), text.rfind(");\n")
    if not text.startswith(PREFIX) or start < 0 or end < 0:
        raise ValueError("it is no script of a report")
    return list(json.loads(f"[{text[start + 1 : end]}]"))
