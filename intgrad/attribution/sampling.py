"""What is drawn at random: paths from references, or noise on images."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from .. import _core
from ..images.arrays import Float32Array, to_float32, to_real_array
from ..models.model import Model, check_int
from ..models.targets import Targets
from .baselines import Baselines, doubt_pixels, make_baselines
from .numbers import check_number
from .remarks import Remarks

if TYPE_CHECKING:
    from .plan import Plan

Kind = Literal["mean", "square", "variance"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Of = Literal["gradient", "integrated_gradients"]
MAX_DRAWS = 1_000_000
MAX_NOISE = 10.0
DEGREES = 7
"""Of freedom that the standard error of few references is to have."""
MAX_ROUNDS = 24
FIRST_NODES = 8
"""Alphas of a path in the first of the rounds that a tolerance takes."""
FEW = 128
"""Draws that a tolerance begins with, whatever it is."""
GOLDEN = (math.sqrt(5) - 1) / 2
SCORED = 64
"""References whose scores are computed together."""

Draw = Callable[[int, int], Float32Array]
"""From the number of an image and that of a path to a picture."""
Nodes = tuple[Any, Any, Any]
"""Alphas, weights and half weights."""


@dataclass(frozen=True)
class Draws:
    """Paths of each image, as the core takes them (csrc/engine/integrate.h)."""

    count: int
    nodes: Nodes
    per_stratum: int = 0  # 0: all are one; else it shares a picture
    starts: npt.NDArray[np.float64] | None = None
    kind: Kind = "mean"


class Sampling(Protocol):
    """How paths are drawn, and where they begin."""

    method: str
    has_path: bool
    has_baseline: bool
    adds_up: bool  # attributions to a change of the score

    @property
    def kind(self) -> Kind | None:
        """What is made of the draws, where there is a choice."""
        ...

    @property
    def noise(self) -> float | None:
        """How much of it there is, where there is any."""
        ...

    def design(self, plan: Plan) -> Draws:
        """Say which paths there are."""
        ...

    def make_baselines(
        self, baseline: Any, images: Float32Array, remarks: Remarks, each: bool
    ) -> Baselines:
        """Return where the paths begin, once it is found to fit the images."""
        ...

    def pictures(self, images: Float32Array) -> Draw:
        """Return what makes the pictures that paths of these images begin or end with."""
        ...

    def score_baselines(
        self, model: Model, result: dict[str, Any], targets: Targets, plan: Plan
    ) -> Any:
        """Return the scores (N, T) where the paths begin; NaN if they begin nowhere."""
        ...


class Noise:
    """Noise on images: SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825) and its kin.

    Each draw is made from the seed and its number alone, and is the same on every image.
    """

    method = "smoothgrad"
    adds_up = False

    def __init__(self, draws: Any, noise: Any, kind: Any, of: Any, seed: int | None) -> None:
        self.draws = _check_draws(draws)
        self.noise = check_number(noise, "noise", most=MAX_NOISE)
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if of not in get_args(Of):
            raise ValueError(f"of must be one of {', '.join(get_args(Of))}, got {of!r}")
        if kind == "variance" and self.draws < 4:
            raise ValueError(f"draws must be at least 4 for kind='variance', got {draws}")
        self.kind: Kind = kind
        self.has_path = self.has_baseline = of == "integrated_gradients"
        self.seed = secrets.randbits(32) if seed is None else seed

    def design(self, plan: Plan) -> Draws:
        """Say which paths there are: one a draw, of one point where there is no path."""
        alphas, weights, half = plan.nodes() if self.has_path else _core.nodes("right", 1)
        count = self.draws
        if plan.tolerance is not None:
            count = max(plan.max_evaluations // len(alphas), 2)
        nodes = (alphas, weights, half if self.kind == "mean" else None)
        return Draws(count, nodes, kind=self.kind)

    def make_baselines(
        self, baseline: Any, images: Float32Array, remarks: Remarks, each: bool
    ) -> Baselines:
        """Return where the paths begin; a placeholder where there is none."""
        if not all(np.ptp(image) for image in images):
            remarks.make(
                "constant",
                f"an image of one value has no range, and noise={self.noise:g} of it is none: all"
                " draws are the same",
            )
        if not self.has_path:
            return Baselines(
                np.zeros((1, 1, *images.shape[1:]), np.float32), "none", True, self.seed
            )
        made = make_baselines(baseline, images, self.seed, remarks, each=each)
        if made.pixels.shape[1] > 1:
            raise ValueError(
                f"baseline must be one picture where draws are averaged, got {made.pixels.shape[1]}"
            )
        return Baselines(made.pixels, made.name, True, self.seed)

    def pictures(self, images: Float32Array) -> Draw:
        """Return what adds noise to them, of a standard deviation that is a part of their range."""
        scales = [self.noise * float(np.ptp(image)) for image in images]

        def draw(image: int, number: int) -> Float32Array:
            rng = np.random.default_rng([self.seed, number])
            picture = rng.standard_normal(images.shape[1:], dtype=np.float32)
            picture *= scales[image]
            picture += images[image]
            return picture

        return draw

    def score_baselines(
        self, model: Model, result: dict[str, Any], targets: Targets, plan: Plan
    ) -> Any:
        """Return what the paths found where they begin; NaN if there is no path."""
        return result["baseline_scores"] if self.has_path else np.full(targets.shape, np.nan)


class References:
    """Paths from references: Expected Gradients (Erion et al. 2021, arXiv 1906.10670)."""

    method = "expected_gradients"
    kind = noise = None
    has_path = True
    has_baseline = False
    adds_up = True

    def __init__(self, references: Any, draws: Any, independent: Any, seed: int | None) -> None:
        self.references = _check_references(references)
        self.draws = _check_draws(draws)
        if not isinstance(independent, bool | np.bool_):
            raise TypeError(f"independent must be True or False, got {independent!r}")
        self.independent = bool(independent)
        self.seed = secrets.randbits(32) if seed is None else seed
        self._order = np.arange(0)  # the reference of each drawn picture
        self._shape: tuple[int, ...] = ()  # that they were found to have
        self._scores: dict[int, npt.NDArray[np.float64]] = {}  # of every class

    def design(self, plan: Plan) -> Draws:
        """Say which paths there are.

        Where there are several draws for each reference, those of one are evenly spaced from
        random starts, of which there are at least two: they tell how exact that is. Where there are
        not, no reference comes again, and the alphas are spread over all of them.
        """
        known, rng = len(self.references), np.random.default_rng(self.seed)
        most = self.draws if plan.tolerance is None else plan.max_evaluations
        if self.independent:
            self._order = rng.integers(known, size=most)
            return Draws(most, _even(1), starts=rng.random(most))
        starts = min(max(2, 1 - (-DEGREES // known)), most // known)
        # A tolerance may be reached before many references are through.
        is_all = plan.tolerance is None or known * starts <= max(FEW, most // 4)
        if starts >= 2 and is_all:
            self._order = np.arange(known)
            nodes, rounds = most // (known * starts), 1
            if plan.tolerance is not None and nodes > 1:
                nodes, rounds = max(min(FIRST_NODES, nodes // 4), 1), MAX_ROUNDS
            offsets = rng.random(rounds * known * starts)
            return Draws(known * starts, _even(nodes), starts, offsets)
        most = min(most, known)
        self._order = rng.permutation(known)[:most]
        if plan.tolerance is not None:  # any first part of these is spread evenly
            alphas = np.mod(rng.random() + GOLDEN * np.arange(most, dtype=np.float64), 1.0)
            return Draws(most, _even(1), starts=alphas)
        return Draws(most, _even(1), starts=(rng.permutation(most) + rng.random(most)) / most)

    def make_baselines(
        self, baseline: Any, images: Float32Array, remarks: Remarks, each: bool
    ) -> Baselines:
        """Check the references that are used; return a placeholder, as they are read when drawn."""
        shape = images.shape[1:]
        if shape != self._shape:
            self._check(images, remarks)
            self._shape = shape
        name = f"{len(self.references)} references"
        return Baselines(np.zeros((1, 1, *shape), np.float32), name, True, self.seed)

    def _check(self, images: Float32Array, remarks: Remarks) -> None:
        """Look at all references that are used, before any work."""
        shape, low, high, is_float = images.shape[1:], math.inf, -math.inf, True
        for number in np.unique(self._order):
            picture = to_real_array(self.references[number], f"references[{number}]")
            if picture.shape != shape:
                raise ValueError(
                    f"references must have the shape of an image, {shape}; references[{number}] has"
                    f" {picture.shape}"
                )
            if not np.isfinite(picture).all():
                raise ValueError(
                    f"references must be finite; references[{number}] holds NaN or inf"
                )
            low, high = min(low, float(picture.min())), max(high, float(picture.max()))
            is_float &= picture.dtype.kind == "f"
        doubt_pixels("reference", low, high, is_float, images, remarks)

    def pictures(self, images: Float32Array) -> Draw:
        """Return what reads the references that paths begin with, the same for every image."""
        return lambda image, number: self._read(self._order[number])

    def _read(self, number: int) -> Float32Array:
        return to_float32(to_real_array(self.references[number], "references"))

    def score_baselines(
        self, model: Model, result: dict[str, Any], targets: Targets, plan: Plan
    ) -> Any:
        """Return the mean score of the references that were drawn, of each as often as it was."""
        drawn = [self._drawn(plan, int(count)) for count in result["evaluations"]]
        self._score(model, np.unique(np.concatenate(drawn)), plan)
        means = [np.mean([self._scores[k] for k in numbers], axis=0) for numbers in drawn]
        return np.stack([mean[row] for mean, row in zip(means, targets, strict=True)])

    def _drawn(self, plan: Plan, evaluations: int) -> npt.NDArray[np.int64]:
        """Return the reference of each draw of an image, or of each stratum."""
        stratified = plan.draws is not None and plan.draws.per_stratum
        return self._order if stratified else self._order[:evaluations]

    def _score(self, model: Model, numbers: npt.NDArray[np.int64], plan: Plan) -> None:
        """Score references that were not scored yet, some at a time."""
        new = [k for k in numbers.tolist() if k not in self._scores]
        for first in range(0, len(new), SCORED):
            some = new[first : first + SCORED]
            pictures = np.stack([self._read(k) for k in some])
            try:
                scores = model._score_apart(pictures, plan.output, batch_size=plan.batch_size)
            except _core.ModelError as error:
                raise _core.ModelError(f"references[{some[0]}] to [{some[-1]}]: {error}") from error
            self._scores |= dict(zip(some, scores.astype(np.float64), strict=True))


def _even(count: int) -> Nodes:
    """Return as many nodes; only their number matters where starts are drawn."""
    alphas, weights, _ = _core.nodes("midpoint", count)
    return alphas, weights, None


def _check_draws(draws: Any) -> int:
    number = check_int(draws, "draws", at_least=2)
    if number > MAX_DRAWS:
        raise ValueError(f"draws must be at most {MAX_DRAWS}, got {number}")
    return number


def _check_references(references: Any) -> Any:
    """Return a sequence of images, or raise a TypeError or ValueError that says what is wrong."""
    is_sequence = hasattr(references, "__len__") and hasattr(references, "__getitem__")
    if isinstance(references, str | bytes | dict) or not is_sequence:
        raise TypeError(
            "references must be an array (R, H, W, C) or a sequence of images (H, W, C), got"
            f" {type(references).__name__}"
        )
    if not len(references):
        raise ValueError("references must hold at least one image, got none")
    if isinstance(references[0], str | os.PathLike):
        raise TypeError(
            f"references must be images (H, W, C), got {references[0]!r}:"
            " [intgrad.load_image(path, size=model.input_size) for path in paths]"
        )
    if np.ndim(references[0]) != 3:
        one = np.ndim(references[0]) == 2
        raise ValueError(
            f"references must be images (H, W, C), got {np.shape(references)}"
            + ": references[None] of a single one" * one
        )
    return references
