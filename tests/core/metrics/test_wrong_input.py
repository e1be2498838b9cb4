"""What is wrong is said, before any work, or is a NaN that is explained: never a number."""

import sys
from functools import partial

import numpy as np
import pytest
from analytic import Polynomial, pixels

import intgrad
from intgrad import metrics

SHAPE = (12, 10, 3)
IMAGES = pixels((2, *SHAPE))
MAPS = np.random.default_rng(1).standard_normal(IMAGES.shape).astype(np.float32)
BOX = (2, 3, 6, 7)


def itself(model, images, targets):
    return np.asarray(images)


def load(function=None):
    return intgrad.load_model(function or Polynomial(1, SHAPE, scale=2e-3), output="logit")


PIXELS = {  # metrics by the rank of pixels
    "deletion": metrics.deletion,
    "insertion": metrics.insertion,
    "aic": metrics.aic,
    "sic": partial(metrics.sic, least_probability=0),
    "road": metrics.road,
}
SUMS = {  # metrics of what a map says of many pixels
    "infidelity": partial(metrics.infidelity, output="logit"),
    "gaussian": partial(metrics.infidelity, output="logit", perturbation="gaussian"),
    "mu_fidelity": partial(metrics.mu_fidelity, output="logit"),
    "sensitivity_n": partial(metrics.sensitivity_n, output="logit"),
}
PLACES = {
    "pointing_game": partial(metrics.pointing_game, boxes=[BOX, BOX]),
    "energy_inside": partial(metrics.energy_inside, boxes=[BOX, BOX]),
}
ALL = PIXELS | SUMS | PLACES | {"max_sensitivity": partial(metrics.max_sensitivity, explain=itself)}


def named(table):
    return pytest.mark.parametrize("metric", table.values(), ids=table)


def broken(value):
    maps = MAPS.copy()
    maps[1, 2, 3, 1] = value
    return maps


NAN = IMAGES.copy()
NAN[1, 4, 5, 0] = np.nan
CONSTANT = MAPS.copy()
CONSTANT[1] = 0.25

WRONG = [
    ({"attributions": MAPS[:, :11]}, ValueError, r"shape of the images, \(2, 12, 10, 3\), or with"),
    ({"attributions": MAPS[0]}, ValueError, r"got \(12, 10, 3\)"),
    ({"attributions": MAPS[:1]}, ValueError, r"got \(1, 12, 10, 3\)"),
    ({"attributions": MAPS[..., :2]}, ValueError, r"got \(2, 12, 10, 2\)"),
    ({"attributions": MAPS.transpose(0, 3, 1, 2)}, ValueError, r"got \(2, 3, 12, 10\)"),
    ({"attributions": MAPS.transpose(0, 2, 1, 3)}, ValueError, r"got \(2, 10, 12, 3\)"),
    ({"attributions": broken(np.nan)}, ValueError, r"finite, got nan in image 1 at \(2, 3, 1\)"),
    ({"attributions": broken(-np.inf)}, ValueError, "finite, got -inf in image 1"),
    ({"attributions": np.float64(MAPS) * 1e39}, ValueError, "finite, got -?inf in image 0"),
    ({"attributions": MAPS + 1j}, TypeError, "real numbers, got dtype complex"),
    ({"attributions": MAPS > 0}, TypeError, "real numbers, got dtype bool"),
    ({"attributions": CONSTANT}, ValueError, "of image 1 is 0.25 everywhere: it says nothing of"),
    ({"attributions": 0 * MAPS}, ValueError, "of image 0 is -?0 everywhere"),
    ({"images": NAN}, ValueError, r"images must be finite, got nan in image 1 at \(4, 5, 0\)"),
    ({"images": IMAGES[0, 0]}, ValueError, "images must"),
    ({"images": IMAGES.astype(str)}, TypeError, "images must be real numbers"),
    ({"targets": [[0, 1], [1, 2]]}, ValueError, "one class for each image, got 2 for each"),
    ({"targets": [0]}, ValueError, "targets"),
    ({"targets": "cat"}, ValueError, "cat"),
    ({"targets": 1.5}, TypeError, "1.5"),
    ({"model": 3}, TypeError, "must come from intgrad.load_model, got int"),
]


@named(ALL)
@pytest.mark.parametrize(("options", "kind", "text"), WRONG)
def test_what_is_wrong_is_said(metric, options, kind, text, watch):
    model, watched = watch(Polynomial(1, SHAPE), shape=SHAPE)
    asked = {"model": model, "images": IMAGES, "attributions": MAPS, "targets": 0} | options
    with pytest.raises(kind, match=text):
        metric(**asked)
    assert not watched.pictures


@named(ALL)
@pytest.mark.parametrize("target", [3, -4])
def test_a_class_that_there_is_not(metric, target):
    model = load()
    model.predict(IMAGES)
    with pytest.raises(IndexError, match=str(target)):
        metric(model, IMAGES, MAPS, [0, target])


@named(PIXELS | SUMS)
@pytest.mark.parametrize("target", [3, -1])
def test_a_class_that_there_is_not_of_a_model_that_was_never_asked(metric, target):
    """Whose number of classes nobody knows yet."""
    with pytest.raises(IndexError, match=str(target)):
        metric(load(), IMAGES, MAPS, [0, target])


