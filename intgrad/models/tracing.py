"""Modules as TorchScript archives, and whether an archive can hold what a module does."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np

from .._core import ModelError
from ..images.arrays import Float32Array
from . import reads
from .copying import holds_graph
from .eager import Affine, plain_modes
from .errors import first_line
from .scores import find_scores
from .torch_backend import quiet_torch


class UntraceableError(ModelError):
    """A module that TorchScript cannot hold; it can still be explained by eager autograd."""


class PixelReadError(UntraceableError):
    """A module that makes Python numbers, branches or arrays of its pixels."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} makes Python numbers, branches or NumPy arrays of its pixels, of which a trace"
            " would keep those of one picture"
        )


def serialise(
    module: Any, example: Float32Array, extra_files: dict[str, str] | None = None
) -> bytes:
    """Write a module as a TorchScript archive.

    Parameters
    ----------
    module : torch.nn.Module
        A copy of ours on the CPU, in float32.
    example : numpy.ndarray
        (1, C, H, W) float32, what the module takes; a trace may hold its size.
    extra_files : dict
        What else is put into the archive.

    Raises
    ------
    UntraceableError
        If TorchScript cannot hold the module, or would hold one choice of several that it makes by
        its pixels.
    """
    import torch

    jit: Any = torch.jit  # not typed
    buffer, name = io.BytesIO(), type(module).__name__
    try:
        if not isinstance(module, torch.jit.ScriptModule):
            module = _trace(_give_scores(module, example), example, name)
        with quiet_torch():
            jit.save(module, buffer, _extra_files=extra_files)
    except UntraceableError:
        raise
    except Exception as error:  # the module's own, or torch's for what it cannot write
        raise UntraceableError(f"{name} cannot be traced: {first_line(error)}") from error
    return buffer.getvalue()


def _give_scores(module: Any, example: Float32Array) -> Any:
    """Return a module that returns a tensor of scores, where this one returns a container."""
    import torch

    with plain_modes(torch.device("cpu")):
        _, place = find_scores(module(torch.from_numpy(example)), len(example))
    if not place:
        return module

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, x: Any) -> Any:
            return find_scores(self.model(x), len(x))[0]

    return Scores()


def _trace(module: Any, example: Float32Array, name: str) -> Any:
    """Trace as a gradient is computed, or torch picks fused operators that have none."""
    import torch

    jit: Any = torch.jit  # not typed
    with (
        quiet_torch(),
        warnings.catch_warnings(record=True) as said,
        plain_modes(torch.device("cpu")),
    ):
        warnings.simplefilter("always", jit.TracerWarning)
        points = torch.from_numpy(example)
        with reads.watching() as seen:
            module(points.clone().requires_grad_())
        if seen and not holds_graph(module):
            raise PixelReadError(name)
        traced = jit.trace(module, points.requires_grad_(), check_trace=False)
    if reads.are_told(said):
        raise PixelReadError(name)
    return traced


def make_example(size: tuple[int, int], channels: int, affine: Affine) -> Float32Array:
    """Return a random picture (1, C, H, W) as a module behind this preprocessing sees it."""
    pixels = np.random.default_rng(1).random((1, channels, *size), np.float32) * 255
    if not affine[0]:
        return pixels
    scale, offset = (np.asarray(part, np.float32).reshape(1, -1, 1, 1) for part in affine)
    return np.asarray(pixels * scale + offset, np.float32)
