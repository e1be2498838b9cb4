"""What is said of preprocessing that nobody can know."""

from __future__ import annotations

from typing import Any

LINE = (
    "preprocess={'resize_size': 256, 'crop_size': 224, 'interpolation': 'bilinear',"
    " 'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224, 0.225]}"
)


def refuse(what: str) -> ValueError:
    """Return an error that holds the line to write instead."""
    return ValueError(
        f"{what}: say what the deployed model sees, such as {LINE} (load_model has all that it may"
        " hold)"
    )


def name_step(step: Any) -> str:
    """Return a step as it prints, in a line that is not too long."""
    text = " ".join(repr(step).split())
    return text if len(text) <= 120 else f"{text[:117]}..."
