"""Finding torch, its devices, and our module for the torch that intgrad was built against."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

OLDEST_LIBTORCH = "2.11"


class BackendError(ImportError):
    """torch is missing, or `backend="libtorch"` is not to be had with the torch that is there.

    The text holds the command that mends it.
    """


def is_archive(source: Any) -> bool:
    """Say whether `source` is a file of a model, or what one holds."""
    return isinstance(source, str | os.PathLike | bytes | bytearray | memoryview)


def is_module(source: Any) -> bool:
    """Say whether `source` is a torch module, without importing torch."""
    torch = sys.modules.get("torch")  # there is no module without torch
    return torch is not None and isinstance(source, torch.nn.Module)


def is_program(source: Any) -> bool:
    """Say whether `source` is a `torch.export.ExportedProgram`, without importing torch."""
    export = sys.modules.get("torch.export")  # there is no program without it
    return export is not None and isinstance(source, export.ExportedProgram)


@contextlib.contextmanager
def quiet_numbers() -> Iterator[None]:
    """Keep to ourselves what torch says of numbers made of pixels, of which load_model says more.

    And of parts of its own exported programs, when they are made modules (torch 2.4), and when
    modules that hold them are copied.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True to a scalar")
        warnings.filterwarnings("ignore", ".*get_attr'? Node", UserWarning)
        warnings.filterwarnings("ignore", ".*treespec", FutureWarning)
        yield


@contextlib.contextmanager
def quiet_torch() -> Iterator[None]:
    """Keep to ourselves what torch says of its own `torch.jit`, and what `quiet_numbers` does.

    From 2.13 on it is deprecated in Python, and archives are read and made with it.
    """
    with quiet_numbers():
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", r".*torch\.jit", category)
        yield


def import_torch() -> Any:
    """Import torch.

    Raises
    ------
    BackendError
        If it cannot be imported.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise BackendError(
            f"models of torch need torch, which cannot be imported ({error}): pip install torch"
        ) from error


def import_libtorch() -> Any:
    """Import our module for the torch that is there, which runs TorchScript in C++.

    Raises
    ------
    BackendError
        If they do not belong together; the text says why, and how to mend it.
    """
    from ... import _torch_build as built

    torch = import_torch()
    mend = (
        "pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation SOURCE"
        " (SOURCE: your checkout of intgrad, or its source distribution) builds it, with a C++"
        f" compiler and torch {OLDEST_LIBTORCH} or later"
    )
    if built.VERSION is None:
        raise BackendError(f"intgrad was built without it: {mend}")
    found = (torch.__version__, torch.version.cuda, int(torch.compiled_with_cxx11_abi()))
    expected = (built.VERSION, built.CUDA, built.CXX11_ABI)
    if tuple(map(str, found)) != tuple(map(str, expected)):
        raise BackendError(
            f"it was built against torch {built.VERSION}, and torch {found[0]} is installed: {mend}"
        )
    try:
        return importlib.import_module("intgrad._torch")
    except ImportError as error:  # such as a libstdc++ that is older
        raise BackendError(f"it cannot be imported ({error}): {mend}") from error


def describe_backend() -> str:
    """Say what runs models of torch here, and why it is not "libtorch"."""
    try:
        import_torch()
    except BackendError as error:
        return f"none: {error}"
    try:
        import_libtorch()
    except BackendError as error:
        return f"autograd: libtorch is quicker for archives, and {error}"
    return "libtorch for archives, autograd for modules"


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
