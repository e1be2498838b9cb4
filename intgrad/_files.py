"""Files that are whole whenever they are there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(destination: Path, part: Path, write: Callable[[Path], object]) -> None:
    """Write a file that is whole whenever it is there; `write` is given `part` to write to."""
    try:
        write(part)
        with part.open("rb+") as file:  # else a power cut may leave the name without the contents
            os.fsync(file.fileno())
        part.replace(destination)
    finally:
        part.unlink(missing_ok=True)
