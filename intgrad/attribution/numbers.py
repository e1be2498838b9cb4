"""Numbers that are options."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def check_number(value: Any, name: str, most: float = math.inf, meaning: str = "") -> float:
    """Return a positive number, or raise a TypeError or ValueError that quotes it.

    Parameters
    ----------
    most : float
        The largest that makes sense.
    meaning : str
        What it is, to be told where it is wrong.
    """
    if isinstance(value, bool | np.bool_ | str):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if 0 < number <= most and number < math.inf:
        return number
    limit = f" up to {most:g}" if most < math.inf else ""
    raise ValueError(f"{name} must be a positive number{limit}{meaning}, got {value!r}")