@named({name: metric for name, metric in (PIXELS | SUMS).items() if name != "gaussian"})
def test_a_map_whose_channels_cancel_says_nothing_of_which_pixel_matters(metric):
    """Once its channels are added up it is 0 everywhere, and the order of pixels is but a lot."""
    maps = np.tile(np.float32([1, -1, 0]), (2, *SHAPE[:2], 1))
    try:
        found = metric(load(), IMAGES, maps, 0)
    except ValueError as error:
        assert "everywhere" in str(error)  # noqa: PT017
    else:
        assert np.isnan(found.values).all()
        assert set(found.notes) == {0, 1}


@named(PIXELS | SUMS)
def test_a_model_that_gives_nan(metric):
    def function(batch, targets):
        scores, gradients = Polynomial(1, SHAPE)(batch, targets)
        whole = (batch == IMAGES[0]).all(axis=(1, 2, 3)) | (batch == 0).all(axis=(1, 2, 3))
        return np.where(whole[:, None], scores, np.nan), gradients

    with pytest.raises(intgrad.ModelError, match="score of class 0 is nan"):
        metric(load(function), IMAGES[0], MAPS[0], 0)


@named(PIXELS | SUMS)
@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"batch_size": -3}, ValueError, "batch_size must be"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": 1.5}, TypeError, "seed must be an int, got 1.5"),
        ({"batch_size": "3"}, TypeError, "batch_size|int"),
    ],
)
def test_options_of_all(metric, options, kind, text):
    with pytest.raises(kind, match=text):
        metric(load(), IMAGES, MAPS, 0, **options)


