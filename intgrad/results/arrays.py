"""The arrays of a photograph in a file: as they were computed, or rounded and compressed.

The maps of a network are noise in their last digits, which no compression makes smaller. Rounded to
multiples of a step that is small beside them they are still float32, read by `numpy.load` like any
others, but most of their bits are zeros.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

STEPS = {"attributions": 64, "gradient": 16, "error_map": 8, "pixel_error_map": 8}
"""At how many steps, at least, the root mean square of an array lies: a map of 64 loses less than
half a percent of its norm, and errors are estimates themselves."""
LEVEL = 4
"""Of zlib: the next ones take twice the time for a hundredth."""

Kept = Literal["compact", "full", "none"]
KEPT: tuple[Kept, ...] = get_args(Kept)
"""Rounded, as they were computed, or not at all."""
Arrays = Mapping[str, npt.NDArray[Any]]


def write_exactly(path: Path, arrays: Arrays) -> None:
    """Write arrays as they are."""
    _write(zipfile.ZipFile(path, "w", zipfile.ZIP_STORED), arrays)


def write_compactly(path: Path, arrays: Arrays) -> None:
    """Write arrays, compressed."""
    _write(zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL), arrays)


def _write(archive: zipfile.ZipFile, arrays: Arrays) -> None:
    with archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def keep(arrays: Arrays, kept: Kept) -> tuple[Arrays, dict[str, float]]:
    """Return what is kept of arrays, and the steps of those that were rounded."""
    if kept == "compact":
        return round_off(arrays)
    return (arrays if kept == "full" else {}), {}


def round_off(arrays: Arrays) -> tuple[dict[str, npt.NDArray[Any]], dict[str, float]]:
    """Round those of `STEPS`; return all, and the step of each that was, twice its largest error.

    Arrays that are zero, or hold NaN or infinity or what would become that, stay as they are.
    """
    rounded, steps = dict(arrays), {}
    for name in STEPS.keys() & arrays.keys():
        exponent = _exponent(arrays[name], STEPS[name])
        if exponent is None:
            continue
        with np.errstate(over="ignore"):
            values = np.ldexp(np.rint(np.ldexp(arrays[name], -exponent)), exponent)
        if np.isfinite(values).all():
            rounded[name], steps[name] = values, math.ldexp(1.0, exponent)
    return rounded, steps


def _exponent(values: npt.NDArray[Any], least: int) -> int | None:
    """Return that of the largest power of two of which the root mean square is `least` times."""
    size = max(values.size, 1)
    rms = math.sqrt(float(np.einsum("i,i", values.ravel(), values.ravel(), dtype=float)) / size)
    if not (0 < rms < math.inf):
        return None
    return math.frexp(rms / least)[1] - 1
