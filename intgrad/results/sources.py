"""A photograph that results belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Source:
    """A photograph: its file, what its results are called, and what it is known by.

    Attributes
    ----------
    path : Path
    name : str
    real : str
        The path without links.
    content : bytes, numpy.ndarray or None
        What the file holds, or its pixels (H, W, C) uint8, if somebody has read it.
    """

    path: Path
    name: str
    real: str
    content: Any = field(default=None, repr=False, compare=False)
