"""A number that is explained instead of a class: any function of what a module returns."""

from __future__ import annotations

from typing import Any

from ..._core import ModelError
from ..wanted import Score
from .errors import is_short_memory
from .outputs import describe_result


class ScoreError(ModelError):
    """What is wrong with the function that the user calls a score, and not with the picture."""


def check_score(score: Any, scores: Any, multilabel: Any, backend: Any) -> None:
    """Raise a TypeError or ValueError if `score` is none, or something contradicts it."""
    if not callable(score):
        raise TypeError(
            "score must be a function of what the module returns for n images, to n numbers, got"
            f" {score!r}"
        )
    given = {"scores": scores, "multilabel": multilabel}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name}={value!r} says what classes' scores are, and score={name_score(score)}"
                f" gives its own: leave out {name}"
            )
    if backend == "libtorch":
        raise ValueError("score= is a function in Python, which backend='libtorch' cannot run")


def name_score(score: Score) -> str:
    """Return what a score is called."""
    function = getattr(score, "func", score)  # of a functools.partial
    return str(getattr(function, "__name__", type(function).__name__))


def add_score(module: Any, score: Score) -> Any:
    """Return a module that returns scores (n, K): `score` of what this one returns."""
    import torch

    name = name_score(score)

    class Scored(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, x: Any) -> Any:
            returned = self.model(x)
            try:
                values = score(returned)
            except Exception as error:
                if is_short_memory(error):
                    raise
                raise ScoreError(
                    f"score={name} failed on what the module returned, {describe_result(returned)}:"
                    f" {type(error).__name__}: {error}"
                ) from error
            if not isinstance(values, torch.Tensor):
                raise ScoreError(f"score={name} must return a tensor, got {type(values).__name__}")
            if values.dim() not in (1, 2) or len(values) != len(x):
                raise ScoreError(
                    f"score={name} must return one number of each image, of shape ({len(x)},), got"
                    f" {tuple(values.shape)}: reduce over all axes but the first, as .mean((1, 2))"
                )
            if not values.is_floating_point():
                raise ScoreError(
                    f"score={name} must return real numbers, whose gradient explains them, got"
                    f" {values.dtype}: what argmax and comparisons give has none; softmax or"
                    " sigmoid may stand in their place"
                )
            return values if values.dim() == 2 else values[:, None]

    Scored.__name__ = type(module).__name__  # what errors call it
    scored = Scored()
    scored.training = False  # the module's own mode stays
    return scored
