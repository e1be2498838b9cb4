"""The tensors in what operators take and give, known by their memory.

Memory and not tensors, because operators are given views, and a view may be written to.
"""

from __future__ import annotations

from typing import Any


def find_tensors(values: Any) -> list[Any]:
    """Return the tensors in nested lists, tuples and dicts."""
    import torch
    from torch.utils._pytree import tree_leaves

    return [each for each in tree_leaves(values) if isinstance(each, torch.Tensor)]


def address_of(tensor: Any) -> int | None:
    """Return which memory is a tensor's; None of one that has none, such as a sparse one.

    Another's may have it later, once nobody holds the tensor or its storage.
    """
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:
        return None
