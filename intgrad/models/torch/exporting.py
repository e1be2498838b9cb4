"""Modules as `.pt2` files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ..._core import ModelError
from ...images.arrays import Float32Array
from .autograd import plain_modes
from .copying import holds_graph, move
from .errors import first_line
from .outputs import give_scores


class UnexportableError(ModelError):
    """A module that a program of torch.export cannot hold."""


def serialise_program(
    module: Any,
    example: Float32Array,
    own_dtype: Any = None,
    extra_files: dict[str, str] | None = None,
    any_batch: bool = True,
) -> bytes:
    """Write a module as a `.pt2`.

    Parameters
    ----------
    module : torch.nn.Module
        A copy of ours.
    example : numpy.ndarray
        (1, C, H, W) float32, what the module takes; the program takes pictures of that size.
    own_dtype : torch.dtype
        What it takes its pictures in, its own numbers as they are; None: all in float32.
    extra_files : dict
        What else is put into the file.
    any_batch : bool
        Whether it takes any number of pictures at once, else one.

    Raises
    ------
    UnexportableError
        If torch.export refuses it, as it does choices by the pixels.
    """
    import torch
    import torch.export

    name, buffer = type(module).__name__, io.BytesIO()
    if holds_graph(module):
        raise UnexportableError(
            f"{name} holds TorchScript, which torch.export does not take: save it with"
            " format='torchscript'"
        )
    batch = np.repeat(example, 2, axis=0) if any_batch else example  # of 1, 1 would be a constant
    shapes = ({0: torch.export.Dim("batch", min=1)},) if any_batch else None
    try:
        with plain_modes(torch.device("cpu")):
            module = move(module, "cpu", torch.float32 if own_dtype is None else None)
            points = torch.from_numpy(batch).to(own_dtype or torch.float32)
            module = give_scores(module, points)
            program = torch.export.export(module, (points,), dynamic_shapes=shapes, strict=False)
            torch.export.save(program, buffer, extra_files=extra_files)
    except Exception as error:  # the module's own, or torch's for what it cannot hold
        raise UnexportableError(f"{name} cannot be exported: {first_line(error)}") from error
    return buffer.getvalue()
