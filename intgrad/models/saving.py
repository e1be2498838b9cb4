"""Saving: a module as an archive that says of itself what `load_model` has to know."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..images.arrays import check_size
from .facts import check_kind, check_labels
from .torch.backend import is_module, is_program
from .wanted import Wanted

if TYPE_CHECKING:
    from .archive import Format


def save_model(
    module: Any,
    destination: str | os.PathLike[str],
    *,
    input_size: tuple[int, int] | None = None,
    preprocess: Any,
    scores: Literal["logits", "probabilities"],
    labels: Sequence[str] | None = None,
    channels: int | None = None,
    multilabel: bool | None = None,
    format: Format | None = None,
) -> None:
    """Write a module as an archive that `load_model` and the command line take as it is.

    The archive takes pixels 0..255: the preprocessing becomes part of its graph. It is code: who
    loads it runs it.

    Parameters
    ----------
    module : torch.nn.Module or torch.export.ExportedProgram
        Input NCHW, output (n, K). A copy in evaluation mode is written (a program's mode is that of
        its export); the module itself is left as it is.
    destination : path
        The archive; replaced whole if it exists.
    input_size : (int, int), optional
        Height and width. A trace may hold them, so that the archive takes no others. May be left
        out where `preprocess` says it.
    preprocess, scores, channels, multilabel
        As in `load_model`.
    labels : sequence of str, optional
        One name per class.
    format : {"torchscript", "pt2"}, optional
        What `torch.jit.trace` makes of the module, or `torch.export`, which takes any number of
        pictures, holds no choice that the module makes by its pixels, and goes on where TorchScript
        is deprecated. By the destination's name if None: "pt2" where it ends in `.pt2`.

    Raises
    ------
    TypeError
        If it is no module.
    ModelError
        If the module cannot be traced or exported, or what `load_model` tries of it fails; nothing
        is written.
    ValueError
        If an argument is wrong, or there is not one label per class.
    """
    if not is_module(module) and not is_program(module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__}; a"
            " torch.export.ExportedProgram is taken as well"
        )
    check_kind(scores)
    if preprocess is None:
        raise ValueError(
            "save_model needs preprocess=, what the network was trained with; 'none' for pixels"
            " 0..255 as they are"
        )
    names = None if labels is None else check_labels(labels)
    size = None if input_size is None else check_size(input_size, "input_size")
    wanted = Wanted(
        preprocess=preprocess,
        labels=names,
        input_size=size,
        scores=scores,
        channels=channels,
        multilabel=multilabel,
    )
    from .torch.writing import write_model  # all that torch needs

    write_model(module, Path(destination), format, wanted)
