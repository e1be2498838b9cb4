"""How many channels a model's pictures have: what it is told, or what it is found to run on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .._core import ModelError
from .eager import Affine, Eager
from .errors import first_line

COMMON = (3, 1, 4)
"""What every model is tried with, in this order."""
FEW = range(2, 17)
WANTS = re.compile(r"to have (\d+) channels")
SIZES = re.compile(r"shape|size|dimension|cannot be multiplied", re.IGNORECASE)
IN_PLACE = "leaf Variable that requires grad"


def find_channels(
    eager: Eager, module: Any, name: str, size: tuple[int, int], affine: Affine, told: int | None
) -> int:
    """Return the number of channels that a module runs on.

    Raises
    ------
    ModelError
        If it does not run; the text says what it ran into.
    """
    failures: list[Exception] = []
    candidates = _candidates(module, size, affine, told)
    tried: set[int] = set()
    while (channels := next((each for each in candidates if each not in tried), None)) is not None:
        tried.add(channels)
        try:
            eager.check_runs(channels, size)
            return channels
        except Exception as error:  # a module's own, whatever it raises
            failures.append(error)
        wanted = WANTS.search(str(failures[-1]))
        if wanted and told is None and int(wanted[1]) not in tried:
            candidates = iter([int(wanted[1]), *candidates])
    telling = [each for each in failures if not WANTS.search(str(each))]
    raise _explain((telling or failures)[0], name, size) from failures[0]


def _candidates(
    module: Any, size: tuple[int, int], affine: Affine, told: int | None
) -> Iterator[int]:
    if told is not None:
        yield told
        return
    if len(affine[0]) > 1:
        yield len(affine[0])
        return
    yield from COMMON
    for parameter in module.parameters():
        if parameter.dim() == 4:
            yield parameter.shape[1]
        elif parameter.dim() == 2 and parameter.shape[1] % (size[0] * size[1]) == 0:
            yield max(parameter.shape[1] // (size[0] * size[1]), 1)
        if parameter.dim() in (2, 4):
            return  # the first layer's: what follows has channels of its own
    yield from FEW


def _explain(error: Exception, name: str, size: tuple[int, int]) -> ModelError:
    text = str(error) if isinstance(error, ModelError) else first_line(error)
    if IN_PLACE in text:
        return ModelError(f"{name} changes its input in place: start it with x = x.clone()")
    if isinstance(error, ModelError) and text.startswith("the model must"):
        return ModelError(f"{name} cannot be explained: {text}")
    doubt = "; is input_size right?" if SIZES.search(text) else ""
    return ModelError(
        f"{name} does not run on an image of {size[0]} x {size[1]} (height x width{doubt}): {text}"
    )
