"""The methods of `intgrad explain`: what computes each, and which options mean something to it."""

from __future__ import annotations

import argparse
import contextlib
import functools
import inspect
import math
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..attribution.baselines import NAMES
from ..attribution.expected import iter_expected_gradients
from ..attribution.plan import IMAGE_RULES, RULES, has_error_bars
from ..attribution.sampling import KINDS
from ..attribution.smooth import iter_smoothgrad
from ..attribution.stream import iter_integrated_gradients

PLAIN = "integrated-gradients"


@dataclass(frozen=True)
class Meaning:
    """What a map is called, its unit and that of a region's sum, and whether it has a sign."""

    title: str
    unit: str = "score units per pixel, mean over channels"
    region_unit: str = "score units per region"
    is_signed: bool = True


SLOPE = "score units per pixel value"
SQUARES = (f"({SLOPE})², mean over channels", f"({SLOPE})², sum over region", False)
MEANINGS = {
    PLAIN: Meaning("Integrated gradients"),
    "blur": Meaning("Blur IG"),
    "guided": Meaning("Guided IG"),
    "expected": Meaning("Expected gradients"),
    "mean": Meaning("SmoothGrad", f"{SLOPE}, mean over channels", f"{SLOPE}, sum over region"),
    "square": Meaning("SmoothGrad, squared", *SQUARES),
    "variance": Meaning("VarGrad", *SQUARES),
}
"""By the method; or by the kind, where there are several."""


@dataclass(frozen=True)
class Method:
    """A function, whose defaults are those of the options too, and the options that it takes."""

    iterate: Callable[..., Iterator[tuple[Any, Any]]]
    takes: tuple[str, ...]


METHODS = {
    PLAIN: Method(iter_integrated_gradients, ("baseline", "rule", "steps", "tolerance", "seed")),
    "blur": Method(
        functools.partial(iter_integrated_gradients, path="blur"),
        ("sigma", "rule", "steps", "tolerance"),
    ),
    "guided": Method(
        functools.partial(iter_integrated_gradients, path="guided"),
        ("baseline", "rule", "steps", "seed"),
    ),
    "expected": Method(iter_expected_gradients, ("references", "draws", "tolerance", "seed")),
    "smoothgrad": Method(iter_smoothgrad, ("noise", "kind", "draws", "tolerance", "seed")),
}


@dataclass(frozen=True)
class Choice:
    """A method, and the options that it takes: those that were given, and defaults."""

    name: str
    options: dict[str, Any]

    @property
    def iterate(self) -> Callable[..., Iterator[tuple[Any, Any]]]:
        """What computes it."""
        return METHODS[self.name].iterate

    @property
    def meaning(self) -> Meaning:
        """What its maps are."""
        return MEANINGS[self.options.get("kind", self.name)]

    @property
    def has_error_bars(self) -> bool:
        """Say whether its error can be estimated."""
        rule, tolerance = self.options.get("rule"), self.options.get("tolerance")
        return rule is None or has_error_bars(rule, self.options.get("steps", 0), tolerance)

    @property
    def has_gradient(self) -> bool:
        """Say whether it comes to the image's own gradient on its way."""
        return self.options.get("rule") in IMAGE_RULES


def choose(given: argparse.Namespace) -> Choice:
    """Return what was chosen.

    Raises
    ------
    ValueError
        If an option was given that means nothing to the method, or one is missing.
    """
    method = METHODS[given.method]
    for name in sorted({name for each in METHODS.values() for name in each.takes}):
        value = getattr(given, name)
        if value is not None and name not in method.takes:
            words = map(str, value if isinstance(value, list) else [value])
            owners = ", ".join(key for key, each in METHODS.items() if name in each.takes)
            raise ValueError(
                f"--{name} {shlex.join(words)} means nothing to --method {given.method}: it is for"
                f" {owners}"
            )
    if "references" in method.takes and given.references is None:
        raise ValueError(
            f"--method {given.method} needs --references: photographs, or folders of them, such as"
            " some that the model was trained on"
        )
    known = inspect.signature(method.iterate).parameters
    options = {
        name: known[name].default if getattr(given, name) is None else getattr(given, name)
        for name in method.takes
    }
    if options.get("tolerance") is not None:  # it says how many
        options = {key: value for key, value in options.items() if key not in ("steps", "draws")}
    return Choice(given.method, options)


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
