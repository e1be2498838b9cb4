"""Regions of an image: what each made of the score, and how far that may be off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.arrays import Float32Array
from ..models.model import check_int
from .segmentation import segment

Int32Array = npt.NDArray[np.int32]
COARSE = 8
"""How many patches the longer side of an image has, where nobody says."""
LINES = 12
"""Of a table that is printed."""


@dataclass(frozen=True, eq=False, repr=False)
class Regions:
    """What each region of an image made of the score.

    Attributes
    ----------
    labels : numpy.ndarray
        (H, W) int32, the region of each pixel: an index into the arrays below.
    ids : numpy.ndarray
        (R,) int64, what `segments` calls the regions.
    pixels : numpy.ndarray
        (R,) int64, how many pixels each has.
    attributions : numpy.ndarray
        (R,) float64, sums of the attributions over pixels and channels, in units of the score: they
        add up to its change from the baseline.
    deviations : numpy.ndarray
        (R,) float64, their standard deviations; NaN without an estimate of the error.
    error : float
        Of these attributions together: the norm of their error over theirs. It is larger than that
        of the pixels where signs cancel within a region. NaN where it is unknown.
    """

    labels: Int32Array
    ids: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    attributions: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]
    error: float

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Say how many there are, and how exact."""
        return f"<intgrad Regions: {len(self)}, error={self.error:.4g}>"

    def __str__(self) -> str:
        """Return a table of those that matter most."""
        lines = [f"{'region':>8} {'pixels':>8} {'attribution':>12} {'sd':>10}"]
        order, certain = self.order(), self.is_certain()
        for k in order[:LINES]:
            doubt = "" if certain[k] else "  within 2 sd of zero"
            lines.append(
                f"{self.ids[k]:>8} {self.pixels[k]:>8} {self.attributions[k]:>+12.4g}"
                f" {self.deviations[k]:>10.2g}{doubt}"
            )
        if len(order) > LINES:
            rest = self.attributions[order[LINES:]].sum()
            lines.append(f"{len(order) - LINES:>8} others {rest:>+21.4g}")
        return "\n".join(lines)

    def order(self) -> npt.NDArray[np.intp]:
        """Return the regions' indices, the largest attribution by magnitude first."""
        return np.argsort(-np.abs(self.attributions), kind="stable")

    def is_certain(self, k: float = 2.0) -> npt.NDArray[np.bool_]:
        """Say of each region whether its attribution is more than `k` deviations from zero."""
        return np.abs(self.attributions) > k * self.deviations

    def to_map(self) -> npt.NDArray[np.float64]:
        """Return (H, W), for each pixel the attribution of its region."""
        return self.attributions[self.labels]

    def to_dict(self) -> dict[str, Any]:
        """Return lists that `json.dumps` takes, all but the labels; NaN becomes None."""
        known = np.isfinite(self.deviations)
        return {
            "ids": self.ids.tolist(),
            "pixels": self.pixels.tolist(),
            "attributions": self.attributions.tolist(),
            "deviations": [
                value if ok else None
                for value, ok in zip(self.deviations.tolist(), known, strict=True)
            ],
            "error": self.error if np.isfinite(self.error) else None,
        }


@dataclass(frozen=True, eq=False)
class Segments:
    """The regions of a batch of images, as the core takes them."""

    labels: Int32Array  # (N, H, W), of each image 0 .. count - 1
    counts: npt.NDArray[np.int64]  # (N,)
    ids: list[npt.NDArray[np.int64]]  # what the user calls them

    def __getitem__(self, share: slice | npt.NDArray[np.int64]) -> Segments:
        """Return those of some of the images."""
        numbers = np.arange(len(self.ids))[share]
        return Segments(self.labels[share], self.counts[share], [self.ids[k] for k in numbers])

    def core_options(self) -> dict[str, Any]:
        """Return what `_core.integrate` is to know of them."""
        return {"labels": self.labels, "region_counts": self.counts}

    def read(
        self, result: dict[str, Any], image: int, target: int, *, is_sample: bool, is_known: bool
    ) -> Regions:
        """Return what the core found for an image's regions.

        `is_sample` says whether what varies from path to path is an error, `is_known` whether the
        estimate holds for regions.
        """
        count, targets = int(self.counts[image]), result["scores"].shape[1]
        start = targets * int(self.counts[:image].sum()) + target * count
        cells = slice(start, start + count)
        deviations = np.full(count, np.nan)
        if is_known and result["region_deviations"] is not None:
            deviations = result["region_deviations"][cells].astype(np.float64)
        labels = self.labels[image]
        labels.setflags(write=False)
        attributions = result["region_sums"][cells].copy()
        error = float(result["region_error"][image, target]) if is_known else np.nan
        norm = float(np.linalg.norm(attributions))
        if is_sample and np.isfinite(error) and norm:  # the draws are in the deviations
            error = float(np.linalg.norm(deviations)) / norm
        return Regions(
            labels,
            self.ids[image],
            np.bincount(labels.ravel(), minlength=count),
            attributions,
            deviations,
            error,
        )


