"""The EXIF orientation of a picture, read alone: what else the block holds may be damaged."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import IO, Any

from .._optional import require

ORIENTATION = 0x0112
HEADER = b"Exif\0\0"
HEAD = 1 << 16
"""In so many bytes a JPEG's block begins, or is not looked for."""
INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""Types of a tag that hold an integer, with their formats for `struct`."""
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What turns a picture of an orientation upright, by Pillow's names."""


def open_past_exif(file: IO[bytes]) -> Any:
    """Open a JPEG whose EXIF block keeps Pillow from it, which looks there for the resolution."""
    data = file.read()
    start = data.find(HEADER, 0, HEAD)
    if not data.startswith(b"\xff\xd8") or start < 2:
        return None
    end = start - 2 + int.from_bytes(data[start - 2 : start], "big")
    renamed = data[:start] + HEADER.lower() + data[start + len(HEADER) :]
    picture = require("PIL.Image", "pillow", "load_image").open(io.BytesIO(renamed))
    picture.info["exif"] = data[start:end]
    return picture


def load_upright(picture: Any, ours: bool) -> Any:
    """Decode a Pillow image, and turn it as its orientation says.

    As `PIL.ImageOps.exif_transpose`, which however writes the whole block anew, and so fails where
    a tag that nobody asked for is damaged. A block that cannot be read turns nothing. A picture
    that is not `ours` keeps its tags.
    """
    if hasattr(picture, "tag_v2"):  # Pillow turns a TIFF itself as it loads it
        if ours:
            _forget_other_tags(picture)
        picture.load()
        return picture
    picture.load()  # some formats have the block after the pixels
    turn = TURNS.get(_orientation(picture))
    if turn is None:
        return picture
    turns = require("PIL.Image", "pillow", "load_image").Transpose
    return picture.transpose(turns[turn])


def _forget_other_tags(picture: Any) -> None:
    with contextlib.suppress(Exception):  # then Pillow has no tags to stumble over
        exif = picture.getexif()
        for tag in set(exif) - {ORIENTATION}:
            del exif[tag]


def _orientation(picture: Any) -> Any:
    block = picture.info.get("exif")
    found = _find_in_block(block) if isinstance(block, bytes) else None
    if found is None:
        with contextlib.suppress(Exception):  # in XMP, or in the text of an old PNG
            found = picture.getexif().get(ORIENTATION)
    return found


def _find_in_block(block: bytes) -> int | None:
    """Return the orientation in an EXIF block, a TIFF without pixels; None where there is none."""
    while block.startswith(HEADER):
        block = block[6:]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "4xI", block)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(order + "HHI", block, entry)
            if tag == ORIENTATION and kind in INTEGERS and length == 1:
                return int(struct.unpack_from(order + INTEGERS[kind], block, entry + 8)[0])
    except struct.error:  # the block ends before what it announces
        pass
    return None
