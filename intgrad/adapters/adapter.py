"""What all adapters share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .._core import ModelError
from ..images.arrays import Float32Array
from ..models.model import OUTPUTS, Output
from ..models.preprocessing import check_preprocess

Scores = Literal["logits", "probabilities"]
Function = Callable[[Any], Any]
Differentiate = Callable[[Float32Array, npt.NDArray[np.int64]], tuple[Any, Any]]


class Adapter:
    """A callable over a framework's own gradients; made by `from_keras` and its like.

    Attributes
    ----------
    output : {"softmax", "log_softmax", "logit", "sigmoid"}
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
        if self._scale is not None and self._scale.size not in (1, batch.shape[3]):
            raise ValueError(  # NumPy would make more channels of one
                f"preprocess is of {self._scale.size} channels, and the images have"
                f" {batch.shape[3]}: give one number for all, or one for each channel"
            )
        points = batch if self._scale is None else batch * self._scale + self._offset
        scores, gradients = self._differentiate(points, targets)
        if gradients is None:
            raise ModelError(
                "the scores have no gradient with respect to the pixels: something between them"
                " leaves the framework, as NumPy, .detach(), stop_gradient and no_grad do"
            )
        gradients = np.asarray(gradients)
        return np.asarray(scores), gradients if self._scale is None else gradients * self._scale


@dataclass(frozen=True)
class Functions:
    """What a framework calls the functions that make outputs of scores (n, K)."""

    softmax: Function
    log_softmax: Function
    sigmoid: Function
    log_sigmoid: Function
    log: Function
    to_float32: Function


def make_output(scores: str, output: str, functions: Functions) -> Callable[[Any, int], Any]:
    """Return what makes what a network returned for n images the output that is asked for.

    Raises
    ------
    ValueError
        If a name is unknown, or logits are asked of probabilities.
    """
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
    if scores not in ("logits", "probabilities"):
        raise ValueError(f"scores must be 'logits' or 'probabilities', got {scores!r}")
    if scores == "probabilities" and output == "logit":
        raise ValueError(
            "output='logit' was asked of scores that are probabilities: use 'softmax',"
            " 'log_softmax' or 'sigmoid', or a network without its last softmax or sigmoid and"
            " scores='logits'"
        )

    def finish(returned: Any, count: int) -> Any:
        values = _check_scores(returned, count)
        if "float16" in str(values.dtype):  # bfloat16 too; a softmax in it would be coarse
            values = functions.to_float32(values)
        if scores == "probabilities":
            return functions.log(values) if output == "log_softmax" else values
        one = values.shape[1] == 1  # the logit of one class against its absence
        return {
            "softmax": functions.sigmoid if one else functions.softmax,
            "log_softmax": functions.log_sigmoid if one else functions.log_softmax,
            "logit": lambda logits: logits,
            "sigmoid": functions.sigmoid,
        }[output](values)

    return finish


def _check_scores(returned: Any, count: int) -> Any:
    """Return scores (n, K), or raise a ModelError that says how to get them of what there is."""
    if hasattr(returned, "shape"):
        shape = tuple(returned.shape)
        has_gradient = "float" in str(returned.dtype) and not isinstance(returned, np.ndarray)
        # TensorFlow knows no count while it traces.
        if has_gradient and len(shape) == 2 and shape[0] in (count, None):
            return returned
        fault = f"it returned shape {shape} for {count} images"
        if not has_gradient:
            fault = f"it returned {type(returned).__name__} of {returned.dtype}, without a gradient"
        elif len(shape) < 2:
            fault += ": return (n, 1), as network(pixels).reshape(-1, 1)"
        elif len(shape) > 2:
            fault += (
                ": of a map of scores, return the sum or the mean over the pixels that are asked"
                " about"
            )
    elif isinstance(returned, Mapping):
        names = ", ".join(map(repr, returned))
        fault = f"it returned a dict of {names}: return its logits, as network(pixels)['logits']"
    elif isinstance(returned, list | tuple):
        kind = type(returned).__name__
        fault = f"it returned a {kind} of {len(returned)}: return its logits, as network(pixels)[0]"
    else:
        kind = type(returned).__name__
        fault = f"it returned {kind}: return its logits, as network(pixels).logits"
    raise ModelError(f"the function must return scores (n, K), one of each class, and {fault}")
