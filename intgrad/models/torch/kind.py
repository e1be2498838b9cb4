"""What a module is run with: the types that it computes in, its channels."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._core import ModelError
from ...images.arrays import Float32Array
from ..facts import Facts
from ..model import Output
from .autograd import Affine, Autograd
from .channels import find_channels
from .copying import find_dtypes
from .original import Original
from .reads import watching
from .torchscript import is_straight


@dataclass(frozen=True)
class Kind:
    """What a torch model is run with."""

    facts: Facts
    channels: int
    affine: Affine
    own_dtype: Any = None  # of its pictures, where it runs only in the types that it came in
    rounding: float = 0.0  # of the coarsest type that it computes in

    @property
    def output(self) -> Output:
        """F that changes nothing of what the model returns."""
        return "softmax" if self.facts.are_probabilities else "logit"

    def noise(self, count: int) -> Float32Array:
        """Return random pictures."""
        shape = (count, *self.facts.input_size, self.channels)
        return np.random.default_rng(0).random(shape, np.float32) * 255


def find_kind(
    original: Original, facts: Facts, affine: Affine, device: str
) -> tuple[Autograd, Kind]:
    """Run a module by eager autograd, in float32, or in its own types where it does not run so.

    Raises
    ------
    ModelError
        If it does not run; the text says why.
    """
    import torch

    module = original.read()
    own_dtypes = find_dtypes(module)

    def run(module: Any, own_dtype: Any) -> tuple[Autograd, Kind]:
        eager = Autograd(
            module,
            affine,
            facts.are_probabilities,
            device=device,
            dtype=own_dtype,
            as_is=own_dtype is not None,
        )
        dtypes = find_dtypes(eager.module)  # the constants of a frozen graph stay as they were
        rounding = max((torch.finfo(dtype).eps for dtype in dtypes), default=0.0)
        channels = find_channels(eager, facts, affine)
        return eager, Kind(facts, channels, affine, own_dtype, rounding)

    if original.is_lent:
        return run(module, (own_dtypes or [torch.float32])[0])
    try:
        return run(module, None)
    except ModelError:
        for own_dtype in own_dtypes if own_dtypes != [torch.float32] else []:
            with contextlib.suppress(ModelError):
                return run(original.read(), own_dtype)
        raise


def reads_pixels(eager: Autograd, kind: Kind) -> bool:
    """Say whether a module hands values of its pixels to Python, or branches by them.

    A graph without branches and loops, as a trace is, need not run for that.
    """
    if is_straight(eager.module):
        return False
    with watching(eager.module) as seen:
        eager.check_runs(kind.channels, kind.facts.input_size)
    return seen.values or seen.graph_values
