"""How many channels a model's pictures have: what it is told, or what it is found to run on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from ..._core import ModelError
from ..facts import Facts
from .autograd import Affine, Autograd
from .errors import first_line
from .score import ScoreError

COMMON = (3, 1, 4)
"""What every model is tried with, in this order."""
WANTS = re.compile(r"to have (\d+) channels")
SIZES = re.compile(r"shape|size|dimension|cannot be multiplied", re.IGNORECASE)
IN_PLACE = "leaf Variable that requires grad"


def find_channels(eager: Autograd, facts: Facts, affine: Affine) -> int:
    """Return the number of channels that a module runs on.

    Raises
    ------
    ModelError
        If it does not run; the text says what it ran into.
    """
    failures: dict[int, Exception] = {}
    candidates = _candidates(eager.module, affine, facts.channels)
    while (channels := next((n for n in candidates if n not in failures), None)) is not None:
        try:
            eager.check_runs(channels, facts.input_size)
            return channels
        except ScoreError:
            raise
        except Exception as error:  # a module's own, whatever it raises
            failures[channels] = error
            wanted = WANTS.search(str(error))
        if wanted and facts.channels is None:
            candidates = chain([int(wanted[1])], candidates)
    telling = [error for error in failures.values() if not WANTS.search(str(error))]
    first = (telling or list(failures.values()))[0]
    raise _explain(first, facts, list(failures)) from first


def _candidates(module: Any, affine: Affine, told: int | None) -> Iterator[int]:
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
            return  # the first layer's: what follows has channels of its own


def _explain(error: Exception, facts: Facts, tried: list[int]) -> ModelError:
    text = str(error) if isinstance(error, ModelError) else first_line(error)
    if IN_PLACE in text:
        return ModelError(f"{facts.name} changes its input in place: start it with x = x.clone()")
    if isinstance(error, ModelError) and text.startswith("the model must"):
        return ModelError(f"{facts.name} cannot be explained: {text}")
    height, width = facts.input_size
    doubt = ""
    if SIZES.search(text):
        counts = ", ".join(map(str, tried))
        doubt = f"; is input_size right? It was tried with channels={counts}"
    return ModelError(
        f"{facts.name} does not run on an image of {height} x {width} (height x width{doubt}):"
        f" {text}"
    )
