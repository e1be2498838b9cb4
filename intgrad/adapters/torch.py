"""Functions of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import require
from ..images.arrays import Float32Array
from ..models.model import Output
from .adapter import Adapter, Scores, make_output


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
    finish = make_output(
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
