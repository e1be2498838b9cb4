"""Attributions that explain nothing: found, and never called exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.arrays import Float32Array
from .baselines import Baselines, share_equal
from .remarks import Remarks

MISSED = 0.01
"""The magnitudes of attributions add up to at least the score's change. Where they are less than
this share of it, all but nothing is missing, whatever their estimated error says."""
ROUNDING = 2.0**-22
"""A change of a float32 score that is none, relative to the score."""
CERTAIN = 1e-6
"""How close to 0 or 1 a probability is that can hardly move."""

NOTABLE = 0.05
"""A share of an image's pixels that is told where it equals the baseline."""

GONE = "what came out for {where} is 0 everywhere: the score does not move with any of the draws"

Cells = npt.NDArray[np.bool_]
"""(N, T): which targets of which images."""

LOST = (
    "the attributions of {where} explain nothing, and their error is unknown: the score is"
    " {start:.4g} on the baseline and {score:.4g} on the image, but its gradient is 0, or next to"
    " it, all along the path. Rounding or a stop-gradient in the model does that{certainty}, and"
    " too few steps do"
)
STUCK = (
    "the probability is {probability:.7g} on the baseline as on the image, for {where}: there it"
    " hardly moves, and is hardly explained. Use output='logit', which has no such ends, or"
    " another baseline"
)
IDLE = (
    "the attributions of {where} are 0: the score is {score:.4g} on the baseline as on the image,"
    " so that from this baseline there is nothing to attribute"
)


def doubt(
    result: dict[str, Any],
    images: Float32Array,
    baselines: Float32Array | None,
    output: str,
    remarks: Remarks,
    first_image: int,
    *,
    adds_up: bool,
) -> Cells:
    """Remark on attributions that explain nothing, and make their errors NaN.

    An error of inf stays as it is, and so does the 0 of an image that is its own baseline. Those
    that do not add up to the score's change explain nothing where all of them are 0.

    Returns
    -------
    numpy.ndarray
        (N, T): where that was.
    """
    scores = np.asarray(result["scores"], np.float64)
    starts = np.asarray(result["baseline_scores"], np.float64)
    probabilities = _probabilities(np.stack([starts, scores]), output)
    change, rounding = abs(scores - starts), ROUNDING * np.maximum(abs(scores), abs(starts))
    size = np.array([[_magnitude(a) for a in row] for row in result["attributions"]])
    if not adds_up:
        gone: Cells = size == 0
        if gone.any():
            remarks.make("gone", GONE.format(where=_name(gone, first_image)))
        _forget(result, gone)
        return gone
    lost = (change > rounding) & (size <= MISSED * change)
    idle = (change <= rounding) & (size <= rounding) & ~np.isinf(result["quadrature_error"])
    alike: npt.NDArray[np.bool_] = np.zeros((len(images), 1), np.bool_)
    if baselines is not None and idle.any():
        alike = _are_alike(images, baselines)[:, np.newaxis]
    stuck = (probabilities.min(axis=0) >= 1 - CERTAIN) & ~lost
    stuck |= (probabilities.max(axis=0) <= CERTAIN) & idle
    stuck &= ~alike
    for kind, cells, text in (
        ("lost", lost, LOST),
        ("stuck", stuck, STUCK),
        ("idle", idle & ~stuck, IDLE),
    ):
        if cells.any():
            first = tuple(np.argwhere(cells)[0])
            filled = text.format(
                where=_name(cells, first_image),
                start=starts[first],
                score=scores[first],
                probability=probabilities[1][first],
                certainty=""
                if output == "logit"
                else ", a probability close to 0 or 1 does (output='logit' has no such ends)",
            )
            remarks.make(kind, filled)
    unknown: Cells = lost | (idle & ~alike)
    _forget(result, unknown)
    return unknown


def _forget(result: dict[str, Any], unknown: Cells) -> None:
    """Make errors NaN, where they are not inf."""
    for name in ("quadrature_error", "baseline_error", "region_error"):
        errors = result[name]
        if errors is not None:
            errors[unknown & ~np.isinf(errors)] = math.nan


def find_unattributable(
    images: Float32Array, baselines: Baselines, remarks: Remarks, first_image: int
) -> npt.NDArray[np.float64]:
    """Return the share (N,) of each image's pixels that equal the baseline, and so get nothing.

    Where a plain colour is the baseline, such as black, objects of that colour are left out, which
    is remarked on: a blurred baseline equals what has no detail, and is meant to.
    """
    shares = share_equal(images, baselines.pixels)
    notable = np.flatnonzero((shares > NOTABLE) & (shares < 1))
    if len(notable) and baselines.is_plain:
        worst = notable[shares[notable].argmax()]
        others = f" (and of {len(notable) - 1} more images)" if len(notable) > 1 else ""
        remarks.make(
            "unattributable",
            f"{shares[worst]:.0%} of the pixels of image {first_image + worst}{others} equal the"
            f" {baselines.name} baseline and get nothing, whatever they show: see what another"
            " baseline says, such as 'blur'",
        )
    return shares


def _probabilities(scores: npt.NDArray[np.float64], output: str) -> npt.NDArray[np.float64]:
    """Return the probabilities that scores stand for; NaN if they stand for none."""
    if output == "logit":
        return np.full_like(scores, math.nan)
    return np.asarray(np.exp(scores)) if output == "log_softmax" else scores


def _magnitude(attributions: Float32Array) -> float:
    return float(abs(attributions).sum(dtype=np.float64))


def _are_alike(images: Float32Array, baselines: Float32Array) -> npt.NDArray[np.bool_]:
    """Say of each image whether all its baselines are itself."""
    return np.asarray((images[:, np.newaxis] == baselines).all(axis=(1, 2, 3, 4)))


def _name(cells: Cells, first_image: int) -> str:
    """Name the first of these images and targets, and say how many there are."""
    image, target = np.argwhere(cells)[0]
    name = f"image {first_image + image}"
    if cells.shape[1] > 1:
        name += f", target {target}"
    return f"{name} (and {cells.sum() - 1} more)" if cells.sum() > 1 else name
