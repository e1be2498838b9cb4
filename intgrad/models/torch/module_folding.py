"""Batch norms folded into the convolutions before them, as freezing does with a graph's.

Which convolution a batch norm follows, and whether anything else looks at what lies between, is
seen when the module runs: by its operators, so that modules of any class fold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .folding import Norm, fold_weights, name_arguments
from .storages import address_of, find_tensors


def fold_modules(module: Any, run: Callable[[], Any]) -> int:
    """Fold the batch norms of a module of ours, and lay its convolutions' weights channels last.

    `run` runs the module on a picture. Folding is exact but for rounding where the module does the
    same for every picture; `load_model` compares it with the module.

    Returns
    -------
    int
        How many were folded.
    """
    owners = _find_owners(module)
    seen = _watch(run, owners)
    stand_ins: dict[int, Any] = {}
    for found in seen:
        convolution = owners.get(found.weight)
        norm = owners.get(found.norm) if found.norm is not None else None
        instead = _without_norm(norm) if convolution and norm else None
        if instead is not None and _fold(convolution, norm, found.is_transposed):
            stand_ins[id(norm)] = instead
    _replace(module, stand_ins)
    for found in seen:
        _lay_out(owners[found.weight])
    return len(stand_ins)


@dataclass
class _Convolution:
    """One that was seen: the addresses of its weight, and of the weights of the norm after it."""

    weight: int
    is_transposed: bool
    norm: int | None = None


def _watch(run: Callable[[], Any], owners: dict[int, Any]) -> list[_Convolution]:
    """Run, and return the convolutions of modules whose weights are used once."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    uses: Counter[int | None] = Counter()  # of parameters
    readers: dict[int | None, list[int | None]] = {}  # of what convolutions gave: norms, or None
    made: dict[int | None, _Convolution] = {}
    kept: list[Any] = []  # so that no address is another's later

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            named = name_arguments(operator, args, kwargs or {})
            result = operator(*args, **(kwargs or {}))
            norm = _norm_of(operator, named)
            for each in find_tensors((args, kwargs)):
                address = address_of(each)
                uses[address] += 1
                if address in made:
                    is_input = norm is not None and each is named["input"]
                    readers[address].append(norm if is_input else None)
            if operator.overloadpacket.__name__ == "convolution":
                weight = address_of(named["weight"])
                if weight is not None and weight in owners:
                    out = address_of(result)
                    made[out] = _Convolution(weight, bool(named["transposed"]))
                    readers[out] = []
                    kept.append(result)
            return result

    with torch.no_grad(), Watch():  # type: ignore[no-untyped-call]
        kept.append(run())
    for out, convolution in made.items():
        if len(readers[out]) == 1 and uses[convolution.weight] == 1:
            norm = readers[out][0]
            convolution.norm = norm if norm is not None and uses[norm] == 1 else None
    return [each for each in made.values() if uses[each.weight] == 1]


def _norm_of(operator: Any, named: dict[str, Any]) -> int | None:
    """Return the address of the running mean of a batch norm in evaluation mode; else None."""
    if "batch_norm" not in operator.overloadpacket.__name__ or named.get("training"):
        return None
    mean = named.get("running_mean")
    return None if mean is None else address_of(mean)


def _find_owners(module: Any) -> dict[int, Any]:
    """Return the modules by the addresses of their weights, or of their running means.

    Those that share them with another, compute them or are watched by hooks are left out.
    """
    from torch import nn

    owners: dict[int, Any] = {}
    shared = set()
    for part in module.modules():
        for name, tensor in _own_tensors(part):
            address = address_of(tensor)
            if address is None:
                continue
            if address in owners:
                shared.add(address)
            is_norm = isinstance(part, nn.modules.batchnorm._BatchNorm)
            is_convolution = isinstance(part, nn.modules.conv._ConvNd)
            wanted = "running_mean" if is_norm else "weight" if is_convolution else None
            owners[address] = part if name == wanted and not _has_hooks(part) else None
    return {key: part for key, part in owners.items() if part is not None and key not in shared}


def _own_tensors(part: Any) -> Iterator[tuple[str, Any]]:
    yield from part.named_parameters(recurse=False)
    yield from part.named_buffers(recurse=False)


def _has_hooks(part: Any) -> bool:
    return any((part._forward_hooks, part._forward_pre_hooks, part._backward_hooks))


def _without_norm(norm: Any) -> Any:
    """Return what is left of a batch norm that is folded; None where nobody knows."""
    from torch import nn

    forward = type(norm).forward
    if forward in (nn.modules.batchnorm._BatchNorm.forward, nn.SyncBatchNorm.forward):
        return nn.Identity()
    if hasattr(norm, "drop") and hasattr(norm, "act"):  # timm's BatchNormAct2d
        return nn.Sequential(norm.drop, norm.act)
    return None


def _fold(convolution: Any, norm: Any, is_transposed: bool) -> bool:
    """Put a batch norm into a convolution's weights; say whether that could be done."""
    if "bias" not in convolution._parameters or convolution.weight.dtype != norm.running_mean.dtype:
        return False
    folded = fold_weights(
        convolution.weight,
        convolution.bias,
        Norm(norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps),
        is_transposed,
        convolution.groups,
    )
    if folded is None:
        return False
    convolution.weight, convolution.bias = (_parameter(each) for each in folded)
    return True


def _parameter(tensor: Any) -> Any:
    import torch

    return torch.nn.Parameter(tensor, requires_grad=False)


def _lay_out(convolution: Any) -> None:
    import torch

    weight = convolution.weight
    if weight.dim() == 4:
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def _replace(module: Any, stand_ins: dict[int, Any]) -> None:
    for part in module.modules():
        for name, child in part.named_children():
            if id(child) in stand_ins:
                setattr(part, name, stand_ins[id(child)])
