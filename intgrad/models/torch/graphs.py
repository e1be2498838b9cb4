"""Graphs that `torch.fx` holds: a program of `torch.export` as a module that can be moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .exported import most_at_once

DEVICES = ("aten::to", "aten::_to_copy")
"""The operators that may have their device among their positional arguments."""
NUMBERS = ("aten::item", "aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero")
"""The operators that make numbers of tensors."""


def read_program(program: Any) -> Any:
    """Return a program as a module of pictures that shares no memory with it.

    Its weights have no gradients. It is in the mode that it was exported in, which cannot change.
    """
    import torch

    with torch.inference_mode(False):  # autograd takes no tensor that was made in it
        graph = program.module()
        _own_tensors(graph)
        for part in graph_modules(graph):
            _drop_assertions(part)
    return _make_module(graph, program)


def graph_modules(module: Any) -> Iterator[Any]:
    """Yield the graphs in a module that `torch.fx` made."""
    import torch

    return (part for part in module.modules() if isinstance(part, torch.fx.GraphModule))


def operator_name(node: Any) -> str:
    """Return the name of a node's operator, as "aten::conv2d"; "" of what calls none."""
    schema = getattr(getattr(node, "target", None), "_schema", None)
    return str(schema.name) if schema is not None and node.op == "call_function" else ""


def decides(module: Any) -> bool:
    """Say whether graphs make numbers of their values, or branch by them, as torch.cond does.

    They may do so for a batch as a whole, so that they are to be run with one picture at a time.
    """
    import torch

    def may_decide(node: Any) -> bool:
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            return not str(node.target).startswith("wrap_with_")  # no_grad and autocast
        return operator_name(node) in NUMBERS

    return any(may_decide(node) for part in graph_modules(module) for node in part.graph.nodes)


def move_graphs(module: Any, device: Any) -> None:
    """Have the graphs in a module make their tensors on another device than they were traced on."""
    import torch

    device = torch.device(device)
    for part in graph_modules(module):
        changed = False
        for node in part.graph.nodes:
            if isinstance(node.kwargs.get("device"), torch.device):
                node.kwargs = {**node.kwargs, "device": device}
                changed = True
            if operator_name(node) in DEVICES:
                node.args = tuple(
                    device if isinstance(each, torch.device) else each for each in node.args
                )
                changed = True
        if changed:
            part.recompile()


def drop_checks(module: Any) -> None:
    """Take out of the graphs in a module what sees to sizes, which torch 2.4 cannot trace."""
    for part in graph_modules(module):
        part._forward_pre_hooks.clear()


def _own_tensors(graph: Any) -> None:
    """Give a graph tensors of its own, on the CPU; constants become buffers, which move with it."""
    import torch

    owned: dict[int, Any] = {}

    def own(tensor: Any) -> Any:
        if id(tensor) not in owned:
            copied = tensor.detach().clone().cpu()
            if isinstance(tensor, torch.nn.Parameter):
                copied = torch.nn.Parameter(copied, requires_grad=False)
            owned[id(tensor)] = copied
        return owned[id(tensor)]

    for part in graph.modules():
        for held in (part._parameters, part._buffers):
            held.update({key: own(value) for key, value in held.items() if value is not None})
        loose = [key for key, value in vars(part).items() if isinstance(value, torch.Tensor)]
        for key in loose:
            value = vars(part).pop(key)
            part.register_buffer(key, own(value), persistent=False)


def _drop_assertions(graph: Any) -> None:
    """Take out what holds a graph to the types and the device that it was traced in."""
    for node in list(graph.graph.nodes):
        if operator_name(node) == "aten::_assert_tensor_metadata":
            graph.graph.erase_node(node)
    graph.recompile()


def _make_module(graph: Any, program: Any) -> Any:
    """Return a module that is given its pictures as a model is: by position, however many."""
    import torch
    from torch.utils._pytree import tree_map, tree_unflatten

    spec, most = program.call_spec.in_spec, most_at_once(program)

    class Program(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.graph = graph

        def forward(self, pictures: Any) -> Any:
            if most is None or len(pictures) <= most:
                return self.run(pictures)
            parts = [self.run(part) for part in pictures.split(most)]
            return tree_map(lambda *pieces: torch.cat(pieces), *parts)

        def run(self, pictures: Any) -> Any:
            arguments, keywords = tree_unflatten([pictures], spec)
            return self.graph(*arguments, **keywords)

        def train(self, mode: bool = True) -> Any:
            return self  # it has one mode, that of its export

    return Program()
