"""Functions of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.arrays import Float32Array
from ..models.model import Output
from .adapter import Adapter, Functions, Scores, make_output


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
    functions = Functions(
        softmax=lambda logits: torch.softmax(logits, 1),
        log_softmax=lambda logits: torch.log_softmax(logits, 1),
        sigmoid=torch.sigmoid,
        log_sigmoid=torch.nn.functional.logsigmoid,
        log=torch.log,
        to_float32=lambda values: values.float(),
    )
    finish = make_output(scores, output, functions)

    def differentiate(points: Float32Array, targets: npt.NDArray[np.int64]) -> tuple[Any, Any]:
        with torch.inference_mode(False), torch.enable_grad():
            batch = torch.from_numpy(points).requires_grad_()
            values = finish(function(batch), len(batch))
            if not getattr(values, "requires_grad", False):
                return values, None
            picked = values.gather(1, torch.from_numpy(targets)[:, None].to(values.device))
            (gradients,) = torch.autograd.grad(picked.sum(), batch, allow_unused=True)
        return values.detach().cpu(), gradients

    return Adapter(differentiate, preprocess, output)
