"""Whether a module hands values of its pixels to Python: numbers, branches, NumPy arrays.

A trace would keep what they were for its example; and such a module may look at a batch as a whole,
so that it is run with one picture at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

# In eager mode sizes are numbers already, so that only values pass through these operators.
OPERATORS = ("_local_scalar_dense", "equal", "is_nonzero")
# These hand out memory, which only a tracer is told of.
ARRAYS = re.compile("Converting a tensor to a (NumPy array|Python list)")


@contextmanager
def watching() -> Iterator[list[str]]:
    """Note the operators that hand values to Python while the block runs."""
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[str] = []

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            name = operator.overloadpacket.__name__
            if name in OPERATORS:
                seen.append(name)
            return operator(*args, **(kwargs or {}))

    with Watch():  # type: ignore[no-untyped-call]
        yield seen


def are_told(warnings: Iterable[Any]) -> bool:
    """Say whether a tracer's warnings tell of arrays or lists made of values."""
    return any(ARRAYS.search(str(each.message)) for each in warnings)
