"""Arguments of the visualizer: checked, and as the core takes them."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.arrays import to_real_array
from .colours import Colour

Array = npt.NDArray[Any]


def check_choice(value: Any, choices: Sequence[str], name: str) -> str:
    """Return one of the words that may be chosen."""
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")
    return str(value)


def check_positive(value: Any, name: str) -> float:
    """Return a finite number above 0."""
    number = check_finite(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def check_finite(value: Any, name: str) -> float:
    """Return a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number


def check_count(value: Any, name: str) -> int:
    """Return a positive int."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, got {value!r}") from None
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")
    return count


def check_percentage(value: Any, name: str) -> float:
    """Return a number in [0, 100]."""
    number = check_finite(value, name)
    if not 0 <= number <= 100:
        raise ValueError(f"{name} must be in [0, 100], got {value!r}")
    return number


def check_file(path: Any, name: str) -> str | None:
    """Return the name of a file to write, or None for none."""
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {path!r}")
    found = os.fspath(path)
    if not isinstance(found, str) or not Path(found).name:
        raise ValueError(f"{name} must name a file, got {path!r}")
    return found


def check_axes(axes: Any) -> Any:
    """Return matplotlib's axes in a row, or None for none."""
    if axes is None:
        return None
    found = np.ravel(axes)
    for each in found:
        if not hasattr(each, "imshow"):
            raise TypeError(f"axes must be matplotlib.axes.Axes, got {each!r}")
    return found


def check_titles(titles: Any) -> list[str] | None:
    """Return titles as text, or None for none."""
    if titles is None:
        return None
    if isinstance(titles, str) or not isinstance(titles, Iterable):
        raise TypeError(f"titles must be a sequence of str, one for each panel, got {titles!r}")
    return [str(title) for title in titles]


def check_clip(clip: float | None) -> float:
    """Return the greatest magnitude to keep, inf for None."""
    if clip is None:
        return math.inf
    try:
        limit = float(clip)
    except (TypeError, ValueError):
        raise TypeError(f"clip must be a number, or None to keep all, got {clip!r}") from None
    if not limit > 0:
        raise ValueError(f"clip must be positive, or None to keep all, got {clip!r}")
    return limit


def check_colour(colour: Any, name: str) -> tuple[float, ...]:
    """Return the components of a colour, whatever their number."""
    array = np.asarray(colour)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be a colour such as (0, 255, 0), got {colour!r}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {colour!r}")
    return tuple(array.tolist())


def to_rgb_colour(colour: Any, name: str, exact: bool) -> Colour:
    """Return a colour in bytes of RGB, if need be by repeating or leaving out components.

    Raises
    ------
    ValueError
        If `exact`, where it has not three of them.
    """
    components = check_colour(colour, name)
    if exact and len(components) != 3:
        raise ValueError(f"{name} must have three components for heat maps, RGB, got {colour!r}")
    red, green, blue = (round(min(max(each, 0), 255)) for each in (3 * components)[:3])
    return red, green, blue


def check_match(image: Array, attributions: Array, colour: tuple[float, ...]) -> None:
    """Check that an image has the attributions' size and the colour's channels, or 1."""
    channels = len(colour)
    if image.shape[:2] != attributions.shape[:2] or image.shape[2] not in (channels, 1):
        height, width = attributions.shape[:2]
        if image.shape[2] > 4:
            advice = ": pass three channels, image[..., [3, 2, 1]]"
        elif image.shape[2] == 4:
            advice = ": image[..., :3] leaves out the opacity"
        else:
            advice = ""
        raise ValueError(
            f"image must have shape {(height, width, channels)}, the size of the attributions and"
            f" the channels of the colour {colour}, got {image.shape}{advice}"
        )


def to_real(values: Any, name: str, ndim: int | None = None) -> Array:
    """Return an array of real numbers that the core reads; no copy where possible."""
    array = to_real_array(values, name, kinds="biuf", expected="real numbers")
    if ndim is not None and array.ndim != ndim:
        advice = _advise_on_axis(array, name, ndim)
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {array.shape}{advice}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # what overflows is inf, and the core says where
            return array.astype(np.float64)
    return array


