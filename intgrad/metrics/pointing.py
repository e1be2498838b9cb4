"""The pointing game, and energy: whether a map is where the object is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..attribution.call import check_seed
from ..attribution.numbers import check_number
from ..models.model import Model
from .measuring import Measured, Metric, Work, measure_one, measures
from .ranking import Reduce, check_reduce
from .result import MetricResult
from .subjects import Map, Subject, Subjects

Mask = npt.NDArray[np.bool_]
EVERYWHERE = "no pixel is more than margin={:g} from the object: every map would be a hit"


class _Inside(Metric):
    """What a map says within a mask."""

    higher_is_better = True

    def __init__(self, masks: Any, boxes: Any, reduce: Reduce) -> None:
        if (masks is None) == (boxes is None):
            raise TypeError(f"{self.name} needs masks= or boxes=, where the object is: one of them")
        self._masks, self._boxes = masks, boxes
        self._reduce: Reduce = check_reduce(reduce)

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the images."""
        shape = subjects.images.shape[:3]
        given = self._boxes if self._masks is None else self._masks
        name = "boxes" if self._masks is None else "masks"
        if not subjects.single and not hasattr(given, "__len__"):
            raise TypeError(f"{name} must be one for each image, got {given!r}")
        given = [given] if subjects.single else list(given)
        if len(given) != shape[0]:
            raise ValueError(f"{name} must be one for each of {shape[0]} images, got {len(given)}")
        read = _read_boxes if self._masks is None else _read_mask
        self._where = [read(one, shape[1:], f"{name}[{k}]") for k, one in enumerate(given)]


class PointingGame(_Inside):
    """Whether the most relevant pixel is on the object, or near it."""

    name = "pointing_game"
    formula = "1 if the most relevant pixel is within a margin of the mask, else 0"
    reference = "Zhang et al., Excitation Backprop, ECCV 2016, arXiv 1608.00507"

    def __init__(self, masks: Any, boxes: Any, margin: float, reduce: Reduce, seed: int) -> None:
        super().__init__(masks, boxes, reduce)
        self.tells_apart = self._reduce
        self._margin = check_margin(margin)
        self._seed = check_seed(seed) or 0

    @property
    def convention(self) -> str:
        """Say what is computed."""
        return (
            f"the first pixel by rank of the channels' {self._reduce}, equals by lot (seed"
            f" {self._seed}), is a hit within {self._margin:g} pixels of the mask"
        )

    def prepare(self, subjects: Subjects) -> None:
        """Check what it needs of the images."""
        super().prepare(subjects)
        require("scipy.ndimage", "scipy", self.name, extra="metrics")

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measured:
        """Measure a map of an image."""
        mask = self._where[subject.index]
        distances = subject.shared(("distances", id(mask)), lambda: _measure_distances(mask))
        if distances.max() <= self._margin:
            return Measured(math.nan, note=EVERYWHERE.format(self._margin))
        place = map_.ranks(self._reduce, self._seed) == 0
        return Measured(float(distances[place][0] <= self._margin))


class EnergyInside(_Inside):
    """The part of the positive relevance that is on the object."""

    name = "energy_inside"
    formula = "sum of positive relevance within the mask / sum of positive relevance"
    reference = "Wang et al., Score-CAM, CVPR Workshops 2020, arXiv 1910.01279"

    @property
    def convention(self) -> str:
        """Say what is computed."""
        return f"relevance is the channels' {self._reduce} of a pixel; what is negative counts as 0"

    def measure(self, subject: Subject, map_: Map, work: Work) -> Measured:
        """Measure a map of an image."""
        positive = map_.relevance(self._reduce).clip(0)
        whole = float(positive.sum())
        if whole == 0:
            return Measured(math.nan, note="nothing speaks for the target: no pixel is positive")
        return Measured(float(positive[self._where[subject.index]].sum()) / whole)


