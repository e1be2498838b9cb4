"""Loading: from every form of source to a Model that has been tried."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .. import _core
from .._caller import caller_level
from ..images.arrays import check_size
from .archive import check_archive
from .autograd import Affine
from .copying import CopyError, check_lent, copy_module, read_graph
from .exported import find_facts, is_program, open_program
from .facts import Facts, check_kind, check_labels, given_facts, read_facts
from .graphs import decides, read_program
from .model import BACKENDS, OUTPUTS, Backend, Model, Output, Precision
from .presets.recognising import read_preprocess
from .probe import probe
from .reversing import reverse_channels
from .running import (
    Kind,
    Original,
    Truth,
    find_kind,
    load_autograd,
    load_graph,
    reads_pixels,
)
from .score import add_score, check_score, name_score
from .torch_backend import (
    BackendError,
    check_devices,
    import_libtorch,
    import_torch,
    is_module,
    quiet_numbers,
    quiet_torch,
)
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
    backend: Backend | None = None,
    score: Callable[[Any], Any] | None = None,
) -> Model:
    """Load a classifier and check that it can be explained.

    A TorchScript archive is code, and so is a `.pt2`: load only what you trust, or pin it with
    `sha256`.

    Parameters
    ----------
    source : path, bytes, torch.nn.Module, ScriptModule, torch.export.ExportedProgram or callable
        A TorchScript archive, or a `.pt2` of `torch.export.save`, with input NCHW and output
        (n, K), or with one tensor of scores, or `logits`, in a dict, dataclass, tuple or list; or
        such a program or module, of which a copy is explained, a module's in evaluation mode (one
        that cannot be copied is used itself, and must be in that mode). A program that was exported
        for a batch of one picture is given one at a time, and one for a larger batch is refused.
        What makes a model quicker, as batch norms folded into convolutions, is used where it gives
        the scores and the gradient of the model as it is. Or a callable
        `f(batch, targets) -> (scores (n, K), gradients of scores[i, targets[i]] (n, H, W, C))`
        on (n, H, W, C) float32 pixels and (n,) int64 classes; one that has a true attribute
        `takes_many_targets` gets (n, T) classes and returns gradients (n, T, H, W, C), so that the
        targets of a picture share its forward pass; T is 0 where only scores are wanted.
    device : str, torch.device or list of them, optional
        `"cpu"`, `"cuda"` or `"cuda:1"`; CUDA if there is one, else the CPU, if None. Several, as
        `["cuda:0", "cuda:1"]`, get a copy of the model each and share the images of a batch.
    preprocess : {"xception", "imagenet", "none"}, (scale, offset), dict, path or object, optional
        What turns pixels 0..255 into what the model was trained on: x / 127.5 - 1; (x / 255 -
        mean) / std with ImageNet's; nothing; x * scale + offset, or `{"mean": m, "std": s}` in
        units of 0..1. Numbers, or one per channel. Needed unless the archive says so itself
        (`save_model` and `intgrad convert` write such archives).

        What also says how photographs become pictures of the right size makes
        `Model.load_image` do that, and `input_size` unnecessary: a timm data config
        (`timm.data.resolve_model_data_config(model)` or `model.pretrained_cfg`); torchvision's
        `weights.transforms()`, or a `Compose` of the deterministic steps; a transformers image
        processor, its `to_dict()`, or the path or text of its `preprocessor_config.json`; or a dict
        of what of these is needed (a path or text of JSON as well): `resize_size`, `resize_mode`,
        `crop_size`, `interpolation`, `antialias`, `dtype`, `fill`, `centering` (as in
        `Model.transform`), `rescale_factor` (1 / 255), then `mean` (0) and `std` (1),
        `channel_order` ("RGB" or "BGR": that of the network, of `mean` and of `std`; pictures are
        RGB always) and `channels`.
    labels : sequence of str, optional
        Names of the K classes; default: the archive's own, if it has any.
    input_size : (int, int), optional
        Height and width; needed unless the archive or `preprocess` says so. A callable may do
        without.
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
    backend : {"libtorch", "autograd"}, optional
        What runs a model of torch. "libtorch" is C++ over TorchScript, built for one version of
        torch; a module is traced for it. "autograd" is Python's torch, of any version from 2.4 on.
        If None, archives take the first where it is there and gives what they give themselves,
        else the second, and modules the second. `Model.backend` says which it is.
    score : callable, optional
        What is explained, where that is no class: it takes what the module returns for n images
        and returns a tensor of n numbers, such as `lambda y: y.softmax(1)[:, 15].mean((1, 2))`,
        the area of a segmentation's class 15, `lambda y: y[:, 3] - y[:, 5]`, a margin, or a
        similarity of embeddings; or (n, K) of K such. Explained as it is, whatever `output=` a
        logit would have; its `__name__` is `info.label`. Then `scores` is not needed.

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
        If torch is missing, or `backend="libtorch"` was not built for the one that is there.
    TypeError, ValueError
        If an argument is unknown, missing, or contradicts another.
    """
    names = None if labels is None else check_labels(labels)
    size = None if input_size is None else check_size(input_size, "input_size")
    if scores is not None:
        check_kind(scores)
    if precision not in ("ieee", "tf32", "bfloat16"):
        raise ValueError(f"precision must be 'ieee', 'tf32' or 'bfloat16', got {precision!r}")
    if backend not in (None, *BACKENDS[:2]):
        raise ValueError(f"backend must be 'libtorch', 'autograd' or None, got {backend!r}")
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
            "backend": backend,
            "score": score,
        }
        return _wrap_callable(source, torch_only, names, size, output)
    if output is not None:
        raise ValueError(
            f"output={output!r} is for callables; for this model give it to integrated_gradients"
        )
    if score is not None:
        check_score(score, scores, multilabel, backend)
        scores, multilabel, backend = "logits", False, "autograd"
    prepared = read_preprocess(preprocess)
    size = prepared.agree_on_size(size)
    archive, program = None, source if is_program(source) else None
    if is_archive:
        archive, name = _read(source)
        described = check_archive(archive, name, sha256)
        facts = read_facts(described.metadata, name, preprocess, size, scores)
        if described.format == "pt2":
            import_torch()
            program, archive = open_program(archive, name), None
    else:
        if sha256 is not None:
            raise ValueError("sha256 pins an archive, and a module was given")
        name = f"the module {type(source).__name__}"
        if program is not None:
            name = "the exported program"
        facts = given_facts(name, preprocess, size, scores)
    facts = facts.update(prepared.agree_on_channels(channels), multilabel)
    import_torch()
    if program is not None:
        facts = find_facts(program, facts)
    devices = check_devices(device, precision)
    with quiet_torch() if archive is not None else quiet_numbers():
        original = _find_original(source, archive, program, facts.name)
        if original.is_lent:
            for each in devices:
                check_lent(source, each, precision, backend)
        if prepared.channel_order == "BGR":
            original = original.changed(reverse_channels)
        if score is not None:
            original = original.changed(lambda module: add_score(module, score))
        found = _load_torch(original, facts, prepared.affine, devices, precision, backend)
    findings = probe(found.handles[0], found.kind, found.takes_batches, precision)
    for text in findings.remarks:
        warnings.warn(text, stacklevel=caller_level())
    score_name = None if score is None else name_score(score)
    if names is None and score_name is None:
        names = facts.labels
    elif names is None and score_name is not None and findings.num_classes == 1:
        names = (score_name,)
    model = Model(
        found.handles,
        device=", ".join(devices),
        input_size=facts.input_size,
        channels=found.kind.channels,
        labels=names,
        num_classes=findings.num_classes,
        precision=precision,
        scores=facts.scores,
        multilabel=findings.multilabel,
        takes_batches=findings.takes_batches,
        backend=found.backend,
        backend_reason=found.reason,
        score=score_name,
        transform=facts.transform or prepared.transform,
    )
    model._check_labels()
    return model


@dataclass(frozen=True)
class _Loaded:
    """Handles of a model, one for each device, and what is to be said of them."""

    handles: list[Any]
    kind: Kind
    takes_batches: bool
    backend: Backend
    reason: str = ""


def _load_torch(
    original: Original,
    facts: Facts,
    affine: Affine,
    devices: list[str],
    precision: Precision,
    backend: Backend | None,
) -> _Loaded:
    """Load a model in the quickest way that gives its answers."""
    eager, kind = find_kind(original, facts, affine, devices[0])
    truth = Truth(eager, kind, one_at_a_time=decides(eager.module) or reads_pixels(eager, kind))
    reason = "modules and programs are run as they are"
    if backend == "libtorch" or (backend is None and prefers_libtorch(original)):
        try:
            handles = _load_libtorch(original, kind, truth, devices, precision)
            return _Loaded(handles, kind, truth.takes_batches, "libtorch")
        except (BackendError, UntraceableError) as error:
            if backend == "libtorch":
                raise
            reason = str(error)
            if isinstance(error, PixelReadError):
                truth = Truth(eager, kind, one_at_a_time=True)
    del eager  # for the sake of memory
    handles = load_autograd(original, kind, truth, devices, precision)
    return _Loaded(handles, kind, truth.takes_batches, "autograd", reason)


def prefers_libtorch(original: Original) -> bool:
    """Say which backend comes first where nobody asks for one."""
    return original.archive is not None


def _find_original(source: Any, archive: bytes | None, program: Any, name: str) -> Original:
    """Return where copies of a model come from: a program, an archive or a module."""
    if program is not None:
        return Original(lambda: read_program(program))
    if archive is not None:
        return Original(lambda: read_graph(archive, name), archive)
    try:
        first = [copy_module(source)]
    except CopyError:
        return Original(lambda: source, is_lent=True)
    return Original(lambda: first.pop() if first else copy_module(source))


def _load_libtorch(
    original: Original,
    kind: Kind,
    truth: Truth,
    devices: list[str],
    precision: Precision,
) -> list[Any]:
    """Return a handle on each device of what C++ runs, which is the archive or a trace."""
    torch_backend = import_libtorch()
    graph, place = original.archive, truth.place
    if graph is None:
        example = make_example(kind.facts.input_size, kind.channels, kind.affine)
        graph, place = serialise(original.read(), example, kind.own_dtype), ""
    load, handle = load_graph(torch_backend, graph, kind, truth, place, devices[0])
    if (devices, precision) == (["cpu"], "ieee") and not _keeps_paths_on_device("cpu"):
        return [handle]
    del handle  # before the next, for the sake of memory
    return [load(each, precision, _keeps_paths_on_device(each)) for each in devices]


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
        [_core.callable_model(source, False, bool(getattr(source, "takes_many_targets", False)))],
        device="callable",
        input_size=input_size,
        channels=None,
        labels=labels,
        num_classes=None,
        precision="ieee",
        scores="probabilities" if output == "softmax" else "logits",
        multilabel=output == "sigmoid",
        callable_output=output,
        backend="callable",
    )


def _read(source: Any) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "the archive"
    with open(source, "rb") as file:
        return file.read(), repr(os.fspath(source))
