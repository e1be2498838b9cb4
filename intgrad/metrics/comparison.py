"""Whether one method's maps are better than another's, and whether that difference is real."""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._optional import require
from ..models.model import Model, check_batch_size
from .curves import deletion, insertion
from .infidelity import infidelity
from .information import aic, sic
from .measuring import Metric, measure_all
from .pointing import energy_inside, pointing_game
from .randomizing import randomization
from .result import FEW, MetricResult, draw_curve, make_result
from .road import road
from .stability import max_sensitivity
from .statistics import correct, mean, standard_error, t_test
from .subjects import Explain, Subjects
from .subsets import mu_fidelity, sensitivity_n

Record = dict[str, Any]

METRICS: dict[str, Any] = {
    function.__name__: function
    for function in (
        deletion,
        insertion,
        aic,
        sic,
        infidelity,
        road,
        mu_fidelity,
        sensitivity_n,
        max_sensitivity,
        randomization,
        pointing_game,
        energy_inside,
    )
}
COMMON = ("explain", "batch_size", "progress")
"""Options of functions that are none of a metric."""
COLUMNS = 3
"""Of a figure."""
DEFAULT = ("deletion", "insertion")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Methods against each other, by each metric.

    Attributes
    ----------
    results : dict of str to dict of str to MetricResult
        By metric and method.
    pairs : list of dict
        A record for each metric and pair of methods: `metric`, `method`, `other`, `mean` and
        `standard_error` of the first, `other_mean` and `other_standard_error`, `difference` and
        `difference_error` (the standard error of the mean over images of the first's value less
        the other's), `p_value` (two-sided, of a paired t test; NaN where all differences are the
        same and not 0), `p_corrected` (by Holm, for all pairs here that have one), `images` (how
        many have both values: all numbers are of these), `better` (the method that the metric
        prefers).
    """

    results: dict[str, dict[str, MetricResult]]
    pairs: list[Record]

    @property
    def means(self) -> list[Record]:
        """A record for each metric and method: `metric`, `method`, `mean`, `standard_error`, ..."""
        return [
            {
                "metric": metric,
                "method": method,
                "mean": result.mean,
                "standard_error": result.standard_error,
                "images": result.count,
                "higher_is_better": result.higher_is_better,
            }
            for metric, methods in self.results.items()
            for method, result in methods.items()
        ]

    def table(self) -> Any:
        """Return the pairs: as a pandas DataFrame if pandas is there, else as they are."""
        try:
            pandas = importlib.import_module("pandas")
        except ModuleNotFoundError:
            return self.pairs
        return pandas.DataFrame(self.pairs)

    def __repr__(self) -> str:
        """Say how much was compared."""
        return f"<intgrad Comparison: {len(self.results)} metrics, {len(self.pairs)} pairs>"

    def __str__(self) -> str:
        """Return means and differences as text."""
        lines = []
        for metric, methods in self.results.items():
            better = "higher" if next(iter(methods.values())).higher_is_better else "lower"
            lines.append(f"{metric} ({better} is better)")
            for method, result in methods.items():
                lines.append(f"  {method:<24} {result.tell_mean()}")
                lines += [f"    {line}" for line in result.tell_notes()]
            lines += [_tell_pair(pair) for pair in self.pairs if pair["metric"] == metric]
        known = sum(not math.isnan(pair["p_value"]) for pair in self.pairs)
        if known:
            lines.append(f"p is corrected for {known} comparisons (Holm)")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return what `json.dumps` takes; NaN becomes None."""
        return {
            "results": {
                metric: {method: result.to_dict() for method, result in methods.items()}
                for metric, methods in self.results.items()
            },
            "pairs": [
                {key: None if value != value else value for key, value in pair.items()}
                for pair in self.pairs
            ],
        }

    def plot(self) -> Any:
        """Draw each metric: curves with bands of a standard error, or bars; return the figure.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        pyplot = require("matplotlib.pyplot", "matplotlib", "plot")
        columns = min(len(self.results), COLUMNS)
        rows = -(-len(self.results) // columns)
        figure, axes = pyplot.subplots(
            rows, columns, figsize=(4.5 * columns, 3.6 * rows), squeeze=False, layout="constrained"
        )
        for each, (metric, methods) in zip(axes.flat, self.results.items(), strict=False):
            _draw(each, metric, methods)
        for unused in axes.flat[len(self.results) :]:
            unused.set_axis_off()
        return figure


def compare(
    model: Model,
    images: Any,
    maps: Mapping[str, Any],
    metrics: Sequence[Any] = DEFAULT,
    targets: Any = None,
    *,
    explain: Mapping[str, Explain] | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Comparison:
    """Compare methods by metrics, and say which differences are real.

    All maps of an image are measured together: what several metrics or methods ask of the model
    is computed once. Random perturbations are the same for all methods.

    Parameters
    ----------
    model : Model
        From `load_model`.
    images : array_like
        (H, W, C) or (N, H, W, C), values 0..255. A standard error takes two or more.
    maps : dict of str to array_like or callable
        By the names of the methods: attributions in the shape of the images, or without channels;
        or what makes them, called as `integrated_gradients` is: `intgrad.integrated_gradients`,
        `functools.partial(intgrad.smoothgrad, draws=64, seed=0)`.
    metrics : sequence of str or callable
        Names of functions of `intgrad.metrics`, the functions, or `functools.partial` of them with
        other options.
    targets : int, str or sequence, optional
        Class index or label: one for all images, or one for each. Each image's top class if None.
    explain : dict of str to callable, optional
        What made the maps that are given as arrays, for `max_sensitivity` and `randomization`.
    batch_size : int, optional
        Pictures evaluated together; what fits if None.
    progress : bool
        Show a progress bar (tqdm).

    Returns
    -------
    Comparison
        `print` it, `plot` it, `table()` is a pandas DataFrame if pandas is there.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As the metrics; or if there are no maps or metrics.
    ImportError
        If SciPy is not installed (`pip install intgrad[metrics]`), which p values take.
    """
    if not isinstance(maps, Mapping) or not maps:
        raise TypeError(f"maps must be a dict of maps by their methods' names, got {maps!r:.80}")
    if isinstance(metrics, str) or not hasattr(metrics, "__len__") or not len(metrics):
        raise ValueError(f"metrics must be a list of {', '.join(METRICS)}, got {metrics!r}")
    named: dict[str, Metric] = {}
    for metric, name in map(find_metric, metrics):
        again = sum(name == known.partition(" #")[0] for known in named)
        named[f"{name} #{again + 1}" if again else name] = metric
    require("scipy.special", "scipy", "compare", extra="metrics")
    unknown = set(explain or {}) - set(maps)
    if unknown:
        raise ValueError(f"explain has {', '.join(sorted(unknown))}, of which there are no maps")
    size = check_batch_size(batch_size)
    subjects = Subjects(model, images, targets, maps, explain or {})
    found = measure_all(list(named.values()), subjects, size, progress)
    results = {
        name: {method: make_result(metric, row[method]) for method in subjects.names}
        for (name, metric), row in zip(named.items(), found, strict=True)
    }
    return Comparison(results, _compare_pairs(results))


def find_metric(metric: Any) -> tuple[Metric, str]:
    """Return a metric by its name, its function, or a partial of that; and what to call it."""
    function, options = metric, {}
    if isinstance(metric, functools.partial):
        function, options = metric.func, metric.keywords
        if metric.args:
            raise TypeError(f"a partial of a metric must give its options by name, got {metric!r}")
    if isinstance(function, str):
        function = METRICS.get(function)
    kind = getattr(function, "metric", None)
    if function is None or kind is None:
        raise ValueError(
            f"metrics must be of {', '.join(METRICS)}, functions of intgrad.metrics or partials of"
            f" them, got {metric!r}"
        )
    defaults = {
        name: option.default
        for name, option in inspect.signature(function).parameters.items()
        if option.kind is option.KEYWORD_ONLY and name not in COMMON
    }
    unknown = set(options) - set(defaults)
    if unknown:
        raise TypeError(
            f"{function.__name__} takes {', '.join(defaults)} here, got"
            f" {', '.join(sorted(unknown))}"
        )
    told = ", ".join(f"{k}={v!r:.20}" for k, v in options.items())
    return kind(**{**defaults, **options}), f"{kind.name}({told})" if told else kind.name


def _compare_pairs(results: Mapping[str, Mapping[str, MetricResult]]) -> list[Record]:
    """Return a record for each metric and pair of methods, their p values corrected together."""
    pairs = [
        {"metric": metric, **_compare_two(a, b, methods[a], methods[b])}
        for metric, methods in results.items()
        for a, b in itertools.combinations(methods, 2)
    ]
    corrected = correct([pair["p_value"] for pair in pairs])
    return [pair | {"p_corrected": p} for pair, p in zip(pairs, corrected, strict=True)]


def _compare_two(name: str, other: str, a: MetricResult, b: MetricResult) -> Record:
    both = np.isfinite(a.values - b.values)
    first, second = a.values[both], b.values[both]
    difference = mean(first - second)
    error = standard_error(first - second)
    better = "" if math.isnan(difference) or difference == 0 else name
    if better and (difference > 0) != a.higher_is_better:
        better = other
    return {
        "method": name,
        "other": other,
        "mean": mean(first),
        "standard_error": standard_error(first),
        "other_mean": mean(second),
        "other_standard_error": standard_error(second),
        "difference": difference,
        "difference_error": error,
        "p_value": t_test(difference, error, len(first)),
        "images": len(first),
        "better": better,
    }


def _tell_pair(pair: Record) -> str:
    """Say how far two methods are apart, and why that is not known where it is not."""
    names = f"  {pair['method']} - {pair['other']}: "
    if not pair["images"]:
        return f"{names}no image has both values"
    difference = f"{names}{pair['difference']:+.4g}"
    if pair["images"] == 1:
        return f"{difference} of 1 image ({FEW})"
    p = f"p = {pair['p_corrected']:.3g}"
    if math.isnan(pair["p_value"]):
        p = "all differences are the same, so that there is no p"
    return f"{difference} +- {pair['difference_error']:.2g} over {pair['images']} images, {p}"


def _draw(axes: Any, metric: str, methods: Mapping[str, MetricResult]) -> None:
    first = next(iter(methods.values()))
    axes.set_title(f"{metric} ({'higher' if first.higher_is_better else 'lower'} is better)")
    if all(result.curves is None for result in methods.values()):
        errors = [result.standard_error for result in methods.values()]
        axes.bar(
            range(len(methods)),
            [result.mean for result in methods.values()],
            yerr=None if all(map(math.isnan, errors)) else errors,
            capsize=4,
            color=[f"C{k % 10}" for k in range(len(methods))],
        )
        axes.set_xticks(range(len(methods)), list(methods), rotation=30, ha="right")
        return
    for name, result in methods.items():
        if result.curve is not None:
            draw_curve(
                axes,
                result,
                f"{name}: {result.mean:.3g} \N{PLUS-MINUS SIGN} {result.standard_error:.1g}",
            )
    axes.set(xlabel=first.axes[0], ylabel=first.axes[1])
    axes.legend(fontsize="small")
