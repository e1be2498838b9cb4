"""Functions of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import ModelError
from .._optional import require
from ..images.arrays import Float32Array
from ..models.model import Output
from .adapter import Adapter, Functions, Scores, make_output


def from_tensorflow(
    function: Callable[[Any], Any],
    *,
    scores: Scores,
    preprocess: Any = "none",
    output: Output = "softmax",
) -> Adapter:
    """Make a callable of a TensorFlow function (n, H, W, C) -> (n, K).

    Parameters, results and errors as `from_keras`.
    """
    tf = require("tensorflow", "tensorflow", "from_tensorflow")
    functions = Functions(
        softmax=tf.nn.softmax,
        log_softmax=tf.nn.log_softmax,
        sigmoid=tf.sigmoid,
        log_sigmoid=tf.math.log_sigmoid,
        log=tf.math.log,
        to_float32=lambda values: tf.cast(values, tf.float32),
    )
    finish = make_output(scores, output, functions)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(points: Any, targets: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(points)
            values = finish(function(points), points.shape[0])
            picked = tf.gather(values, targets, axis=1, batch_dims=1)
        return values, tape.gradient(picked, points)

    def differentiate(points: Float32Array, targets: npt.NDArray[np.int64]) -> Any:
        try:
            return run(tf.constant(points), tf.constant(targets))
        except Exception as error:
            if isinstance(error.__context__, ModelError):  # wrapped by what traces
                raise error.__context__ from None
            raise

    return Adapter(differentiate, preprocess, output)
