"""What a model gives as it is, which every quicker way of running it must give as well.

Folding, freezing and channels last are what makes a model quick; there are models that they do not
suit. So a model is first run as it is, by eager autograd, on two pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import _core
from ..._core import ModelError
from ...images.arrays import Float32Array
from .autograd import Autograd
from .kind import Kind

SCORES_AGREE, GRADIENTS_AGREE = 1e-3, 0.05
"""Relative. Rounding flips gates of ReLUs, which moves gradients by some 0.003."""
ROUNDINGS = 16
"""How many of them scores may be apart where a module computes in a coarser type."""


class Truth:
    """What a model gives by itself, for a random picture and a black one, where most paths start.

    Where it gives NaN for black, as what divides by a picture's norm does, the second is random
    too.
    """

    def __init__(self, eager: Autograd, kind: Kind, one_at_a_time: bool) -> None:
        self._kind = kind
        self._pictures = kind.noise(2)
        self._pictures[1] = 0
        eager.pairs_single = self.takes_batches = not one_at_a_time
        try:
            answer = self._run(eager)
        except ModelError:  # perhaps it takes one picture at a time; else this fails as well
            eager.pairs_single = self.takes_batches = False
            answer = self._run(eager)
        if not np.isfinite(answer[0]).all():
            self._pictures = kind.noise(2)
            answer = self._run(eager)
        unfit = np.argwhere(~np.isfinite(answer[0]))
        if len(unfit):
            value = answer[0][tuple(unfit[0])]
            raise ModelError(
                f"{kind.facts.name} is not to be explained: its score of class {unfit[0][1]} is"
                f" {value:g} for a random picture: is preprocess= what it was trained with?"
            )
        self.place = eager.place
        self._scores, self._gradients = answer

    def _run(self, eager: Autograd) -> tuple[Float32Array, Float32Array]:
        """Return scores (2, K) and gradients (2, 1, H, W, C) of the first class."""
        targets = np.zeros((2, 1), np.int64)
        if self.takes_batches:
            return eager(self._pictures, targets, self._kind.output)
        singles = [eager(self._pictures[[k]], targets[:1], self._kind.output) for k in range(2)]
        scores, gradients = (np.concatenate(parts) for parts in zip(*singles, strict=True))
        return scores, gradients

    def agrees(self, handle: Any) -> bool:
        """Say whether what the core gets from `handle` is the same."""
        size = 2 if self.takes_batches else 1
        scores = _core.scores(handle, self._pictures, self._kind.output, size, None)
        gradients = _core.gradients(
            handle, self._pictures[:1], np.zeros((1, 1), np.int64), self._kind.output, 1, None
        )
        coarse = ROUNDINGS * self._kind.rounding
        return _close(scores, self._scores, max(SCORES_AGREE, coarse), np.inf) and _close(
            gradients, self._gradients[:1], max(GRADIENTS_AGREE, 4 * coarse), 2
        )


def _close(found: Float32Array, expected: Float32Array, tolerance: float, order: float) -> bool:
    if found.shape != expected.shape:
        return False
    norm = np.linalg.norm(expected.ravel(), order)
    return bool(np.linalg.norm((found - expected).ravel(), order) <= tolerance * norm + 1e-12)
