"""Trying a model on loading: what is wrong with it is said before it gives wrong numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import _core
from ..._core import ModelError
from ...images.arrays import Float32Array
from .kind import Kind


@dataclass(frozen=True)
class Findings:
    """What the probe learned of a model; remarks are for the user."""

    num_classes: int
    takes_batches: bool
    multilabel: bool
    remarks: list[str]


def probe(
    handle: Any, kind: Kind, takes_batches: bool, precision: str, are_classes: bool = True
) -> Findings:
    """Run two random images, together and each alone.

    `are_classes` is no where any numbers are explained, as `load_model(score=)` does.

    Raises
    ------
    ModelError
        If the model cannot be explained; the text says why.
    ValueError
        If `scores` or `multilabel` is not what it gives.
    """
    facts, output = kind.facts, kind.output
    name, scores, multilabel = facts.name, facts.scores, facts.multilabel
    tolerance = 0.05 if precision == "bfloat16" else 1e-3

    def run(batch: Float32Array) -> Float32Array:
        return _core.scores(handle, batch, output, len(batch), None)

    def run_each(batch: Float32Array) -> Float32Array:
        return np.concatenate([run(batch[:1]), run(batch[1:])])

    pixels = kind.noise(2)
    pixels[1] *= np.float32(0.25)  # else both have the statistics that a model might mix
    before = pixels.copy()
    alone = run_each(pixels)
    if not np.array_equal(pixels, before):
        raise ModelError(f"{name} changes its input in place: start it with x = x.clone()")
    try:
        together = run(pixels) if takes_batches else run_each(pixels)
    except Exception:
        takes_batches = False
        together = run_each(pixels)
    if not _agree(together, alone, tolerance):
        again = run(pixels) if takes_batches else run_each(pixels)
        if not _agree(together, again, tolerance):
            raise ModelError(
                f"{name} gives other scores each time: it seems to be in training mode. Call eval()"
                " before tracing or saving it; dropout in a trace made in training survives eval()"
            )
        raise ModelError(
            f"{name} mixes the images of a batch: the scores of an image depend on its neighbours"
            " (batch normalisation in a trace made in training mode does this, and so do layers"
            " that are quantised by the range of a batch; a mean or maximum of a whole batch is to"
            " be one of each image, as x.amax((1, 2, 3), keepdim=True))"
        )
    if precision != "ieee":  # else it has been compared with the model's own
        _core.gradients(handle, pixels[:1], np.zeros((1, 1), np.int64), output, 1, None)
    remarks = _check_kind(alone, name, scores, multilabel) if are_classes else []
    if not takes_batches:
        remarks.append(f"{name} takes one image at a time, so that the batch size is 1")
    if multilabel is None:
        multilabel = alone.shape[1] == 1 or (scores == "probabilities" and not _add_up(alone))
    return Findings(alone.shape[1], takes_batches, multilabel, remarks)


def _agree(a: Float32Array, b: Float32Array, tolerance: float) -> bool:
    return float(np.abs(a - b).max()) <= tolerance * max(float(np.abs(a).max()), 1e-12)


def _add_up(values: Float32Array) -> bool:
    return bool(np.allclose(values.sum(axis=1), 1, atol=1e-2))


def _check_kind(values: Float32Array, name: str, scores: str, multilabel: bool | None) -> list[str]:
    """Tell logits from probabilities, unless there is one class and no telling."""
    within = bool((values >= 0).all() and (values <= 1).all())
    sums = values.sum(axis=1).tolist()
    told = f"{name} was loaded with scores={scores!r}"
    if scores == "probabilities":
        if not within:
            raise ValueError(
                f"{told}, but its scores are not probabilities: for two random images they lie in"
                f" {values.min():.3g} .. {values.max():.3g} and add up to {sums}: if it ends in"
                " neither a softmax nor a sigmoid, pass scores='logits'"
            )
        if multilabel is False and not _add_up(values):
            raise ValueError(
                f"{told} of classes that exclude each other, but for two random images they add up"
                f" to {sums}: if they are independent labels, pass multilabel=True"
            )
    elif values.shape[1] > 1 and within and _add_up(values):
        raise ValueError(
            f"{told}, but its scores are probabilities: for two random images they add up to"
            f" {sums}: pass scores='probabilities'"
        )
    elif within and values.shape[1] > 1 and len(np.unique(values)) > 1:
        return [
            f"{told}, and all its scores lie within 0 and 1: if it ends in a sigmoid, pass"
            " scores='probabilities'"
        ]
    return []
