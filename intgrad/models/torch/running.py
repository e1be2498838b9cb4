"""The quickest way of running a model that gives what the model itself gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..facts import Facts
from ..model import Backend, Precision
from .autograd import Affine
from .autograd_loading import load_autograd
from .backend import BackendError
from .graphs import decides
from .kind import Kind, find_kind, reads_pixels
from .libtorch_loading import load_libtorch
from .original import Original
from .tracing import PixelReadError, UntraceableError
from .truth import Truth


@dataclass(frozen=True)
class Running:
    """Handles of a model, one for each device, and what is to be said of them."""

    handles: list[Any]
    kind: Kind
    takes_batches: bool
    backend: Backend
    reason: str = ""


def find_quickest(
    original: Original,
    facts: Facts,
    affine: Affine,
    devices: list[str],
    precision: Precision,
    backend: Backend | None,
) -> Running:
    """Load a model for `backend`, or if None for the one that suits it."""
    eager, kind = find_kind(original, facts, affine, devices[0])
    in_graph = decides(eager.module)  # where folding sees every branch
    reads = not in_graph and reads_pixels(eager, kind)
    truth = Truth(eager, kind, one_at_a_time=in_graph or reads)
    reason = "it is run by Python, as modules, programs, score= and networks of BGR are"
    if backend == "libtorch" or (backend is None and prefers_libtorch(original)):
        try:
            handles = load_libtorch(original, kind, truth, devices, precision)
            return Running(handles, kind, truth.takes_batches, "libtorch")
        except (BackendError, UntraceableError) as error:
            if backend == "libtorch":
                raise
            reason = str(error)
            if isinstance(error, PixelReadError):
                truth = Truth(eager, kind, one_at_a_time=True)
    del eager  # for the sake of memory
    handles = load_autograd(original, kind, truth, devices, precision, may_fold=not reads)
    return Running(handles, kind, truth.takes_batches, "autograd", reason)


def prefers_libtorch(original: Original) -> bool:
    """Say which backend comes first where nobody asks for one."""
    return original.archive is not None
