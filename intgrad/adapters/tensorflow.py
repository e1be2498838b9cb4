"""Functions of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.arrays import Float32Array
from ..models.model import Output
from .adapter import Adapter, Scores, make_output


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
    finish = make_output(scores, output, tf.nn.softmax, tf.nn.log_softmax, tf.math.log)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(points: Any, targets: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(points)
            values = finish(function(points))
            picked = tf.gather(values, targets, axis=1, batch_dims=1)
        return values, tape.gradient(picked, points, unconnected_gradients="zero")

    def differentiate(points: Float32Array, targets: npt.NDArray[np.int64]) -> tuple[Any, Any]:
        values, gradients = run(tf.constant(points), tf.constant(targets))
        return values.numpy(), gradients.numpy()

    return Adapter(differentiate, preprocess, output)
