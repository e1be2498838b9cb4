"""What a figure holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Bar:
    """A scale of colours: a row of pixels (1, n, 3), the values at its ends, and their unit."""

    picture: Picture
    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Column:
    """Pictures (H, W, 3) below each other, a title above them, and perhaps a scale below."""

    title: str
    pictures: Sequence[Picture]
    bar: Bar | None = None


@dataclass(frozen=True)
class Key:
    """What a colour means; or only words."""

    colour: tuple[int, int, int] | None
    text: str
