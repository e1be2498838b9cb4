"""MuFidelity and sensitivity-n: correlations over the pictures that the model saw."""

import numpy as np
import pytest
import scipy.stats
from analytic import Polynomial, Wave, pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import intgrad
from intgrad import metrics
from intgrad.metrics.statistics import correlate, mean_ranks

pytestmark = pytest.mark.unsanitized

SHAPE = (12, 10, 3)
LINEAR = Polynomial(1, SHAPE)
BOTH = [metrics.mu_fidelity, metrics.sensitivity_n]


def saliency(shape=SHAPE, seed=7):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def measure(metric, function, images, maps, target=1, **options):
    model = intgrad.load_model(function, output="logit")
    return metric(model, images, maps, target, output="logit", **options)


# ---- A twin --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [None, 4, 9])
@pytest.mark.parametrize("correlation", ["rank", "linear"])
@pytest.mark.parametrize("metric", BOTH)
def test_correlations_are_those_of_scipy(metric, correlation, cells, watch):
    function, image, values = Wave(SHAPE), pixels(SHAPE), saliency()
    model, watched = watch(function, shape=SHAPE)
    found = metric(
        model,
        image,
        values,
        2,
        cells=cells,
        correlation=correlation,
        draws=70,
        size=0.3,
        output="logit",
    )
    pictures = np.array(watched.pictures[1:])
    assert len(pictures) == 70 == found.draws
    taken = (pictures != image).any(axis=3)
    assert (pictures[taken] == 0).all()
    sums = (taken * np.float64(values).sum(axis=2)).sum(axis=(1, 2))
    scores = np.float32(function(np.concatenate([image[None], pictures]), [2] * 71)[0])[:, 2]
    changes = np.float64(scores[0]) - np.float64(scores[1:])
    statistic = scipy.stats.spearmanr if correlation == "rank" else scipy.stats.pearsonr
    assert found.values[0] == pytest.approx(statistic(sums, changes)[0], rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "count"), [(metrics.mu_fidelity, 81), (metrics.sensitivity_n, 120)]
)
def test_subsets_are_of_the_size_that_is_asked_for(metric, count, watch):
    image = pixels(SHAPE)
    model, watched = watch(LINEAR, shape=SHAPE)
    metric(model, image, saliency(), 1, size=0.25, output="logit")
    taken = (np.array(watched.pictures[1:]) != image).any(axis=3)
    rows, columns = np.arange(12) * 9 // 12, np.arange(10) * 9 // 10
    cell = rows[:, None] * 9 + columns if count == 81 else np.arange(120).reshape(12, 10)
    for mask in taken:
        of = np.unique(cell[mask])
        assert len(of) == round(0.25 * count)
        np.testing.assert_array_equal(mask, np.isin(cell, of))  # all of a cell
    share = taken.mean(axis=0)
    assert abs(share - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / len(taken))
    assert len(taken) == (200 if count == 81 else 100)


def test_sensitivity_n_is_mu_fidelity_of_pixels():
    options = {"size": 0.1, "draws": 50, "cells": None, "correlation": "linear"}
    a, b = (measure(metric, Wave(SHAPE), pixels(SHAPE), saliency(), **options) for metric in BOTH)
    assert a.values[0] == b.values[0]


@pytest.mark.parametrize("baseline", ["mean", 31.0, pixels(SHAPE, 9)])
def test_baselines(baseline, watch):
    image = pixels(SHAPE)
    model, watched = watch(LINEAR, shape=SHAPE)
    metrics.mu_fidelity(model, image, saliency(), 1, baseline=baseline, draws=5, output="logit")
    value = image.mean(axis=(0, 1)) if isinstance(baseline, str) else baseline
    for picture in watched.pictures[1:]:
        taken = (picture != image).any(axis=2)
        np.testing.assert_allclose(picture[taken], np.broadcast_to(value, SHAPE)[taken], rtol=1e-4)


# ---- Theory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", ["rank", "linear"])
@pytest.mark.parametrize("size", [0.05, 0.2, 0.9])
@pytest.mark.parametrize("metric", BOTH)
def test_a_linear_model_is_1_its_inverse_minus_1_and_a_random_map_near_0(metric, size, correlation):
    image = pixels(SHAPE)
    true = LINEAR.weights[1] * image
    options = {"size": size, "correlation": correlation, "draws": 200}
    assert measure(metric, LINEAR, image, true, **options).mean == pytest.approx(1, abs=2e-3)
    assert measure(metric, LINEAR, image, -true, **options).mean == pytest.approx(-1, abs=2e-3)
    random = [
        measure(metric, LINEAR, image, saliency(seed=seed), **options).mean for seed in range(20)
    ]
    assert abs(np.mean(random)) < 4 * np.std(random) / np.sqrt(20)
    assert max(np.abs(random)) < 0.6


