"""What comes in the place of images, such as a loader's batches: named, with the line to write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

IMAGE_KEYS = ("image", "images", "img", "pixel_values")
"""What data sets call their pictures."""
FROM_PATHS = "(intgrad.load_image(path, size=model.input_size) for path in paths)"


def check_many(images: Any) -> None:
    """Raise a TypeError or ValueError if `images` is one image, or nothing to iterate over."""
    if isinstance(images, str | bytes | os.PathLike):
        raise TypeError(f"images must be an iterable of images, got {images!r}: {FROM_PATHS}")
    if isinstance(images, Mapping):
        raise TypeError("images must be an iterable of images, got a dict: images.values()")
    if not isinstance(images, Iterable) and not hasattr(images, "__getitem__"):
        raise TypeError(f"images must be an iterable of images, got {type(images).__name__}")
    if len(_shape(images)) == 3:
        raise ValueError(
            f"images must be many of (H, W, C), got one array of shape {_shape(images)}:"
            " [image] if it is one image, images[..., None] if they are grey"
        )


def check_one(item: Any) -> None:
    """Raise a TypeError or ValueError if an item is no image, but names or holds some."""
    if isinstance(item, str | bytes | os.PathLike):
        raise TypeError(f"must be an image, got {item!r}: {FROM_PATHS}")
    if isinstance(item, Mapping):
        known = [key for key in IMAGE_KEYS if key in item]
        key = next(iter([*known, *(key for key in item if _is_picture(item[key]))]), "image")
        line = _line("item", f"item[{key!r}]", item.get(key))
        raise TypeError(f"must be an image, got a dict of {', '.join(map(repr, item))}: {line}")
    if isinstance(item, list | tuple) and any(map(_is_picture, item)):
        _refuse_sequence(item)
    if len(shape := _shape(item)) == 4:
        line = _line("images", "images", item)
        raise ValueError(f"must be an image (H, W, C), got a batch of shape {shape}: {line}")


def _refuse_sequence(item: Sequence[Any]) -> None:
    kind = f"{type(item).__name__} of {len(item)}"
    if len(item) > 1 and all(map(_is_picture, item)) and len(_shape(item[0])) != 4:
        line = "(image for images in loader for image in images)"
        raise TypeError(f"must be an image, got a {kind} images: {line}")
    place = next(k for k, value in enumerate(item) if _is_picture(value))
    is_batch = len(_shape(item[place])) == 4
    pixels = "images" if is_batch else "image"
    names = [pixels if k == place else "_" for k in range(len(item))]
    line = _line(", ".join(names) if len(names) > 1 else f"({pixels},)", pixels, item[place])
    why = "a DataLoader gives batches: " if is_batch else ""
    raise TypeError(f"must be an image, got a {kind}: {why}{line}")


def _line(names: str, pixels: str, value: Any) -> str:
    """Return the generator expression that takes single images, channels last, out of a loader."""
    ndim = len(shape := _shape(value))
    if ndim in (3, 4) and shape[-3] < shape[-1]:
        call = f"{pixels}.movedim(" if hasattr(value, "movedim") else f"np.moveaxis({pixels}, "
        pixels = f"{call}{ndim - 3}, -1)"
    if ndim == 4 or isinstance(value, list | tuple):
        return f"(image for {names} in loader for image in {pixels})"
    return f"({pixels} for {names} in loader)"


def _is_picture(value: Any) -> bool:
    """Say whether it is an array of one or several images, or a picture of Pillow's."""
    return len(_shape(value)) in (3, 4) or hasattr(value, "getbands")


def _shape(value: Any) -> tuple[int, ...]:
    """Return the shape of an array or tensor; () for anything else."""
    return tuple(getattr(value, "shape", ()))