@measures(PointingGame)
def pointing_game(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    masks: Any = None,
    boxes: Any = None,
    margin: float = 15.0,
    reduce: Reduce = "sum",
    seed: int = 0,
) -> MetricResult:
    """Say whether the most relevant pixel is on the object.

    The pointing game (Zhang et al. 2016 [1]_). Higher is better; the mean is the share of hits.

    Parameters
    ----------
    model, images, attributions, targets, reduce
        As in `deletion`. The model is not asked for anything but its top class.
    masks : array_like, optional
        (H, W) of bool, or of whole numbers of which 0 is outside; (N, H, W) of N images.
    boxes : sequence, optional
        (top, left, bottom, right) in pixels, the last two beyond the box, or several of them; N of
        either for N images.
    margin : float
        How far from the mask still is a hit, in pixels; the authors' 15. Where that is all of the
        image, it has no value (NaN, and `notes` says so).
    seed : int
        Draws among pixels of equal attribution.

    Returns
    -------
    MetricResult

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `deletion`; or if a mask or box is empty or covers the whole image.
    ImportError
        If SciPy is not installed (`pip install intgrad[metrics]`).

    References
    ----------
    .. [1] Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, arXiv
       1608.00507.
    """
    metric = PointingGame(masks, boxes, margin, reduce, seed)
    return measure_one(metric, model, images, attributions, targets)


@measures(EnergyInside)
def energy_inside(
    model: Model,
    images: Any,
    attributions: Any,
    targets: Any = None,
    *,
    masks: Any = None,
    boxes: Any = None,
    reduce: Reduce = "sum",
) -> MetricResult:
    """Say which part of the positive attribution is on the object.

    The energy-based pointing game (Wang et al. 2020 [1]_). Higher is better, up to 1.

    Parameters
    ----------
    model, images, attributions, targets, reduce
        As in `deletion`. The model is not asked for anything but its top class.
    masks, boxes
        As in `pointing_game`.

    Returns
    -------
    MetricResult

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `pointing_game`.

    References
    ----------
    .. [1] Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
       Networks", CVPR Workshops 2020, arXiv 1910.01279.
    """
    metric = EnergyInside(masks, boxes, reduce)
    return measure_one(metric, model, images, attributions, targets)


def check_margin(margin: Any) -> float:
    """Return a distance in pixels, or raise a TypeError or ValueError that quotes it."""
    if not isinstance(margin, bool) and margin == 0:
        return 0.0
    return check_number(margin, "margin", meaning=", or 0")


def _read_mask(given: Any, shape: tuple[int, ...], name: str) -> Mask:
    mask = np.asarray(given)
    if mask.dtype.kind not in "iub":
        raise TypeError(f"{name} must be of bool or whole numbers, got {mask.dtype}")
    if mask.shape != shape:
        raise ValueError(f"{name} must have the shape of an image, {shape}, got {mask.shape}")
    return _check_mask(mask != 0, name)


def _read_boxes(given: Any, shape: tuple[int, ...], name: str) -> Mask:
    try:
        boxes = np.asarray(given)
    except ValueError:  # they are not all of one length
        boxes = np.empty(0)
    if boxes.size == 0 or boxes.ndim not in (1, 2) or boxes.shape[-1] != 4:
        raise ValueError(f"{name} must be (top, left, bottom, right), or several, got {given!r}")
    if boxes.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers, got {given!r}")
    mask = np.zeros(shape, np.bool_)
    for top, left, bottom, right in boxes.reshape(-1, 4):
        if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
            raise ValueError(
                f"{name} must be (top, left, bottom, right) within {shape[0]} x {shape[1]} and not"
                f" be empty, got {given!r}"
            )
        mask[top:bottom, left:right] = True
    return _check_mask(mask, name)


def _measure_distances(mask: Mask) -> npt.NDArray[np.float64]:
    """Return (H, W), how far each pixel is from the nearest one of a mask."""
    ndimage = require("scipy.ndimage", "scipy", "pointing_game", extra="metrics")
    return np.asarray(ndimage.distance_transform_edt(~mask))


def _check_mask(mask: Mask, name: str) -> Mask:
    if not mask.any():
        raise ValueError(f"{name} is empty: nothing can be inside")
    if mask.all():
        raise ValueError(f"{name} covers all of the image: nothing can be outside")
    return mask
