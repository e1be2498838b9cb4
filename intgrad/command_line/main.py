"""The command line: intgrad convert, intgrad info, intgrad explain."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .._optional import require
from .._version import __version__
from ..attribution.baselines import NAMES
from ..attribution.plan import RULES
from ..models.archive import check_archive
from ..models.model import OUTPUTS

EXAMPLES = """examples:
  intgrad convert imagenet xception.pt          download Keras's ImageNet Xception (88 MB)
  intgrad convert my_xception.keras model.pt --labels cat,dog
  intgrad info model.pt
  intgrad explain photo.jpg --model model.pt --target cat --out explained
"""
EXPLAIN_EXAMPLES = """examples:
  intgrad explain photo.jpg --model model.pt
  intgrad explain photos --model model.pt --tolerance 0.05 --score logit --out explained
  intgrad explain 'photos/**/*.jpg' more/photo.png --model model.pt --target cat --baseline blur
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (OSError, ValueError, TypeError, IndexError, ImportError, MemoryError) as error:
        print(f"intgrad: {_describe(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("intgrad: interrupted", file=sys.stderr)
        return 130


def _describe(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no file {str(error.filename)!r}"
    return str(error) or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="intgrad",
        description="Which pixels made the score? Integrated Gradients for image classifiers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"intgrad {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_convert(commands.add_parser("convert", help="write a Keras Xception as TorchScript"))
    _add_info(commands.add_parser("info", help="say what an archive holds"))
    _add_explain(commands.add_parser("explain", help="draw which pixels made the score"))
    return parser


# ---- convert -------------------------------------------------------------------------------------


def _add_convert(parser: argparse.ArgumentParser) -> None:
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
    parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
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


# ---- info ----------------------------------------------------------------------------------------


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a TorchScript archive")
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> None:
    metadata = check_archive(options.model.read_bytes(), str(options.model), None)
    if metadata is None:
        print(
            f"{options.model}: a TorchScript archive without intgrad.json; load_model needs to be"
        )
        print("told its preprocess, input_size and scores")
        return
    labels = metadata.get("labels")
    if labels and len(labels) > 10:
        metadata["labels"] = [*labels[:5], f"... {len(labels) - 6} more ...", labels[-1]]
    print(json.dumps(metadata, indent=2, ensure_ascii=False))


# ---- explain -------------------------------------------------------------------------------------


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "For every photograph: OUT/NAME.png, OUT/NAME.npz and a line in OUT/explained.jsonl. The"
        " same command goes on where it was stopped. The exit status is 1 if any failed."
    )
    parser.epilog = EXPLAIN_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="photographs, folders of them, or patterns such as 'photos/**/*.jpg'",
    )
    parser.add_argument("--model", type=Path, required=True, help="from intgrad convert")
    parser.add_argument("--target", help="class index or label (default: each one's top class)")
    exactness = parser.add_mutually_exclusive_group()
    exactness.add_argument(
        "--steps", type=int, default=50, help="intervals of the path (default: 50)"
    )
    exactness.add_argument(
        "--tolerance", type=float, help="relative error to reach instead, 0.05 for 5 %%"
    )
    parser.add_argument(
        "--baseline",
        type=_parse_baseline,
        default="black",
        help=f"{', '.join(NAMES)} or a number (default: black)",
    )
    parser.add_argument(
        "--score", choices=OUTPUTS, default="softmax", help="what is explained (default: softmax)"
    )
    parser.add_argument("--rule", choices=RULES, default="trapezoid")
    parser.add_argument("--batch-size", type=int, help="points at once (default: what fits)")
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: CUDA if there is one)")
    parser.add_argument("--seed", type=int, help="for the baseline 'uniform'")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("explained"),
        help="folder of the results (default: explained)",
    )
    parser.set_defaults(run=_explain)


def _parse_baseline(text: str) -> str | float:
    if text in NAMES:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number nor one of {', '.join(NAMES)}"
        ) from None


def _explain(options: argparse.Namespace) -> int:
    from .explain import explain

    return explain(options)
