"""Numbers that are options."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def check_number(
    value: Any, name: str, *, least: float = 0.0, most: float = math.inf, meaning: str = ""
) -> float:
    """Return a positive number, or raise a TypeError or ValueError that quotes it.

    Parameters
    ----------
    least, most : float
        The smallest, where it is not anything above 0, and the largest that make sense.
    meaning : str
        What it is, to be told where it is wrong.
    """
    if isinstance(value, bool | np.bool_ | str):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if 0 < number < math.inf and least <= number <= most:
        return number
    limit = f" up to {most:g}" if most < math.inf else ""
    kind = f"number from {least:g}" if least else "positive number"
    raise ValueError(f"{name} must be a {kind}{limit}{meaning}, got {value!r}")


def check_fraction(value: Any, name: str) -> float:
    """Return a number in [0, 1], or raise a TypeError or ValueError that quotes it."""
    try:
        if isinstance(value, bool | np.bool_ | str):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number in 0..1, got {value!r}") from None
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be in 0..1, got {value!r}")
    return number


def check_fractions(values: Any, name: str) -> list[float]:
    """Return numbers in [0, 1] that ascend, or raise a TypeError or ValueError that quotes them."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise TypeError(f"{name} must be a list of numbers in 0..1, got {values!r}")
    found = [check_fraction(value, name) for value in values]
    if not found or sorted(set(found)) != found:
        raise ValueError(f"{name} must ascend, and be one or more, got {values!r}")
    return found
