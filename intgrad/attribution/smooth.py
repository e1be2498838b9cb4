"""SmoothGrad and its kin: what is left of noise on the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..images.arrays import Float32Array
from ..models.model import Model
from .call import attribute, check_seed
from .options import Options, complete, takes_options
from .sampling import Kind, Noise, Of
from .stream import iterate

if TYPE_CHECKING:
    from typing_extensions import Unpack

NOT_THEIRS = ("path", "sigma", "fraction", "max_distance", "gradient")
OF_PATHS = ("baseline", "steps", "rule")
"""Options that mean nothing to a gradient."""


@takes_options(without=NOT_THEIRS)
def smoothgrad(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    draws: int = 50,
    noise: float = 0.15,
    kind: Kind = "mean",
    of: Of = "gradient",
    return_info: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Average the gradient over images with Gaussian noise.

    SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825), the mean of its squares and its variance
    (VarGrad, Adebayo et al. 2018, arXiv 1810.03292). `info.error` is the standard error of what is
    returned: on a real network 58 % of it with 128 draws.

    Parameters
    ----------
    model, images, targets
        As in `integrated_gradients`.
    draws : int
        Images with noise, for each image; at least 2.
    noise : float
        Standard deviation, as a share of each image's range (greatest less least value).
    kind : {"mean", "square", "variance"}
        Mean of the gradients, of their squares, or their variance (over draws - 1).
    of : {"gradient", "integrated_gradients"}
        What is averaged: the gradient, in score units per pixel value, or the attributions of a
        path from `baseline` to each image with noise, in `steps`.
    return_info : bool
        Return (attributions, info).
    **options
        Those of `Options` that mean something here. `tolerance` is the standard error to reach,
        and `max_evaluations` then the most gradients.

    Returns
    -------
    numpy.ndarray or (numpy.ndarray, AttributionInfo)
        As `integrated_gradients`. Of a gradient `info.baseline_score` and `info.delta` are NaN:
        there is no baseline, and nothing that it adds up to.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `integrated_gradients`.
    """
    chosen = complete(smoothgrad, options)
    sampling = _check(options, draws, noise, kind, of, chosen["seed"])
    return attribute(model, images, targets, chosen, return_info, sampling)


@takes_options(without=NOT_THEIRS)
def iter_smoothgrad(
    model: Model,
    images: Iterable[Any],
    targets: Any = None,
    *,
    draws: int = 50,
    noise: float = 0.15,
    kind: Kind = "mean",
    of: Of = "gradient",
    **options: Unpack[Options],
) -> Iterator[tuple[Float32Array, Any]]:
    """Do the same for many images, one after the other, as `iter_integrated_gradients` does.

    Parameters
    ----------
    model, images, targets
        As in `iter_integrated_gradients`.
    draws, noise, kind, of
        As in `smoothgrad`; all images have the same noise, but for its scale.
    **options
        Those of `Options` that mean something here.

    Yields
    ------
    (numpy.ndarray, AttributionInfo)
        As `iter_integrated_gradients`.
    """
    chosen = complete(iter_smoothgrad, options)
    sampling = _check(options, draws, noise, kind, of, chosen["seed"])
    return iterate(model, images, targets, chosen, sampling)


def _check(
    options: Mapping[str, Any], draws: Any, noise: Any, kind: Any, of: Any, seed: Any
) -> Noise:
    """Make what is drawn, or raise the TypeError or ValueError that says what is wrong."""
    sampling = Noise(draws, noise, kind, of, check_seed(seed))
    for name in OF_PATHS:
        if name in options and not sampling.has_path:
            raise ValueError(
                f"{name}={options[name]!r} is of a path, and of={of!r} has none: leave it out, or"
                " give of='integrated_gradients'"
            )
    return sampling
