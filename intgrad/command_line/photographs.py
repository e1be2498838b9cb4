"""Photographs for the command line, read ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..images.arrays import Float32Array
from ..images.reading import decode, to_pixels
from ..models.model import Model
from .finding import Source
from .framing import Framed, frame

AHEAD = 8
"""How many photographs are read before they are asked for."""


@dataclass(frozen=True)
class Photograph:
    """What a file holds.

    Attributes
    ----------
    source : Source
    pixels : numpy.ndarray
        (H, W, C) float32, what the model takes.
    framed : Framed
        What is drawn.
    """

    source: Source
    pixels: Float32Array
    framed: Framed


def read(source: Source, model: Model) -> Photograph:
    """Read a photograph, raising what `load_image` raises."""
    if os.path.exists(source.path) and not os.path.isfile(source.path):
        raise ValueError(f"{str(source.path)!r} is no file")  # a pipe would be waited for
    picture, transform = decode(source.path, model.channels or 3), model.image_transform
    return Photograph(source, to_pixels(picture, transform), frame(picture, transform))


def read_ahead(
    sources: Iterable[Source], model: Model
) -> Iterator[tuple[Source, Future[Photograph]]]:
    """Yield photographs in order; others are read while the caller works with one."""
    pool = ThreadPoolExecutor(2, thread_name_prefix="intgrad-read")
    waiting: deque[tuple[Source, Future[Any]]] = deque()
    try:
        for source in sources:
            waiting.append((source, pool.submit(read, source, model)))
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
