"""The command line: intgrad convert, intgrad info, intgrad explain."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .archive import check_archive
from .attribution import integrated_gradients
from .images import load_image
from .info import AttributionInfo
from .loading import load_model
from .model import OUTPUTS, Model
from .plan import IMAGE_RULES, RULES
from .visualizer import GradVisualizer

EXAMPLES = """examples:
  intgrad convert imagenet xception.pt          download Keras's ImageNet Xception (88 MB)
  intgrad convert my_xception.keras model.pt --labels cat,dog
  intgrad info model.pt
  intgrad explain photo.jpg --model model.pt --target cat --out explained
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (OSError, ValueError, TypeError, IndexError, ImportError, MemoryError) as error:
        print(f"intgrad: {_describe(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("intgrad: interrupted", file=sys.stderr)
        return 130
    return 0


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
    from . import xception

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
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="photographs")
    parser.add_argument("--model", type=Path, required=True, help="from intgrad convert")
    parser.add_argument("--target", help="class index or label (default: the top class)")
    parser.add_argument("--steps", type=int, default=50, help="intervals of the path (default: 50)")
    parser.add_argument("--rule", choices=RULES, default="trapezoid")
    parser.add_argument(
        "--score", choices=OUTPUTS, default="softmax", help="what is explained (default: softmax)"
    )
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: CUDA if there is one)")
    parser.add_argument(
        "--out", type=Path, default=Path(), help="folder for IMAGE.png (default: this one)"
    )
    parser.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> None:
    model = load_model(options.model, device=options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.images:
        _explain_image(model, path, options)


def _explain_image(model: Model, path: Path, options: argparse.Namespace) -> None:
    image = load_image(path, size=model.input_size)
    ranked = model.top(image, 3)
    target = ranked[0][1] if options.target is None else options.target
    if isinstance(target, str) and target.isdecimal() and target not in (model.labels or ()):
        target = int(target)
    attributions, info = integrated_gradients(
        model,
        image,
        target,
        steps=options.steps,
        rule=options.rule,
        output=options.score,
        progress=sys.stderr.isatty(),
        error_map=options.rule == "trapezoid" and options.steps >= 2,
        gradient=options.rule in IMAGE_RULES,
        return_info=True,
    )
    gradient = info.gradient
    if gradient is None:
        gradient = model.gradients(image, info.target, output=options.score)
    name = str(info.target) if model.labels is None else model.labels[info.target]
    report = _report(info, name)
    top = ", ".join(f"{label} {probability:.1%}" for label, _, probability in ranked)
    drawn = options.out / f"{path.stem}.png"
    titles = [f"{path.name}: {name}", "Gradient", "Integrated gradients"]
    GradVisualizer().visualize(
        image,
        gradient,
        attributions,
        polarity="both",
        style="heat",
        error=info.pixel_error_map,
        figsize=(5 * (len(titles) + (info.pixel_error_map is not None)), 5.4),
        titles=titles + ["Beyond 2 sd"] * (info.pixel_error_map is not None),
        show=False,
        save=drawn,
    )
    print(f"{path.name}: {top}", *report, f"picture: {drawn}", sep="\n  ")


def _report(info: AttributionInfo, name: str) -> list[str]:
    error = "unknown for this rule" if info.error != info.error else f"{info.error:.1%}"
    return [
        f"explained: {name} ({info.output}), {info.score:.4g} here against"
        f" {info.baseline_score:.4g} on the {info.baseline} baseline",
        f"estimated error of the attributions: {error}",
        f"completeness gap: {info.delta:+.4g}, of {info.score - info.baseline_score:.4g}",
        f"time: {info.seconds:.1f} s for {info.evaluations} gradients on {info.device}",
    ]
