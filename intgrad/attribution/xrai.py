"""XRAI: the regions of an image, ranked by how dense their attribution is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from .. import _core
from ..images.arrays import Float32Array, to_real_array
from ..models.model import check_int
from . import segmentation
from .numbers import check_fraction
from .regions import Int32Array, check_labels

Algorithm = Literal["full", "fast"]
Runs = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Ranking:
    """The regions of an image, the densest first; what no segment covers comes last.

    Attributes
    ----------
    labels : numpy.ndarray
        (H, W) int32, the region of each pixel: its rank, from 0 on, an index into the arrays below.
    densities : numpy.ndarray
        (R,) float64, the mean attribution of the pixels of each.
    pixels : numpy.ndarray
        (R,) int64, how many pixels each has.
    segments : numpy.ndarray
        (R,) int64, of which segment each is the part that no region took before; -1 for what no
        segment covers.
    """

    labels: Int32Array
    densities: npt.NDArray[np.float64]
    pixels: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.densities)

    def __repr__(self) -> str:
        """Say how many there are, and the range of their densities."""
        low, high = self.densities.min(), self.densities.max()
        return f"<intgrad Ranking: {len(self)} regions, densities {low:.3g} to {high:.3g}>"

    def top(self, area: float) -> npt.NDArray[np.bool_]:
        """Return (H, W), where the first regions are that cover a part of the image (0..1).

        Raises
        ------
        TypeError, ValueError
            If `area` is no number, or outside of 0..1.
        """
        wanted = check_fraction(area, "area") * self.labels.size
        return self.labels < np.searchsorted(np.append(0, self.pixels.cumsum()), wanted)

    @classmethod
    def of(
        cls,
        taken: tuple[Int32Array, Int32Array, npt.NDArray[np.float64]],
        attributions: npt.NDArray[np.float64],
    ) -> Ranking:
        """Rank the regions that the core took, in the order in which it did."""
        labels, order, densities = taken
        ranks = np.argsort(-densities, kind="stable")
        places = np.append(np.argsort(ranks), len(ranks))  # of label -1, the last
        densities, segments = densities[ranks], order[ranks].astype(np.int64)
        rest = labels < 0
        if rest.any():
            densities = np.append(densities, attributions[rest].mean())
            segments = np.append(segments, -1)
        labels = places[labels].astype(np.int32)
        return cls(labels, densities, np.bincount(labels.ravel()), segments)


@overload
def xrai(
    attributions: npt.ArrayLike,
    image: npt.ArrayLike | None = ...,
    *,
    segments: npt.ArrayLike | Sequence[npt.ArrayLike] | None = ...,
    algorithm: Algorithm = ...,
    area_threshold: float = ...,
    min_pixel_diff: int = ...,
    return_info: Literal[False] = ...,
) -> Float32Array: ...


@overload
def xrai(
    attributions: npt.ArrayLike,
    image: npt.ArrayLike | None = ...,
    *,
    segments: npt.ArrayLike | Sequence[npt.ArrayLike] | None = ...,
    algorithm: Algorithm = ...,
    area_threshold: float = ...,
    min_pixel_diff: int = ...,
    return_info: Literal[True],
) -> tuple[Float32Array, Ranking]: ...


def xrai(
    attributions: npt.ArrayLike,
    image: npt.ArrayLike | None = None,
    *,
    segments: npt.ArrayLike | Sequence[npt.ArrayLike] | None = None,
    algorithm: Algorithm = "full",
    area_threshold: float = 1.0,
    min_pixel_diff: int = 50,
    return_info: bool = False,
) -> Float32Array | tuple[Float32Array, Ranking]:
    """Rank the regions of an image by the density of their attribution (XRAI).

    Of overlapping segments, the one with the largest mean attribution is taken first, then the one
    with the largest mean over its other pixels, and so on [1]_. That is a ranking: densities add up
    to nothing, and have no error bars. What regions made of the score, and how exactly, is what
    `integrated_gradients(..., segments=...)` says.

    The result is that of the authors' code (PAIR's `saliency.core.XRAI`), for the same attributions
    and segments.

    Parameters
    ----------
    attributions : array_like
        (H, W, C) or (H, W), of one image, any real dtype. The largest over the channels is what
        counts, as for the authors.
    image : array_like, optional
        (H, W, C), any real dtype and range, which scikit-image cuts into segments (`pip install
        intgrad[segments]`) as the authors do: by Felzenszwalb's algorithm at six scales, at 224 x
        224, each segment widened by 5 pixels. Not looked at with `segments`.
    segments : numpy.ndarray or sequence of numpy.ndarray, optional
        Your own: masks (H, W) of bool, which may overlap; label maps (H, W) of ints, of which every
        label is a segment; or some of both.
    algorithm : {"full", "fast"}
        "fast" takes segments by the means that they have at the beginning, and so does not notice
        that what made one dense may have been taken before.
    area_threshold : float
        Stop when more than this part of the image is taken (0..1); the rest is a region by itself.
    min_pixel_diff : int
        Segments that would add fewer pixels are left out.
    return_info : bool
        Return the ranking too.

    Returns
    -------
    numpy.ndarray or (numpy.ndarray, Ranking)
        (H, W) float32, for each pixel the density of its region: its mean attribution a pixel, in
        the unit of `attributions`. With `return_info` the regions in order, densities and areas.

    Raises
    ------
    TypeError, ValueError
        If `attributions`, `image` or `segments` have the wrong shape or dtype, are empty or not
        finite, there are fewer than two segments or all are too small, or an option is out of its
        range; the text quotes it.
    ImportError
        If scikit-image is needed and not installed.

    References
    ----------
    .. [1] Kapishnikov et al., "XRAI: Better Attributions Through Regions", ICCV 2019, arXiv
       1906.02825.

    Examples
    --------
    Of the mean of Integrated Gradients from black and from white, as in the paper:

    >>> ends = np.stack([np.zeros_like(image), np.full_like(image, 255)])
    >>> attributions = intgrad.integrated_gradients(model, image, baseline=ends)
    >>> heat, ranking = intgrad.xrai(attributions, image, return_info=True)
    >>> image[ranking.top(0.2)]  # the fifth of the image that matters most
    """
    if algorithm not in ("full", "fast"):
        raise ValueError(f"algorithm must be 'full' or 'fast', got {algorithm!r}")
    area = check_fraction(area_threshold, "area_threshold")
    if algorithm == "fast" and area != 1:
        raise ValueError(
            f"area_threshold={area_threshold} is for algorithm='full': 'fast' takes all segments"
        )
    least = check_int(min_pixel_diff, "min_pixel_diff")
    values = _to_map(attributions)
    runs = [run for cut in _find_cuts(segments, image, values.shape) for run in _to_runs(cut)]
    _check_sizes(runs, least)
    starts = np.cumsum([0, *map(len, runs)])
    taken = _core.xrai(
        values, starts, np.concatenate(runs).astype(np.int32), least, area, algorithm == "fast"
    )
    ranking = Ranking.of(taken, values)
    heat = ranking.densities.astype(np.float32)[ranking.labels]
    return (heat, ranking) if return_info else heat


def _to_map(attributions: Any) -> npt.NDArray[np.float64]:
    """Return (H, W), the largest over the channels; the core looks whether it is finite."""
    array = to_real_array(attributions, "attributions", expected="real numbers")
    if array.ndim not in (2, 3) or array.size == 0:
        hint = ": one image at a time" if array.ndim == 4 else ""
        raise ValueError(
            f"attributions must have shape (H, W, C) or (H, W), and not be empty, got"
            f" {array.shape}{hint}"
        )
    return (array if array.ndim == 2 else array.max(axis=2)).astype(np.float64)


def _find_cuts(segments: Any, image: Any, shape: tuple[int, ...]) -> Iterable[npt.NDArray[Any]]:
    """Return masks and label maps (H, W): those that are given, or those of the image."""
    if segments is None:
        return segmentation.cut_for_xrai(_check_image(image, shape))
    if isinstance(segments, str) or not isinstance(segments, Iterable):
        raise TypeError(
            "segments must be masks of bool, or label maps of whole numbers, each (H, W), got"
            f" {segments!r}"
        )
    cuts = [segments] if getattr(segments, "ndim", None) == 2 else segments
    return [check_labels(cut, shape, f"segments[{k}]") for k, cut in enumerate(cuts)]


def _check_image(image: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the pixels (H, W, C) of an image that can be cut."""
    if image is None:
        raise TypeError("xrai needs an image to cut into segments, or segments=, and got neither")
    array = to_real_array(image, "image", expected="real numbers")
    if array.ndim != 3 or array.shape[:2] != shape or array.size == 0:
        raise ValueError(
            f"image must have shape (H, W, C), of the attributions' {shape}, got {array.shape}"
        )
    segmentation.check_finite(array)
    if array.min() == array.max():
        raise ValueError(
            f"image is {array.flat[0]} everywhere: there is nothing to cut it by but segments="
        )
    return array


def _to_runs(cut: npt.NDArray[Any]) -> list[Runs]:
    """Return the segments of a label map, or that of a mask: (n, 2) flat indices, begin and end."""
    labels = cut.ravel()
    begins = np.append(0, (labels[1:] != labels[:-1]).nonzero()[0] + 1)
    runs = np.stack([begins, np.append(begins[1:], labels.size)], axis=1)
    labels = labels[begins]
    if cut.dtype == np.bool_:
        return [runs[labels]]
    order = np.argsort(labels, kind="stable")
    labels = labels[order]
    return np.split(runs[order], (labels[1:] != labels[:-1]).nonzero()[0] + 1)


def _check_sizes(segments: list[Runs], least: int) -> None:
    """Check that there is something to rank."""
    if len(segments) < 2:
        raise ValueError(f"segments must be several, to be ranked, got {len(segments)}")
    largest = max(int((runs[:, 1] - runs[:, 0]).sum()) for runs in segments)
    if largest < least:
        raise ValueError(
            f"min_pixel_diff={least} leaves out all of {len(segments)} segments: the largest has"
            f" {largest} pixels"
        )
