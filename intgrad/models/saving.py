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
from .copying import copy_module
from .eager import Affine
from .facts import Facts, check_kind, check_labels
from .loading import load_model
from .presets.recognising import read_preprocess
from .reversing import reverse_channels
from .running import Truth, find_kind
from .torch_backend import is_module, quiet_torch
from .tracing import UntraceableError, make_example, serialise


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
    input_size : (int, int), optional
        Height and width. A trace may hold them, so that the archive takes no others. May be left
        out where `preprocess` says it.
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
    prepared = read_preprocess(preprocess)
    size = prepared.agree_on_size(
        None if input_size is None else check_size(input_size, "input_size")
    )
    if size is None:
        raise ValueError("save_model needs input_size=(height, width): preprocess does not say it")
    check_kind(scores)
    names = None if labels is None else list(check_labels(labels))
    destination = Path(destination)
    channels = prepared.agree_on_channels(channels)
    name = f"the module {type(module).__name__}"
    facts = Facts(name, size, scores).update(channels, multilabel)
    network = reverse_channels(module) if prepared.channel_order == "BGR" else module
    wrapped = _with_preprocessing(network, prepared.affine)
    with quiet_torch():
        eager, kind = find_kind(lambda: copy_module(wrapped), facts, ([], []), "cpu")
    metadata = {
        "format": 1,
        "architecture": type(module).__name__,
        "input_size": list(size),
        "channels": kind.channels,
        "scores": scores,
        "multilabel": multilabel,
        "preprocess": {
            "scale": prepared.scale,
            "offset": prepared.offset,
            "channel_order": prepared.channel_order,
        },
        "transform": None if prepared.transform is None else prepared.transform.to_dict(),
        "labels": names,
    }
    instead = "it cannot be saved, but load_model(module) explains it"
    try:
        archive = make_archive(wrapped, size, metadata, kind.own_dtype)
    except UntraceableError as error:
        raise UntraceableError(f"{error}: {instead}") from error
    model = load_model(archive, device="cpu")
    if not Truth(eager, kind, not model._takes_batches).agrees(model._handle):
        raise ModelError(
            f"a trace of {name} gives other scores or gradients than the module: {instead}"
        )
    write_archive(destination, archive)


def make_archive(
    module: Any, size: tuple[int, int], metadata: Mapping[str, Any], own_dtype: Any = None
) -> bytes:
    """Return a module from pixels to scores as an archive with `intgrad.json`.

    `own_dtype` is that of its pictures where it runs only in its own types.
    """
    example = make_example(size, metadata["channels"], ([], []))
    extra_files = {METADATA: json.dumps(metadata)}
    return serialise(copy_module(module), example, own_dtype, extra_files)


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
