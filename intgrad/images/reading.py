"""Reading picture files."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import warnings
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .._caller import caller_level
from .._optional import require
from .arrays import Float32Array, check_size, to_float32, to_real_array
from .depth import RangeError, full_scales, scale
from .mending import check_shape, warn_of_range
from .orientation import load_upright, open_past_exif
from .transform import MAX_PIXELS, ImageTransform

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
    transform = None if size is None else ImageTransform.exact(check_size(size, "size"), "nearest")
    return to_pixels(decode(path, channels), transform)


def load_pixels(
    source: Any, transform: ImageTransform | None, channels: int | None
) -> Float32Array:
    """Return what a file, a Pillow image or an array is to a model, as `Model.load_image` says.

    `channels` are those that the model takes; None if nobody knows, and 3 of what is no array.
    """
    if isinstance(source, str | os.PathLike):
        return to_pixels(decode(source, channels or 3), transform)
    pil = sys.modules.get("PIL.Image")  # there is no image of Pillow's without Pillow
    if pil is not None and isinstance(source, pil.Image):
        return to_pixels(decode_picture(source, channels or 3), transform)
    array = to_real_array(source, "source")
    array = array[..., np.newaxis] if array.ndim == 2 else array
    single = array.ndim == 3 and array.shape[2] == 1
    check_shape(array.shape, None, None if single else channels, hasattr(source, "movedim"))
    if array.ndim == 4:
        raise ValueError(f"source must be one image, got {len(array)} in shape {array.shape}")
    warn_of_range(array, stacklevel=caller_level())
    if transform is None:
        return np.repeat(to_float32(array), (channels or 1) if single else 1, axis=2)
    return transform.apply(_to_bands(array), channels or 1)


def _to_bands(array: npt.NDArray[Any]) -> list[Any]:
    """Return an array (H, W, C) as Pillow images; whole numbers in 0..255 as bytes."""
    pil = require("PIL.Image", "pillow", "load_image")
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.uint8)
    are_bytes = np.array_equal(whole, array)
    if are_bytes and array.shape[2] == 3:
        return [pil.fromarray(whole)]
    bands = np.moveaxis(whole if are_bytes else to_float32(array), 2, 0)
    return [pil.fromarray(np.ascontiguousarray(band)) for band in bands]


def decode(path: str | os.PathLike[str], channels: int = 3, content: bytes | None = None) -> Any:
    """Read a file as a Pillow image for `to_pixels`, upright; raises what `load_image` does.

    `content` is what it holds, if it has been read. The image's mode is "RGB" or "L", or "F" for
    grey of more than 8 bits, whatever `channels` is.
    """
    _check_channels(channels)
    name = repr(os.fspath(path))
    pil = require("PIL.Image", "pillow", "load_image")
    with _read(path, content) as file, warnings.catch_warnings():
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


def _read(path: str | os.PathLike[str], content: bytes | None) -> IO[bytes]:
    return open(path, "rb") if content is None else io.BytesIO(content)


def decode_picture(picture: Any, channels: int) -> Any:
    """Return a Pillow image of any kind as `decode` does; it is left as it is."""
    _check_channels(channels)
    try:
        decoded = _to_grey_or_rgb(picture, channels, ours=False)
    except RangeError as error:
        raise ValueError(f"the picture {error}") from None
    decoded.info[CHANNELS] = channels
    return decoded


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise ValueError(
            "channels must be 3 (RGB) or 1 (grey), which is what picture files are read as, got"
            f" {channels!r}: pass other images as arrays (H, W, C)"
        )


def to_pixels(picture: Any, transform: ImageTransform | None) -> Float32Array:
    """Return what an image from `decode` is to a model, (H, W, C); unresized if None."""
    if transform is not None:
        return transform.apply([picture], picture.info[CHANNELS])
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


def _to_grey_or_rgb(picture: Any, channels: int, ours: bool = True) -> Any:
    """Decode an opened Pillow image, upright; `ours` may be changed by that."""
    pil = require("PIL.Image", "pillow", "load_image")
    scales = full_scales(picture)
    picture = load_upright(picture, ours)
    if scales is not None:
        return pil.fromarray(scale(picture, scales))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = pil.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = pil.alpha_composite(white, picture)
    picture = picture.convert("RGB")
    return picture if channels == 3 else picture.convert("L")
