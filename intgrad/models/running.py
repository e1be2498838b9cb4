"""The quickest way of running a model that gives what the model itself gives.

Folding, freezing and channels last are what makes a model quick; there are models that they do not
suit. So a model is run as it is, by eager autograd, on two pictures, and what is quicker must give
the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import _core
from .._core import ModelError
from ..images.arrays import Float32Array
from .autograd import Affine, Autograd
from .channels import find_channels
from .copying import find_dtypes
from .errors import first_line
from .facts import Facts
from .folding import fold_graph
from .model import Output, Precision
from .module_folding import fold_modules
from .reads import watching
from .torchscript import freeze, is_graph, is_straight
from .tracing import UntraceableError

SCORES_AGREE, GRADIENTS_AGREE = 1e-3, 0.05
"""Relative. Rounding flips gates of ReLUs, which moves gradients by some 0.003."""
ROUNDINGS = 16
"""How many of them scores may be apart where a module computes in a coarser type."""


@dataclass(frozen=True)
class Original:
    """Where modules to be run come from.

    Attributes
    ----------
    read : callable
        Gives a module of ours, a new one each time; or always the user's own, where it is lent.
    archive : bytes or None
        The TorchScript archive that they are read from.
    is_lent : bool
        The module cannot be copied, and is left as it is.
    """

    read: Callable[[], Any]
    archive: bytes | None = None
    is_lent: bool = False

    def changed(self, change: Callable[[Any], Any]) -> Original:
        """Return these as `change` makes them."""
        return replace(self, read=lambda: change(self.read()), archive=None)


@dataclass(frozen=True)
class Kind:
    """What a torch model is run with."""

    facts: Facts
    channels: int
    affine: Affine
    own_dtype: Any = None  # of its pictures, where it runs only in the types that it came in
    rounding: float = 0.0  # of the coarsest type that it computes in

    @property
    def output(self) -> Output:
        """F that changes nothing of what the model returns."""
        return "softmax" if self.facts.are_probabilities else "logit"

    def noise(self, count: int) -> Float32Array:
        """Return random pictures."""
        shape = (count, *self.facts.input_size, self.channels)
        return np.random.default_rng(0).random(shape, np.float32) * 255


def find_kind(
    original: Original, facts: Facts, affine: Affine, device: str
) -> tuple[Autograd, Kind]:
    """Run a module by eager autograd, in float32, or in its own types where it does not run so.

    Raises
    ------
    ModelError
        If it does not run; the text says why.
    """
    import torch

    module = original.read()
    own_dtypes = find_dtypes(module)

    def run(module: Any, own_dtype: Any) -> tuple[Autograd, Kind]:
        eager = Autograd(
            module,
            affine,
            facts.are_probabilities,
            device=device,
            dtype=own_dtype,
            as_is=own_dtype is not None,
        )
        dtypes = find_dtypes(eager.module)  # the constants of a frozen graph stay as they were
        rounding = max((torch.finfo(dtype).eps for dtype in dtypes), default=0.0)
        channels = find_channels(eager, facts, affine)
        return eager, Kind(facts, channels, affine, own_dtype, rounding)

    if original.is_lent:
        return run(module, (own_dtypes or [torch.float32])[0])
    try:
        return run(module, None)
    except ModelError:
        for own_dtype in own_dtypes if own_dtypes != [torch.float32] else []:
            with contextlib.suppress(ModelError):
                return run(original.read(), own_dtype)
        raise


def reads_pixels(eager: Autograd, kind: Kind) -> bool:
    """Say whether a module hands values of its pixels to Python, or branches by them.

    A graph without branches and loops, as a trace is, need not run for that.
    """
    if is_straight(eager.module):
        return False
    with watching(eager.module) as seen:
        eager.check_runs(kind.channels, kind.facts.input_size)
    return seen.values or seen.graph_values


class Truth:
    """What a model gives by itself, for a random picture and a black one, where most paths start.

    Where it gives NaN for black, as what divides by a picture's norm does, the second is random
    too.
    """

    def __init__(self, eager: Autograd, kind: Kind, one_at_a_time: bool) -> None:
        self._kind = kind
        self._pictures = kind.noise(2)
        self._pictures[1] = 0
        eager.pairs_single = self.takes_batches = not one_at_a_time
        try:
            answer = self._run(eager)
        except ModelError:  # perhaps it takes one picture at a time; else this fails as well
            eager.pairs_single = self.takes_batches = False
            answer = self._run(eager)
        if not np.isfinite(answer[0]).all():
            self._pictures = kind.noise(2)
            answer = self._run(eager)
        unfit = np.argwhere(~np.isfinite(answer[0]))
        if len(unfit):
            value = answer[0][tuple(unfit[0])]
            raise ModelError(
                f"{kind.facts.name} is not to be explained: its score of class {unfit[0][1]} is"
                f" {value:g} for a random picture: is preprocess= what it was trained with?"
            )
        self.place = eager.place
        self._scores, self._gradients = answer

    def _run(self, eager: Autograd) -> tuple[Float32Array, Float32Array]:
        """Return scores (2, K) and gradients (2, 1, H, W, C) of the first class."""
        targets = np.zeros((2, 1), np.int64)
        if self.takes_batches:
            return eager(self._pictures, targets, self._kind.output)
        singles = [eager(self._pictures[[k]], targets[:1], self._kind.output) for k in range(2)]
        scores, gradients = (np.concatenate(parts) for parts in zip(*singles, strict=True))
        return scores, gradients

    def agrees(self, handle: Any) -> bool:
        """Say whether what the core gets from `handle` is the same."""
        size = 2 if self.takes_batches else 1
        scores = _core.scores(handle, self._pictures, self._kind.output, size, None)
        gradients = _core.gradients(
            handle, self._pictures[:1], np.zeros((1, 1), np.int64), self._kind.output, 1, None
        )
        coarse = ROUNDINGS * self._kind.rounding
        return _close(scores, self._scores, max(SCORES_AGREE, coarse), np.inf) and _close(
            gradients, self._gradients[:1], max(GRADIENTS_AGREE, 4 * coarse), 2
        )


def _close(found: Float32Array, expected: Float32Array, tolerance: float, order: float) -> bool:
    if found.shape != expected.shape:
        return False
    norm = np.linalg.norm(expected.ravel(), order)
    return bool(np.linalg.norm((found - expected).ravel(), order) <= tolerance * norm + 1e-12)


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


def load_autograd(
    original: Original, kind: Kind, truth: Truth, devices: list[str], precision: Precision
) -> list[Any]:
    """Return a handle on each device of a module that Python torch runs."""
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
    for quick in _quick_ways(is_plain=original.is_lent or kind.own_dtype is not None):
        with contextlib.suppress(Exception):  # whatever a module raises that wants it otherwise
            tried = load(devices[0], "ieee", *quick)
            if truth.agrees(tried):
                way, handle = quick, tried
                break
    if handle is not None and (len(devices), precision) == (1, "ieee"):
        return [handle]
    del handle  # before the next, for the sake of memory
    return [load(device, precision, *way) for device in devices]


def _quick_ways(is_plain: bool) -> list[tuple[bool, bool]]:
    """Return (fold, channels_last), the quickest first; benchmarks have none."""
    return [(False, True)] if is_plain else [(True, True), (False, True)]


def _fold(autograd: Autograd, kind: Kind) -> None:
    def run() -> None:
        autograd.check_runs(kind.channels, kind.facts.input_size)

    def fold(module: Any) -> Any:
        if is_graph(module):
            return freeze(module, autograd.tf32)
        fold_modules(module, run)
        return fold_graph(module)

    autograd.replace(fold)
