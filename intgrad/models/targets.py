"""Targets: which class scores are explained."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Targets = npt.NDArray[np.int64]

MOST_NAMED = 10
"""How many labels an error holds at most."""


def resolve_targets(
    targets: Any, image_count: int, labels: Sequence[str] | None, num_classes: int | None
) -> tuple[Targets, bool]:
    """Turn what the user gave into class indices.

    Parameters
    ----------
    targets : int, str or (nested) sequence of them
        One for all images; one per image; or T per image. A str is a label; where there are none,
        an index as text.
    image_count, labels, num_classes
        N, and what the model knows of its classes (None: unknown).

    Returns
    -------
    (numpy.ndarray, bool)
        (N, T) int64, and whether T targets per image were asked for (False: T is 1).

    Raises
    ------
    TypeError
        If a target is neither an int nor a label.
    IndexError
        If the model has no such class.
    ValueError
        If a label is unknown or ambiguous, or the number of targets is not that of the images.
    """
    if is_target(targets):
        index = _class_index(targets, labels, num_classes)
        return np.full((image_count, 1), index, np.int64), False
    rows = _to_list(targets)
    if len(rows) != image_count:
        several = f"; for several classes of one image: [{rows!r}]" if image_count == 1 else ""
        raise ValueError(
            f"targets must be one class for all, or one entry for each of the {image_count}"
            f" image{'s' * (image_count != 1)}, got {len(rows)} entries: {targets!r}{several}"
        )
    nested = [not is_target(row) for row in rows]
    lists = [_to_list(row) if many else [row] for row, many in zip(rows, nested, strict=True)]
    if any(nested) != all(nested) or len({len(row) for row in lists}) != 1 or not lists[0]:
        raise ValueError(
            f"targets must give every image equally many classes, at least one, got {targets!r}"
        )
    indices = [[_class_index(target, labels, num_classes) for target in row] for row in lists]
    return np.array(indices, np.int64), any(nested)


def is_target(value: Any) -> bool:
    """Say whether a value stands for one class, and is no list of them."""
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return True
    return getattr(value, "ndim", None) == 0


def _to_list(value: Any) -> list[Any]:
    if isinstance(value, dict | set):
        raise TypeError(f"targets must be ints, labels or lists of them, got {value!r}")
    return list(value)


def _class_index(target: Any, labels: Sequence[str] | None, num_classes: int | None) -> int:
    if getattr(target, "ndim", None) == 0:
        target = target.item()  # of an array or tensor, a label perhaps
    if isinstance(target, str) and labels is None and target.isdecimal():
        target = int(target)  # so does `Model.top` call classes without labels
    if isinstance(target, str):
        return _label_index(target, labels)
    try:
        if isinstance(target, bool | np.bool_):
            raise TypeError
        index = int(target.__index__())
    except (TypeError, AttributeError):
        raise TypeError(f"a target must be an int or a label, got {target!r}") from None
    # Without a number of classes the core finds out at the first batch; int64 is its limit.
    limit = num_classes if num_classes is not None else 2**63
    if not 0 <= index < limit:
        known = (
            f"the model has {limit} classes, 0 to {limit - 1}" if num_classes else "not an index"
        )
        raise IndexError(f"target {index} is out of range: {known}")
    return index


def _label_index(label: str, labels: Sequence[str] | None) -> int:
    if labels is None:
        raise ValueError(
            f"target {label!r} is a label, but the model has none: give an index, or"
            " load_model(..., labels=[...])"
        )
    found = [index for index, name in enumerate(labels) if name == label]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"label {label!r} is that of classes {found}: give the index instead")
    raise ValueError(f"the model has no label {label!r}; {_propose(label, labels)}")


def _propose(label: str, labels: Sequence[str]) -> str:
    """Say which label may have been meant, or what labels there are."""
    if label.isdecimal() and int(label) < len(labels):
        return f"class {int(label)} is {labels[int(label)]!r}"
    nearest = _find_nearest(label, labels)
    if nearest:
        return f"did you mean {' or '.join(map(repr, nearest))}?"
    different = list(dict.fromkeys(labels))
    some = ", ".join(map(repr, different[:MOST_NAMED]))
    return f"there are {some}" + f" ... ({len(different)})" * (len(different) > MOST_NAMED)


def _find_nearest(label: str, labels: Sequence[str]) -> list[str]:
    """Return up to three labels: alike in letters, of which one may be a synonym, or hold it."""
    wanted = label.strip().casefold()
    meant: dict[str, str] = {}
    for name in labels:
        for synonym in (name, *name.split(",")):  # "tabby, tabby cat" is one of ImageNet's
            meant.setdefault(synonym.strip().casefold(), name)
    found = [meant[each] for each in difflib.get_close_matches(wanted, meant)]
    found += [name for name in labels if wanted and wanted in name.casefold()]
    return list(dict.fromkeys(found))[:3]
