"""Models of Keras 3."""

from __future__ import annotations

from typing import Any

from .._optional import require
from ..models.model import Output
from .adapter import Adapter, Scores
from .jax import from_jax
from .tensorflow import from_tensorflow
from .torch import from_torch


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
    output : {"softmax", "log_softmax", "logit", "sigmoid"}
        What is to be explained. "sigmoid" is for labels that do not exclude each other; "softmax"
        of a single logit is its sigmoid.

    Returns
    -------
    Adapter
        For `load_model`.

    Raises
    ------
    ValueError
        If an argument is unknown, logits are asked of probabilities, or the network has several
        outputs.
    ImportError
        If Keras is not installed.
    """
    outputs = getattr(network, "outputs", None) or []  # a subclass of Model states none
    if len(outputs) > 1:
        raise ValueError(
            f"the network has {len(outputs)} outputs: keras.Model(network.inputs,"
            " network.outputs[0]) is one that has only the first"
        )
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
