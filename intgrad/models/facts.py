"""What must be known of a torch model to run it: told by its archive or the user, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..images.transform import ImageTransform
from .model import check_int
from .preprocessing import FORMS


@dataclass(frozen=True)
class Facts:
    """What is known of a model before it has run.

    Attributes
    ----------
    name : str
        What messages call it.
    input_size : (int, int)
    scores : str
        "logits" or "probabilities".
    labels : tuple of str or None
    channels, multilabel : int or None, bool or None
        None: to be found.
    transform : ImageTransform or None
        What makes photographs pictures, where an archive says it.
    """

    name: str
    input_size: tuple[int, int]
    scores: str
    labels: tuple[str, ...] | None = None
    channels: int | None = None
    multilabel: bool | None = None
    transform: ImageTransform | None = None

    @property
    def are_probabilities(self) -> bool:
        """Say whether the model returns probabilities."""
        return self.scores == "probabilities"

    def update(self, channels: int | None, multilabel: bool | None) -> Facts:
        """Return these with what the user says, which must not contradict."""
        if channels is not None:
            check_int(channels, "channels")
        if multilabel is not None and not isinstance(multilabel, bool):
            raise TypeError(f"multilabel must be True, False or None, got {multilabel!r}")
        given: dict[str, Any] = {"channels": channels, "multilabel": multilabel}
        said = {name: value for name, value in given.items() if value is not None}
        for name, value in said.items():
            if getattr(self, name) not in (None, value):
                raise ValueError(f"{self.name} has {name}={getattr(self, name)}, got {value}")
        return replace(self, **said)


def check_kind(scores: Any) -> None:
    """Raise a ValueError if `scores` is no kind of scores."""
    if scores not in ("logits", "probabilities"):
        raise ValueError(
            f"scores must be 'logits' or 'probabilities', got {scores!r}: any other number, as a"
            " regression's, is explained by score= in its place"
        )


def check_labels(labels: Any) -> tuple[str, ...]:
    """Return labels as a tuple, or raise a TypeError."""
    if isinstance(labels, Mapping):
        raise TypeError(
            "labels must be a sequence of str, in the order of the classes, got a"
            f" {type(labels).__name__}: if its keys are their numbers, [labels[k] for k in"
            " sorted(labels)]"
        )
    names = tuple(labels) if isinstance(labels, Iterable) else None
    if names is None or isinstance(labels, str) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"labels must be a sequence of str, got {labels!r}")
    return names


def read_facts(
    metadata: dict[str, Any] | None,
    name: str,
    preprocess: Any,
    input_size: tuple[int, int] | None,
    scores: str | None,
) -> Facts:
    """Take the facts from an archive where it holds them; what is given must not contradict."""
    if metadata is None:
        return given_facts(name, preprocess, input_size, scores)
    if preprocess is not None:
        raise ValueError(f"{name} preprocesses in its graph: leave out preprocess={preprocess!r}")
    height, width = metadata["input_size"]
    if input_size not in (None, (height, width)):
        raise ValueError(f"{name} takes input_size={(height, width)}, got {input_size}")
    if scores not in (None, metadata["scores"]):
        raise ValueError(f"{name} gives scores={metadata['scores']!r}, got {scores!r}")
    labels, transform = metadata.get("labels"), metadata.get("transform")
    return Facts(
        name,
        (height, width),
        metadata["scores"],
        tuple(labels) if labels else None,
        metadata.get("channels"),
        metadata.get("multilabel"),
        None if transform is None else ImageTransform.from_dict(transform),
    )


def given_facts(
    name: str, preprocess: Any, input_size: tuple[int, int] | None, scores: str | None
) -> Facts:
    """Return what the user says, or raise a ValueError that names what is missing."""
    if preprocess is None or input_size is None or scores is None:
        facts = {
            f"preprocess={FORMS}": preprocess,
            "input_size=(height, width)": input_size,
            "scores='logits' | 'probabilities'": scores,
        }
        missing = [text for text, value in facts.items() if value is None]
        raise ValueError(
            f"{name} does not say how it is to be used, and a guess would be a silent wrong"
            f" number: load_model needs {', '.join(missing)}. intgrad.save_model writes an archive"
            " that says so itself"
        )
    return Facts(name, input_size, scores)
