"""The layers of the user's module, and models of it with the weights of some shuffled."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..model import Model
from .copying import copy_module


class Layers:
    """The layers of a module that have weights, from the one that is defined first.

    Parameters
    ----------
    module : torch.nn.Module
        The user's, which is not kept alive.
    load : callable
        Makes a Model of a module, as this one's was made.
    """

    def __init__(self, module: Any, load: Callable[[Any], Model]) -> None:
        self._module = weakref.ref(module)
        self._load = load

    @property
    def names(self) -> list[str]:
        """What they are called in the module."""
        return [name for name, _ in _with_weights(self._read())]

    def shuffle_from_top(self, count: int, seed: int) -> Model:
        """Return a model whose last `count` layers have their weights shuffled, tensor by tensor.

        What is shuffled keeps its distribution, so that the scores stay numbers.
        """
        import torch

        module = copy_module(self._read())
        generator = torch.Generator().manual_seed(seed)
        # From the top down, so that what a smaller count shuffles is shuffled alike.
        for _, layer in reversed(_with_weights(module)[-count:]):
            for weights in layer.parameters(recurse=False):
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


def _with_weights(module: Any) -> list[tuple[str, Any]]:
    return [
        (name, layer)
        for name, layer in module.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
    ]
