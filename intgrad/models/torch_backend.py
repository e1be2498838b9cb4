"""Finding torch: the one that intgrad was built against, and its devices."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any


class BackendError(ImportError):
    """torch is missing, or is not the one that intgrad was built against.

    The text holds the command that mends it.
    """


def is_module(source: Any) -> bool:
    """Say whether `source` is a torch module, without importing torch."""
    torch = sys.modules.get("torch")  # there is no module without torch
    return torch is not None and isinstance(source, torch.nn.Module)


@contextlib.contextmanager
def quiet_torch() -> Iterator[None]:
    """Keep to ourselves what torch says of its own `torch.jit`, and of numbers made of pixels.

    From 2.13 on it deprecates the first in Python, and archives are made with it, and parts of its
    own exported programs, when they are copied. Of the second load_model says more, and torch says
    it once a process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True to a scalar")
        warnings.filterwarnings("ignore", ".*treespec", FutureWarning)
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", r".*torch\.jit", category)
        yield


def check_torch() -> None:
    """Raise a BackendError if torch cannot be imported."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise BackendError(
            f"models of torch need it, and it cannot be imported ({error}): pip install torch, then"
            " install intgrad again, so that it is built against it"
        ) from error


def import_backend() -> Any:
    """Import torch, then our module for it.

    Raises
    ------
    BackendError
        If they do not belong together.
    """
    from .. import _torch_build as built

    check_torch()
    import torch

    mend = (
        "pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation SOURCE"
        " (SOURCE: intgrad, or your checkout of it)"
    )
    if built.VERSION is None:
        raise BackendError(
            "intgrad was built without torch, or with one older than 2.11, which it cannot use."
            f" Build it again: {mend}"
        )
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
