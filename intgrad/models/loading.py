"""Loading: from every form of source to a Model that has been tried."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .. import _core
from .._caller import caller_level
from ..images.arrays import check_size
from .archive import check_archive
from .copying import copy_module, read_graph
from .eager import Affine
from .exported import find_facts, is_program, open_program
from .facts import Facts, check_kind, check_labels, given_facts, read_facts
from .graphs import decides, read_program
from .model import OUTPUTS, Model, Output, Precision
from .preprocessing import check_preprocess
from .probe import probe
from .running import Kind, Truth, find_kind, load_eagerly, load_graph, reads_pixels
from .torch_backend import check_devices, check_torch, import_backend, is_module, quiet_torch
from .tracing import PixelReadError, UntraceableError, make_example, serialise


def load_model(
    source: Any,
    *,
    device: Any = None,
    preprocess: Any = None,
    labels: Sequence[str] | None = None,
    input_size: tuple[int, int] | None = None,
    scores: Literal["logits", "probabilities"] | None = None,
    output: Output | None = None,
    precision: Precision = "ieee",
    sha256: str | None = None,
    channels: int | None = None,
    multilabel: bool | None = None,
) -> Model:
    """Load a classifier and check that it can be explained.

    A TorchScript archive is code, and so is a `.pt2`: load only what you trust, or pin it with
    `sha256`.

    Parameters
    ----------
    source : path, bytes, torch.nn.Module, ScriptModule, torch.export.ExportedProgram or callable
        A TorchScript archive, or a `.pt2` of `torch.export.save`, with input NCHW and output
        (n, K), or with one tensor of scores, or `logits`, in a dict, dataclass, tuple or list; or
        such a program or module, of which a copy is explained, a module's in evaluation mode; it is
        left as it is. A program that was exported for a batch of one picture is given one at a
        time, and one for a larger batch is refused. What a trace or a frozen
        graph would change, such as branches that depend on pixels, custom gradients and hooks, is
        found by comparing scores and a gradient with the module's own, and explained by eager
        autograd, which a warning says; or a callable
        `f(batch, targets) -> (scores (n, K), gradients of scores[i, targets[i]] (n, H, W, C))`
        on (n, H, W, C) float32 pixels and (n,) int64 classes.
    device : str, torch.device or list of them, optional
        `"cpu"`, `"cuda"` or `"cuda:1"`; CUDA if there is one, else the CPU, if None. Several, as
        `["cuda:0", "cuda:1"]`, get a copy of the model each and share the images of a batch.
    preprocess : {"xception", "imagenet", "none"}, dict or (scale, offset), optional
        What turns pixels 0..255 into what the model was trained on: x / 127.5 - 1; (x / 255 -
        mean) / std with ImageNet's; nothing; the same with yours, `{"mean": m, "std": s}` in units
        of 0..1; x * scale + offset. Numbers, or one per channel. Needed unless the archive says so
        itself (`save_model` and `intgrad convert` write such archives).
    labels : sequence of str, optional
        Names of the K classes; default: the archive's own, if it has any.
    input_size : (int, int), optional
        Height and width; needed unless the archive says so itself. A callable may do without.
    scores : {"logits", "probabilities"}, optional
        What the model returns; needed unless the archive says so itself.
    output : {"softmax", "log_softmax", "logit", "sigmoid"}, optional
        For a callable only, and needed there, unless the callable says so in an attribute
        `output`, as those of `intgrad.adapters` do: which output it returns and differentiates.
    precision : {"ieee", "tf32", "bfloat16"}
        "ieee" is float32 throughout. "bfloat16" made an Xception's attributions 31 % off, which
        fewer steps in float32 beat. A CPU that has instructions for it took 0.62 times as long,
        one that has none 92 times (`benchmarks/exactness.py`). "tf32" needs CUDA: products of
        float32 with 10-bit mantissas. Torch's switches for it are those of the whole process. While
        a CUDA model runs they are set as it needs them, "ieee" or not, and afterwards they are what
        they were; other threads that use torch see them change, and models that need them
        otherwise wait.
    sha256 : str, optional
        Hex digest that the archive must have.
    channels : int, optional
        Channels of a picture, where the model runs on several numbers of them; found if None.
    multilabel : bool, optional
        Whether the classes are independent labels, each with a probability of its own: the sigmoid
        of its logit. If None they are where there is one logit, and where probabilities do not add
        up to 1.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
        If there is no such archive.
    ModelError
        If the archive is damaged, neither TorchScript nor a `.pt2`, or of another torch that this
        one cannot read; if a program takes something else than a batch of pictures of that size; or
        if the probe, which runs two random images together and alone, finds a model that is still
        in training mode, mixes the images of a batch, changes its input, has no gradient or returns
        the wrong shape.
    BackendError
        If torch is missing or not the one that intgrad was built against.
    TypeError, ValueError
        If an argument is unknown, missing, or contradicts another.
    """
    names = None if labels is None else check_labels(labels)
    size = None if input_size is None else check_size(input_size, "input_size")
    if scores is not None:
        check_kind(scores)
    if precision not in ("ieee", "tf32", "bfloat16"):
        raise ValueError(f"precision must be 'ieee', 'tf32' or 'bfloat16', got {precision!r}")
    _check_not_foreign(source)
    is_archive = isinstance(source, str | os.PathLike | bytes | bytearray | memoryview)
    if not is_archive and not is_module(source) and not is_program(source):
        torch_only = {
            "device": device,
            "preprocess": preprocess,
            "scores": scores,
            "sha256": sha256,
            "precision": None if precision == "ieee" else precision,
            "channels": channels,
            "multilabel": multilabel,
        }
        return _wrap_callable(source, torch_only, names, size, output)
    if output is not None:
        raise ValueError(
            f"output={output!r} is for callables; for this model give it to integrated_gradients"
        )
    affine = check_preprocess(preprocess)
    archive, program = None, source if is_program(source) else None
    if is_archive:
        archive, name = _read(source)
        described = check_archive(archive, name, sha256)
        facts = read_facts(described.metadata, name, preprocess, size, scores)
        if described.format == "pt2":
            check_torch()
            program = open_program(archive, name)
    else:
        if sha256 is not None:
            raise ValueError("sha256 pins an archive, and a module was given")
        name = "the exported program" if program else f"the module {type(source).__name__}"
        facts = given_facts(name, preprocess, size, scores)
    facts = facts.update(channels, multilabel)
    if program is not None:
        facts = find_facts(program, facts)
        devices = check_devices(device, precision)
        found = _load_program(program, facts, affine, devices, precision)
    else:
        torch_backend = import_backend()
        devices = check_devices(device, precision)
        with quiet_torch():
            found = _load_torch(torch_backend, source, archive, facts, affine, devices, precision)
    findings = probe(found.handles[0], found.kind, found.takes_batches, precision)
    for text in found.remarks + findings.remarks:
        warnings.warn(text, stacklevel=caller_level())
    model = Model(
        found.handles,
        device=", ".join(devices),
        input_size=facts.input_size,
        channels=found.kind.channels,
        labels=names or facts.labels,
        num_classes=findings.num_classes,
        precision=precision,
        scores=facts.scores,
        multilabel=findings.multilabel,
        takes_batches=findings.takes_batches,
    )
    model._check_labels()
    return model


@dataclass(frozen=True)
class _Loaded:
    """Handles of a model, one for each device, and what is to be said of them."""

    handles: list[Any]
    kind: Kind
    takes_batches: bool
    remarks: list[str]


def _load_program(
    program: Any, facts: Facts, affine: Affine, devices: list[str], precision: Precision
) -> _Loaded:
    """Load a program of torch.export, by autograd."""

    def read() -> Any:
        return read_program(program)

    eager, kind = find_kind(read, facts, affine, devices[0])
    truth = Truth(eager, kind, one_at_a_time=decides(eager.module))
    handles = load_eagerly(read, kind, truth, devices, precision)
    return _Loaded(handles, kind, truth.takes_batches, [])


def _load_torch(
    torch_backend: Any,
    source: Any,
    archive: bytes | None,
    facts: Facts,
    affine: Affine,
    devices: list[str],
    precision: Precision,
) -> _Loaded:
    """Load an archive, or a module if that is None, in the quickest way that gives its answers."""

    def read() -> Any:
        return copy_module(source) if archive is None else read_graph(archive, facts.name)

    eager, kind = find_kind(read, facts, affine, devices[0])
    truth = Truth(eager, kind, one_at_a_time=reads_pixels(eager, kind))
    try:
        graph, place = archive, truth.place
        if graph is None:
            example = make_example(facts.input_size, kind.channels, affine)
            graph, place = serialise(read(), example, kind.own_dtype), ""
        load, handle = load_graph(torch_backend, graph, kind, truth, place, devices[0])
    except UntraceableError as error:
        if isinstance(error, PixelReadError):
            truth = Truth(eager, kind, one_at_a_time=True)
        slow = f"{error}; eager autograd is used instead, which is slower"
        handles = load_eagerly(read, kind, truth, devices, precision)
        return _Loaded(handles, kind, truth.takes_batches, [slow])
    if (devices, precision) == (["cpu"], "ieee") and not _keeps_paths_on_device("cpu"):
        return _Loaded([handle], kind, truth.takes_batches, [])
    del handle  # before the next, for the sake of memory
    handles = [load(each, precision, _keeps_paths_on_device(each)) for each in devices]
    return _Loaded(handles, kind, truth.takes_batches, [])


def _keeps_paths_on_device(device: str) -> bool:
    """Say whether sums along paths stay on the device; tests and benchmarks say otherwise."""
    return device.startswith("cuda")


def _check_not_foreign(source: Any) -> None:
    """Refuse what would pass for a module or a callable: classes and Keras models."""
    if isinstance(source, type):
        raise TypeError(f"source is a class, {source.__name__}: pass an instance of it")
    if any(kind.__module__.partition(".")[0] == "keras" for kind in type(source).__mro__):
        raise TypeError(
            f"source is a Keras model, {type(source).__name__}:"
            " load_model(intgrad.adapters.from_keras(network, scores=..., output=...),"
            " input_size=...) explains it"
        )


def _wrap_callable(
    source: Any,
    torch_only: dict[str, Any],
    labels: tuple[str, ...] | None,
    input_size: tuple[int, int] | None,
    output: Output | None,
) -> Model:
    if not callable(source):
        raise TypeError(
            "source must be a path, bytes, a torch module, an exported program or a callable, got"
            f" {type(source).__name__}"
        )
    given = [name for name, value in torch_only.items() if value is not None]
    if given:
        raise ValueError(
            f"{', '.join(given)} cannot be given with a callable, which takes pixels and returns"
            " scores and gradients; of a torch function, intgrad.adapters.from_torch makes one"
        )
    own = getattr(source, "output", None)
    if own in OUTPUTS and output not in (None, own):
        raise ValueError(f"output={output!r} was given, and the callable says output={own!r}")
    output = own if own in OUTPUTS else output
    if output not in OUTPUTS:
        raise ValueError(
            "a callable must say what it returns and differentiates:"
            f" output= one of {', '.join(OUTPUTS)}, got {output!r}"
        )
    return Model(
        [_core.callable_model(source)],
        device="callable",
        input_size=input_size,
        channels=None,
        labels=labels,
        num_classes=None,
        precision="ieee",
        scores="probabilities" if output == "softmax" else "logits",
        multilabel=output == "sigmoid",
        callable_output=output,
    )


def _read(source: Any) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "the archive"
    with open(source, "rb") as file:
        return file.read(), repr(os.fspath(source))
