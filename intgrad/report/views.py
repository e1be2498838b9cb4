"""What the page draws of a photograph: itself and its maps, as images from which it reads numbers.

They are in a script, as data: URLs. A page that is opened from a file may run the scripts beside it
and look into images from itself; it may not read other files, nor look into other images.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..pictures.framing import Framed, Picture
from ..pictures.styles import mean_of
from .scripts import PREFIX, call

FORMAT = 1
"""Of a view; the page draws no other."""
Map = npt.NDArray[np.floating[Any]]

QUALITY = 80
"""Of JPEG."""
THUMBNAIL = 160
"""Longest side, in pixels."""
CELLS = 16
"""How many cells an overview has along a side."""
LEVELS = {"attributions": 127, "deviations": 63, "gradient": 63}
"""How many codes a map has, of each sign."""
HUFFMAN = 2
"""zlib's strategy for what is noise and repeats nothing: as small, and in a fifth of the time."""
MOST_REGIONS = 2**16


@dataclass(frozen=True)
class Maps:
    """What was found of a photograph.

    Attributes
    ----------
    attributions, gradient : numpy.ndarray
        (H, W), means over the channels; the gradient may be None.
    deviations : numpy.ndarray or None
        (H, W), standard deviations of the attributions.
    labels : numpy.ndarray or None
        (H, W) int, the region of each pixel.
    """

    attributions: Map
    deviations: Map | None
    gradient: Map | None
    labels: npt.NDArray[np.integer[Any]] | None

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Maps:
        """Make them of what is kept of a photograph, as `results.result.Result.arrays`."""
        gradient = arrays.get("gradient")
        return cls(
            mean_of(arrays["attributions"]),
            arrays.get("pixel_error_map"),
            None if gradient is None else mean_of(gradient),
            arrays.get("regions"),
        )


def make_view(framed: Framed, maps: Maps) -> bytes:
    """Return the script that gives a page a photograph and its maps.

    The maps are one grey image, below each other in the order of `LEVELS`: a value v by the square
    root of its share of the largest, so that it is kept to about sqrt(v * largest) / levels.
    """
    limits = {name: _limit(getattr(maps, name)) for name in LEVELS}
    codes = np.concatenate(
        [
            _encode(getattr(maps, name), limits[name] or 1.0, levels)
            for name, levels in LEVELS.items()
            if limits[name] is not None
        ]
    )
    has_labels = maps.labels is not None and maps.labels.max(initial=0) < MOST_REGIONS
    view = {
        "format": FORMAT,
        "photograph": _to_url(framed.picture, "JPEG", quality=QUALITY),
        "maps": _to_url(codes, "PNG", compress_type=HUFFMAN),
        "labels": _to_url(_split(maps.labels), "PNG") if has_labels else None,
        "height": len(maps.attributions),
        "limits": limits,
        "levels": LEVELS,
        "part": {name: getattr(framed, name) for name in ("top", "left", "height", "width")},
    }
    return call("addView", view)


def is_current(path: Path) -> bool:
    """Say whether a file is a view as this version makes them."""
    start = f'{PREFIX}addView({{"format":{FORMAT},'.encode("ascii")
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except (FileNotFoundError, NotADirectoryError):  # results may be a file
        return False


def make_thumbnail(framed: Framed) -> bytes:
    """Return a small JPEG of what the model sees."""
    image = require("PIL.Image", "pillow", "the report").fromarray(framed.seen)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return _encode_image(image, "JPEG", quality=QUALITY)


def make_overview(attributions: npt.NDArray[Any]) -> dict[str, Any]:
    """Return attributions (H, W, C) at a glance: their sums over a grid of `CELLS` by `CELLS`.

    "cells" are bytes with a sign, row by row, in base64; times "limit" / 127 they are in the unit
    of the sums.
    """
    sums = attributions.sum(axis=2, dtype=np.float64)
    for axis in (0, 1):
        sums = np.add.reduceat(sums, np.arange(CELLS) * sums.shape[axis] // CELLS, axis=axis)
    limit = _limit(sums) or 0.0
    codes = np.rint(_finite(sums) * (127 / limit if limit else 0)).astype(np.int8)
    return {"cells": base64.b64encode(codes.tobytes()).decode("ascii"), "limit": limit}


def _limit(values: Map | None) -> float | None:
    return None if values is None else float(np.abs(_finite(values)).max(initial=0))


def _finite(values: Map) -> Map:
    """Return values with 0 for what is unknown."""
    return np.nan_to_num(values, nan=0, posinf=0, neginf=0)


def _encode(values: Map, limit: float, levels: int) -> npt.NDArray[np.uint8]:
    """Return codes from 128 - levels to 128 + levels."""
    known = _finite(values)
    roots = np.copysign(np.sqrt(np.abs(known) / limit), known)
    codes: npt.NDArray[np.uint8] = np.rint(128 + levels * roots).astype(np.uint8)
    return codes


def _split(labels: Any) -> npt.NDArray[np.uint8]:
    """Return the upper bytes of labels, and below them the lower ones."""
    return np.concatenate([labels >> 8, labels & 255]).astype(np.uint8)


def _to_url(picture: Picture, kind: str, **options: Any) -> str:
    image = require("PIL.Image", "pillow", "the report").fromarray(picture)
    if image.mode == "L":  # with a palette pixels are not filtered, which would only take time
        image.putpalette([level for level in range(256) for _ in range(3)])
    text = base64.b64encode(_encode_image(image, kind, **options)).decode("ascii")
    return f"data:image/{kind.lower()};base64,{text}"


def _encode_image(image: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
