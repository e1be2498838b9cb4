"""Trying a model on loading: what is wrong with it is said before it gives wrong numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._core import ModelError
from ..images.arrays import Float32Array
from .torch_backend import CHANNELS


@dataclass(frozen=True)
class Findings:
    """What the probe learned of a model."""

    channels: int
    num_classes: int
    takes_batches: bool


def probe(
    handle: Any, name: str, input_size: tuple[int, int], scores: str, precision: str
) -> Findings:
    """Run two random images, together twice and each alone, and the gradient of one.

    Raises
    ------
    ModelError
        If the model cannot be explained; the text says why.
    ValueError
        If `scores` is not what it gives.
    """
    channels, num_classes = _find_channels(handle, name, input_size)
    output = "logit" if scores == "logits" else "softmax"
    tolerance = 0.05 if precision == "bfloat16" else 1e-3

    def run(batch: Float32Array) -> Float32Array:
        return _core.scores(handle, batch, output, len(batch), None)

    def run_each(batch: Float32Array) -> Float32Array:
        return np.concatenate([run(batch[:1]), run(batch[1:])])

    pixels = np.random.default_rng(0).random((2, *input_size, channels), np.float32) * 255
    before = pixels.copy()
    alone = run_each(pixels)
    if not np.array_equal(pixels, before):
        raise ModelError(f"{name} changes its input in place: start it with x = x.clone()")
    try:
        together, takes_batches = run(pixels), True
    except Exception:
        together, takes_batches = alone, False
    again = run(pixels) if takes_batches else run_each(pixels)
    if not _agree(together, again, tolerance):
        raise ModelError(
            f"{name} gives other scores each time: it seems to be in training mode. Call eval()"
            " before tracing or saving it; dropout in a trace made in training survives eval()"
        )
    if not _agree(together, alone, tolerance):
        raise ModelError(
            f"{name} mixes the images of a batch: the scores of an image depend on its neighbours"
            " (batch normalisation in a trace made in training mode does this)"
        )
    _core.gradients(handle, pixels[:1], np.zeros((1, 1), np.int64), output, 1, None)
    _check_kind(alone, name, scores)
    return Findings(channels, num_classes, takes_batches)


def _find_channels(handle: Any, name: str, input_size: tuple[int, int]) -> tuple[int, int]:
    """Return the channel count that the model takes, and its number of classes."""
    failures: list[Exception] = []
    for channels in CHANNELS:
        try:
            return channels, _core.describe(handle, *input_size, channels)[0]
        except Exception as error:  # a module's own, whatever it raises
            failures.append(error)
    raise ModelError(
        f"{name} does not run on an image of {input_size[0]} x {input_size[1]} (height x width;"
        f" is input_size right?): {failures[0]}"
    ) from failures[0]


def _agree(a: Float32Array, b: Float32Array, tolerance: float) -> bool:
    return float(np.abs(a - b).max()) <= tolerance * max(float(np.abs(a).max()), 1e-12)


def _check_kind(values: Float32Array, name: str, scores: str) -> None:
    """Tell logits from probabilities, unless there is one class and no telling."""
    sums = values.sum(axis=1)
    are_probabilities = bool((values >= 0).all() and np.allclose(sums, 1, atol=1e-2))
    if values.shape[1] > 1 and are_probabilities != (scores == "probabilities"):
        raise ValueError(
            f"{name} was loaded with scores={scores!r}, but its scores are"
            f" {'' if are_probabilities else 'not '}probabilities: for two random images they"
            f" add up to {sums.tolist()}"
        )
