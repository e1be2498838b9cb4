"""The archive that a command works with, and what it has to be told of it."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any

from ..models.archive import Description, check_archive
from ..models.loading import load_model
from ..models.model import Model
from ..models.presets.recognising import read_json

PREPROCESSINGS = ("imagenet", "xception", "none")
ADVICE = "or write it with intgrad.save_model, which makes an archive that knows them"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what an archive without `intgrad.json` has to be told."""
    group = parser.add_argument_group(
        "models that do not say how they are used",
        "For a TorchScript archive or .pt2 that neither intgrad convert nor intgrad.save_model"
        " wrote:",
    )
    group.add_argument(
        "--preprocess",
        type=_parse_preprocess,
        metavar="HOW",
        help="what the model was trained on: imagenet, (pixels / 255 - mean) / std; xception,"
        " pixels / 127.5 - 1; none; 'SCALE OFFSET' in quotes, pixels * SCALE + OFFSET, each a"
        " number or one for every channel, as '0.02,0.02,0.02 -2,-2,-1.8'; or a file of JSON that"
        " also says how photographs are resized: transformers' preprocessor_config.json, timm's"
        " config.json, or what intgrad.load_model takes",
    )
    group.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="of what it takes, in pixels"
    )
    group.add_argument("--scores", choices=("logits", "probabilities"), help="what it gives")
    add_labels_option(group)


def add_labels_option(parser: Any) -> None:
    """Add `--labels`, to be read by `read_labels`."""
    parser.add_argument(
        "--labels", help="class names: a list with commas, or a file with a line each"
    )


def read_labels(text: str | None) -> list[str] | None:
    """Return the class names that `--labels` stands for."""
    if text is None:
        return None
    if os.path.isfile(text):
        try:
            return Path(text).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"--labels {text!r} is no text in UTF-8: {error}") from None
    return [label.strip() for label in text.split(",")]


def load(path: Path, options: argparse.Namespace) -> Model:
    """Load the model, raising what `load_model` raises, in the words of the command line."""
    given = told(options)
    missing = [option for option in ("preprocess", "size", "scores") if option not in given]
    if "size" in missing and isinstance(given.get("preprocess"), dict):
        missing.remove("size")  # it may say so; load_model sees whether it does
    if missing and read_metadata(path) is None:
        names = " and ".join(f"--{option}" for option in missing)
        raise ValueError(
            f"{str(path)!r} holds no intgrad.json that says how it is used: give {names}, {ADVICE}"
        )
    return load_model(path, **arguments_of(options))


def arguments_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `load_model` is to be told."""
    given = told(options)
    return {"device": options.device, "input_size": given.pop("size", None), **given}


def told(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was said of the archive, by the names of its options."""
    facts = {
        "preprocess": options.preprocess,
        "size": options.size,
        "scores": options.scores,
        "labels": read_labels(options.labels),
    }
    return {name: value for name, value in facts.items() if value is not None}


def identify(path: Path) -> str:
    """Return what a run's records call its model: the digest of the archive."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_metadata(path: Path) -> dict[str, Any] | None:
    """Return what an archive says of itself, or None."""
    return describe(path).metadata


def describe(path: Path) -> Description:
    """Return what an archive is and says of itself, having verified it."""
    return check_archive(path.read_bytes(), repr(str(path)), None)


def _parse_preprocess(text: str) -> str | dict[str, Any] | list[list[float]]:
    """Return a name, what a file holds, or the scales and the offsets."""
    if text in PREPROCESSINGS:
        return text
    if os.path.exists(text) or text.endswith(".json"):
        try:
            return dict(read_json(text))
        except (OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    try:
        scale, offset = ([float(each) for each in part.split(",")] for part in text.split())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither {', '.join(PREPROCESSINGS)} nor 'SCALE OFFSET', two numbers (or"
            " two lists with commas, one number for each channel) in one pair of quotes, nor a file"
        ) from None
    return [scale, offset]
