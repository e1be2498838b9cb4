"""Batch normalisation in evaluation mode, folded into the layer before it.

It multiplies every channel by a number and adds one, which the weights and the bias of a
convolution or a linear layer can do as well.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .graphs import graph_modules, operator_name

NORMS = {
    f"aten::{name}"
    for name in (
        "batch_norm",
        "native_batch_norm",
        "cudnn_batch_norm",
        "miopen_batch_norm",
        "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training",
        "_batch_norm_no_update",
    )
}
CONVOLUTIONS = {
    f"aten::{name}"
    for name in (
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "convolution",
    )
}


@dataclass(frozen=True)
class Norm:
    """The tensors of a batch normalisation, each of one number a channel."""

    mean: Any
    variance: Any
    scale: Any  # None: 1
    shift: Any  # None: 0
    epsilon: float


def fold_weights(
    weight: Any, bias: Any, norm: Norm, transposed: bool = False, groups: int = 1
) -> tuple[Any, Any] | None:
    """Return the weights and the bias of a layer that normalises what it gives.

    Parameters
    ----------
    weight, bias : torch.Tensor
        Of a convolution or a linear layer; the bias may be None.
    norm : Norm
    transposed : bool
        Whether the layer is a transposed convolution, whose weights are (in, out / groups, ...).
    groups : int

    Returns
    -------
    (torch.Tensor, torch.Tensor) or None
        In the type of `weight`; None if a number is too large for it. Computed in float32, or in
        float64 for weights in that, in the order that torch's freezing has, so that all ways to
        run a network round alike.
    """
    import torch

    exact = torch.promote_types(weight.dtype, torch.float32)
    wide = weight.to(exact)
    mean, variance = norm.mean.to(exact), norm.variance.to(exact)
    scale = torch.ones_like(mean) if norm.scale is None else norm.scale.to(exact)
    shift = torch.zeros_like(mean) if norm.shift is None else norm.shift.to(exact)
    start = torch.zeros_like(mean) if bias is None else bias.to(exact)
    inverse = (variance + norm.epsilon).rsqrt()
    factor = (scale * inverse).view(-1, *[1] * (weight.dim() - 1))
    shifted = (start - mean) * inverse * scale + shift
    if transposed:
        grouped = wide.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        scaled = (grouped * factor).unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    else:
        scaled = wide * factor
    folded = scaled.to(weight.dtype), shifted.to(weight.dtype)
    fits = all(torch.isfinite(each).all() for each in folded)
    return (folded[0].contiguous(), folded[1]) if fits else None


def name_arguments(operator: Any, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an operator is given, by name, defaults too."""
    schema = operator._schema.arguments
    names = [argument.name for argument in schema]
    given = {argument.name: argument.default_value for argument in schema}
    return given | dict(zip(names, args, strict=False)) | dict(kwargs)


def fold_graph(module: Any, channels_last: bool = True) -> Any:
    """Fold the batch normalisations in graphs of `torch.export`, in place; return the module.

    Layers whose output or whose weights something else uses too stay as they are.

    Parameters
    ----------
    module : torch.nn.Module
        A copy of ours, in the types that it will compute in. It may hold anything besides graphs.
    channels_last : bool
        The weights of two-dimensional convolutions get this layout.
    """
    import torch

    with torch.inference_mode(False), torch.no_grad():
        for part in graph_modules(module):
            _Folder(part).run(channels_last)
    return module


