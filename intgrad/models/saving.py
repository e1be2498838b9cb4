"""Writing archives that say of themselves what `load_model` has to know."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from .._core import ModelError
from .._files import write_whole
from ..images.arrays import check_size
from .archive import METADATA
from .copying import copy_module, to_float
from .eager import Affine
from .facts import Facts
from .loading import load_model
from .preprocessing import check_preprocess
from .running import Truth, find_kind
from .torch_backend import is_module, quiet_torch
from .tracing import make_example, serialise


def save_model(
    module: Any,
    destination: str | os.PathLike[str],
    *,
    input_size: tuple[int, int],
    preprocess: Any,
    scores: Literal["logits", "probabilities"],
    labels: Sequence[str] | None = None,
    channels: int | None = None,
    multilabel: bool | None = None,
) -> None:
    """Write a module as a TorchScript archive that `load_model` and the command line take as it is.

    The archive takes pixels 0..255: the preprocessing becomes part of its graph.

    Parameters
    ----------
    module : torch.nn.Module
        Input NCHW, output (n, K). A copy in evaluation mode is written; the module itself is left
        as it is.
    destination : path
        The archive; replaced whole if it exists.
    input_size : (int, int)
        Height and width. A trace may hold them, so that the archive takes no others.
    preprocess, scores, channels, multilabel
        As in `load_model`.
    labels : sequence of str, optional
        One name per class.

    Raises
    ------
    TypeError
        If it is no module.
    ModelError
        If the module cannot be traced, or what `load_model` tries of it fails; nothing is written.
    ValueError
        If an argument is wrong, or there is not one label per class.
    """
    if not is_module(module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    size = check_size(input_size, "input_size")
    affine = check_preprocess(preprocess)
    if len(affine[0]) > 1:
        channels = len(affine[0]) if channels is None else channels
    name = f"the module {type(module).__name__}"
    facts = Facts(name, size, scores, None, channels, multilabel)
    wrapped = _with_preprocessing(module, affine)
    with quiet_torch():
        eager, kind = find_kind(lambda: copy_module(wrapped), facts, ([], []), "cpu")
    metadata = {
        "format": 1,
        "architecture": type(module).__name__,
        "input_size": list(size),
        "channels": kind.channels,
        "scores": scores,
        "multilabel": multilabel,
        "preprocess": dict(zip(("scale", "offset"), affine, strict=True)),
        "labels": None if labels is None else list(labels),
    }
    archive = make_archive(wrapped, size, metadata)
    model = load_model(archive, device="cpu")
    if not Truth(eager, kind, not model._takes_batches).agrees(model._handle):
        raise ModelError(
            f"a trace of {name} gives other scores or gradients than the module: it cannot be"
            " saved, but load_model(module) explains it"
        )
    write_archive(Path(destination), archive)


def make_archive(module: Any, size: tuple[int, int], metadata: Mapping[str, Any]) -> bytes:
    """Return a module from pixels to scores as an archive with `intgrad.json`."""
    example = make_example(size, metadata["channels"], ([], []))
    return serialise(
        to_float(copy_module(module), "cpu"), example, {METADATA: json.dumps(metadata)}
    )


def write_archive(destination: Path, archive: bytes) -> None:
    """Write an archive, or leave what is there."""
    part = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
    write_whole(destination, part, lambda path: path.write_bytes(archive))


def _with_preprocessing(module: Any, affine: Affine) -> Any:
    """Return a module on pixels."""
    import torch

    scale, offset = affine
    if not scale:
        return module

    class OnPixels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = module
            self.register_buffer("scale", torch.tensor(scale).view(-1, 1, 1))
            self.register_buffer("offset", torch.tensor(offset).view(-1, 1, 1))

        def forward(self, pixels: Any) -> Any:
            return self.network(pixels * self.scale + self.offset)

    OnPixels.__name__ = type(module).__name__  # what errors call it
    return OnPixels()
