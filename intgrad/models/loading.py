"""Loading: from every form of source to a Model that has been tried."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .. import _core
from ..images.arrays import check_size
from .archive import check_archive
from .model import OUTPUTS, Model, Output, Precision
from .preprocessing import check_preprocess
from .probe import probe
from .torch_backend import (
    UntraceableError,
    check_devices,
    import_backend,
    is_module,
    make_eager,
    serialise,
)


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
) -> Model:
    """Load a classifier and check that it can be explained.

    A TorchScript archive is code: load only what you trust, or pin it with `sha256`.

    Parameters
    ----------
    source : path, bytes, torch.nn.Module, torch.jit.ScriptModule or callable
        A TorchScript archive with input NCHW and output (n, K); or a module, of which a copy is
        explained in evaluation mode, the module itself is left as it is; one that cannot be traced
        is explained by eager autograd, which a warning says; or a callable
        `f(batch, targets) -> (scores (n, K), gradients of scores[i, targets[i]] (n, H, W, C))`
        on (n, H, W, C) float32 pixels and (n,) int64 classes.
    device : str, torch.device or list of them, optional
        `"cpu"`, `"cuda"` or `"cuda:1"`; CUDA if there is one, else the CPU, if None. Several, as
        `["cuda:0", "cuda:1"]`, get a copy of the model each and share the images of a batch.
    preprocess : {"xception", "imagenet", "none"} or (scale, offset), optional
        What turns pixels 0..255 into what the model was trained on: x / 127.5 - 1; (x / 255 -
        mean) / std; nothing; x * scale + offset, numbers or one per channel. Needed unless the
        archive says so itself (`intgrad convert` writes such archives).
    labels : sequence of str, optional
        Names of the K classes; default: the archive's own, if it has any.
    input_size : (int, int), optional
        Height and width; needed unless the archive says so itself. A callable may do without.
    scores : {"logits", "probabilities"}, optional
        What the model returns; needed unless the archive says so itself.
    output : {"softmax", "log_softmax", "logit"}, optional
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

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
        If there is no such archive.
    ModelError
        If the archive is damaged or no TorchScript; or if the probe, which runs two random images
        together and alone, finds a model that is still in training mode, mixes the images of a
        batch, changes its input, has no gradient or returns the wrong shape.
    BackendError
        If torch is missing or not the one that intgrad was built against.
    TypeError, ValueError
        If an argument is unknown, missing, or contradicts another.
    """
    names = None if labels is None else _check_labels(labels)
    size = None if input_size is None else check_size(input_size, "input_size")
    if scores not in (None, "logits", "probabilities"):
        raise ValueError(f"scores must be 'logits' or 'probabilities', got {scores!r}")
    if precision not in ("ieee", "tf32", "bfloat16"):
        raise ValueError(f"precision must be 'ieee', 'tf32' or 'bfloat16', got {precision!r}")
    _check_not_keras(source)
    is_archive = isinstance(source, str | os.PathLike | bytes | bytearray | memoryview)
    if not is_archive and not is_module(source):
        torch_only = {
            "device": device,
            "preprocess": preprocess,
            "scores": scores,
            "sha256": sha256,
            "precision": None if precision == "ieee" else precision,
        }
        return _wrap_callable(source, torch_only, names, size, output)
    if output is not None:
        raise ValueError(
            f"output={output!r} is for callables; for this model give it to integrated_gradients"
        )
    affine = check_preprocess(preprocess)
    if is_archive:
        archive, name = _read(source)
        facts = _archive_facts(check_archive(archive, name, sha256), name, preprocess, size, scores)
    else:
        if sha256 is not None:
            raise ValueError("sha256 pins an archive, and a module was given")
        archive, name = None, f"the module {type(source).__name__}"
        facts = _given_facts(name, preprocess, size, scores)
    torch_backend = import_backend()
    devices = check_devices(device, precision)
    slow: UntraceableError | None = None
    try:
        if archive is None:
            archive = serialise(source, facts.input_size)
        handles = _load_archive(torch_backend, archive, devices, affine, facts.scores, precision)
    except UntraceableError as error:
        slow = error
        handles = _load_eagerly(source, devices, preprocess, facts.scores, precision)
    findings = probe(handles[0], name, facts.input_size, facts.scores, precision)
    if slow is not None:
        warnings.warn(f"{slow}; eager autograd is used instead, which is slower", stacklevel=2)
    if not findings.takes_batches:
        warnings.warn(
            f"{name} takes one image at a time, so that the batch size is 1", stacklevel=2
        )
    model = Model(
        handles,
        device=", ".join(devices),
        input_size=facts.input_size,
        channels=findings.channels,
        labels=names or facts.labels,
        num_classes=findings.num_classes,
        precision=precision,
        scores=facts.scores,
        takes_batches=findings.takes_batches,
    )
    model._check_labels()
    return model


def _load_archive(
    torch_backend: Any,
    archive: bytes,
    devices: list[str],
    affine: tuple[list[float], list[float]],
    scores: str,
    precision: Precision,
) -> list[Any]:
    """Return a handle of the archive on each device."""
    return [
        torch_backend.load(
            archive,
            each,
            *affine,
            scores == "probabilities",
            precision,
            _keeps_paths_on_device(each),
        )
        for each in devices
    ]


def _load_eagerly(
    module: Any, devices: list[str], preprocess: Any, scores: str, precision: Precision
) -> list[Any]:
    """Return a handle on each device of a module that no archive can hold."""
    if precision == "tf32":
        raise ValueError("precision='tf32' needs a model that can be traced, and this one cannot")
    return [
        _core.callable_model(make_eager(module, each, preprocess, scores, precision), True)
        for each in devices
    ]


def _keeps_paths_on_device(device: str) -> bool:
    """Say whether sums along paths stay on the device; tests and benchmarks say otherwise."""
    return device.startswith("cuda")


@dataclass(frozen=True)
class _Facts:
    """What must be known of a model, and is never guessed."""

    input_size: tuple[int, int]
    scores: str
    labels: tuple[str, ...] | None = None


def _check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise TypeError(f"labels must be a sequence of str, got {labels!r}")
    return tuple(labels)


def _check_not_keras(source: Any) -> None:
    """Refuse a Keras model, which on some backends would pass for a module or a callable."""
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
            "source must be a path, bytes, a torch module or a callable, got"
            f" {type(source).__name__}"
        )
    given = [name for name, value in torch_only.items() if value is not None]
    if given:
        raise ValueError(f"{', '.join(given)} cannot be given with a callable")
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
        callable_output=output,
    )


def _read(source: Any) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "the archive"
    with open(source, "rb") as file:
        return file.read(), repr(os.fspath(source))


def _archive_facts(
    metadata: dict[str, Any] | None,
    name: str,
    preprocess: Any,
    input_size: tuple[int, int] | None,
    scores: str | None,
) -> _Facts:
    """Take the facts from the archive where it holds them; what is given must not contradict."""
    if metadata is None:
        return _given_facts(name, preprocess, input_size, scores)
    if preprocess is not None:
        raise ValueError(f"{name} preprocesses in its graph: leave out preprocess={preprocess!r}")
    height, width = metadata["input_size"]
    if input_size not in (None, (height, width)):
        raise ValueError(f"{name} takes input_size={(height, width)}, got {input_size}")
    if scores not in (None, metadata["scores"]):
        raise ValueError(f"{name} gives scores={metadata['scores']!r}, got {scores!r}")
    labels = metadata.get("labels")
    return _Facts((height, width), metadata["scores"], tuple(labels) if labels else None)


def _given_facts(
    name: str, preprocess: Any, input_size: tuple[int, int] | None, scores: str | None
) -> _Facts:
    if preprocess is None or input_size is None or scores is None:
        facts = {
            "preprocess='xception' | 'imagenet' | 'none' | (scale, offset)": preprocess,
            "input_size=(height, width)": input_size,
            "scores='logits' | 'probabilities'": scores,
        }
        missing = [text for text, value in facts.items() if value is None]
        raise ValueError(
            f"{name} does not say how it is to be used, and a guess would be a silent wrong"
            f" number: load_model needs {', '.join(missing)}"
        )
    return _Facts(input_size, scores)
