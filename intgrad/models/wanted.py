"""What `load_model` and `save_model` are asked for, checked as far as that goes without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .model import Backend, Precision

Score = Callable[[Any], Any]
"""A number that is explained, of what a module returns."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Arguments of those functions, by their names; those that have a default only load."""

    device: Any = None
    preprocess: Any
    labels: tuple[str, ...] | None
    input_size: tuple[int, int] | None
    scores: str | None
    sha256: str | None = None
    precision: Precision = "ieee"
    channels: int | None
    multilabel: bool | None
    backend: Backend | None = None
    score: Score | None = None

    def only_of_torch(self) -> list[str]:
        """Return the names of what is given and means nothing to a callable."""
        return [
            name
            for name, value in vars(self).items()
            if name not in ("labels", "input_size")
            and value is not None
            and (name != "precision" or value != "ieee")
        ]
