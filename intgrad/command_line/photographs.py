"""Photographs for the command line, read ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.arrays import Float32Array
from ..images.reading import decode, to_pixels
from .finding import Source

AHEAD = 8
"""How many photographs are read before they are asked for."""
SHOWN = (400, 600)
"""Width and height that a photograph is drawn in at most, in pixels."""


@dataclass(frozen=True)
class Photograph:
    """What a file holds.

    Attributes
    ----------
    source : Source
    pixels : numpy.ndarray
        (H, W, C) float32, resized to what the model takes.
    picture : numpy.ndarray
        (h, w, 3) uint8 in the photograph's own shape, as large as it is drawn.
    """

    source: Source
    pixels: Float32Array
    picture: npt.NDArray[np.uint8]


def read(source: Source, size: tuple[int, int] | None, channels: int) -> Photograph:
    """Read a photograph, raising what `load_image` raises."""
    if os.path.exists(source.path) and not os.path.isfile(source.path):
        raise ValueError(f"{str(source.path)!r} is no file")  # a pipe would be waited for
    picture = decode(source.path, channels)
    pixels = to_pixels(picture, size)
    shown = picture.convert("RGB")
    shown.thumbnail(SHOWN)
    return Photograph(source, pixels, np.asarray(shown))


def read_ahead(
    sources: Iterable[Source], size: tuple[int, int] | None, channels: int
) -> Iterator[tuple[Source, Future[Photograph]]]:
    """Yield photographs in order; others are read while the caller works with one."""
    pool = ThreadPoolExecutor(2, thread_name_prefix="intgrad-read")
    waiting: deque[tuple[Source, Future[Any]]] = deque()
    try:
        for source in sources:
            waiting.append((source, pool.submit(read, source, size, channels)))
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
