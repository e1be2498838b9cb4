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
from .archive import FORMATS, METADATA, Format, check_format
from .autograd import Affine
from .copying import copy_module
from .exported import find_facts, is_program
from .exporting import UnexportableError, serialise_program
from .facts import Facts, check_kind, check_labels
from .graphs import read_program
from .loading import load_model
from .presets.recognising import read_preprocess
from .reversing import reverse_channels
from .running import Original, Truth, find_kind
from .torch_backend import is_module, quiet_numbers
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
    prepared = read_preprocess(preprocess)
    size = prepared.agree_on_size(
        None if input_size is None else check_size(input_size, "input_size")
    )
    if size is None:
        raise ValueError("save_model needs input_size=(height, width): preprocess does not say it")
    check_kind(scores)
    names = None if labels is None else list(check_labels(labels))
    destination = Path(destination)
    format = check_format(format, destination)
    channels = prepared.agree_on_channels(channels)
    facts = Facts(f"the module {type(module).__name__}", size, scores).update(channels, multilabel)
    if is_program(module):
        facts = find_facts(module, facts)

    def wrap(network: Any) -> Any:
        if prepared.channel_order == "BGR":
            network = reverse_channels(network)
        return _with_preprocessing(network, prepared.affine, type(module).__name__)

    def read() -> Any:
        if is_program(module):
            return wrap(read_program(module))
        with quiet_numbers():
            return copy_module(wrap(module))

    with quiet_numbers():
        eager, kind = find_kind(Original(read), facts, ([], []), "cpu")
        truth = Truth(eager, kind, one_at_a_time=False)
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
        archive = make_archive(read(), format, metadata, kind.own_dtype, truth.takes_batches)
    except (UntraceableError, UnexportableError) as error:
        raise type(error)(f"{error}: {instead}") from error
    model = load_model(archive, device="cpu")
    if truth.takes_batches and not model._takes_batches:
        truth = Truth(eager, kind, one_at_a_time=True)
    if not truth.agrees(model._handle):
        raise ModelError(
            f"the {FORMATS[format]} of {facts.name} gives other scores or gradients than the"
            f" module: {instead}"
        )
    write_archive(destination, archive)


def make_archive(
    module: Any,
    format: Format,
    metadata: Mapping[str, Any],
    own_dtype: Any = None,
    any_batch: bool = True,
) -> bytes:
    """Return a module from pixels to scores, a copy of ours, as an archive with `intgrad.json`.

    `own_dtype` is that of its pictures where it runs only in its own types; `any_batch` says
    whether it takes several at once.
    """
    example = make_example(tuple(metadata["input_size"]), metadata["channels"], ([], []))
    extra_files = {METADATA: json.dumps(metadata)}
    if format == "pt2":
        return serialise_program(module, example, own_dtype, extra_files, any_batch)
    return serialise(module, example, own_dtype, extra_files)


def write_archive(destination: Path, archive: bytes) -> None:
    """Write an archive, or leave what is there."""
    part = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
    write_whole(destination, part, lambda path: path.write_bytes(archive))


def _with_preprocessing(module: Any, affine: Affine, name: str) -> Any:
    """Return a module on pixels; `name` is what errors call it."""
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

    OnPixels.__name__ = name
    return OnPixels()
