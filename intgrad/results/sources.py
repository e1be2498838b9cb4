"""A photograph that results belong to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file, what its results are called, and what it is known by: its path without links."""

    path: Path
    name: str
    real: str
