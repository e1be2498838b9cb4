"""What is done to a photograph before it is a model's picture: resized, then cut to its middle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._optional import require
from .arrays import Float32Array, check_size

Pixels = npt.NDArray[Any]

MAX_PIXELS = 100_000_000
"""No picture may be larger, neither as it comes nor resized."""
INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's, in the order of its numbers."""
SAMPLED = ("bilinear", "bicubic")
"""Those that there are without antialiasing."""
MODES = ("shortest_edge", "squash", "cover", "contain")
CENTERINGS = ("torchvision", "transformers")
DTYPES = ("uint8", "float32")
CUBIC = -0.75
"""The parameter of cubics that are not antialiased, in torch and OpenCV alike."""


class Box(NamedTuple):
    """A rectangle in pixels: the upper left corner of a picture is (0, 0), and edges are no pixels.

    It may be larger than the picture, where the picture was padded.
    """

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True)
class ImageTransform:
    """How photographs of any size are made pictures of one size.

    Attributes
    ----------
    crop_size : (int, int)
        Height and width of the middle that is cut out, the model's input size. Where the resized
        photograph is smaller, it is padded.
    resize_size : int, (int, int) or None
        What the photograph is resized to before: its shorter side, or height and width; None
        resizes nothing.
    resize_mode : {"shortest_edge", "squash", "cover", "contain"}
        "shortest_edge" keeps the shape and goes with an int. With height and width "squash" takes
        no heed of the shape; the others keep it: "cover" makes the photograph just so large that it
        covers them, "contain" that it fits in.
    interpolation : {"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"}
        As in Pillow.
    antialias : bool
        Without it a pixel is made of its nearest 2 x 2 (bilinear) or 4 x 4 (bicubic), however much
        smaller the photograph gets, as torch and OpenCV do.
    dtype : {"uint8", "float32"}
        Whether resized pixels are rounded.
    fill : int or tuple of int
        What is padded with, 0..255; one number, or one for each channel.
    centering : {"torchvision", "transformers"}
        Who says where the middle is if an odd number of pixels is left over: torchvision (and timm)
        round to even, transformers rounds down.
    """

    crop_size: tuple[int, int]
    resize_size: int | tuple[int, int] | None = None
    resize_mode: str = "squash"
    interpolation: str = "bilinear"
    antialias: bool = True
    dtype: str = "uint8"
    fill: int | tuple[int, ...] = 0
    centering: str = "torchvision"

    @classmethod
    def exact(cls, size: tuple[int, int], interpolation: str) -> ImageTransform:
        """Resize to a height and width, whatever shape the photograph had."""
        return cls(crop_size=size, resize_size=size, interpolation=interpolation)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ImageTransform:
        """Make it of `to_dict`, or of what a user wrote.

        One number as `crop_size` is that of both sides. It is `resize_size` if left out. The
        default of `resize_mode` is "shortest_edge" for one number, else "squash".

        Raises
        ------
        ValueError
            If it makes no sense; the text quotes what does not.
        """
        for name in fields:
            if name not in FIELDS:
                raise ValueError(f"there is no {name!r} among {', '.join(FIELDS)}")
        values = dict(fields)
        resize = values.get("resize_size")
        if _is_int(resize):
            values["resize_size"] = check_size((resize, resize), "resize_size")[0]
        elif resize is not None:
            values["resize_size"] = check_size(resize, "resize_size")
        crop = values.get("crop_size", resize if not _is_int(resize) else None)
        if crop is None:
            raise ValueError(
                "crop_size is missing, so that pictures would be of many sizes: the shorter side"
                f" of all is {resize!r}"
                if resize is not None
                else "crop_size, or resize_size=(height, width), is missing"
            )
        values["crop_size"] = check_size((crop, crop) if _is_int(crop) else crop, "crop_size")
        if "interpolation" in values:
            values["interpolation"] = name_interpolation(values["interpolation"])
        values.setdefault("resize_mode", "shortest_edge" if _is_int(resize) else "squash")
        if isinstance(values.get("fill"), list):
            values["fill"] = tuple(values["fill"])
        return cls(**values)

    def __post_init__(self) -> None:
        """Check what is not checked by the types."""
        for name, known in (
            ("resize_mode", MODES),
            ("interpolation", INTERPOLATIONS),
            ("dtype", DTYPES),
            ("centering", CENTERINGS),
            ("antialias", (True, False)),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(repr, known))}, got"
                    f" {getattr(self, name)!r}"
                )
        one_side = self.resize_mode == "shortest_edge"
        if self.resize_size is not None and one_side != isinstance(self.resize_size, int):
            takes = "one number" if one_side else "(height, width)"
            raise ValueError(
                f"resize_mode={self.resize_mode!r} takes a resize_size of {takes}, got"
                f" {self.resize_size!r}"
            )
        if not self.antialias and self.interpolation not in (*SAMPLED, "nearest"):
            raise ValueError(
                f"antialias=False goes with {' and '.join(SAMPLED)}, got {self.interpolation!r}"
            )
        fill = self.fill if isinstance(self.fill, tuple) else (self.fill,)
        if not fill or not all(_is_int(each) and 0 <= each <= 255 for each in fill):
            raise ValueError(f"fill must be int or ints in 0..255, got {self.fill!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, and `from_dict` takes."""
        return dataclasses.asdict(self)

    def field_of_view(self, height: int, width: int) -> Box:
        """Say what of a photograph of this size the model sees, in the photograph's pixels."""
        size, corner = self._place(height, width)
        edges = [
            # Multiplied first, so that all of a photograph is exactly that.
            (start * full / resized, (start + cut) * full / resized)
            for start, cut, full, resized in zip(
                corner, self.crop_size, (height, width), size, strict=True
            )
        ]
        (top, bottom), (left, right) = edges
        return Box(top, left, bottom, right)

    def apply(self, pictures: Sequence[Any], channels: int) -> Float32Array:
        """Return the model's picture of a photograph.

        Parameters
        ----------
        pictures : sequence of PIL.Image.Image
            The photograph, whole or in bands: of mode "RGB" or "L", or "F" for values in 0..255
            that are no whole numbers.
        channels : int
            A single band is repeated as often.

        Returns
        -------
        numpy.ndarray
            (H, W, C) float32, values 0..255.

        Raises
        ------
        ValueError
            If it would be resized to more than 100 million pixels.
        """
        height, width = pictures[0].height, pictures[0].width
        size, corner = self._place(height, width)
        if size[0] * size[1] > MAX_PIXELS:
            raise ValueError(
                f"a picture of {height} x {width} would be resized to {size[0]} x {size[1]} (height"
                f" x width) before its middle is cut out, and the limit is {MAX_PIXELS:,} pixels:"
                " cut it to a less narrow shape"
            )
        resized = np.concatenate([self._resize(each, size) for each in pictures], axis=2)
        depth = channels if resized.shape[2] == 1 else resized.shape[2]
        found = np.empty((*self.crop_size, depth), np.float32)
        found[:] = self.fill
        inside, seen = [], []
        for full, cut, start in zip(size, self.crop_size, corner, strict=True):
            count = min(full, cut)
            inside.append(slice(max(-start, 0), max(-start, 0) + count))
            seen.append(slice(max(start, 0), max(start, 0) + count))
        found[tuple(inside)] = resized[tuple(seen)]
        return found

    def _place(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the size of a resized photograph, and where in it the crop begins."""
        size = self._resized(height, width)
        top, left = (
            self._middle(full - cut) for full, cut in zip(size, self.crop_size, strict=True)
        )
        return size, (top, left)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.resize_size is None:
            return height, width
        if isinstance(self.resize_size, int):
            short, long = sorted((height, width))
            new_short, new_long = self.resize_size, int(self.resize_size * long / short)
            return (new_short, new_long) if height <= width else (new_long, new_short)
        if self.resize_mode == "squash":
            return self.resize_size
        ratios = height / self.resize_size[0], width / self.resize_size[1]
        ratio = min(ratios) if self.resize_mode == "cover" else max(ratios)
        return max(round(height / ratio), 1), max(round(width / ratio), 1)

    def _middle(self, spare: int) -> int:
        if self.centering == "transformers":
            return spare // 2
        return round(spare / 2) if spare >= 0 else -(-spare // 2)

    def _resize(self, picture: Any, size: tuple[int, int]) -> Pixels:
        """Return pixels (H, W, C)."""
        rounds = self.dtype == "uint8" and picture.mode != "F"
        if not self.antialias and self.interpolation in SAMPLED:
            pixels = _with_channels(np.asarray(picture))
            for axis in (1, 0):  # bytes are rounded after each, as torch has it
                pixels = _sample(pixels, axis, size[axis], self.interpolation)
                pixels = np.clip(np.rint(pixels), 0, 255) if rounds else pixels
            clipped: Pixels = np.clip(pixels, 0, 255)
            return clipped
        pil = require("PIL.Image", "pillow", "load_image")
        resample = pil.Resampling[self.interpolation.upper()]
        if rounds:
            return _with_channels(np.asarray(picture.resize(size[::-1], resample)))
        bands = [
            np.asarray(band.convert("F").resize(size[::-1], resample)) for band in picture.split()
        ]
        stacked: Pixels = np.clip(np.stack(bands, axis=-1), 0, 255)
        return stacked


FIELDS = tuple(field.name for field in dataclasses.fields(ImageTransform))


def name_interpolation(value: Any) -> str:
    """Return the name that Pillow's number, a member of an enum or a name stands for."""
    value = getattr(value, "value", value)
    if _is_int(value) and 0 <= value < len(INTERPOLATIONS):
        return INTERPOLATIONS[value]
    return str(value).removesuffix("-exact")


def _with_channels(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _sample(pixels: Pixels, axis: int, new: int, interpolation: str) -> Float32Array:
    """Resize along an axis by a weighted sum of the nearest pixels; edges are repeated."""
    old = pixels.shape[axis]
    places = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(places)
    shape = [1, 1, 1]
    shape[axis] = new
    total = np.zeros((*pixels.shape[:axis], new, *pixels.shape[axis + 1 :]), np.float32)
    for tap in (0, 1) if interpolation == "bilinear" else (-1, 0, 1, 2):
        weights = _weigh(np.abs(places - first - tap), interpolation)
        rows = np.clip(first + tap, 0, old - 1).astype(np.intp)
        total += np.take(pixels, rows, axis) * weights.reshape(shape).astype(np.float32)
    return total


def _weigh(distance: npt.NDArray[np.float64], interpolation: str) -> npt.NDArray[np.float64]:
    if interpolation == "bilinear":
        return 1 - distance
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = ((CUBIC * distance - 5 * CUBIC) * distance + 8 * CUBIC) * distance - 4 * CUBIC
    return np.where(distance <= 1, near, far)


def _is_int(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
