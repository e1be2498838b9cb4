"""Expected Gradients: the mean over paths from many references."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..images.arrays import Float32Array
from ..models.model import Model
from .call import attribute, check_seed
from .options import Options, complete, takes_options
from .sampling import References
from .stream import iterate

if TYPE_CHECKING:
    from typing_extensions import Unpack

NOT_THEIRS = (
    "baseline",
    "steps",
    "path",
    "rule",
    "sigma",
    "fraction",
    "max_distance",
    "gradient",
)
"""Options of paths whose nodes are chosen."""


@takes_options(without=NOT_THEIRS)
def expected_gradients(
    model: Model,
    images: Any,
    targets: Any = None,
    *,
    references: Any,
    draws: int = 200,
    independent: bool = False,
    return_info: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Average the straight paths' attributions over references, at random points.

    Expected Gradients (Erion et al. 2021, arXiv 1906.10670): the mean over references x' and alphas
    of (image - x') times the gradient at x' + alpha (image - x'). Attributions add up to
    F(image) - mean F(x'), but for their standard error, which is `info.error`.

    Where there are at least two draws for each reference, all references are used equally often
    and the alphas of one are evenly spaced from random starts: over 7 references that takes a
    fraction of the gradients that independent draws need. Where there are not, no reference comes
    twice.

    Parameters
    ----------
    model, images, targets
        As in `integrated_gradients`.
    references : array_like or sequence
        (R, H, W, C), a memory map, or any sequence of (H, W, C) in pixels, 0..255, such as images
        that the model was trained on. Those that are drawn are read when they are needed.
    draws : int
        Gradients for each image, rounded down to as many for each reference.
    independent : bool
        Draw every reference and alpha independently, as others do.
    return_info : bool
        Return (attributions, info).
    **options
        Those of `Options` that mean something here. `tolerance` is the standard error to reach,
        and `max_evaluations` then the most draws.

    Returns
    -------
    numpy.ndarray or (numpy.ndarray, AttributionInfo)
        As `integrated_gradients`.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `integrated_gradients`; or if references are none, not finite, or of another shape.
    """
    chosen = complete(expected_gradients, options)
    sampling = References(references, draws, independent, check_seed(chosen["seed"]))
    return attribute(model, images, targets, chosen, return_info, sampling)


@takes_options(without=NOT_THEIRS)
def iter_expected_gradients(
    model: Model,
    images: Iterable[Any],
    targets: Any = None,
    *,
    references: Any,
    draws: int = 200,
    independent: bool = False,
    **options: Unpack[Options],
) -> Iterator[tuple[Float32Array, Any]]:
    """Do the same for many images, one after the other, as `iter_integrated_gradients` does.

    Parameters
    ----------
    model, images, targets
        As in `iter_integrated_gradients`.
    references, draws, independent
        As in `expected_gradients`; all images have the same draws.
    **options
        Those of `Options` that mean something here.

    Yields
    ------
    (numpy.ndarray, AttributionInfo)
        As `iter_integrated_gradients`.
    """
    chosen = complete(iter_expected_gradients, options)
    sampling = References(references, draws, independent, check_seed(chosen["seed"]))
    return iterate(model, images, targets, chosen, sampling)
