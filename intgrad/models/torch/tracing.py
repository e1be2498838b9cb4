"""Modules as TorchScript archives, and whether an archive can hold what a module does."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np

from ..._core import ModelError
from ...images.arrays import Float32Array
from . import reads
from .autograd import Affine, plain_modes
from .backend import quiet_torch
from .copying import move
from .errors import first_line
from .graphs import drop_checks
from .outputs import give_scores
from .torchscript import is_graph


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
    module: Any,
    example: Float32Array,
    own_dtype: Any = None,
    extra_files: dict[str, str] | None = None,
) -> bytes:
    """Write a module as a TorchScript archive.

    Parameters
    ----------
    module : torch.nn.Module
        A copy of ours.
    example : numpy.ndarray
        (1, C, H, W) float32, what the module takes; a trace may hold its size.
    own_dtype : torch.dtype
        What it takes its pictures in, its own numbers as they are; None: all in float32.
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
        module = move(module, "cpu", torch.float32 if own_dtype is None else None)
        if not is_graph(module):
            module = _trace(module, torch.from_numpy(example), own_dtype, name)
        with quiet_torch():
            jit.save(module, buffer, _extra_files=extra_files)
    except UntraceableError:
        raise
    except Exception as error:  # the module's own, or torch's for what it cannot write
        raise UntraceableError(f"{name} cannot be traced: {first_line(error)}") from error
    return buffer.getvalue()


def _trace(module: Any, example: Any, own_dtype: Any, name: str) -> Any:
    """Trace as a gradient is computed, or torch picks fused operators that have none."""
    import torch

    jit: Any = torch.jit  # not typed
    with (
        quiet_torch(),
        warnings.catch_warnings(record=True) as said,
        plain_modes(torch.device("cpu")),
    ):
        warnings.simplefilter("always", jit.TracerWarning)
        points = example.to(own_dtype).clone().requires_grad_()
        with reads.watching(module) as seen:
            module = give_scores(module, points.clone())
        if seen.values:
            raise PixelReadError(name)
        drop_checks(module)
        for category in (DeprecationWarning, FutureWarning):
            # Tracing reads all that a module has, what its library deprecates as well.
            warnings.simplefilter("ignore", category)
        with _detaching():
            traced = jit.trace(module, points, check_trace=False)
    if seen.are_told(said):
        raise PixelReadError(name)
    return traced


def _detaching() -> Any:
    """Return a mode in which what is kept from the gradient is detached, which a trace records.

    Of `torch.no_grad()` it would know nothing, and `.data` would be a constant in it.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_map

    data: Any = torch.Tensor.data  # not typed as what it is

    def detach(value: Any) -> Any:
        has_gradient = isinstance(value, torch.Tensor) and (
            value.is_floating_point() or value.is_complex()
        )
        return value.detach() if has_gradient else value

    class Detaching(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if function == data.__get__:
                return detach(args[0])
            result = function(*args, **(kwargs or {}))
            return result if torch.is_grad_enabled() else tree_map(detach, result)

    return Detaching()


def make_example(size: tuple[int, int], channels: int, affine: Affine) -> Float32Array:
    """Return a random picture (1, C, H, W) as a module behind this preprocessing sees it."""
    pixels = np.random.default_rng(1).random((1, channels, *size), np.float32) * 255
    if not affine[0]:
        return pixels
    scale, offset = (np.asarray(part, np.float32).reshape(1, -1, 1, 1) for part in affine)
    return np.asarray(pixels * scale + offset, np.float32)