@pytest.mark.parametrize("metric", BOTH)
def test_a_map_from_another_baseline_is_not_1(metric):
    image = pixels(SHAPE)
    true = LINEAR.weights[1] * (image - 127.5)
    assert measure(metric, LINEAR, image, true, baseline="gray").mean > 0.998
    assert measure(metric, LINEAR, image, true, baseline="black").mean < 0.9


@pytest.mark.parametrize("metric", BOTH)
def test_a_model_that_never_changes_is_nan_and_says_why(metric):
    """xplique counts that as 0, which a map of another image would get as well."""

    def function(batch, targets):
        return np.ones((len(batch), 2)), np.zeros_like(batch)

    found = measure(metric, function, pixels(SHAPE), saliency())
    assert np.isnan(found.values[0])
    assert "all subsets change the score alike" in found.notes[0]
    assert np.isnan(found.mean)


def test_xplique_draws_how_many_cells_it_takes_as_well():
    """Each cell by itself, with a probability of 20 %: sizes of subsets then differ.

    The paper's are of a fixed size, and ours. With differing ones, a map that is positive
    everywhere correlates with the size alone, whatever it says of places.
    """
    rng = np.random.default_rng(0)
    weights, said = rng.uniform(0.5, 1.5, (2, 81))
    theirs = rng.random((4000, 81)) > 0.8
    ours = rng.permuted(np.tile(np.arange(81) < 16, (4000, 1)), axis=1)
    assert scipy.stats.spearmanr(theirs @ said, theirs @ weights)[0] > 0.6
    assert abs(scipy.stats.spearmanr(ours @ said, ours @ weights)[0]) < 0.3


def test_positive_maps_do_not_score_by_being_positive(fair):
    """As they do with subsets of differing sizes; where cells are equal, ours are not."""
    shape = (18, 18, 3)
    image = np.full(shape, 200, np.float32)
    model = intgrad.load_model(fair(shape))
    found = [
        metrics.mu_fidelity(model, image, np.abs(saliency(shape, seed)) + 1, 0).mean
        for seed in range(12)
    ]
    assert abs(np.mean(found)) < 0.15


# ---- Ranks ---------------------------------------------------------------------------------------


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(max_dims=3, max_side=6),
        elements=st.integers(-3, 3) | st.floats(-1e6, 1e6),
    )
)
def test_mean_ranks_are_those_of_scipy(values):
    expected = scipy.stats.rankdata(values).reshape(values.shape)
    np.testing.assert_array_equal(mean_ranks(values), expected)


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, st.tuples(st.just(2), st.integers(3, 30)), elements=st.integers(-4, 4))
)
def test_rank_correlations_with_equals_are_those_of_scipy(values):
    a, b = values
    found = correlate(a, b, by_rank=True)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(scipy.stats.spearmanr(a, b)[0], abs=1e-12)


# ---- Seeds, images -------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", BOTH)
def test_seeds_repeat_and_images_have_their_own_draws(metric):
    images, maps = np.stack([pixels(SHAPE)] * 2), np.stack([saliency()] * 2)
    images[1, 0, 0, 0] += 1
    found = [measure(metric, Wave(SHAPE), images, maps, seed=seed, draws=40) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0].values, found[1].values)
    assert found[0].values[0] != found[2].values[0]
    assert found[0].values[0] != found[0].values[1]
    alone = measure(metric, Wave(SHAPE), images[0], maps[0], seed=0, draws=40)
    assert alone.values[0] == found[0].values[0]


@pytest.mark.parametrize("name", ["mu_fidelity", "sensitivity_n", "infidelity", "sic", "road"])
def test_an_image_has_the_draws_alone_that_it_has_in_a_batch(name):
    """Wherever it stands among others: they go by its pixels, and differ from image to image."""
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    images, maps = pixels((3, *SHAPE)), saliency((3, *SHAPE))
    others = {"sic": {"least_probability": 0}, "road": {}}
    options = others.get(name, {"draws": 40, "output": "logit"})
    found = [
        getattr(metrics, name)(model, images[some], maps[some], 1, **options).values
        for some in (slice(3), slice(2, 3), 1, slice(None, None, -1))
    ]
    np.testing.assert_array_equal(found[0][2:], found[1])
    np.testing.assert_array_equal(found[0][1:2], found[2])
    np.testing.assert_array_equal(found[0], found[3][::-1])
