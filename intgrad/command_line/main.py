"""The command line: intgrad convert, intgrad info, intgrad explain."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from .._version import __version__
from . import convert, explain, info

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
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return options.run(options) or 0
    except (OSError, ValueError, TypeError, IndexError, ImportError, MemoryError) as error:
        print(f"intgrad: {_describe(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("intgrad: interrupted", file=sys.stderr)
        return 130


def _warn(message: Warning | str, *where: Any, **line: Any) -> None:
    print(f"intgrad: warning: {message}", file=sys.stderr)


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
    convert.add_options(
        commands.add_parser("convert", help="write a Keras Xception as TorchScript")
    )
    info.add_options(commands.add_parser("info", help="say what an archive holds"))
    explain.add_options(commands.add_parser("explain", help="draw which pixels made the score"))
    return parser
