"""The layers of the user's module, and models of it with the weights of some shuffled."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ..model import Model
from .backend import quiet_torch
from .copying import copy_module


class Layers:
    """The layers of a module that have weights, from the one that runs first.

    Parameters
    ----------
    module : torch.nn.Module
        The user's, which is not kept alive.
    load : callable
        Makes a Model of a module, as this one's was made.
    shape : tuple of int
        (1, C, H, W) of a picture as the module takes it.
    """

    def __init__(self, module: Any, load: Callable[[Any], Model], shape: tuple[int, ...]) -> None:
        self._module = weakref.ref(module)
        self._load = load
        self._shape = shape

    @functools.cached_property
    def names(self) -> list[str]:
        """What they are called in the module, in the order in which they run.

        One that is not called itself, as those within an attention may be, comes with what holds
        it. Of a module that cannot be watched, such as a graph, it is the order of definition.
        """
        module = copy_module(self._read())
        began: dict[str, int] = {}
        with quiet_torch(), contextlib.suppress(Exception):  # whatever a module raises
            _watch(module, began)
            _run(module, self._shape)
        names = [name for name, _ in _with_weights(module)]
        return sorted(names, key=lambda name: _find_start(name, began))

    def shuffle_from_top(self, count: int, seed: int) -> Model:
        """Return a model whose last `count` layers have their weights shuffled, tensor by tensor.

        What is shuffled keeps its distribution, so that the scores stay numbers.
        """
        import torch

        module = copy_module(self._read())
        layers = dict(_with_weights(module))
        generator = torch.Generator().manual_seed(seed)
        # From the top down, so that what a smaller count shuffles is shuffled alike.
        for name in reversed(self.names[-count:]):
            for weights in layers[name].parameters(recurse=False):
                order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
                with torch.no_grad():
                    weights.copy_(weights.flatten()[order].view_as(weights))
        return self._load(module)

    def _read(self) -> Any:
        module = self._module()
        if module is None:
            raise ReferenceError(
                "the module that the model was loaded from is gone: keep a reference to it"
            )
        return module


def _watch(module: Any, began: dict[str, int]) -> None:
    """Have the parts of a module say in what order they begin to run."""

    def watch(name: str) -> Callable[..., None]:
        def begin(*_: Any) -> None:
            began.setdefault(name, len(began))

        return begin

    for name, part in module.named_modules():
        part.register_forward_pre_hook(watch(name))


def _run(module: Any, shape: tuple[int, ...]) -> None:
    """Run a module on a black picture."""
    import torch

    like = next(each for each in module.parameters() if each.is_floating_point())
    with torch.no_grad():
        module(torch.zeros(shape, dtype=like.dtype, device=like.device))


def _find_start(name: str, began: Mapping[str, int]) -> int:
    """Return when a layer began to run, or else what holds it."""
    while name and name not in began:
        name = name.rpartition(".")[0]
    return began.get(name, 0)


def _with_weights(module: Any) -> list[tuple[str, Any]]:
    return [
        (name, layer)
        for name, layer in module.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
    ]
