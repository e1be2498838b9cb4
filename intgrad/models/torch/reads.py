"""Whether a module hands values of its pixels to Python: numbers, branches, sizes, NumPy arrays.

A trace would keep what they were for its example; and such a module may look at a batch as a whole,
so that it is run with one picture at a time. So is a graph that branches by its pixels.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from .storages import address_of, find_tensors
from .torchscript import is_graph

# In eager mode sizes are numbers already, so that only values pass through these operators.
OPERATORS = ("_local_scalar_dense", "equal", "is_nonzero")
# These hand out memory, which only a tracer is told of.
ARRAYS = re.compile("Converting a tensor to a (NumPy array|Python list)")
# And these a size, which matters where it depends on values.
SIZES = re.compile("Converting a tensor to a Python|Using len to get tensor shape")
# Functions of tensors that do the one and the other, where there is no tracer.
HANDED_OUT = ("numpy", "__array__", "tolist", "__dlpack__")
ASKED = ("__len__", "size", "numel", "nelement")
BETWEEN = re.compile(r"torch\.(_dynamo|_compile|_ops|overrides|utils\._python_dispatch)\b")
"""What lies between an operator and the code that called it."""


@dataclass
class Reads:
    """What was seen while a module ran.

    Attributes
    ----------
    values : bool
        Python got values.
    graph_values : bool
        A graph did, as the branches of a script do, which it keeps. Integers do not count: a trace
        reads its sizes so.
    sizes : bool
        There were tensors whose sizes depend on values.
    """

    values: bool = False
    graph_values: bool = False
    sizes: bool = False

    def are_told(self, warnings: Iterable[Any]) -> bool:
        """Say whether a tracer's warnings tell of arrays, lists or sizes made of values."""
        texts = [str(each.message) for each in warnings]
        told = SIZES if self.sizes else ARRAYS
        return any(told.search(text) or ARRAYS.search(text) for text in texts)


@contextmanager
def watching(module: Any) -> Iterator[Reads]:
    """Note the operators that hand out values while the block runs a module.

    Those of parameters and buffers do not count, which are the same for every picture.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    seen, constants = Reads(), _Constants(module)
    selected, held = set[int | None](), list[Any]()  # whose sizes depend on values
    shape: Any = torch.Tensor.shape  # not typed as what it is
    is_script = is_graph(module)

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = operator(*args, **(kwargs or {}))
            if constants.follow((args, kwargs), result):
                return result
            if operator.overloadpacket.__name__ in OPERATORS:
                if is_script or _is_in_graph(sys._getframe(1)):
                    seen.graph_values |= args[0].dtype != torch.int64
                else:
                    seen.values = True
            if torch.Tag.dynamic_output_shape in operator.tags and _selects(args):
                seen.sizes = True
                selected.update(map(address_of, find_tensors(result)))
                held.extend(find_tensors(result))
            return result

    class Ask(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            name = getattr(function, "__name__", "")
            if name in HANDED_OUT and not constants.follow(args[:1], None):
                seen.values = True
            if name in ASKED or function == shape.__get__:
                seen.values |= address_of(args[0]) in selected
            return function(*args, **(kwargs or {}))

    with Ask(), Watch():  # type: ignore[no-untyped-call]
        yield seen


class _Constants:
    """The memory of parameters, buffers and what is made of nothing else, whatever the pixels."""

    def __init__(self, module: Any) -> None:
        # By address; the memory is held, or it could be another's later.
        self._known: dict[int | None, Any] = {}
        self._add([*module.parameters(), *module.buffers()])

    def follow(self, arguments: Any, result: Any) -> bool:
        """Learn of what an operator made; say whether it is constant."""
        is_constant = all(address_of(each) in self._known for each in find_tensors(arguments))
        if is_constant:
            self._add(find_tensors(result))
        else:
            for each in find_tensors(result):
                self._known.pop(address_of(each), None)
        return is_constant

    def _add(self, tensors: Iterable[Any]) -> None:
        for each in tensors:
            if (address := address_of(each)) is not None:
                self._known[address] = each.untyped_storage()


def _is_in_graph(frame: FrameType | None) -> bool:
    """Say whether a graph called an operator.

    It has no frame of its own: there the next one is that of the call of the ScriptModule.
    """
    import torch

    while frame is not None and BETWEEN.match(str(frame.f_globals.get("__name__"))):
        frame = frame.f_back
    calls = (torch.nn.Module._call_impl.__code__, torch.nn.Module._slow_forward.__code__)
    return frame is not None and frame.f_code in calls


def _selects(args: Any) -> bool:
    """Say whether an operator of a size that may depend on values does so: not by whole indices."""
    import torch

    indices = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else []
    found = [index for index in indices if isinstance(index, torch.Tensor)]
    return not found or any(index.dtype in (torch.bool, torch.uint8) for index in found)