def _advise_on_axis(array: Array, name: str, ndim: int) -> str:
    return f": pass {name}[..., None]" if (array.ndim, ndim) == (2, 3) else ""


def to_structure(structure: Any) -> Array:
    """Return the (rows, columns) of a structuring element."""
    array = to_real(structure, "structure", ndim=2)
    if array.size == 0:
        raise ValueError(f"structure must not be empty, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"structure must be finite, got {structure!r}")
    return array


def to_regions(regions: Any, shape: tuple[int, ...]) -> list[Any]:
    """Return the regions of each image of a stack (N, H, W)."""
    found = list(regions) if isinstance(regions, list | tuple) else [regions]
    for each in found:
        check_regions(each)
        if each.labels.shape != shape[1:]:
            raise ValueError(f"regions must be of {shape[1:]} pixels, got {each.labels.shape}")
    if len(found) != shape[0]:
        raise ValueError(f"regions must be those of {shape[0]} images, got {len(found)}")
    return found


def check_regions(regions: Any) -> None:
    """Check that these are the regions of an image."""
    if not all(hasattr(regions, name) for name in ("labels", "attributions", "deviations")):
        raise TypeError(
            "regions must be info.regions, of integrated_gradients(..., segments=...,"
            f" return_info=True), got {regions!r}"
        )


def to_links(structure: Any) -> int:
    """Return the neighbours before a pixel that a (3, 3) structure connects, as the core's bits."""
    array = np.asarray(structure, np.bool_)
    if array.shape != (3, 3) or not np.array_equal(array, array[::-1, ::-1]):
        raise ValueError(
            "connected_component_structure must have shape (3, 3) and be the same after a turn by"
            f" 180 degrees, got {structure!r}"
        )
    west, north_west, north, north_east = array[1, 0], array[0, 0], array[0, 1], array[0, 2]
    return int(west) + 2 * int(north_west) + 4 * int(north) + 8 * int(north_east)


def to_limits(vmax: Any) -> tuple[float | None, float | None]:
    """Return the ends of two scales from one for both, or one for each."""
    pair = tuple(vmax) if isinstance(vmax, list | tuple) else (vmax, vmax)
    if len(pair) != 2:
        raise ValueError(f"vmax must be a number or two, one for each column, got {vmax!r}")
    first, second = (None if each is None else check_positive(each, "vmax") for each in pair)
    return first, second


def to_size(figsize: Any) -> tuple[float, float]:
    """Return the width and height that a figure may have."""
    try:
        width, height = figsize
    except (TypeError, ValueError):
        raise TypeError(f"figsize must be (width, height) in inches, got {figsize!r}") from None
    return check_positive(width, "figsize"), check_positive(height, "figsize")


def to_photographs(image: Any) -> Array:
    """Return one image or several as a stack (N, H, W, K) that can be shown."""
    stack = to_stack(image, "image", 3)
    if stack.shape[3] not in (1, 3, 4):
        raise ValueError(
            "image must have 1, 3 or 4 channels to be shown, got shape"
            f" {np.shape(image)}: pass three of its channels, such as image[..., [3, 2, 1]]"
        )
    return stack


def to_stack(values: Any, name: str, ndim: int, shape: tuple[int, ...] | None = None) -> Array:
    """Return values of one image or several as a stack."""
    array = to_real(values, name)
    stack = array[np.newaxis] if array.ndim == ndim else array
    if stack.ndim != ndim + 1:
        advice = _advise_on_axis(array, name, ndim)
        raise ValueError(
            f"{name} must have {ndim} or {ndim + 1} dimensions, got shape {array.shape}{advice}"
        )
    if 0 in stack.shape:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if shape is not None and stack.shape[:3] != shape:
        raise ValueError(f"{name} must match the image, {shape}, got shape {array.shape}")
    if not np.isfinite(stack).all():
        raise ValueError(f"{name} must be finite, got NaN or inf")
    return stack
