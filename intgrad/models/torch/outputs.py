"""The scores in what a torch module returns, and F of them."""

from __future__ import annotations

from typing import Any

from ..._core import ModelError
from ..model import Output

WRAPPER = (
    "class Scores(torch.nn.Module):\n"
    "    def __init__(self, model): super().__init__(); self.model = model\n"
    "    def forward(self, x): return {}"
)
"""What makes a model of one that returns something else; {} is an expression."""


def find_scores(result: Any, count: int) -> tuple[Any, str]:
    """Find the tensor of scores (n, K) in what a module returned for `count` images.

    Takes a tensor; `.logits` or the entry "logits" of a dict, an object or a named tuple; and the
    one tensor of scores in a dict, an object, such as a dataclass, a tuple or a list.

    Returns
    -------
    (torch.Tensor, str)
        The scores in float32, and the key or index that they are at, "" for a tensor.

    Raises
    ------
    ModelError
        If there are none or several; the text holds the code that makes them one.
    """
    import torch

    parts = _parts(result)
    if parts is None:
        scores, place = result, ""
    elif isinstance(parts.get("logits"), torch.Tensor):
        scores, place = parts["logits"], "logits"
    else:
        found = [key for key, part in parts.items() if _is_scores(part, count)]
        if len(found) != 1:
            raise ModelError(_say_ambiguous(result, count))
        scores, place = parts[found[0]], found[0]
    _check_scores(scores, count)
    if isinstance(result, tuple) and parts is not None:  # a graph knows its fields by number
        place = str(list(parts).index(place))
    return scores.float(), place


def give_scores(module: Any, points: Any) -> Any:
    """Return a module that returns a tensor of scores, where this one returns a container.

    What it is made of may belong to a library that whoever loads an archive has not imported.
    """
    import torch

    _, place = find_scores(module(points), len(points))
    if not place:
        return module

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, x: Any) -> Any:
            return find_scores(self.model(x), x.shape[0])[0]  # len() would fix the number

    return Scores()


def apply_output(scores: Any, are_probabilities: bool, output: Output) -> Any:
    """Return F of every class: what `apply_output` of csrc/torch/torch_backend.cpp returns."""
    import torch

    if are_probabilities:
        return torch.log(scores) if output == "log_softmax" else scores
    if output == "softmax":
        return torch.softmax(scores, 1)
    if output == "log_softmax":
        return torch.log_softmax(scores, 1)
    return torch.sigmoid(scores) if output == "sigmoid" else scores


def _parts(result: Any) -> dict[str, Any] | None:
    """Return what a container holds, by name; None if it is no container."""
    import torch

    if hasattr(result, "keys") and hasattr(result, "__getitem__"):
        return {str(key): result[key] for key in result.keys()}  # noqa: SIM118  (not only dicts)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        fields: Any = result
        return dict(zip(fields._fields, fields, strict=True))
    if isinstance(result, tuple | list):
        return {str(index): part for index, part in enumerate(result)}
    if hasattr(result, "__dict__") and not isinstance(result, torch.Tensor):  # dataclasses too
        return dict(vars(result))
    return None


def _is_scores(part: Any, count: int) -> bool:
    import torch

    return (
        isinstance(part, torch.Tensor)
        and part.is_floating_point()
        and part.dim() == 2
        and part.shape[0] == count
    )


def _check_scores(scores: Any, count: int) -> None:
    import torch

    if not isinstance(scores, torch.Tensor):
        raise ModelError(
            f"the model must return one tensor of scores, got {type(scores).__name__}: return what"
            " its last layer gave, of shape (n, number of classes)"
        )
    shape = tuple(scores.shape)
    if scores.dim() != 2 or shape[0] != count or not shape[1]:
        raise ModelError(
            f"the model must return scores of shape ({count}, number of classes), got"
            f" {shape}{_mend_shape(shape, count)}"
        )
    if not scores.is_floating_point():
        raise ModelError(f"the model must return real scores, got {scores.dtype}")


def _mend_shape(shape: tuple[int, ...], count: int) -> str:
    """Return the remedy for a shape that has an obvious one."""
    if not shape or shape[0] != count:
        return ""
    if len(shape) == 1:
        remedy = "self.model(x).unsqueeze(1)"
        why = (
            "one number an image, as of a regression: load_model(score=lambda y: y) explains it as"
            " it is, and with this it is the logit of one class"
        )
    elif len(shape) == 2:
        return ""
    else:
        axes = tuple(range(2, len(shape)))
        remedy = f"self.model(x).sum({axes})"
        kept = tuple(range(1, len(shape) - 1))
        why = (
            "scores of every pixel, as of a segmentation: sum those that you ask about, or pass"
            f" load_model(score=lambda y: y[:, 0].mean({kept})), of class 0"
        )
    return f" ({why}):\n{WRAPPER.format(remedy)}"


def _say_ambiguous(result: Any, count: int) -> str:
    access = _find_access(result, count) or ".logits"
    return (
        f"the model must return one tensor of scores, got {describe_result(result)}; say which:\n"
        f"{WRAPPER.format(f'self.model(x){access}')}"
    )


def describe_result(result: Any) -> str:
    """Say what a module returned: a tensor of some shape, or a container and what it holds."""
    kind, parts = type(result).__name__, _parts(result)
    if parts is None:
        shape = getattr(result, "shape", None)
        return f"a {kind}" if shape is None else f"a {kind} of shape {tuple(shape)}"
    held = ", ".join(f"{key}: {_describe(part)}" for key, part in parts.items())
    return f"a {kind} of {len(parts)} ({held})"


def _find_access(result: Any, count: int) -> str:
    """Return the code after `result` that gets the first scores in it, or whatever is first."""
    parts = _parts(result) or {}
    within = {
        key: part for key, part in parts.items() if _is_scores(part, count) or _holds(part, count)
    }
    key = next(iter(within or parts), None)
    if key is None:
        return ""
    if isinstance(result, tuple | list) and key.isdigit():
        access = f"[{key}]"
    else:
        access = f"[{key!r}]" if hasattr(result, "keys") else f".{key}"
    return access + (_find_access(within[key], count) if key in within else "")


def _holds(part: Any, count: int) -> bool:
    """Say whether there are scores somewhere in a container."""
    parts = _parts(part) or {}
    return any(_is_scores(each, count) or _holds(each, count) for each in parts.values())


def _describe(part: Any) -> str:
    shape = getattr(part, "shape", None)
    return type(part).__name__ if shape is None else str(tuple(shape))
