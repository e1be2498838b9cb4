"""Writing a module as an archive, once what was written gives what the module gives."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..._core import ModelError
from ..._files import check_destination, write_whole
from ..archive import FORMATS, METADATA, Format, check_format
from ..facts import Facts
from ..loading import load_model
from ..preprocessing import Preprocessing
from ..presets.recognising import settle
from ..wanted import Wanted
from .autograd import Affine
from .backend import is_program, quiet_numbers
from .copying import CopyError, copy_module
from .exported import find_facts
from .exporting import UnexportableError, serialise_program
from .graphs import read_program
from .kind import Kind, find_kind
from .original import Original
from .reversing import reverse_channels
from .tracing import UntraceableError, make_example, serialise
from .truth import Truth

INSTEAD = "it cannot be saved, but load_model(module) explains it"


def write_model(module: Any, destination: Path, format: Format | None, wanted: Wanted) -> None:
    """Write a module or a program, as `save_model` says, which also says what fails."""
    check_destination(destination)
    prepared, wanted = settle(wanted)
    if wanted.input_size is None:
        raise ValueError("save_model needs input_size=(height, width): preprocess does not say it")
    assert wanted.scores is not None  # save_model has seen to that
    format = check_format(format, destination)
    facts = Facts(f"the module {type(module).__name__}", wanted.input_size, wanted.scores)
    facts = facts.update(wanted.channels, wanted.multilabel)
    if is_program(module):
        facts = find_facts(module, facts)
    original = Original(lambda: _read(module, prepared))
    try:
        with quiet_numbers():
            eager, kind = find_kind(original, facts, ([], []), "cpu")
            truth = Truth(eager, kind, one_at_a_time=False)
        metadata = _describe(module, kind, prepared, wanted)
        archive = make_archive(
            original.read(), format, metadata, kind.own_dtype, truth.takes_batches
        )
    except (CopyError, UntraceableError, UnexportableError) as error:
        raise type(error)(f"{error}: {INSTEAD}") from error
    model = load_model(archive, device="cpu")
    if truth.takes_batches and not model._takes_batches:
        truth = Truth(eager, kind, one_at_a_time=True)
    if not truth.agrees(model._handle):
        raise ModelError(
            f"the {FORMATS[format]} of {facts.name} gives other scores or gradients than the"
            f" module: {INSTEAD}"
        )
    write_archive(destination, archive)


def _describe(module: Any, kind: Kind, prepared: Preprocessing, wanted: Wanted) -> dict[str, Any]:
    """Return what the archive is to say of itself."""
    return {
        "format": 1,
        "architecture": type(module).__name__,
        "input_size": list(kind.facts.input_size),
        "channels": kind.channels,
        "scores": kind.facts.scores,
        "multilabel": wanted.multilabel,
        "preprocess": {
            "scale": prepared.scale,
            "offset": prepared.offset,
            "channel_order": prepared.channel_order,
        },
        "transform": None if prepared.transform is None else prepared.transform.to_dict(),
        "labels": None if wanted.labels is None else list(wanted.labels),
    }


def _read(module: Any, prepared: Preprocessing) -> Any:
    """Return a copy on pixels of a module or a program."""

    def wrap(network: Any) -> Any:
        if prepared.channel_order == "BGR":
            network = reverse_channels(network)
        return _with_preprocessing(network, prepared.affine, type(module).__name__)

    if is_program(module):
        return wrap(read_program(module))
    with quiet_numbers():
        return copy_module(wrap(module))


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
