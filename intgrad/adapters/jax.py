"""Functions of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.arrays import Float32Array
from ..models.model import Output
from .adapter import Adapter, Functions, Scores, make_output


def from_jax(
    function: Callable[[Any], Any],
    *,
    scores: Scores,
    preprocess: Any = "none",
    output: Output = "softmax",
) -> Adapter:
    """Make a callable of a JAX function (n, H, W, C) -> (n, K), which is compiled.

    Parameters, results and errors as `from_keras`.
    """
    jax = require("jax", "jax", "from_jax")
    functions = Functions(
        softmax=jax.nn.softmax,
        log_softmax=jax.nn.log_softmax,
        sigmoid=jax.nn.sigmoid,
        log_sigmoid=jax.nn.log_sigmoid,
        log=jax.numpy.log,
        to_float32=lambda values: values.astype(np.float32),
    )
    finish = make_output(scores, output, functions)

    def total(points: Any, targets: Any) -> tuple[Any, Any]:
        values = finish(function(points), points.shape[0])
        return jax.numpy.take_along_axis(values, targets[:, None], axis=1).sum(), values

    run = jax.jit(jax.value_and_grad(total, has_aux=True))

    def differentiate(points: Float32Array, targets: npt.NDArray[np.int64]) -> tuple[Any, Any]:
        (_, values), gradients = run(points, targets.astype(np.int32))
        return values, gradients

    return Adapter(differentiate, preprocess, output)
