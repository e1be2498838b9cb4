"""Loading for "autograd": the quickest way of Python's torch that gives what the module gives."""

from __future__ import annotations

import contextlib
from typing import Any

from ... import _core
from ..model import Precision
from .autograd import Autograd
from .folding import fold_graph
from .kind import Kind
from .module_folding import fold_modules
from .original import Original
from .torchscript import freeze, is_graph
from .truth import Truth


def load_autograd(
    original: Original,
    kind: Kind,
    truth: Truth,
    devices: list[str],
    precision: Precision,
    may_fold: bool,
) -> list[Any]:
    """Return a handle on each device of a module that Python torch runs.

    `may_fold` is no for one that branches by its pixels: what is folded is what runs on black.
    """
    import torch

    def load(device: str, precision: Precision, fold: bool, channels_last: bool) -> Any:
        coarse = precision == "bfloat16"
        autograd = Autograd(
            original.read(),
            kind.affine,
            kind.facts.are_probabilities,
            device=device,
            # Folded in float32: in bfloat16 the folded weights would be rounded twice.
            dtype=kind.own_dtype if not coarse or fold else torch.bfloat16,
            as_is=kind.own_dtype is not None and not coarse,
            channels_last=channels_last,
            tf32=precision == "tf32",
        )
        autograd.keeps_graph = not channels_last  # the last resort is what the model itself is
        autograd.pairs_single = truth.takes_batches and not channels_last and device == "cpu"
        if fold:
            _fold(autograd, kind)
            if coarse:
                autograd.use(torch.bfloat16)
        return _core.callable_model(autograd, True, True)

    way, handle = (False, False), None
    may_fold = may_fold and not original.is_lent and kind.own_dtype is None
    for quick in _quick_ways(may_fold):
        with contextlib.suppress(Exception):  # whatever a module raises that wants it otherwise
            tried = load(devices[0], "ieee", *quick)
            if truth.agrees(tried):
                way, handle = quick, tried
                break
    if handle is not None and (len(devices), precision) == (1, "ieee"):
        return [handle]
    del handle  # before the next, for the sake of memory
    return [load(device, precision, *way) for device in devices]


def _quick_ways(may_fold: bool) -> list[tuple[bool, bool]]:
    """Return (fold, channels_last), the quickest first; `benchmarks/doors.py` has none."""
    return [(True, True), (False, True)] if may_fold else [(False, True)]


def _fold(autograd: Autograd, kind: Kind) -> None:
    def run() -> None:
        autograd.check_runs(kind.channels, kind.facts.input_size)

    def fold(module: Any) -> Any:
        if is_graph(module):
            return freeze(module, autograd.tf32)
        fold_modules(module, run)
        return fold_graph(module)

    autograd.replace(fold)
