"""Photographs for the command line: which files are meant, and reading them ahead."""

from __future__ import annotations

import glob
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.arrays import Float32Array
from ..images.reading import decode, to_pixels

AHEAD = 8
"""How many photographs are read before they are asked for."""
SHOWN = 1024
"""Longer side of what is kept of a photograph to draw on, in pixels: more than a panel shows."""


@dataclass(frozen=True)
class Source:
    """A file, and what its results are called."""

    path: Path
    name: str


@dataclass(frozen=True)
class Photograph:
    """What a file holds.

    Attributes
    ----------
    source : Source
    pixels : numpy.ndarray
        (H, W, 3) float32, resized to what the model takes.
    picture : numpy.ndarray
        (h, w, 3) uint8 in the photograph's own shape.
    """

    source: Source
    pixels: Float32Array
    picture: npt.NDArray[np.uint8]


def find(arguments: Sequence[str]) -> list[Source]:
    """Return what files, folders and patterns stand for, each file once.

    A folder stands for all that Pillow can read by its suffix, in its subfolders too; results are
    named after the path below it. A file that does not exist is found out when it is read.

    Raises
    ------
    ValueError
        If a folder or a pattern stands for nothing.
    """
    found: dict[Path, Source] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            sources = _in_folder(path)
        elif not path.exists() and glob.has_magic(argument):
            sources = [Source(Path(each), Path(each).stem) for each in _matches(argument)]
        else:
            sources = [Source(path, path.stem)]
        for source in sources:
            found.setdefault(source.path.resolve(), source)
    return list(found.values())


def _in_folder(folder: Path) -> list[Source]:
    suffixes = _suffixes()
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    sources = [
        Source(folder / path, str(path.with_suffix("")))
        for path in paths
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.parts)
        and (folder / path).is_file()
    ]
    if not sources:
        raise ValueError(f"the folder {str(folder)!r} holds no pictures that Pillow can read")
    return sources


def _matches(pattern: str) -> list[str]:
    matches = sorted(each for each in glob.glob(pattern, recursive=True) if Path(each).is_file())
    if not matches:
        raise ValueError(f"no file matches {pattern!r}")
    return matches


def _suffixes() -> set[str]:
    pil = require("PIL.Image", "pillow", "reading photographs")
    return {suffix for suffix, kind in pil.registered_extensions().items() if kind in pil.OPEN}


def read(source: Source, size: tuple[int, int] | None) -> Photograph:
    """Read a photograph, raising what `load_image` raises."""
    picture = decode(source.path)
    pixels = to_pixels(picture, size)
    picture.thumbnail((SHOWN, SHOWN))
    return Photograph(source, pixels, np.asarray(picture))


def read_ahead(
    sources: Iterable[Source], size: tuple[int, int] | None
) -> Iterator[tuple[Source, Future[Photograph]]]:
    """Yield photographs in order; others are read while the caller works with one."""
    pool = ThreadPoolExecutor(2, thread_name_prefix="intgrad-read")
    waiting: deque[tuple[Source, Future[Any]]] = deque()
    try:
        for source in sources:
            waiting.append((source, pool.submit(read, source, size)))
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
