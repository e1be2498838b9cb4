"""What is said of preprocessing that nobody can know."""

from __future__ import annotations

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
