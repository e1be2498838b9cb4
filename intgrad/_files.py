"""Files that are whole whenever they are there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path


def check_destination(destination: Path) -> None:
    """Raise an OSError if no file can be there, before any work is done for it."""
    if destination.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder, and a file is to be", str(destination))
    if not destination.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "there is no such folder", str(destination.parent))


def write_whole(destination: Path, part: Path, write: Callable[[Path], object]) -> None:
    """Write a file that is whole whenever it is there; `write` is given `part` to write to."""
    try:
        write(part)
        with part.open("rb+") as file:  # else a power cut may leave the name without the contents
            os.fsync(file.fileno())
        part.replace(destination)
    except OSError as error:
        if error.filename is None:  # as of a disk that is full
            error.filename = str(destination)
        raise
    finally:
        part.unlink(missing_ok=True)