def make_segments(segments: Any, images: Float32Array, *, each: bool = True) -> Segments | None:
    """Return the regions of images (N, H, W, C), or None where none are asked for.

    Parameters
    ----------
    segments : None, int, str, array_like or callable
        The side of square patches; one of `segmentation.NAMES`; a label map (H, W), or with `each`
        one for each image (N, H, W); or a function from an image (H, W, C) to its label map.

    Raises
    ------
    TypeError, ValueError
        If it is none of them; the text quotes it.
    ImportError
        If it is a name, and scikit-image is not installed.
    """
    if segments is None:
        return None
    shape, count = images.shape[1:3], len(images)
    if callable(segments):
        found = [_check_map(segments(image), shape, "segments(image)") for image in images]
    elif isinstance(segments, str):
        name = f"segments={segments!r}"
        found = [_check_map(segment(image, segments), shape, name) for image in images]
    elif np.ndim(segments) == 0:
        found = [_check_map(_make_grid(segments, shape), shape, "segments")] * count
    elif np.ndim(segments) == 3 and each:
        if len(segments) != count:
            raise ValueError(
                f"segments must be one map for each of {count} images, got {len(segments)}"
            )
        found = [_check_map(one, shape, f"segments[{k}]") for k, one in enumerate(segments)]
    else:
        found = [_check_map(segments, shape, "segments")] * count
    return Segments(
        np.stack([labels for _, labels in found]),
        np.array([len(ids) for ids, _ in found], np.int64),
        [ids for ids, _ in found],
    )


def cut_coarsely(image: Float32Array) -> Any:
    """Return patches of an image, as `segments` takes it: an eighth of the longer side each."""
    shape = image.shape[:2]
    return _make_grid(max(2, -(-max(shape) // COARSE)), shape)


def _make_grid(side: Any, shape: tuple[int, ...]) -> Any:
    """Return square patches row by row; the last of a row or column may be smaller."""
    side = check_int(side, "segments")
    height, width = shape
    if side == 1 or side >= max(height, width):
        raise ValueError(
            f"segments={side} must be the side of patches, more than one pixel and less than the"
            f" image of {height} x {width}"
        )
    rows, columns = np.arange(height) // side, np.arange(width) // side
    return rows[:, None] * (columns[-1] + 1) + columns


def _check_map(
    labels: Any, shape: tuple[int, ...], name: str
) -> tuple[npt.NDArray[np.int64], Int32Array]:
    """Return the labels of a map, and a map of indices into them; or say what is wrong.

    Raises
    ------
    TypeError, ValueError
        The text quotes the value, and says what was expected.
    """
    found = check_labels(labels, shape, name)
    ids, indices = np.unique(found, return_inverse=True)
    count = len(ids)
    if count == 1:
        raise ValueError(f"{name} must hold several regions, and has one, {found.flat[0]}")
    if count == found.size:
        raise ValueError(
            f"{name} has a region for each of its {count} pixels: their attributions are the map"
            " itself, and error_map=True has their deviations"
        )
    return ids.astype(np.int64), indices.reshape(shape).astype(np.int32)


def check_labels(labels: Any, shape: tuple[int, ...], name: str) -> npt.NDArray[Any]:
    """Return a label map, or a mask, of a shape as an array.

    Raises
    ------
    TypeError, ValueError
        If it is none; the text quotes the value, and says what was expected.
    """
    found = np.asarray(labels)
    if found.dtype.kind not in "iub":
        raise TypeError(
            f"{name} must be a map of whole numbers, the region of each pixel, got"
            f" {type(labels).__name__} of {found.dtype}"
        )
    if found.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {found.shape}")
    if found.min() < 0:
        raise ValueError(f"{name} must not hold negative labels, got {found.min()}")
    if found.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must hold labels up to 2**63 - 1, got {found.max()}")
    return found