OPTIONS = [
    (metrics.deletion, {"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    (metrics.deletion, {"steps": 121}, ValueError, "at most the 120 pixels of an image, got 121"),
    (metrics.insertion, {"steps": 2.5}, TypeError, "steps must be an int, got 2.5"),
    (metrics.insertion, {"reduce": "mean"}, ValueError, "one of sum, abs, max, norm, got 'mean'"),
    (metrics.deletion, {"baseline": "pink"}, ValueError, "got 'pink'"),
    (metrics.deletion, {"baseline": MAPS[0, :3]}, ValueError, "baseline must have the shape"),
    (metrics.deletion, {"baseline": IMAGES[None]}, ValueError, "must be one picture, got 2"),
    (metrics.deletion, {"baseline": np.full(SHAPE, np.nan)}, ValueError, "finite"),
    (metrics.deletion, {"baseline": np.nan}, ValueError, "finite"),
    (metrics.aic, {"thresholds": []}, ValueError, "must ascend, and be one or more"),
    (metrics.aic, {"thresholds": [0.5, 0.2]}, ValueError, "thresholds must ascend"),
    (metrics.sic, {"thresholds": [0.2, 0.2]}, ValueError, "thresholds must ascend"),
    (metrics.sic, {"thresholds": [0.2, 1.2]}, ValueError, r"in 0..1, got 1.2"),
    (metrics.sic, {"thresholds": [-0.1]}, ValueError, r"in 0..1, got -0.1"),
    (metrics.sic, {"thresholds": [np.nan]}, ValueError, r"in 0..1, got nan"),
    (metrics.sic, {"least_probability": 80}, ValueError, r"in 0..1, got 80"),
    (metrics.road, {"fractions": []}, ValueError, "must ascend, and be one or more"),
    (metrics.road, {"fractions": [0.0, 0.5]}, ValueError, "between 0 and 1, without both"),
    (metrics.road, {"fractions": [0.5, 1.0]}, ValueError, "between 0 and 1, without both"),
    (metrics.road, {"fractions": [0.5, 0.4]}, ValueError, "must ascend"),
    (metrics.road, {"fractions": [10, 20]}, ValueError, r"in 0..1, got 10"),
    (metrics.road, {"fractions": [np.nan]}, ValueError, r"in 0..1, got nan"),
    (metrics.road, {"fractions": [0.001]}, ValueError, "at least one of 120 pixels, got 0.001"),
    (metrics.road, {"fractions": 0.5}, (TypeError, ValueError), "fractions .*got 0.5"),
    (metrics.road, {"fractions": ["0.2", "0.4"]}, TypeError, "fractions .*got '0.2'"),
    (metrics.sic, {"thresholds": 0.5}, (TypeError, ValueError), "thresholds .*got 0.5"),
    (metrics.road, {"noise": -0.1}, ValueError, r"noise must be in 0..1, got -0.1"),
    (metrics.road, {"order": "all"}, ValueError, "'most' or 'least', got 'all'"),
    (SUMS["infidelity"], {"draws": 1}, ValueError, "draws must be at least 2, got 1"),
    (SUMS["infidelity"], {"perturbation": "circle"}, ValueError, "'square' or 'gaussian', got"),
    (SUMS["infidelity"], {"meaning": "ranks"}, ValueError, "'contributions' or 'slopes', got"),
    (SUMS["infidelity"], {"noise": -1}, ValueError, "noise must be a positive number"),
    (SUMS["infidelity"], {"noise": np.nan}, ValueError, "noise must be a positive number"),
    (metrics.infidelity, {}, ValueError, "differentiates output='logit'"),
    (metrics.mu_fidelity, {"output": "odds"}, ValueError, "output must be one of"),
    (SUMS["mu_fidelity"], {"size": 0}, ValueError, "more than 0 and less than 1, got 0"),
    (SUMS["mu_fidelity"], {"size": 1}, ValueError, "more than 0 and less than 1, got 1"),
    (SUMS["mu_fidelity"], {"size": 1.5}, ValueError, r"size must be in 0..1, got 1.5"),
    (SUMS["mu_fidelity"], {"size": 0.001}, ValueError, "size=0.001 of 81 leaves nothing"),
    (SUMS["mu_fidelity"], {"size": 0.999}, ValueError, "leaves nothing to be taken"),
    (SUMS["mu_fidelity"], {"cells": 11}, ValueError, "at most 10, the pixels of the shorter side"),
    (SUMS["mu_fidelity"], {"cells": 1}, ValueError, "cells must be at least 2, got 1"),
    (SUMS["mu_fidelity"], {"draws": 2}, ValueError, "draws must be at least 3, got 2"),
    (SUMS["mu_fidelity"], {"correlation": "tau"}, ValueError, "'rank' or 'linear', got 'tau'"),
    (ALL["max_sensitivity"], {"radius": 0}, ValueError, "radius must be a positive number up to 1"),
    (ALL["max_sensitivity"], {"radius": 5}, ValueError, "radius must be a positive number up to 1"),
    (ALL["max_sensitivity"], {"draws": 0}, ValueError, "draws must be at least 1, got 0"),
    (metrics.max_sensitivity, {"explain": 5}, TypeError, "has to know what made attributions"),
    (metrics.randomization, {"explain": itself}, TypeError, "not loaded from one|torch module"),
]


@pytest.mark.parametrize(("metric", "options", "kind", "text"), OPTIONS)
def test_an_option_that_is_wrong(metric, options, kind, text, watch):
    model, watched = watch(Polynomial(1, SHAPE), shape=SHAPE)
    with pytest.raises(kind, match=text):
        metric(model, IMAGES, MAPS, 0, **options)
    assert not watched.pictures


def test_images_that_pic_cannot_measure():
    images = pixels((1, 6, 5, 4))
    model = intgrad.load_model(Polynomial(1, (6, 5, 4)), output="logit")
    with pytest.raises(ValueError, match="sic needs images of 1 or 3 channels, got 4"):
        metrics.sic(model, images, images, 0)


@pytest.mark.parametrize(
    "options", [{"perturbation": "gaussian"}, {"meaning": "slopes"}], ids=["gaussian", "slopes"]
)
def test_infidelity_of_a_map_whose_channels_are_added_up(options):
    with pytest.raises(ValueError, match="must have the images' channels"):
        metrics.infidelity(load(), IMAGES, MAPS.sum(axis=3), 0, output="logit", **options)


@named({name: metric for name, metric in ALL.items() if name not in PLACES})
def test_a_standard_error_of_one_image_is_nan_and_says_so(metric):
    for count in (1, 2):
        maps = IMAGES if metric is ALL["max_sensitivity"] else MAPS
        found = metric(load(), IMAGES[:count], maps[:count], 0)
        known = found.values[np.isfinite(found.values)]
        if len(known) == 2:
            expected = np.std(known, ddof=1) / np.sqrt(2)
            assert found.standard_error == pytest.approx(expected)
            assert "over 2 images" in found.summary()
        else:
            assert np.isnan(found.standard_error)
            few = "the standard error of a mean needs two images or more"
            assert (few if len(known) else "no image has a value") in found.summary()


def test_a_metric_without_what_it_needs_says_what_to_install(monkeypatch):
    for module, metric, options in [
        ("scipy", metrics.sic, {}),
        ("scipy.interpolate", metrics.sic, {}),
        ("PIL.Image", metrics.aic, {}),
    ]:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            if module == "scipy":
                patch.setitem(sys.modules, "scipy.interpolate", None)
            with pytest.raises(ImportError, match="pip install"):
                metric(load(), IMAGES, MAPS, 0, **options)


@pytest.mark.parametrize(
    "measure",
    [
        lambda images, maps, **o: metrics.deletion(load(), images, maps, 0, steps=4, **o),
        lambda images, maps, **o: metrics.compare(
            load(), images, {"a": maps}, [partial(metrics.deletion, steps=4, **o)], 0
        ),
    ],
    ids=["deletion", "compare"],
)
def test_pixels_that_are_none_are_warned_of_at_the_callers_line(measure):
    with pytest.warns(UserWarning, match="largest value is 1, but pixels are") as caught:
        measure(IMAGES / 255, MAPS)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="baseline's values lie in 0.5..0.5") as caught:
        measure(IMAGES, MAPS, baseline=np.full(SHAPE, 0.5))
    assert [warning.filename for warning in caught] == [__file__]
