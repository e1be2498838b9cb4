"""Grey pictures of more than 8 bits: integers of up to 32, and floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
"""Tags of TIFF files."""
WHITE_IS_ZERO, SIGNED = 0, 2
"""Values of the last two."""


class RangeError(ValueError):
    """Pixels that no scale makes 0..255."""


def full_scales(picture: Any) -> tuple[int, ...] | None:
    """Return what white may be in a Pillow image as it was opened; None where pixels are bytes.

    That is one number for up to 16 bits. Floats, 32 bits and bits with a sign do not say theirs.
    """
    if picture.mode == "F":
        return (1, 255)
    if not picture.mode.startswith("I"):
        return None
    bits = _bits(picture)
    if bits > 16:
        return (255, 65535)
    return (255, 32767) if _tag(picture, SAMPLE_FORMAT) == SIGNED else ((1 << bits) - 1,)


def _bits(picture: Any) -> int:
    """Return how many bits a value of the file has; Pillow may use more for them."""
    bits = _tag(picture, BITS_PER_SAMPLE)
    if bits is not None:
        return int(bits)
    return 32 if picture.mode == "I" and picture.format not in ("PNG", "PPM") else 16


def _tag(picture: Any, tag: int) -> Any:
    """Return a number from the tags of a TIFF; None where it has none, or is none."""
    value = getattr(picture, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) else value


def scale(picture: Any, scales: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return pixels (H, W) in 0..255, unrounded, by the least of the scales that holds them all.

    Raises
    ------
    RangeError
        If none does, or values are not finite; the text holds their range.
    """
    values = np.asarray(picture)
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise RangeError("holds NaN or inf")
    fitting = [white for white in scales if low >= 0 and high <= white]
    if not fitting:
        raise RangeError(
            f"holds values in {low:g}..{high:g}, and is understood in"
            f" {' or '.join(f'0..{white}' for white in scales)}: scale it, or read it yourself and"
            " pass an array in 0..255"
        )
    pixels: npt.NDArray[np.float32] = np.multiply(values, 255, dtype=np.float32)
    pixels /= fitting[0]
    if _tag(picture, PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow sees to it for bytes only
        np.subtract(255, pixels, out=pixels)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        pixels[values == transparent] = 255
    return pixels
