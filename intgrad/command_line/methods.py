"""The options of `intgrad explain` that belong to methods."""

from __future__ import annotations

import argparse
import contextlib
import math

from ..attribution.baselines import NAMES
from ..attribution.plan import RULES
from ..attribution.sampling import KINDS
from ..explaining.methods import METHODS, PLAIN


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what methods there are, and what each takes; None stands for what was not given."""
    parser.add_argument("--method", choices=METHODS, default=PLAIN, help=f"(default: {PLAIN})")
    exactness = parser.add_mutually_exclusive_group()
    exactness.add_argument("--steps", type=int, help="intervals of a path (default: 50)")
    exactness.add_argument(
        "--draws",
        type=int,
        help="gradients of expected (default: 200), images with noise of smoothgrad (default: 50)",
    )
    exactness.add_argument(
        "--tolerance",
        type=float,
        help="relative error to reach instead, 0.05 for 5 %%; not of guided",
    )
    parser.add_argument(
        "--baseline",
        type=_parse_baseline,
        help=f"{', '.join(NAMES)} or a number (default: black)",
    )
    parser.add_argument(
        "--rule", choices=RULES, help="(default: trapezoid); of blur and guided that or left"
    )
    parser.add_argument("--seed", type=int, help="for what is drawn: repeats it")
    parser.add_argument(
        "--sigma", type=float, help="pixels of blur that the path of blur begins with (default: 50)"
    )
    parser.add_argument(
        "--references",
        nargs="+",
        metavar="IMAGE",
        help="what expected compares with: photographs, folders of them, or patterns",
    )
    parser.add_argument(
        "--noise",
        type=float,
        help="of smoothgrad: standard deviation, as a share of the image's range (default: 0.15)",
    )
    parser.add_argument(
        "--kind", choices=KINDS, help="of smoothgrad: what becomes of the gradients (default: mean)"
    )


def _parse_baseline(text: str) -> str | float:
    if text in NAMES:
        return text
    with contextlib.suppress(ValueError):
        value = float(text)
        if math.isfinite(value):
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor one of {', '.join(NAMES)}")
