"""Loading for "libtorch": C++ over the user's archive, or over a trace of the module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..model import Precision
from .backend import import_libtorch
from .errors import first_line
from .kind import Kind
from .original import Original
from .tracing import UntraceableError, make_example, serialise
from .truth import Truth


def load_libtorch(
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


def load_graph(
    torch_backend: Any, archive: bytes, kind: Kind, truth: Truth, place: str, device: str
) -> tuple[Callable[..., Any], Any]:
    """Return what makes handles of an archive, as load(device, precision, on_device), and one.

    `place` is where the archive's scores are, as `find_scores` says.

    Raises
    ------
    UntraceableError
        If no way of running its graph gives what the model gives.
    """
    reason = ""
    for channels_first in (False, True):

        def load(
            where: str, precision: Precision, on_device: bool, channels_first: bool = channels_first
        ) -> Any:
            pairs = channels_first and truth.takes_batches and where == "cpu"
            return torch_backend.load(
                archive,
                where,
                *kind.affine,
                kind.facts.are_probabilities,
                precision,
                on_device,
                channels_first,
                pairs,
                place,
            )

        try:
            handle = load(device, "ieee", False)
            if truth.agrees(handle):
                return load, handle
            reason = "its graph gives other scores or gradients than itself"
        except (ValueError, IndexError) as error:  # ModelError is one of them
            reason = first_line(error)
    raise UntraceableError(f"{kind.facts.name} cannot be run as a frozen graph: {reason}")
