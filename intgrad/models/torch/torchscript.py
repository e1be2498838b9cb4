"""TorchScript graphs as Python's torch runs them best: csrc/torch/graph.cpp for the other door.

A graph's nodes are changed in place, so that only graphs of ours come here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .backend import quiet_torch

KEPT = "aten::lift"
"""Freezing takes `detach` for idle and drops it, which changes the gradient. This is idle too, is
kept, and nobody writes it; load_model would see if somebody did."""


def is_graph(module: Any) -> bool:
    """Say whether a module is TorchScript."""
    import torch

    return isinstance(module, torch.jit.ScriptModule)


def find_graphs(module: Any) -> Iterator[Any]:
    """Yield a module if it is TorchScript, else the TorchScript modules in it."""
    if is_graph(module):
        yield module
    else:
        for child in module.children():
            yield from find_graphs(child)


def is_straight(module: Any) -> bool:
    """Say whether a module is a graph that has neither branches nor loops."""
    if not is_graph(module):
        return False
    graph: Any = module.inlined_graph  # not typed
    return not any(graph.findAllNodes(kind) for kind in ("prim::If", "prim::Loop"))


def find_weights(module: Any) -> list[Any]:
    """Return the arrays among a graph's constants: the weights, where it is frozen."""
    weights = (node.t("value") for node in _tensor_nodes(module.graph))
    return [weight for weight in weights if weight.dim()]


def convert(module: Any, dtype: Any, foreign: Any) -> None:
    """Bring the constants of a graph to a dtype, and its casts to `foreign`, if any, to float32.

    A number by itself takes the dtype of what it meets, and is left alone.
    """
    import torch

    graph = _inline(module)
    for node in _tensor_nodes(graph):
        value = node.t("value")
        if value.is_floating_point() and value.dim():
            node.t_("value", value.to(dtype))
    if foreign is None:
        return
    for node in _all_nodes(graph):
        if "ScalarType" not in node.schema():
            continue
        asked = node.namedInput("dtype")
        if asked.toIValue() == _number(foreign):
            graph.setInsertPoint(node)
            node.replaceInputWith(asked, graph.insertConstant(_number(torch.float32)))


def freeze(module: Any, tf32: bool) -> Any:
    """Return a graph with its weights among its constants and its batch norms folded.

    A trace holds torch's TF32 switch of the day it was made; here it is what is asked for.
    """
    import torch

    jit: Any = torch.jit  # not typed
    _rename(_inline(module), "aten::detach", KEPT)
    with quiet_torch():
        frozen = jit.freeze(module)
    graph = frozen.graph
    _rename(graph, KEPT, "aten::detach")
    for node in graph.findAllNodes("aten::_convolution"):
        graph.setInsertPoint(node)
        node.replaceInput(node.inputsSize() - 1, graph.insertConstant(tf32))
    _lay_out_weights(graph)
    return frozen


def _inline(module: Any) -> Any:
    import torch

    graph = module.graph
    torch._C._jit_pass_inline(graph)
    return graph


def _all_nodes(block: Any) -> Iterator[Any]:
    for node in list(block.nodes()):
        yield node
        for inner in node.blocks():
            yield from _all_nodes(inner)


def _tensor_nodes(graph: Any) -> list[Any]:
    nodes = graph.findAllNodes("prim::Constant")
    return [node for node in nodes if node.hasAttribute("value") and node.kindOf("value") == "t"]


def _number(dtype: Any) -> int:
    """Return what a graph knows a dtype by."""
    import torch

    numbers = {torch.float16: 5, torch.float32: 6, torch.float64: 7, torch.bfloat16: 15}
    return numbers[dtype]


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.findAllNodes(old):
        twin = graph.create(new, list(node.inputs()), 1)
        twin.insertBefore(node)
        twin.output().setType(node.output().type())
        node.output().replaceAllUsesWith(twin.output())
        node.destroy()


def _lay_out_weights(graph: Any) -> None:
    """Lay convolutions' weights out channels last."""
    import torch

    for node in _tensor_nodes(graph):
        weight = node.t("value")
        if weight.dim() == 4 and all(map(_is_convolved, node.output().uses())):
            node.t_("value", weight.contiguous(memory_format=torch.channels_last))


def _is_convolved(use: Any) -> bool:
    kinds = ("aten::conv2d", "aten::conv_transpose2d", "aten::_convolution")
    return use.offset == 1 and use.user.kind() in kinds