class _Folder:
    """One graph, while it is folded."""

    def __init__(self, part: Any) -> None:
        self._part, self._graph = part, part.graph
        self._uses = Counter(
            id(self._tensor(node)) for node in self._graph.nodes for _ in node.users
        )

    def run(self, channels_last: bool) -> None:
        import torch

        for node in list(self._graph.nodes):
            if operator_name(node) in NORMS:
                self._fold(node)
        for node in self._graph.nodes if channels_last else []:
            weight = self._tensor(node)
            is_weight = all(operator_name(user) in CONVOLUTIONS for user in node.users)
            if weight is not None and weight.dim() == 4 and is_weight:
                weight.data = weight.detach().contiguous(memory_format=torch.channels_last)
        self._part.recompile()

    def _fold(self, node: Any) -> None:
        """Fold one normalisation into the layer before it, if it can be."""
        given = _arguments(node)
        layer = given["input"]
        norm = self._read_norm(given)
        if norm is None or operator_name(layer) not in CONVOLUTIONS | {"aten::linear"}:
            return
        own = _arguments(layer)
        held = [own["weight"]] if own["bias"] is None else [own["weight"], own["bias"]]
        tensors = [self._tensor(each) for each in held]
        if any(each is None or self._uses[id(each)] != 1 for each in tensors):
            return
        weight, bias = tensors[0], tensors[1] if len(tensors) == 2 else None
        if (
            len(layer.users) != 1
            or not _gives_one_tensor(node)
            or any(each.dtype != weight.dtype for each in (*tensors, norm.mean))
            or not _has_rank(layer, weight.dim())  # else its channels are not where the norm's are
        ):
            return
        transposed = bool(own.get("transposed", "transpose" in operator_name(layer)))
        folded = fold_weights(weight, bias, norm, transposed, own.get("groups", 1))
        if folded is None:
            return
        weight.data = folded[0]
        if bias is not None:
            bias.data = folded[1]
        else:
            self._add_bias(layer, folded[1])
        self._replace(node, layer)

    def _read_norm(self, given: dict[str, Any]) -> Norm | None:
        """Return a normalisation by constants; None of one by its batch."""
        if given.get("training", False):
            return None
        tensors: dict[str, Any] = {}
        for name in ("running_mean", "running_var", "weight", "bias"):
            tensors[name] = self._tensor(given[name])
            if tensors[name] is None and (given[name] is not None or name.startswith("running")):
                return None
        epsilon = given["eps"] if "eps" in given else given["epsilon"]
        return Norm(
            tensors["running_mean"],
            tensors["running_var"],
            tensors["weight"],
            tensors["bias"],
            epsilon,
        )

    def _tensor(self, node: Any) -> Any:
        """Return the constant that a node stands for, or None."""
        import torch

        if getattr(node, "op", None) != "get_attr":
            return None
        value: Any = self._part
        for name in node.target.split("."):
            value = getattr(value, name, None)
        return value if isinstance(value, torch.Tensor) else None

    def _add_bias(self, layer: Any, bias: Any) -> None:
        name = f"folded_bias_of_{layer.name}"
        self._part.register_buffer(name, bias, persistent=False)
        with self._graph.inserting_before(layer):
            added = self._graph.get_attr(name)
        place = [argument.name for argument in layer.target._schema.arguments].index("bias")
        if place < len(layer.args):
            layer.update_arg(place, added)
        elif place == len(layer.args):
            layer.args = (*layer.args, added)
        else:
            layer.update_kwarg("bias", added)

    def _replace(self, node: Any, layer: Any) -> None:
        """Put a layer where its normalisation was, or the first of what that gives."""
        items = [user for user in node.users if user.target is operator.getitem]
        for each in items or [node]:
            each.replace_all_uses_with(layer)
            self._graph.erase_node(each)
        if items:
            self._graph.erase_node(node)


def _gives_one_tensor(node: Any) -> bool:
    """Say whether nobody uses the statistics that some normalisations give besides."""
    if not isinstance(node.meta.get("val"), tuple | list):
        return True
    return all(
        user.target is operator.getitem and (user.args[1] == 0 or not user.users)
        for user in node.users
    )


def _arguments(node: Any) -> dict[str, Any]:
    return name_arguments(node.target, node.args, node.kwargs)


def _has_rank(node: Any, rank: int) -> bool:
    value = node.meta.get("val")
    return value is not None and value.dim() == rank
