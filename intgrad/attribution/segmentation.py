"""Cutting an image where its colours change, by scikit-image."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require

NAMES = ("slic", "felzenszwalb")
"""What `segment` knows."""

CLUSTERS = 60
"""That SLIC starts from, which leave about 45 regions."""
COMPACTNESS = {3: 10.0}
"""Of SLIC: scikit-image's, in units of Lab for RGB, and of 0..1 for other channels."""
OTHER_COMPACTNESS = 0.1

SIDE = 224
"""Of the square that images are cut at by Felzenszwalb's algorithm: a scale means one for all."""
SCALE, LEAST_PIXELS = 500.0, 400
"""Of the regions by name: 10 to 30 in a photograph."""
XRAI_SCALES, XRAI_LEAST_PIXELS, XRAI_RADIUS = (50.0, 100.0, 150.0, 250.0, 500.0, 1200.0), 150, 5
"""Those of the authors' code, and how far it widens a segment, so that it has its edges."""
SIGMA = 0.8

Mask = npt.NDArray[np.bool_]


def check_name(name: str) -> None:
    """Raise a ValueError of a name that is none of `NAMES`."""
    if name not in NAMES:
        raise ValueError(
            f"segments must be {', '.join(map(repr, NAMES))}, the side of patches, a label map or a"
            f" function, got {name!r}"
        )


def segment(image: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return the label map (H, W) of an image (H, W, C), by one of `NAMES`.

    Raises
    ------
    ValueError
        If there is none of that name, or the image holds NaN or inf.
    ImportError
        If scikit-image is not installed.
    """
    check_name(name)
    check_finite(image)
    if name == "felzenszwalb":
        return felzenszwalb(normalize(image), SCALE, LEAST_PIXELS, image.shape[:2])
    labels: npt.NDArray[Any] = _skimage("segmentation").slic(
        image,
        n_segments=CLUSTERS,
        compactness=COMPACTNESS.get(image.shape[2], OTHER_COMPACTNESS),
        start_label=0,
        channel_axis=-1,
    )
    return labels


def cut_for_xrai(image: npt.NDArray[Any]) -> Iterator[Mask]:
    """Yield the segments (H, W) of the authors' code: at six scales, each with its surroundings.

    Raises
    ------
    ImportError
        If scikit-image is not installed.
    """
    morphology = _skimage("morphology")
    footprint = morphology.disk(XRAI_RADIUS)
    normal = normalize(image)
    for scale in XRAI_SCALES:
        labels = felzenszwalb(normal, scale, XRAI_LEAST_PIXELS, image.shape[:2])
        for label in np.unique(labels):
            mask = labels == label
            box = tuple(_surround(mask.any(axis=axis)) for axis in (1, 0))
            mask[box] = morphology.dilation(mask[box], footprint=footprint)
            yield mask


def felzenszwalb(
    image: npt.NDArray[Any], scale: float, least: int, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Return the label map of a normal image, resized to a shape."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multichannel", RuntimeWarning)  # of four and more
        labels = _skimage("segmentation").felzenszwalb(
            image, scale=scale, sigma=SIGMA, min_size=least
        )
    resized: npt.NDArray[Any] = _skimage("transform").resize(
        labels, shape, order=0, preserve_range=True, mode="constant", anti_aliasing=False
    )
    return resized.astype(np.int64)


def normalize(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an image with its values in -1..1, a square of `SIDE`, as the authors' code does.

    One that is the same everywhere is -1.
    """
    values = image if image.dtype == np.float32 else image.astype(np.float64)
    low = values.min()
    scaled = (values - low) / ((values.max() - low) or 1) * 2 - 1
    resized: npt.NDArray[Any] = _skimage("transform").resize(
        scaled, (SIDE, SIDE), order=3, mode="constant", preserve_range=True, anti_aliasing=True
    )
    return resized


def check_finite(image: npt.NDArray[Any]) -> None:
    """Check that every value of an image is finite: there is nothing to be seen in what is not."""
    wrong = np.argwhere(~np.isfinite(image))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise ValueError(f"an image to be cut must be finite, got {image[place]} at {place}")


def _surround(line: Mask) -> slice:
    """Return where a line is True, and `XRAI_RADIUS` around that."""
    (places,) = line.nonzero()
    return slice(max(0, places[0] - XRAI_RADIUS), places[-1] + XRAI_RADIUS + 1)


def _skimage(module: str) -> Any:
    return require(f"skimage.{module}", "scikit-image", "cutting an image", extra="segments")
