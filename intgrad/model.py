"""Models: loading, checking and asking them."""

from __future__ import annotations

import copy
import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _core
from ._core import ModelError
from .archive import check_archive
from .images import Float32Array, check_size, to_batch
from .targets import Targets, resolve_targets

Output = Literal["softmax", "log_softmax", "logit"]
Precision = Literal["ieee", "tf32", "bfloat16"]

OUTPUTS = ("softmax", "log_softmax", "logit")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class BackendError(ImportError):
    """torch is missing, or is not the one that intgrad was built against.

    The text holds the command that mends it.
    """


class Model:
    """A classifier whose scores can be explained; made by `load_model`.

    Any number of threads may use one model.

    Attributes
    ----------
    device : str
        `"cpu"`, `"cuda:0"`, or `"callable"`.
    input_size : (int, int) or None
        Height and width that images must have; None if the model takes any.
    labels : tuple of str or None
        Class names.
    num_classes : int or None
        None for a callable that has not been called yet.
    precision : str
        What the model computes in.
    """

    def __init__(
        self,
        handle: Any,
        *,
        device: str,
        input_size: tuple[int, int] | None,
        channels: int | None,
        labels: tuple[str, ...] | None,
        num_classes: int | None,
        precision: Precision,
        scores: str,
        callable_output: Output | None = None,
        takes_batches: bool = True,
    ) -> None:
        self._handle = handle
        self._channels = channels
        self._scores = scores
        self._callable_output = callable_output
        self._takes_batches = takes_batches
        self.device = device
        self.input_size = input_size
        self.labels = labels
        self.num_classes = num_classes
        self.precision = precision

    def __repr__(self) -> str:
        """Say what the model takes and gives."""
        size = "any size" if self.input_size is None else "{} x {}".format(*self.input_size)
        classes = "?" if self.num_classes is None else self.num_classes
        return f"<intgrad.Model: {size} -> {classes} classes, {self.device}, {self.precision}>"

    def predict(self, images: Any) -> Float32Array:
        """Compute class probabilities.

        Parameters
        ----------
        images : array_like
            (H, W, C) or (N, H, W, C), values 0..255.

        Returns
        -------
        numpy.ndarray
            (K,) or (N, K) float32.

        Raises
        ------
        TypeError, ValueError
            If the images are not what the model takes.
        ModelError
            If the model fails or gives NaN or inf.
        """
        batch, single = self._to_batch(images)
        scores = self._compute_scores(batch, self._callable_output or "softmax")
        if self._callable_output == "log_softmax":
            scores = np.exp(scores)
        elif self._callable_output == "logit":
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
        return scores[0] if single else scores

    def top(
        self, images: Any, k: int = 5
    ) -> list[tuple[str, int, float]] | list[list[tuple[str, int, float]]]:
        """Name the most probable classes.

        Parameters
        ----------
        images : array_like
            (H, W, C) or (N, H, W, C), values 0..255.
        k : int
            How many; all if the model has fewer.

        Returns
        -------
        list
            (label, index, probability), most probable first; a list of such lists for a batch.
            Without labels, the label is the index as text.
        """
        k = check_int(k, "k")
        probabilities = np.atleast_2d(self.predict(images))
        ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        result = [
            [(self._label(int(i)), int(i), float(row[i])) for i in order]
            for row, order in zip(probabilities, ranked, strict=True)
        ]
        return result[0] if np.ndim(images) == 3 else result

    def gradients(
        self, images: Any, targets: Any = None, *, output: Output = "softmax"
    ) -> Float32Array:
        """Compute the plain gradient at the images, in score units per pixel value.

        Parameters
        ----------
        images : array_like
            (H, W, C) or (N, H, W, C), values 0..255.
        targets : int, str or sequence, optional
            As in `integrated_gradients`.
        output : {"softmax", "log_softmax", "logit"}
            Which score is differentiated.

        Returns
        -------
        numpy.ndarray
            float32 in the images' shape; (N, T, H, W, C) or (T, H, W, C) for T targets per image.
            The seed's gradients, with respect to preprocessed pixels, are 127.5 times these.
        """
        self._check_output(output)
        batch, single = self._to_batch(images)
        indices, many = self._resolve_targets(targets, batch)
        size = self._batch_size(None, batch.shape[1:])
        result = _core.gradients(self._handle, batch, indices, output, size, None)
        return squeeze(result, single, many)

    # What attribution.py needs too.

    def _to_batch(self, images: Any, stacklevel: int = 4) -> tuple[Float32Array, bool]:
        return to_batch(
            images, input_size=self.input_size, channels=self._channels, stacklevel=stacklevel
        )

    def _check_output(self, output: str) -> None:
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
        if self._callable_output is not None and output != self._callable_output:
            raise ValueError(
                f"this callable differentiates output={self._callable_output!r}, and was asked for"
                f" {output!r}: pass output={self._callable_output!r}"
            )
        if self._scores == "probabilities" and output == "logit":
            raise ValueError(
                "output='logit' was asked of a model whose scores are probabilities:"
                " use 'softmax' or 'log_softmax', or convert the model without its last softmax"
            )

    def _resolve_targets(self, targets: Any, batch: Float32Array) -> tuple[Targets, bool]:
        """Return targets as `resolve_targets` does; None is each image's top class."""
        if targets is None:
            scores = self._compute_scores(batch, self._callable_output or "softmax")
            return scores.argmax(axis=1)[:, np.newaxis], False
        return resolve_targets(targets, len(batch), self.labels, self.num_classes)

    def _compute_scores(self, batch: Float32Array, output: str) -> Float32Array:
        if self.num_classes is None:
            self._learn_classes(batch.shape[1:])
        size = self._batch_size(None, batch.shape[1:])
        return _core.scores(self._handle, batch, self.num_classes, output, size, None)

    def _learn_classes(self, shape: tuple[int, ...]) -> None:
        self.num_classes, _ = _core.describe(self._handle, *shape)
        if self.labels is not None and len(self.labels) != self.num_classes:
            raise ValueError(
                f"labels must hold one name for each of the model's {self.num_classes} classes,"
                f" got {len(self.labels)}"
            )

    def _batch_size(self, wish: int | None, shape: tuple[int, ...]) -> int:
        """Return how many images go through the model at once: a fixed rule, never a timing.

        On a CPU about 4 images of 299 x 299, whose activations still meet in the cache; larger
        batches were slower there (benchmarks/README.md). A GPU wants more work at a time.
        """
        if not self._takes_batches:
            return 1
        if wish is not None:
            return wish
        pixels = (16 if self.device.startswith("cuda") else 4) * 299 * 299
        return int(np.clip(pixels // (shape[0] * shape[1]), 1, 32))

    def _label(self, index: int) -> str:
        return str(index) if self.labels is None else self.labels[index]


def squeeze(array: npt.NDArray[Any], single: bool, many_targets: bool) -> npt.NDArray[Any]:
    """Drop the axes of (N, T, ...) that the caller did not ask for."""
    if not many_targets:
        array = array[:, 0]
    return array[0] if single else array


def check_int(value: Any, name: str, at_least: int = 1) -> int:
    """Return `value` as an int, or raise a TypeError or ValueError that names it."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = int(value.__index__())
    except (TypeError, AttributeError):
        raise TypeError(f"{name} must be an int, got {value!r}") from None
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {number}")
    return number


# ---- Loading -------------------------------------------------------------------------------------


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
        explained in evaluation mode, the module itself is left as it is; or a callable
        `f(batch, targets) -> (scores (n, K), gradients of scores[i, targets[i]] (n, H, W, C))`
        on (n, H, W, C) float32 pixels and (n,) int64 classes.
    device : str or torch.device, optional
        `"cpu"`, `"cuda"` or `"cuda:1"`; CUDA if there is one, else the CPU, if None.
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
        For a callable only, and needed there: which output it returns and differentiates.
    precision : {"ieee", "tf32", "bfloat16"}
        "ieee" is float32 throughout. "bfloat16" on a CPU took 0.57 of the time and made
        attributions 22 % off, which fewer steps in float32 beat. "tf32" needs CUDA.
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
    is_archive = isinstance(source, str | os.PathLike | bytes | bytearray | memoryview)
    if not is_archive and not _is_module(source):
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
    scale, offset = _check_preprocess(preprocess)
    if is_archive:
        archive, name = _read(source)
        metadata = check_archive(archive, name, sha256)
        size, scores = _merge_metadata(metadata, name, preprocess, size, scores)
        names = names or _metadata_labels(metadata)
    else:
        if sha256 is not None:
            raise ValueError("sha256 pins an archive, and a module was given")
        name = f"the module {type(source).__name__}"
        _require_facts(name, preprocess, size, scores)
        archive = _serialise(source, size)
    torch_backend = _import_backend()
    device_name = _check_device(device, precision)
    handle = torch_backend.load(
        archive, device_name, scale, offset, scores == "probabilities", precision == "bfloat16"
    )
    assert size is not None
    assert scores is not None
    return _probe(handle, name, device_name, size, names, precision, scores)


def _check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise TypeError(f"labels must be a sequence of str, got {labels!r}")
    return tuple(labels)


def _metadata_labels(metadata: dict[str, Any] | None) -> tuple[str, ...] | None:
    labels = metadata and metadata.get("labels")
    return tuple(labels) if labels else None


def _is_module(source: Any) -> bool:
    torch = sys.modules.get("torch")  # there is no module without torch
    return torch is not None and isinstance(source, torch.nn.Module)


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
    if output not in OUTPUTS:
        raise ValueError(
            "a callable must say what it returns and differentiates:"
            f" output= one of {', '.join(OUTPUTS)}, got {output!r}"
        )
    return Model(
        _core.callable_model(source),
        device="callable",
        input_size=input_size,
        channels=None,
        labels=labels,
        num_classes=None,
        precision="ieee",
        scores="probabilities" if output == "softmax" else "logits",
        callable_output=output,
    )


def _check_preprocess(preprocess: Any) -> tuple[list[float], list[float]]:
    """Return (scale, offset) of x * scale + offset; both empty if the graph preprocesses."""
    if preprocess is None or (isinstance(preprocess, str) and preprocess == "none"):
        return [], []
    if isinstance(preprocess, str):
        if preprocess == "xception":
            return [1 / 127.5], [-1.0]
        if preprocess == "imagenet":
            scale = [1 / (255 * std) for std in IMAGENET_STD]
            offset = [-m / std for m, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
            return scale, offset
    try:
        scale, offset = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(part, np.float64)) for part in preprocess)
        )
        if scale.ndim == 1 and scale.size and np.isfinite([scale, offset]).all():
            return scale.tolist(), offset.tolist()
    except (TypeError, ValueError):
        pass
    raise ValueError(
        "preprocess must be 'xception', 'imagenet', 'none' or (scale, offset), finite numbers or"
        f" one per channel, got {preprocess!r}"
    )


def _read(source: Any) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "the archive"
    with open(source, "rb") as file:
        return file.read(), repr(os.fspath(source))


def _merge_metadata(
    metadata: dict[str, Any] | None,
    name: str,
    preprocess: Any,
    input_size: tuple[int, int] | None,
    scores: str | None,
) -> tuple[tuple[int, int] | None, str | None]:
    """Return input size and kind of scores; an archive that knows them is believed."""
    if metadata is None:
        _require_facts(name, preprocess, input_size, scores)
        return input_size, scores
    if preprocess is not None:
        raise ValueError(f"{name} preprocesses in its graph: leave out preprocess={preprocess!r}")
    known_size, known_scores = tuple(metadata["input_size"]), metadata["scores"]
    if input_size not in (None, known_size):
        raise ValueError(f"{name} takes input_size={known_size}, got {input_size}")
    if scores not in (None, known_scores):
        raise ValueError(f"{name} gives scores={known_scores!r}, got {scores!r}")
    return known_size, known_scores


def _require_facts(
    name: str, preprocess: Any, input_size: tuple[int, int] | None, scores: str | None
) -> None:
    facts = {
        "preprocess='xception' | 'imagenet' | 'none' | (scale, offset)": preprocess,
        "input_size=(height, width)": input_size,
        "scores='logits' | 'probabilities'": scores,
    }
    missing = [text for text, value in facts.items() if value is None]
    if missing:
        raise ValueError(
            f"{name} does not say how it is to be used, and a guess would be a silent wrong"
            f" number: load_model needs {', '.join(missing)}"
        )


def _serialise(module: Any, input_size: tuple[int, int] | None) -> bytes:
    """Write a module as a TorchScript archive; the module itself is not touched."""
    import torch

    assert input_size is not None
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # torch 2.13 deprecates torch.jit in Python, and it is what archives are made with.
        warnings.simplefilter("ignore", DeprecationWarning)
        if not isinstance(module, torch.jit.ScriptModule):
            module = _trace(module, input_size)
        torch.jit.save(module, buffer)
    return buffer.getvalue()


def _trace(module: Any, input_size: tuple[int, int]) -> Any:
    import torch

    try:
        twin = copy.deepcopy(module).eval().to("cpu", torch.float32).requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"{type(module).__name__} cannot be copied ({error}): save it with torch.jit.save"
        ) from error
    failures = []
    with torch.no_grad():
        for channels in CHANNELS:
            try:
                example = torch.zeros(1, channels, *input_size)
                return torch.jit.trace(twin, example, check_trace=False)
            except Exception as error:  # the module's own, whatever it raises
                failures.append(error)
    raise ModelError(
        f"{type(module).__name__} cannot be traced at input_size={input_size}: {failures[0]}"
    ) from failures[0]


def _import_backend() -> Any:
    """Import torch, then our module for it, if they belong together."""
    from . import _torch_build as built

    try:
        import torch
    except ImportError as error:
        raise BackendError(
            f"TorchScript models need torch, which cannot be imported ({error}): pip install"
            " torch, then install intgrad again, so that it is built against it"
        ) from error
    mend = (
        "pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation SOURCE"
        " (SOURCE: intgrad, or your checkout of it)"
    )
    if built.VERSION is None:
        raise BackendError(f"intgrad was built without torch. Build it again: {mend}")
    found = (torch.__version__, torch.version.cuda, int(torch.compiled_with_cxx11_abi()))
    expected = (built.VERSION, built.CUDA, built.CXX11_ABI)
    if tuple(map(str, found)) != tuple(map(str, expected)):
        raise BackendError(
            f"intgrad was built against torch {built.VERSION}, and torch {found[0]} is installed."
            f" Build it again: {mend}"
        )
    return importlib.import_module("intgrad._torch")


def _check_device(device: Any, precision: str) -> str:
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        checked = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:N', got {device!r}") from error
    if checked.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:N', got {device!r}")
    if checked.type == "cuda" and (checked.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {device!r} was asked for, and torch {torch.__version__} sees"
            f" {torch.cuda.device_count()} CUDA devices"
        )
    if precision == "tf32":
        if checked.type == "cpu":
            raise ValueError("precision='tf32' needs a CUDA device, and the device is the CPU")
        raise NotImplementedError("precision='tf32' is not there yet; use 'ieee'")
    return str(checked)


# ---- Probe ---------------------------------------------------------------------------------------

CHANNELS = (3, 1, 4)
"""Channel counts that a model is tried with, in this order."""


def _probe(
    handle: Any,
    name: str,
    device: str,
    input_size: tuple[int, int],
    labels: tuple[str, ...] | None,
    precision: Precision,
    scores: str,
) -> Model:
    """Run two random images, together twice and each alone, and say what is wrong."""
    channels, num_classes = _find_channels(handle, name, input_size)
    if labels is not None and len(labels) != num_classes:
        raise ValueError(
            f"labels must hold one name for each of the model's {num_classes} classes, got"
            f" {len(labels)}"
        )
    output = "logit" if scores == "logits" else "softmax"

    def run(batch: Float32Array) -> Float32Array:
        return _core.scores(handle, batch, num_classes, output, len(batch), None)

    pixels = np.random.default_rng(0).random((2, *input_size, channels), np.float32) * 255
    before = pixels.copy()
    alone = np.concatenate([run(pixels[:1]), run(pixels[1:])])
    if not np.array_equal(pixels, before):
        raise ModelError(f"{name} changes its input in place: start it with x = x.clone()")
    together, takes_batches = alone, True
    try:
        together = run(pixels)
    except ModelError:
        takes_batches = False
        warnings.warn(
            f"{name} takes one image at a time, so that the batch size is 1", stacklevel=3
        )
    tolerance = 0.05 if precision == "bfloat16" else 1e-3
    again = run(pixels) if takes_batches else np.concatenate([run(pixels[:1]), run(pixels[1:])])
    if not _agree(together, again, tolerance):
        raise ModelError(
            f"{name} gives other scores each time: it seems to be in training mode. Call eval()"
            " before tracing or saving it; dropout in a trace made in training survives eval()"
        )
    if not _agree(together, alone, tolerance):
        raise ModelError(
            f"{name} mixes the images of a batch: the scores of an image depend on its neighbours"
            " (batch normalisation in a trace made in training mode does this)"
        )
    _core.gradients(handle, pixels[:1], np.zeros((1, 1), np.int64), output, 1, None)
    if num_classes > 1 and _are_probabilities(alone) != (scores == "probabilities"):
        raise ValueError(
            f"{name} was loaded with scores={scores!r}, but its scores are"
            f" {'not ' * (scores == 'probabilities')}probabilities: for two random images they"
            f" add up to {alone.sum(axis=1).tolist()}"
        )
    return Model(
        handle,
        device=device,
        input_size=input_size,
        channels=channels,
        labels=labels,
        num_classes=num_classes,
        precision=precision,
        scores=scores,
        takes_batches=takes_batches,
    )


def _find_channels(handle: Any, name: str, input_size: tuple[int, int]) -> tuple[int, int]:
    """Return the channel count that the model takes, and its number of classes."""
    failures: list[Exception] = []
    for channels in CHANNELS:
        try:
            return channels, _core.describe(handle, *input_size, channels)[0]
        except ModelError as error:
            failures.append(error)
    raise ModelError(
        f"{name} does not run on an image of {input_size[0]} x {input_size[1]} (height x width;"
        f" is input_size right?): {failures[0]}"
    ) from failures[0]


def _agree(a: Float32Array, b: Float32Array, tolerance: float) -> bool:
    return float(np.abs(a - b).max()) <= tolerance * max(float(np.abs(a).max()), 1e-12)


def _are_probabilities(scores: Float32Array) -> bool:
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-2))


