"""What a metric found, as it is told."""

import json

import numpy as np
import pytest
from analytic import Polynomial, pixels

import intgrad
from intgrad import metrics

pytestmark = pytest.mark.unsanitized

SHAPE = (12, 10, 3)
IMAGES = pixels((4, *SHAPE))
MAPS = np.random.default_rng(1).standard_normal(IMAGES.shape)


def load():
    return intgrad.load_model(Polynomial(1, SHAPE, scale=2e-3), output="logit")


def test_a_summary_has_the_mean_its_error_and_the_convention():
    found = metrics.deletion(load(), IMAGES, MAPS, 1)
    assert found.mean == found.values.mean()
    assert found.standard_error == pytest.approx(found.values.std(ddof=1) / 2)
    first, convention = found.summary().splitlines()
    assert first == (
        f"deletion: {found.mean:.4g} +- {found.standard_error:.2g} over 4 images; lower is better"
    )
    assert convention == found.convention
    assert repr(found) == f"<intgrad deletion: {found.mean:.4g} +- {found.standard_error:.2g}>"
    assert "Petsiuk" in found.reference
    assert found.formula


def test_what_decides_the_numbers_is_in_the_convention():
    """Two results of one convention may be compared."""
    model = load()
    told = [
        metrics.deletion(model, IMAGES, MAPS, 1).convention,
        metrics.deletion(model, IMAGES, MAPS, 1, steps=20).convention,
        metrics.deletion(model, IMAGES, MAPS, 1, baseline="black").convention,
        metrics.deletion(model, IMAGES, MAPS, 1, baseline=3).convention,
        metrics.deletion(model, IMAGES, MAPS, 1, reduce="abs").convention,
        metrics.deletion(model, IMAGES, MAPS, 1, seed=4).convention,
        metrics.road(model, IMAGES, MAPS, 1).convention,
        metrics.road(model, IMAGES, MAPS, 1, noise=0.5).convention,
        metrics.road(model, IMAGES, MAPS, 1, order="least").convention,
    ]
    options = {"output": "logit", "draws": 5}
    told += [
        metrics.infidelity(model, IMAGES, MAPS, 1, **options, **more).convention
        for more in (
            {},
            {"perturbation": "gaussian"},
            {"perturbation": "gaussian", "noise": 0.5},
            {"meaning": "slopes"},
            {"fit_scale": False},
            {"seed": 1},
            {"baseline": "white"},
        )
    ]
    told += [
        metrics.mu_fidelity(model, IMAGES, MAPS, 1, **options, **more).convention
        for more in ({}, {"size": 0.5}, {"cells": 4}, {"cells": None}, {"correlation": "linear"})
    ]
    told += [
        metrics.sic(model, IMAGES, MAPS, 1, **more).convention
        for more in (
            {},
            {"keep_monotonous": False},
            {"least_probability": 0.5},
            {"seed": 1},
            {"thresholds": [0.1, 0.5]},
        )
    ]
    assert len(set(told)) == len(told)


def test_draws_have_errors_of_values_and_curves_have_none():
    by_draws = metrics.infidelity(load(), IMAGES, MAPS, 1, output="logit", draws=20)
    assert by_draws.value_errors.shape == (4,)
    assert by_draws.draws == 20
    assert by_draws.curves is by_draws.curve is by_draws.fractions is None
    by_steps = metrics.deletion(load(), IMAGES, MAPS, 1)
    assert by_steps.value_errors is None
    assert by_steps.draws is None


def test_a_dict_is_json_and_nan_is_none():
    maps = np.abs(MAPS)
    maps[2] *= -1
    boxes = [(2, 3, 6, 7)] * 4
    found = metrics.energy_inside(load(), IMAGES, maps, 1, boxes=boxes)
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert read["values"][2] is None
    assert read["notes"] == {"2": found.notes[2]}
    assert read["mean"] == found.mean == np.nanmean(found.values)
    assert "over 3 images" in found.summary()
    assert f"image 2: {found.notes[2]}" in found.summary()
    of_one = metrics.infidelity(load(), IMAGES[0], MAPS[0], 1, output="logit", draws=5)
    read = json.loads(json.dumps(of_one.to_dict(), allow_nan=False))
    assert read["standard_error"] is None
    assert read["value_errors"] == of_one.value_errors.tolist()


def test_no_trapz():
    """NumPy 2.4 has none any more, and NumPy 1.25 no trapezoid."""
    import inspect

    for module in (metrics.curves, metrics.information, metrics.statistics, metrics.measuring):
        source = inspect.getsource(module)
        assert "np.trapz" not in source
        assert "np.trapezoid" not in source
