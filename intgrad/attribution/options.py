"""The options of all functions that attribute: name, type, default and documentation, once."""

# Without `from __future__ import annotations`: the types of the options are looked at when
# signatures are made.
import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

from ..models.model import Output
from .paths import Path
from .plan import Rule, Whose

Function = TypeVar("Function", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """Options of `integrated_gradients` and of the functions beside it, all of them by name.

    Parameters
    ----------
    baseline : str, float or array_like
        `"black"` (0), `"white"` (255), `"gray"` (127.5), `"mean"` (the image's own, per channel),
        `"blur"` (Gaussian, standard deviation a 15th of the longer side), `"uniform"` (one random
        draw), a number, an array (H, W, C), or a stack (M, H, W, C), over which the attributions
        are averaged: each for all images. In pixel space, 0..255. One for each of N images is
        (N, 1, H, W, C), a stack for each (N, M, H, W, C). (N, H, W, C) with N images could be
        either, and is refused: a stack of N is then written (1, N, H, W, C).
    steps : int
        Intervals of the path. The trapezoid evaluates steps + 1 points, every other rule steps.
    path : {"straight", "blur", "guided"}
        `"blur"`: from the image blurred by `sigma` to the image, through less and less blur (Blur
        IG, Xu et al. 2020, arXiv 2004.03383); it has no other baseline. `"guided"`: each step moves
        the pixels of least gradient (Guided IG, Kapishnikov et al. 2021, arXiv 2106.09788).
    rule : {"trapezoid", "midpoint", "left", "right", "gauss-legendre"}
        Quadrature. The error of a ReLU network's attributions falls as 1 / steps for every rule;
        the trapezoid alone comes with an estimate of it.
        On a path that is not straight, `"left"` gives its authors' sums, and there are no others.
    sigma : float, optional
        Standard deviation of the blur that `path="blur"` begins with, in pixels; 50 if None.
    fraction : float, optional
        Share of the pixels that `path="guided"` moves at a time; 0.25 if None.
    max_distance : float, optional
        How far `path="guided"` lets a pixel be ahead of a straight path, or behind it, as a share
        of its way; 0.02 if None.
    tolerance : float, optional
        Instead of a number of steps, the `info.quadrature_error` to reach: 0.05 for 5 %. Each
        image's paths are bisected where its gradient moves, from 9 nodes on and never less than 17;
        every gradient is used again, and kept until the image is done, up to 1 GiB in all. Needs
        the trapezoid; `steps` is not looked at. Where paths are drawn at random, instead of a
        number of draws: the standard error to reach, `info.baseline_error`; no gradient is kept.
    max_evaluations : int
        With `tolerance`: the most gradients for an image, all its baselines together. A warning
        says what was reached.
    output : {"softmax", "log_softmax", "logit", "sigmoid"}
        F, as seen from the logits of the target. The softmax of independent labels, and of a single
        logit, is taken to be the sigmoid.
    batch_size : int, optional
        Points evaluated together; None is a fixed rule of shape on a CPU, and
        on CUDA what fits into the free memory.
    seed : int, optional
        For random baselines: repeats the draws of an earlier call, whose `info.seed` says what
        they were made with. The same draws serve every image.
    progress : bool
        Show a progress bar (tqdm): of gradients, or of images where they are iterated over.
    error_map : bool
        Add the standard deviation of each attribution, and of each pixel's mean over the
        channels, to the info (`return_info=True`); needs the trapezoid and at least 2 steps.
    gradient : bool
        Add the plain gradient at the image to the info: it is the path's last node and costs
        nothing. Needs `return_info=True`, and a rule with a node there.
    segments : int, str, array_like or callable, optional
        Regions, whose attributions `info.regions` then holds, with their deviations where there is
        an estimate: the side of square patches (those of a vision transformer); `"slic"` or
        `"felzenszwalb"`, by scikit-image (`pip install intgrad[segments]`); a label map (H, W), or
        one for each image (N, H, W); or a function from an image to its label map. Needs
        `return_info=True`, and takes no more gradients.
    tolerance_of : {"pixels", "regions"}
        Whose error `tolerance` is. That of regions, in which signs cancel, takes more gradients.
    """

    baseline: Any
    steps: int
    path: Path
    rule: Rule
    sigma: float | None
    fraction: float | None
    max_distance: float | None
    tolerance: float | None
    max_evaluations: int
    output: Output
    batch_size: int | None
    seed: int | None
    progress: bool
    error_map: bool
    gradient: bool
    segments: Any
    tolerance_of: Whose


DEFAULTS: Options = {
    "baseline": "black",
    "steps": 50,
    "path": "straight",
    "rule": "trapezoid",
    "sigma": None,
    "fraction": None,
    "max_distance": None,
    "tolerance": None,
    "max_evaluations": 1024,
    "output": "softmax",
    "batch_size": None,
    "seed": None,
    "progress": False,
    "error_map": False,
    "gradient": False,
    "segments": None,
    "tolerance_of": "pixels",
}


def takes_options(*, without: tuple[str, ...] = ()) -> Callable[[Function], Function]:
    """Show the options in the signature and the documentation of a function that takes them.

    Its `**options: Unpack[Options]` becomes a keyword with type and default for each, and the entry
    `**options` of its docstring their documentation. The function itself stays as it is: it
    gets what the caller gave, and `complete` checks that.

    Parameters
    ----------
    without : tuple of str
        Options that it does not take.
    """
    names = [name for name in DEFAULTS if name not in without]

    def show(function: Function) -> Function:
        types = Options.__annotations__
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[name]
            )
            for name, default in DEFAULTS.items()
            if name in names
        ]
        shown = signature.replace(parameters=[*own, *added])
        function.__signature__ = shown  # type: ignore[attr-defined]
        function.__annotations__ = {
            **{name: kind for name, kind in function.__annotations__.items() if name != "options"},
            **{name: types[name] for name in names},
        }
        function.__doc__ = _insert(_entries(names), function.__doc__)
        return function

    return show


def complete(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a call of `function`, those that were not given by default.

    Raises
    ------
    TypeError
        If the function takes no option of such a name.
    """
    known = inspect.signature(function).parameters
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known)}"
            raise TypeError(f"{function.__name__}() got an unexpected option {name!r}: {hint}")
    return {**DEFAULTS, **options}


# ---- Docstrings ----------------------------------------------------------------------------------


def _entries(names: list[str]) -> str:
    """Return what the docstring of `Options` says of these, at the margin."""
    text = inspect.cleandoc(Options.__doc__ or "").split("----------\n", 1)[-1]
    entries = re.split(r"\n(?=\w+ : )", text)
    return "\n".join(entry for entry in entries if entry.split(" : ", 1)[0] in names)


def _insert(entries: str, doc: str | None) -> str | None:
    """Put the entries in the place of that for `**options`; there is no doc under `python -OO`."""
    if doc is None:
        return None
    return re.sub(r"\*\*options\n(?: +.*\n?)+", lambda _: f"{entries}\n", inspect.cleandoc(doc))
