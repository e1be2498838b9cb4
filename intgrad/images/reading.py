"""Reading picture files."""

from __future__ import annotations

import contextlib
import importlib
import os
import warnings
from typing import IO, Any

import numpy as np

from .._optional import require
from .arrays import Float32Array, check_size
from .depth import RangeError, full_scales, scale
from .orientation import load_upright, open_past_exif

MAX_PIXELS = 100_000_000
"""`load_image` refuses larger pictures before it decodes them."""
CHANNELS = "intgrad.channels"
"""Where `decode` notes in `Image.info` how many channels grey pixels are to have."""
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1")
SUFFIXES = {".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF", ".avif": "AVIF", ".avifs": "AVIF"}
ADVICE = {
    "HEIF": "HEIC pictures need a plugin: pip install pillow-heif",
    "AVIF": "AVIF pictures need Pillow 11.3 or later, or a plugin: pip install pillow-avif-plugin",
}


def load_image(
    path: str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    *,
    channels: int = 3,
) -> Float32Array:
    """Read a photograph as pixels.

    Parameters
    ----------
    path : str or path-like
        Any file that Pillow reads. The EXIF orientation is applied, a transparent picture is laid
        over white, and grey of 16 bits is scaled to 0..255 without rounding. So are floats in 0..1
        and integers of 32 bits in 0..65535; either in 0..255 are taken as they are. HEIC needs
        `pip install pillow-heif`.
    size : (int, int), optional
        Height and width to resize to, by nearest neighbour as Keras's `load_img` does; usually
        `model.input_size`. The picture's own size if None.
    channels : {3, 1}
        3 for RGB, which grey is made; 1 for grey, Pillow's luminance of colours. Usually
        `model.channels`.

    Returns
    -------
    numpy.ndarray
        (H, W, channels) float32, values 0..255.

    Raises
    ------
    FileNotFoundError, PermissionError, IsADirectoryError
        If the file cannot be opened.
    ValueError
        If the file is no picture, is damaged, has over 100 million pixels, or holds floats or
        integers of 32 bits in another range; `size` is no (height, width); or `channels` is
        neither 1 nor 3.
    """
    size = None if size is None else check_size(size, "size")
    return to_pixels(decode(path, channels), size)


def decode(path: str | os.PathLike[str], channels: int = 3) -> Any:
    """Read a file as a Pillow image for `to_pixels`, upright; raises what `load_image` does.

    Its mode is "RGB" or "L", or "F" for grey of more than 8 bits, whatever `channels` is.
    """
    if channels not in (1, 3):
        raise ValueError(
            "channels must be 3 (RGB) or 1 (grey), which is what picture files are read as, got"
            f" {channels!r}: pass other images as arrays (H, W, C)"
        )
    name = repr(os.fspath(path))
    pil = require("PIL.Image", "pillow", "load_image")
    with open(path, "rb") as file, warnings.catch_warnings():
        # What Pillow warns of is mended here, such as damaged tags, or an error at once.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            picture = _open(file, os.fsdecode(path))
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise pil.DecompressionBombError(
                    f"{height} x {width} pixels, and the limit is {MAX_PIXELS:,} in all"
                )
            picture = _to_grey_or_rgb(picture, channels)
        except MemoryError:
            raise
        except pil.UnidentifiedImageError:
            advice = _advise(file, os.fsdecode(path))
            raise ValueError(f"{name} is not a picture that Pillow can read{advice}") from None
        except pil.DecompressionBombError as error:
            raise ValueError(f"{name} is too large: {error}") from None
        except RangeError as error:
            raise ValueError(f"{name} {error}") from None
        except Exception as error:  # whatever a decoder raises for bytes that it did not expect
            reason = str(error) if any(error.args) else type(error).__name__
            raise ValueError(f"{name} is damaged, or more than Pillow takes: {reason}") from error
    picture.info[CHANNELS] = channels
    return picture


def to_pixels(picture: Any, size: tuple[int, int] | None) -> Float32Array:
    """Return what an image from `decode` is to a model of this input size: (H, W, C)."""
    if size is not None:
        nearest = require("PIL.Image", "pillow", "load_image").Resampling.NEAREST
        picture = picture.resize((size[1], size[0]), nearest)
    pixels = np.array(picture, np.float32)
    if pixels.ndim == 3:
        return pixels
    return np.repeat(pixels[..., np.newaxis], picture.info[CHANNELS], axis=2)


def _open(file: IO[bytes], path: str) -> Any:
    """Read the header of a picture, with a plugin that is installed where it takes one."""
    pil = require("PIL.Image", "pillow", "load_image")
    try:
        return pil.open(file)
    except pil.UnidentifiedImageError:
        file.seek(0)
        picture = open_past_exif(file)
        if picture is not None:
            return picture
        if _guess_kind(file, path) is None:
            raise
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_avif")  # it registers itself
    return pil.open(file)


def _advise(file: IO[bytes], path: str) -> str:
    """Say how to read a file that Pillow does not know, if that takes a plugin."""
    kind = _guess_kind(file, path)
    known = require("PIL.Image", "pillow", "load_image").registered_extensions()
    if kind is None or any(suffix in known for suffix, of in SUFFIXES.items() if of == kind):
        return ""
    return f": {ADVICE[kind]}"


def _guess_kind(file: IO[bytes], path: str) -> str | None:
    """Return the key of `ADVICE` that a file's brands or, failing them, its suffix mean."""
    file.seek(0)
    head = file.read(64)  # size, "ftyp", brand, version, and the brands that it is compatible with
    if head[4:8] != b"ftyp":
        return SUFFIXES.get(os.path.splitext(path)[1].lower())
    if b"avif" in head or b"avis" in head:
        return "AVIF"
    return "HEIF" if head[8:12] in HEIF_BRANDS else None


def _to_grey_or_rgb(picture: Any, channels: int) -> Any:
    """Decode an opened Pillow image, upright."""
    pil = require("PIL.Image", "pillow", "load_image")
    scales = full_scales(picture)
    picture = load_upright(picture)
    if scales is not None:
        return pil.fromarray(scale(picture, scales))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = pil.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = pil.alpha_composite(white, picture)
    picture = picture.convert("RGB")
    return picture if channels == 3 else picture.convert("L")
