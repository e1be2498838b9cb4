"""What all adapters share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..images.arrays import Float32Array
from ..models.model import OUTPUTS, Output
from ..models.preprocessing import check_preprocess

Scores = Literal["logits", "probabilities"]
Differentiate = Callable[[Float32Array, npt.NDArray[np.int64]], tuple[Any, Any]]


class Adapter:
    """A callable over a framework's own gradients; made by `from_keras` and its like.

    Attributes
    ----------
    output : {"softmax", "log_softmax", "logit"}
        What is returned and differentiated.
    """

    def __init__(self, differentiate: Differentiate, preprocess: Any, output: Output) -> None:
        scale, offset = check_preprocess(preprocess)
        self._scale = np.asarray(scale, np.float32) if scale else None
        self._offset = np.asarray(offset, np.float32)
        self._differentiate = differentiate
        self.output = output

    def __call__(
        self, batch: Float32Array, targets: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return scores (n, K) and the gradients (n, H, W, C) of those at the targets (n,)."""
        if self._scale is None:
            scores, gradients = self._differentiate(batch, targets)
            return np.asarray(scores), np.asarray(gradients)
        scores, gradients = self._differentiate(batch * self._scale + self._offset, targets)
        return np.asarray(scores), np.asarray(gradients) * self._scale


def make_output(
    scores: str,
    output: str,
    softmax: Callable[[Any], Any],
    log_softmax: Callable[[Any], Any],
    log: Callable[[Any], Any],
) -> Callable[[Any], Any]:
    """Return what makes the scores of a network the output that is asked for."""
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
    if scores == "logits":
        return {"softmax": softmax, "log_softmax": log_softmax, "logit": lambda z: z}[output]
    if scores != "probabilities":
        raise ValueError(f"scores must be 'logits' or 'probabilities', got {scores!r}")
    if output == "logit":
        raise ValueError(
            "output='logit' was asked of scores that are probabilities: use 'softmax' or"
            " 'log_softmax', or a network without its last softmax and scores='logits'"
        )
    return {"softmax": lambda p: p, "log_softmax": log}[output]
