"""Finding torch: the one that intgrad was built against, its devices, and modules as archives."""

from __future__ import annotations

import copy
import importlib
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from .._core import ModelError
from ..adapters import from_torch
from .model import OUTPUTS, Output

CHANNELS = (3, 1, 4)
"""Channel counts that a model is tried with, in this order."""


class BackendError(ImportError):
    """torch is missing, or is not the one that intgrad was built against.

    The text holds the command that mends it.
    """


class UntraceableError(ModelError):
    """A module that TorchScript cannot hold; it can still be explained by eager autograd."""


def is_module(source: Any) -> bool:
    """Say whether `source` is a torch module, without importing torch."""
    torch = sys.modules.get("torch")  # there is no module without torch
    return torch is not None and isinstance(source, torch.nn.Module)


def import_backend() -> Any:
    """Import torch, then our module for it.

    Raises
    ------
    BackendError
        If they do not belong together.
    """
    from .. import _torch_build as built

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


def check_devices(device: Any, precision: str) -> list[str]:
    """Return the names of one device or several, or raise a ValueError."""
    devices = list(device) if isinstance(device, list | tuple) else [device]
    if not devices:
        raise ValueError(f"device must name at least one device, got {device!r}")
    return [_check_device(each, precision) for each in devices]


def _check_device(device: Any, precision: str) -> str:
    """Check one device; None is CUDA where there is one."""
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
    if precision == "tf32" and checked.type == "cpu":
        raise ValueError("precision='tf32' needs a CUDA device, and the device is the CPU")
    return str(checked)


def serialise(
    module: Any, input_size: tuple[int, int], extra_files: dict[str, str] | None = None
) -> bytes:
    """Write a module as a TorchScript archive; the module itself is not touched.

    Raises
    ------
    UntraceableError
        If it cannot be traced.
    ModelError
        If it cannot be copied.
    """
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # torch 2.13 deprecates torch.jit in Python, and it is what archives are made with.
        warnings.simplefilter("ignore", DeprecationWarning)
        if not isinstance(module, torch.jit.ScriptModule):
            module = _trace(module, input_size)
        torch.jit.save(module, buffer, _extra_files=extra_files)
    return buffer.getvalue()


def _trace(module: Any, input_size: tuple[int, int]) -> Any:
    import torch

    twin = _copy(module)
    failures = []
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        for channels in CHANNELS:
            try:
                example = torch.zeros(1, channels, *input_size)
                jit: Any = torch.jit  # not typed
                return jit.trace(twin, example, check_trace=False)
            except Exception as error:  # the module's own, whatever it raises
                failures.append(error)
    raise UntraceableError(
        f"{type(module).__name__} cannot be traced at input_size={input_size}: {failures[0]}"
    ) from failures[0]


def _copy(module: Any) -> Any:
    """Return a copy in evaluation mode, on the CPU, whose parameters need no gradients."""
    import torch

    try:
        return _deep_copy(module).eval().to("cpu", torch.float32).requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"{type(module).__name__} cannot be copied ({error}): save it with torch.jit.save"
        ) from error


def _deep_copy(module: Any) -> Any:
    """Copy a module; graphs in it by way of a file, because deepcopy leaves them half made."""
    return copy.deepcopy(module, {id(graph): _reload(graph) for graph in _graphs(module)})


def _graphs(module: Any) -> Iterator[Any]:
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        yield module
    else:
        for child in module.children():
            yield from _graphs(child)


def _reload(graph: Any) -> Any:
    import torch

    jit: Any = torch.jit  # not typed
    buffer = io.BytesIO()
    jit.save(graph, buffer)
    buffer.seek(0)
    return jit.load(buffer, map_location="cpu")


def make_eager(
    module: Any, device: str, preprocess: Any, scores: Any, precision: str
) -> Callable[[Any, Any, Output], Any]:
    """Return f(batch, targets, output) -> (scores, gradients) of a copy of a module."""
    import torch

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    twin = _copy(module).to(device, dtype)
    kind = torch.device(device).type

    def infer(batch: Any) -> Any:
        with torch.autocast(kind, enabled=False):
            return twin(batch.permute(0, 3, 1, 2).to(device, dtype)).float()

    adapters = {
        output: from_torch(infer, scores=scores, preprocess=preprocess, output=output)
        for output in OUTPUTS
        if (scores, output) != ("probabilities", "logit")
    }
    return lambda batch, targets, output: adapters[output](batch, targets)
