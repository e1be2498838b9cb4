"""`intgrad convert`: a Keras Xception in, a TorchScript archive or a `.pt2` out."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from .._files import check_destination
from .._optional import require
from .archives import add_labels_option, read_labels
from .telling import say

IMAGENET = "imagenet"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what `intgrad convert` takes."""
    parser.add_argument(
        "source", help="a .keras, .weights.h5 or .h5 file, or 'imagenet' for Keras's own weights"
    )
    parser.add_argument(
        "out",
        type=Path,
        help="the archive to write: a .pt2 of torch.export if it ends so, else TorchScript",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="with 'imagenet': Keras's file, fetched by other means, instead of a download",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="what the archive will take (default: the model's own, or 299 299)",
    )
    add_labels_option(parser)
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

    check_destination(options.out)
    labels = read_labels(options.labels)
    source = options.source
    if options.weights is not None and source != IMAGENET:
        raise ValueError(f"--weights is for 'imagenet', and {source!r} was to be converted")
    if source == IMAGENET:
        source = _check_weights(options.weights) or xception.download_imagenet_weights()
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
    say(f"{options.out}: Xception, {size} pixels -> {metadata['scores']}")


def _check_weights(file: Path | None) -> Path | None:
    """Return the file, having seen that it is Keras's."""
    from ..xception.imagenet import IMAGENET_HASH, IMAGENET_URL

    if file is None:
        return None
    kind, _, expected = IMAGENET_HASH.partition(":")
    found = hashlib.new(kind, file.read_bytes(), usedforsecurity=False).hexdigest()
    if found != expected:
        raise ValueError(
            f"{str(file)!r} is not Keras's {IMAGENET_URL.rpartition('/')[2]}: its {kind} is"
            f" {found}, expected {expected}. Without --weights, convert takes weights of your own"
        )
    return file
