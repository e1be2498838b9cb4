"""The C core; everything here is private to the package but ModelError."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Bool = npt.NDArray[np.bool_]
_Array = npt.NDArray[Any]
_Int32 = npt.NDArray[np.int32]
_Int64 = npt.NDArray[np.int64]
_Progress = Callable[[int, int], None] | None

FIRST_NODES: int

class ModelError(ValueError): ...

def nodes(rule: str, steps: int, /) -> tuple[_Float64, _Float64, _Float64 | None]: ...
def trapezoid_weights(alphas: _Float64, /) -> tuple[_Float64, _Float64]: ...
def blur(picture: _Float32, sigma: float, /) -> _Float32: ...
def callable_model(
    function: Callable[..., Any], takes_output: bool = ..., takes_many_targets: bool = ..., /
) -> Any: ...
def describe(model: Any, height: int, width: int, channels: int, /) -> tuple[int, str]: ...
def scores(
    model: Any,
    images: _Float32,
    output: str,
    batch_size: int,
    progress: _Progress,
    first_image: int = 0,
    /,
) -> _Float32: ...
def gradients(
    model: Any,
    images: _Float32,
    targets: _Int64,
    output: str,
    batch_size: int,
    progress: _Progress,
    /,
) -> _Float32: ...
def fitting_batch(model: Any, height: int, width: int, channels: int, limit: int, /) -> int: ...
def integrate(
    model: Any,
    images: _Float32,
    baselines: _Float32,
    targets: _Int64,
    alphas: _Float64,
    weights: _Float64,
    half_weights: _Float64 | None,
    output: str,
    batch_size: int,
    sample: bool = False,
    error_map: bool = False,
    gradient: bool = False,
    tolerance: float = 0,
    max_evaluations: int = 0,
    most_retained: int = 0,
    first_image: int = 0,
    progress: _Progress = None,
    labels: _Int32 | None = None,
    region_counts: _Int64 | None = None,
    by_region: bool = False,
    curve: tuple[str, bool, int, float, float, float] | None = None,
    draws: tuple[
        int, int, int, Callable[[int, int], _Float32], _Float64 | None, str, float, bool, int
    ]
    | None = None,
    per_image: int = 1,
    apart: bool = False,
) -> dict[str, Any]: ...

# The transforms of GradVisualizer, from csrc/binding/visual.c.
def clip(attributions: _Array, low: float, high: float, /) -> _Float64: ...
def channel_mean(attributions: _Array, sign: float, limit: float, /) -> _Float64: ...
def energy_threshold(attributions: _Array, percentage: float, /) -> float: ...
def linear_transform(
    attributions: _Array, high: float, low: float, lower_end: float, out: _Float64 | None, /
) -> _Float64: ...
def binarize(attributions: _Array, threshold: float, /) -> _Bool: ...
def cleanup(attributions: _Array, structure: _Array, out: _Float64 | None, /) -> _Float64: ...
def fill_holes(mask: _Bool, /) -> _Bool: ...
def components(
    mask: _Bool, links: int, weights: _Array | None, /
) -> tuple[npt.NDArray[np.int32], _Float64]: ...
def outline(labels: npt.NDArray[np.int32], sums: _Float64, percentage: float, /) -> _Bool: ...
def colour(attributions: _Array, colour: Sequence[float], /) -> _Array: ...
def overlay(image: _Array, attributions: _Array, colour: Sequence[float], /) -> _Float64: ...

# Regions ranked by density, from csrc/binding/xrai.c.
def xrai(
    attributions: _Float64,
    starts: _Int64,
    runs: _Int32,
    least: int,
    most_covered: float,
    is_fast: bool,
    /,
) -> tuple[_Int32, _Int32, _Float64]: ...

# Perturbed pictures and their scores, from csrc/binding/mixes.c.
def mixed_scores(
    model: Any,
    pictures: _Float32,
    orders: _Int32,
    each: _Int64,
    output: str,
    batch_size: int,
    progress: _Progress,
    /,
) -> _Float32: ...
def impute(picture: _Float32, missing: _Bool, /) -> _Float32: ...
