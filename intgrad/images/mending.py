"""What is wrong with an array of pixels, and the call that mends it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._caller import warn

ITS_OWN = "model.load_image makes such of files and arrays, as preprocess said"


def warn_of_range(array: npt.NDArray[Any], *, stacklevel: int = 2) -> None:
    """Warn of an image whose values are no pixels, and say what makes them pixels.

    Integers in 0..1 are taken for a dark picture, booleans are not. NaN, inf and what no file holds
    are left to the core.
    """
    if array.dtype == np.uint8 or array.size == 0:
        return
    low, high = float(array.min()), float(array.max())
    advice = _find_advice(low, high, array.dtype.kind in "fb")
    if advice is not None and low >= -(2**31) and high < 2**32:
        warn(
            f"the image's least value is {_format(low)} and its largest value is {_format(high)},"
            f" but pixels are expected in 0..255: {advice}",
            stacklevel,
        )


def _find_advice(low: float, high: float, is_fraction: bool) -> str | None:
    """Return what to do about values in low..high; None if they are pixels.

    Resizing by cubics or Lanczos goes beyond the values that were there, by up to a fifth.
    """
    if is_fraction and low >= 0 and 0 < high <= 1:
        return "if it was scaled to 0..1, pass 255 * image"
    if is_fraction and low >= -0.2 and 0 < high <= 1.2:
        return "if it was scaled to 0..1 and resized, pass 255 * np.clip(image, 0, 1)"
    if low >= 0 and high <= 255:
        return None
    if low >= -1.2 and high <= 1.2:
        return "if it was scaled to -1..1, pass 127.5 * (image + 1)"
    if -10 <= low < 0 and high <= 10:
        return (
            "if it was normalised by a mean and a standard deviation, pass it as it was before, in"
            " 0..255 (255 * (image * std + mean) for those of torchvision): the model's"
            " preprocessing does that itself"
        )
    if low >= -51 and high <= 306 and (low >= -25 or high > 160):
        return "if resizing overshot, pass np.clip(image, 0, 255)"
    if -160 <= low < 0 and high <= 160:
        return "if a mean was subtracted, pass image + mean (image + 128.0 for -128..127)"
    if low >= 0 and high <= 65535:
        return "if it has 16 bits, pass image / 257 (255 / (2**bits - 1) * image for other depths)"
    return "scale it to 0..255"


def _format(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def check_shape(
    shape: tuple[int, ...],
    input_size: tuple[int, int] | None,
    channels: int | None,
    is_tensor: bool,
    has_transform: bool = False,
) -> None:
    """Raise a ValueError with the call that mends the shape.

    `has_transform` says that the model knows how its pictures are made.
    """
    if len(shape) == 2:
        raise ValueError(
            f"images must have a channel axis, got shape {shape}: {_advise_on_axis(channels)}"
        )
    if len(shape) == 3 and channels == 1 and shape[0] != 1 and shape[1:] == input_size:
        raise ValueError(
            f"images must have a channel axis, got shape {shape}: if that is {shape[0]} grey"
            " images, pass images[..., None]"
        )
    if len(shape) not in (3, 4):
        raise ValueError(f"images must have shape (H, W, C) or (N, H, W, C), got {shape}")
    if 0 in shape:
        raise ValueError(f"images must not be empty, got shape {shape}")
    height, width, depth = shape[-3:]
    if _is_channels_first(shape[-3:], input_size, channels):
        function = "images.movedim" if is_tensor else "np.moveaxis"
        arguments = f"{len(shape) - 3}, -1" if is_tensor else f"images, {len(shape) - 3}, -1"
        raise ValueError(
            f"images must have their channels last, got shape {shape}:"
            f" {function}({arguments}) moves them there"
        )
    if channels is not None and depth != channels:
        takes = "1 channel" if channels == 1 else f"{channels} channels"
        raise ValueError(
            f"the model takes {takes}, got images of shape {shape}"
            f"{_advise_on_channels(depth, channels, input_size)}"
        )
    if input_size is not None and (height, width) != input_size:
        advice = ITS_OWN if has_transform else _advise_on_size(depth, input_size)
        raise ValueError(
            f"the model takes images of {input_size[0]} x {input_size[1]} (height x width), got"
            f" {height} x {width}: {advice}"
        )


def _is_channels_first(
    shape: tuple[int, ...], input_size: tuple[int, int] | None, channels: int | None
) -> bool:
    height, width, depth = shape
    if depth == channels:
        return False
    if input_size is not None and (width, depth) == input_size != (height, width):
        return channels in (None, height)
    counts = (1, 2, 3, 4) if channels is None else (channels,)
    return height in counts and depth not in (1, 2, 3, 4)


def _advise_on_axis(channels: int | None) -> str:
    grey, rgb = "image[..., None]", "np.repeat(image[..., None], 3, axis=-1)"
    if channels == 1:
        return f"pass {grey}"
    if channels == 3:
        return f"{rgb} makes grey RGB"
    if channels is None:
        return f"{rgb} makes grey RGB, {grey} one channel"
    return f"the model takes {channels} channels"


def _advise_on_channels(depth: int, channels: int, input_size: tuple[int, int] | None) -> str:
    """Return the call that makes `channels` of `depth`, after a colon; nothing if none does."""
    if (depth, channels) == (1, 3):
        return ": np.repeat(image, 3, axis=-1) makes grey RGB"
    if (depth, channels) == (4, 3):
        return (
            ": image[..., :3] leaves out the opacity, intgrad.load_image lays a file's picture over"
            " white"
        )
    if depth in (3, 4) and channels == 1:
        colours = "image" if depth == 3 else "image[..., :3]"
        return (
            f": {_load_call(1, input_size)} reads a file as grey,"
            f" ({colours} @ [0.299, 0.587, 0.114])[..., None] makes an array grey"
        )
    return ""


def _advise_on_size(depth: int, size: tuple[int, int]) -> str:
    resize = f"np.asarray(PIL.Image.fromarray({{}}).resize({size[::-1]}{{}}))"
    nearest = ", PIL.Image.NEAREST"  # of bands of floats, which cubics carry beyond 0..255
    if depth == 3:
        return f"{_load_call(3, size)} resizes a file, {resize.format('image', '')} an array"
    if depth == 1:
        band = f"{resize.format('image[..., 0]', nearest)}[..., None]"
        return f"{_load_call(1, size)} resizes a file, {band} an array"
    bands = f"{resize.format('band', nearest)} for band in np.moveaxis(image, -1, 0)"
    return f"np.stack([{bands}], axis=-1) resizes it"


def _load_call(channels: int, size: tuple[int, int] | None) -> str:
    options = "" if size is None else f", size={size}"
    return f"intgrad.load_image(path{options}{', channels=1' if channels == 1 else ''})"
