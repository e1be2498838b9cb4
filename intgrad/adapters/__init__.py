"""Models of other frameworks, as the callables that `load_model` takes.

>>> network = keras.applications.EfficientNetB0()
>>> model = intgrad.load_model(
...     intgrad.adapters.from_keras(network, scores="probabilities"), input_size=(224, 224)
... )

Each helper returns a callable f(batch, targets) -> (scores, gradients) on pixels, which says in its
attribute `output` what it differentiates. The framework is imported when the helper is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.arrays import Float32Array
from ..models.model import OUTPUTS, Output
from ..models.preprocessing import check_preprocess

Scores = Literal["logits", "probabilities"]
Differentiate = Callable[[Float32Array, npt.NDArray[np.int64]], tuple[Any, Any]]


class Adapter:
    """A callable over a framework's own gradients; made by the helpers below.

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


def from_keras(
    network: Any, *, scores: Scores, preprocess: Any = "none", output: Output = "softmax"
) -> Adapter:
    """Make a callable of a Keras 3 model, on whichever backend Keras runs.

    Parameters
    ----------
    network : keras.Model
        Input (n, H, W, C), output (n, K). It is called as in inference.
    scores : {"logits", "probabilities"}
        What the network returns.
    preprocess : str or (scale, offset)
        As in `load_model`; "none" where the network preprocesses itself.
    output : {"softmax", "log_softmax", "logit"}
        What is to be explained.

    Returns
    -------
    Adapter
        For `load_model`.

    Raises
    ------
    ValueError
        If an argument is unknown, or logits are asked of probabilities.
    ImportError
        If Keras is not installed.
    """
    backend = require("keras", "keras", "from_keras").config.backend()

    def infer(batch: Any) -> Any:
        return network(batch, training=False)

    if backend == "tensorflow":
        return from_tensorflow(infer, scores=scores, preprocess=preprocess, output=output)
    if backend == "jax":
        trained = [v.value for v in network.trainable_variables]
        others = [v.value for v in network.non_trainable_variables]

        def infer_jax(batch: Any) -> Any:
            return network.stateless_call(trained, others, batch, training=False)[0]

        return from_jax(infer_jax, scores=scores, preprocess=preprocess, output=output)
    if backend == "torch":
        return from_torch(infer, scores=scores, preprocess=preprocess, output=output)
    raise ValueError(f"Keras runs on its backend {backend!r}, which has no gradients")


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
    finish = _finish(scores, output, tf.nn.softmax, tf.nn.log_softmax, tf.math.log)

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
    finish = _finish(scores, output, jax.nn.softmax, jax.nn.log_softmax, jax.numpy.log)

    def total(points: Any, targets: Any) -> tuple[Any, Any]:
        values = finish(function(points))
        return jax.numpy.take_along_axis(values, targets[:, None], axis=1).sum(), values

    run = jax.jit(jax.value_and_grad(total, has_aux=True))

    def differentiate(points: Float32Array, targets: npt.NDArray[np.int64]) -> tuple[Any, Any]:
        (_, values), gradients = run(points, targets.astype(np.int32))
        return values, gradients

    return Adapter(differentiate, preprocess, output)


def from_torch(
    function: Callable[[Any], Any],
    *,
    scores: Scores,
    preprocess: Any = "none",
    output: Output = "softmax",
) -> Adapter:
    """Make a callable of a function of torch tensors (n, H, W, C) -> (n, K), by eager autograd.

    A `torch.nn.Module` needs no adapter: give it to `load_model`, which is quicker.

    Parameters, results and errors as `from_keras`.
    """
    torch = require("torch", "torch", "from_torch")
    finish = _finish(
        scores, output, lambda z: torch.softmax(z, 1), lambda z: torch.log_softmax(z, 1), torch.log
    )

    def differentiate(points: Float32Array, targets: npt.NDArray[np.int64]) -> tuple[Any, Any]:
        with torch.inference_mode(False), torch.enable_grad():
            batch = torch.from_numpy(points).requires_grad_()
            values = finish(function(batch))
            picked = values.gather(1, torch.from_numpy(targets)[:, None].to(values.device))
            (gradients,) = torch.autograd.grad(picked.sum(), batch)
        return values.detach().cpu().numpy(), gradients.numpy()

    return Adapter(differentiate, preprocess, output)


def _finish(
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
