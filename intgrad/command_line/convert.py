"""`intgrad convert`: a Keras Xception in, a TorchScript archive out."""

from __future__ import annotations

import argparse
from pathlib import Path

from .._optional import require


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what `intgrad convert` takes."""
    parser.add_argument(
        "source", help="a .keras, .weights.h5 or .h5 file, or 'imagenet' for Keras's own weights"
    )
    parser.add_argument("out", type=Path, help="the TorchScript archive to write")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="what the archive will take (default: the model's own, or 299 299)",
    )
    parser.add_argument(
        "--labels", help="class names: a list with commas, or a file with a line each"
    )
    parser.add_argument(
        "--preprocess",
        type=float,
        nargs=2,
        metavar=("SCALE", "OFFSET"),
        help="the model was trained on pixels * SCALE + OFFSET (default: 1/127.5 and -1)",
    )
    parser.add_argument(
        "--hidden-activation", help="between the dense layers of a weights-only file with several"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command; what it raises, `main` tells."""
    require("torch", "torch", "convert")
    from .. import xception

    labels = _read_labels(options.labels)
    source = options.source
    if source == "imagenet":
        source = xception.download_imagenet_weights()
        labels = labels or xception.imagenet_labels()
    metadata = xception.convert(
        source,
        options.out,
        input_size=options.size and tuple(options.size),
        labels=labels,
        hidden_activation=options.hidden_activation,
        preprocess=options.preprocess and tuple(options.preprocess),
    )
    size = " x ".join(map(str, metadata["input_size"]))
    print(f"{options.out}: Xception, {size} pixels -> {metadata['scores']}")


def _read_labels(text: str | None) -> list[str] | None:
    if text is None:
        return None
    if Path(text).is_file():
        return Path(text).read_text(encoding="utf-8").splitlines()
    return [label.strip() for label in text.split(",")]
