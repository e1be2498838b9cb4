"""The command line: intgrad convert, info, explain, metrics, report, compare."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from .._errors import describe
from .._version import __version__
from . import compare, convert, explain, info, metrics, report
from .telling import say

EXAMPLES = """examples:
  intgrad convert imagenet xception.pt          download Keras's ImageNet Xception (88 MB)
  intgrad convert my_xception.keras model.pt --labels cat,dog
  intgrad info model.pt
  intgrad explain photo.jpg --model model.pt --target cat --out explained
  intgrad metrics explained --model model.pt --metrics deletion insertion road
  intgrad compare explained others
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    options.command = ["intgrad", *words]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return options.run(options) or 0
    except (OSError, ValueError, TypeError, IndexError, ImportError, MemoryError) as error:
        say(f"intgrad: {describe(error)}", error=True)
        return 1
    except KeyboardInterrupt:
        say("intgrad: interrupted", error=True)
        return 130


def _warn(message: Warning | str, *where: Any, **line: Any) -> None:
    say(f"intgrad: warning: {message}", error=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="intgrad",
        description="Which pixels made the score? Integrated Gradients for image classifiers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"intgrad {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    convert.add_options(
        commands.add_parser("convert", help="write a Keras Xception as TorchScript")
    )
    info.add_options(commands.add_parser("info", help="say what an archive holds"))
    explain.add_options(commands.add_parser("explain", help="draw which pixels made the score"))
    metrics.add_options(
        commands.add_parser("metrics", help="say how good the maps of a folder are, and how sure")
    )
    report.add_options(commands.add_parser("report", help="write the page of results anew"))
    compare.add_options(commands.add_parser("compare", help="show where runs disagree"))
    return parser
