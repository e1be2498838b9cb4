"""Photographs, read ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._optional import require
from ..images.arrays import Float32Array
from ..images.reading import decode, decode_picture, to_pixels
from ..images.transform import Box
from ..models.model import Model
from ..pictures.framing import Fill, Framed, frame
from ..results.sources import Source

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
    size : (int, int)
        Height and width of it all.
    seen : Box or None
        What of the photograph the model sees, in its pixels; None if that is all.
    fill : int or tuple of int
        The padding, where the model sees more than the photograph.
    """

    source: Source
    pixels: Float32Array
    framed: Framed
    size: tuple[int, int]
    seen: Box | None
    fill: Fill


def read(source: Source, model: Model) -> Photograph:
    """Read a photograph, raising what `load_image` raises."""
    picture, transform = _decode(source, model.channels or 3), model.image_transform
    pixels, size = to_pixels(picture, transform), (picture.height, picture.width)
    if transform is None:
        return Photograph(source, pixels, frame(picture, None), size, None, 0)
    seen, fill = transform.field_of_view(*size), transform.fill
    return Photograph(source, pixels, frame(picture, seen, fill), size, seen, fill)


def _decode(source: Source, channels: int) -> Any:
    if isinstance(source.content, np.ndarray):
        if source.content.dtype != np.uint8:
            raise ValueError(f"pixels must be uint8, 0 to 255, got {source.content.dtype}")
        pil = require("PIL.Image", "pillow", "photographs")
        pixels = source.content
        grey = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
        return decode_picture(pil.fromarray(grey), channels)
    if source.content is None and os.path.exists(source.path) and not os.path.isfile(source.path):
        raise ValueError(f"{str(source.path)!r} is no file")  # a pipe would be waited for
    return decode(source.path, channels, source.content)


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
