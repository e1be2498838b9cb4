"""PNG files in half the time that they take elsewhere."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from .contents import Picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB = 2
UP = 2
"""The filter that leaves of each row its difference from the row above."""


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture (H, W, 3) of bytes.

    Encoders try five filters on every row and look for repeats far back, which would be most of
    the time of drawing. Maps are noise in enlarged pixels, to which neither does much good: with
    one filter, and runs alone, files of them are as large.
    """
    height, width = picture.shape[:2]
    with path.open("wb") as file:
        file.write(SIGNATURE)
        for chunk in (
            _chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, RGB, 0, 0, 0)),
            _chunk(b"IDAT", _pack(picture.reshape(height, 3 * width))),
            _chunk(b"IEND", b""),
        ):
            file.writelines(chunk)


def _pack(rows: Picture) -> bytes:
    filtered = np.full((len(rows), 1 + rows.shape[1]), UP, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    return packer.compress(filtered.data) + packer.flush()


def _chunk(name: bytes, content: bytes) -> tuple[bytes, ...]:
    """Return the length of the content, its name, itself, and a checksum."""
    checksum = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)
