"""Reading picture files."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from .._optional import require
from .arrays import Float32Array, check_size

MAX_PIXELS = 100_000_000
"""`load_image` refuses larger pictures before it decodes them."""


def load_image(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Float32Array:
    """Read a photograph as RGB pixels.

    Parameters
    ----------
    path : str or path-like
        Any file that Pillow reads. The EXIF orientation is applied, grey is made RGB, a
        transparent picture is laid over white, 16-bit grey is scaled to 0..255.
    size : (int, int), optional
        Height and width to resize to, by nearest neighbour as Keras's `load_img` does; usually
        `model.input_size`. The picture's own size if None.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) float32, values 0..255.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no picture, is damaged, has over 100 million pixels, or `size` is no
        (height, width).
    """
    size = None if size is None else check_size(size, "size")
    return to_pixels(decode(path), size)


def decode(path: str | os.PathLike[str]) -> Any:
    """Read a file as a Pillow image, upright and in RGB; raises what `load_image` does."""
    pil = require("PIL.Image", "pillow", "load_image")
    with open(path, "rb") as file, warnings.catch_warnings():
        # Pillow's own limit is a warning first; ours, below, is an error at once.
        warnings.simplefilter("ignore", pil.DecompressionBombWarning)
        try:
            picture = pil.open(file)
        except pil.UnidentifiedImageError:
            raise ValueError(f"{os.fspath(path)!r} is not a picture that Pillow can read") from None
        except pil.DecompressionBombError as error:
            raise ValueError(f"{os.fspath(path)!r} is too large: {error}") from None
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{os.fspath(path)!r} is too large: {height} x {width} pixels, and the limit is"
                f" {MAX_PIXELS:,} in all"
            )
        try:
            return _to_rgb(picture)
        except (OSError, SyntaxError, EOFError) as error:
            raise ValueError(f"{os.fspath(path)!r} is damaged: {error}") from error


def to_pixels(picture: Any, size: tuple[int, int] | None) -> Float32Array:
    """Return what a Pillow image in RGB is to a model of this input size."""
    if size is not None:
        nearest = require("PIL.Image", "pillow", "load_image").Resampling.NEAREST
        picture = picture.resize((size[1], size[0]), nearest)
    return np.asarray(picture, np.float32)


def _to_rgb(picture: Any) -> Any:
    """Decode a Pillow image, upright and in RGB."""
    pil = require("PIL.Image", "pillow", "load_image")
    picture = require("PIL.ImageOps", "pillow", "load_image").exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits in a container of 16 or 32
        grey = np.asarray(picture, np.float64) * (255.0 / 65535.0)
        picture = pil.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = pil.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = pil.alpha_composite(white, picture)
    return picture.convert("RGB")
