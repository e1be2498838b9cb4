"""`intgrad info`: what an archive says of itself, and what runs models here."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..attribution.info import torch_version, versions
from ..images.transform import ImageTransform
from ..models.archive import FORMATS
from ..models.torch.backend import describe_backend
from . import archives
from .telling import say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what `intgrad info` takes."""
    parser.add_argument(
        "model",
        type=Path,
        nargs="?",
        help="a TorchScript archive or a .pt2; without it: what runs models here",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command; what it raises, `main` tells."""
    if options.model is None:
        backend = describe_backend()  # which imports torch
        print(_to_json(versions() | torch_version() | {"backend": backend}))
        return
    described = archives.describe(options.model)
    metadata = described.metadata
    if metadata is None:
        say(
            f"{options.model}: a {FORMATS[described.format]} without intgrad.json, which does not"
            " say how it is used: give --preprocess, --size and --scores to intgrad explain"
            f" (preprocess, input_size and scores to intgrad.load_model), {archives.ADVICE}"
        )
        return
    labels = metadata.get("labels")
    if labels and len(labels) > 10:
        metadata["labels"] = [*labels[:5], f"... {len(labels) - 6} more ...", labels[-1]]
    metadata["preprocess"] = describe_preprocessing(metadata.get("preprocess"))
    if "transform" in metadata:
        metadata["transform"] = describe_transform(metadata["transform"])
    print(_to_json(metadata))


def _to_json(metadata: dict[str, Any]) -> str:
    """Return JSON that can be printed, with escapes for letters only where they cannot."""
    text = json.dumps(metadata, indent=2, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(metadata, indent=2)
    return text


def describe_transform(fields: Any) -> str:
    """Say in words how a photograph becomes a picture of the model's."""
    if fields is None:
        return "not said: photographs are resized by nearest neighbour"
    transform = ImageTransform.from_dict(fields)
    size, crop = transform.resize_size, " x ".join(map(str, transform.crop_size))
    if size is None:
        return f"the middle {crop}"
    how = transform.interpolation + ("" if transform.antialias else ", not antialiased")
    if isinstance(size, int):
        resized = f"the shorter side to {size}"
    else:
        verb = {"cover": "to cover ", "contain": "to fit into "}.get(transform.resize_mode, "to ")
        resized = verb + " x ".join(map(str, size))
    return f"resized {resized} ({how})" + (
        "" if size == transform.crop_size else f", the middle {crop}"
    )


def describe_preprocessing(affine: Any) -> str:
    """Say in words what the graph does to pixels first: `pixels * scale + offset`."""
    try:
        scales, offsets = affine["scale"], affine["offset"]
        place = "in the graph" + (", then BGR" if affine.get("channel_order") == "BGR" else "")
        if not scales:
            return "none: the network takes pixels 0..255"
        if len(scales) == len(offsets) == 1:
            return f"pixels / {1 / scales[0]:.6g} {_signed(offsets[0])}, {place}"
        means = [-offset / (255 * scale) for scale, offset in zip(scales, offsets, strict=True)]
        deviations = [1 / (255 * scale) for scale in scales]
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return "in the graph, not recorded"
    return f"(pixels / 255 - {_list(means)}) / {_list(deviations)}, {place}"


def _signed(number: float) -> str:
    return f"{'-' if number < 0 else '+'} {abs(number):.6g}"


def _list(numbers: list[float]) -> str:
    return f"[{', '.join(f'{number:.4g}' for number in numbers)}]"
