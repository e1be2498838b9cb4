"""What a metric found: a value for each image, and how sure their mean is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._optional import require
from .ranking import Float64Array
from .statistics import mean, standard_error

if TYPE_CHECKING:
    from .measuring import Measured, Metric

FEW = "the standard error of a mean needs two images or more"
MOST_TOLD = 8
"""Of the images that have no value."""


@dataclass(frozen=True, eq=False, repr=False)
class MetricResult:
    """What a metric says of one method.

    Attributes
    ----------
    metric : str
    values : numpy.ndarray
        (N,) float64, one for each image; NaN where `notes` says why.
    mean : float
        Over the images that have a value.
    standard_error : float
        Of that mean: the deviation of the values over the root of their number; NaN for fewer than
        two.
    higher_is_better : bool
    convention : str
        What was computed, in a sentence: the settings that change the numbers.
    formula, reference : str
    fractions : numpy.ndarray or None
        (P,), where the curves are: shares of the pixels or, of AIC and SIC, of the information.
    curves : numpy.ndarray or None
        (N, P), one for each image; NaN for one without a value, None if none has one.
    curve : numpy.ndarray or None
        (P,) of all images together: their mean; of AIC and SIC their median.
    area : float
        Under `curve`; NaN where there is none.
    axes : (str, str)
        What the axes of the curves are called.
    draws : int or None
        How many random ones a value rests on.
    value_errors : numpy.ndarray or None
        (N,), the standard error of each value, where it is a mean over draws.
    others : dict of str to numpy.ndarray
        (N,), other numbers of the same: the mean of the draws of a maximum, another similarity.
    notes : dict of int to str
        Why an image has no value.
    """

    metric: str
    values: Float64Array
    higher_is_better: bool
    convention: str
    formula: str
    reference: str
    fractions: Float64Array | None
    curves: Float64Array | None
    curve: Float64Array | None
    area: float
    axes: tuple[str, str]
    draws: int | None
    value_errors: Float64Array | None
    others: dict[str, Float64Array]
    notes: dict[int, str]

    @property
    def mean(self) -> float:
        """The mean over the images that have a value; NaN if none has."""
        return mean(self.values)

    @property
    def standard_error(self) -> float:
        """Of the mean; NaN for fewer than two images."""
        return standard_error(self.values)

    @property
    def count(self) -> int:
        """How many images have a value."""
        return int(np.isfinite(self.values).sum())

    def __repr__(self) -> str:
        """Say what it is and how large."""
        return f"<intgrad {self.metric}: {self.mean:.4g} +- {self.standard_error:.2g}>"

    def tell_mean(self) -> str:
        """Say the mean, how sure it is, and of how many images."""
        if not self.count:
            return "no image has a value"
        if self.count == 1:
            return f"{self.mean:.4g} of 1 image ({FEW})"
        return f"{self.mean:.4g} +- {self.standard_error:.2g} over {self.count} images"

    def tell_notes(self, names: Sequence[str] | None = None) -> list[str]:
        """Say why images have no value, of the first of them; `names` are what they are called."""
        told = [
            f"{f'image {number}' if names is None else names[number]}: {note}"
            for number, note in itertools.islice(self.notes.items(), MOST_TOLD)
        ]
        more = len(self.notes) - len(told)
        return [*told, f"and {more} more"] if more else told

    def summary(self, names: Sequence[str] | None = None) -> str:
        """Say what was found, how sure that is, and by which convention.

        Parameters
        ----------
        names : sequence of str, optional
            What to call the images; their numbers if None.
        """
        better = "higher" if self.higher_is_better else "lower"
        first = f"{self.metric}: {self.tell_mean()}; {better} is better"
        return "\n".join([first, self.convention, *self.tell_notes(names)])

    def to_dict(self) -> dict[str, Any]:
        """Return what `json.dumps` takes; NaN becomes None."""
        return {
            "metric": self.metric,
            "mean": _or_none(self.mean),
            "standard_error": _or_none(self.standard_error),
            "values": [_or_none(value) for value in self.values.tolist()],
            "value_errors": None
            if self.value_errors is None
            else [_or_none(value) for value in self.value_errors.tolist()],
            "higher_is_better": self.higher_is_better,
            "fractions": None if self.fractions is None else self.fractions.tolist(),
            "curve": None if self.curve is None else [_or_none(y) for y in self.curve.tolist()],
            "area": _or_none(self.area),
            "draws": self.draws,
            "others": {
                name: [_or_none(value) for value in values.tolist()]
                for name, values in self.others.items()
            },
            "convention": self.convention,
            "formula": self.formula,
            "reference": self.reference,
            "notes": {str(number): note for number, note in self.notes.items()},
        }

    def plot(self, axes: Any = None) -> Any:
        """Draw the curve of all images, with a band of one standard error; return the axes.

        Of AIC and SIC, whose curve is a median, the band is that of the mean.

        Raises
        ------
        ValueError
            If the metric has no curve, or no image has one.
        ImportError
            If matplotlib is not installed.
        """
        if self.fractions is None:
            raise ValueError(f"{self.metric} has no curve: its values are one for each image")
        if self.curve is None:
            raise ValueError(f"no image has a curve: {'; '.join(sorted(set(self.notes.values())))}")
        if axes is None:
            axes = require("matplotlib.pyplot", "matplotlib", "plot").subplots()[1]
        draw_curve(axes, self, self.metric)
        axes.set(xlabel=self.axes[0], ylabel=self.axes[1])
        axes.legend()
        return axes


def draw_curve(axes: Any, result: MetricResult, label: str) -> None:
    """Draw a curve and its band of one standard error over the images."""
    assert result.fractions is not None
    assert result.curves is not None
    assert result.curve is not None
    (line,) = axes.plot(result.fractions, result.curve, label=label)
    known = result.curves[np.isfinite(result.curves).all(axis=1)]
    if len(known) > 1:
        band = known.std(axis=0, ddof=1) / math.sqrt(len(known))
        low, high = result.curve - band, result.curve + band
        axes.fill_between(result.fractions, low, high, color=line.get_color(), alpha=0.2, lw=0)


def make_result(metric: Metric, measured: Sequence[Measured]) -> MetricResult:
    """Put together what a metric says of one method's maps."""
    curves = None
    if metric.fractions is not None and any(each.curve is not None for each in measured):
        gap = np.full(len(metric.fractions), np.nan)
        curves = np.stack([gap if each.curve is None else each.curve for each in measured])
    curve, area = None, math.nan
    known = None if curves is None else curves[np.isfinite(curves).all(axis=1)]
    if known is not None and len(known):
        curve, area = metric.summarise(known)
    errors = [math.nan if each.error is None else each.error for each in measured]
    return MetricResult(
        metric.name,
        np.array([each.value for each in measured]),
        metric.higher_is_better,
        metric.convention,
        metric.formula,
        metric.reference,
        metric.fractions,
        curves,
        curve,
        area,
        metric.axes,
        metric.draws,
        np.array(errors) if any(each.error is not None for each in measured) else None,
        {
            name: np.array([each.others.get(name, math.nan) for each in measured])
            for name in dict.fromkeys(name for each in measured for name in each.others)
        },
        {number: each.note for number, each in enumerate(measured) if each.note},
    )


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
