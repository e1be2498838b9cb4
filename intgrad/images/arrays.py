"""Arrays of pixels: what is taken as images."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from .mending import check_shape, warn_of_range

Float32Array = npt.NDArray[np.float32]


def check_size(size: Any, name: str) -> tuple[int, int]:
    """Return `size` as (height, width), two positive ints.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    try:
        height, width = size
        if isinstance(height, bool) or isinstance(width, bool):
            raise TypeError
        checked = (int(height.__index__()), int(width.__index__()))
    except (TypeError, ValueError, AttributeError):
        hint = f": {(size, size)} for a square" if isinstance(size, int) else ""
        raise ValueError(f"{name} must be (height, width), two ints, got {size!r}{hint}") from None
    if min(checked) < 1:
        raise ValueError(f"{name} must be positive, got {size!r}")
    return checked


def to_batch(
    images: Any,
    *,
    input_size: tuple[int, int] | None = None,
    channels: int | None = None,
    has_transform: bool = False,
    stacklevel: int = 3,
) -> tuple[Float32Array, bool]:
    """Check images and make a batch of them.

    Parameters
    ----------
    images : array_like
        (H, W, C) or (N, H, W, C), values 0..255, any real dtype: anything that NumPy can read,
        torch tensors on any device, anything with DLPack.
    input_size, channels
        What the model takes; None if it takes any.
    has_transform : bool
        Whether the model knows how its pictures are made.
    stacklevel : int
        Of the warning about pixels that are none, counted from here.

    Returns
    -------
    (numpy.ndarray, bool)
        (N, H, W, C) float32, C contiguous, the caller's own memory where that is possible; and
        whether it was a single image.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If the shape is wrong. Finiteness is checked by the core.
    """
    array = to_real_array(images, "images")
    check_shape(array.shape, input_size, channels, hasattr(images, "movedim"), has_transform)
    warn_of_range(array, stacklevel=stacklevel + 1)
    single = array.ndim == 3
    return to_float32(array[np.newaxis] if single else array), single


def to_real_array(
    value: Any, name: str, *, kinds: str = "iuf", expected: str = "real numbers in 0..255"
) -> npt.NDArray[Any]:
    """Return `value` as an array of a dtype of `kinds`, or raise a TypeError or ValueError."""
    try:
        array = np.asarray(_to_host(value))
    except ValueError as error:
        raise ValueError(f"{name} must be all of one shape: {error}") from None
    except (RuntimeError, BufferError) as error:
        raise TypeError(f"{name} cannot be read as an array: {error}") from None
    if array.dtype.kind not in kinds:
        origin = "" if isinstance(value, np.ndarray) else f" of {type(value).__name__}"
        is_path = isinstance(value, str | os.PathLike)
        advice = ": intgrad.load_image(path) reads a file" if is_path else ""
        raise TypeError(f"{name} must be {expected}, got dtype {array.dtype}{origin}{advice}")
    return array


def _to_host(value: Any) -> Any:
    """Return what NumPy can read where `value` is a tensor, on whatever device, without its graph.

    Memory that the CPU can reach is not copied.
    """
    torch = sys.modules.get("torch")  # there is no tensor of torch's without torch
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    return value


def to_float32(array: npt.NDArray[Any]) -> Float32Array:
    """Return a C-contiguous float32 array in native order, without a copy where possible."""
    with np.errstate(over="ignore"):  # what overflows is inf, and the core says where
        return np.ascontiguousarray(array, np.float32)
