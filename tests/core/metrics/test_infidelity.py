"""Infidelity: the authors' formula over the pictures that the model saw, and what theory gives."""

import tracemalloc

import numpy as np
import pytest
from analytic import Polynomial, Wave, pixels

import intgrad
from intgrad import metrics

pytestmark = pytest.mark.unsanitized

SHAPE = (12, 10, 3)
LINEAR = Polynomial(1, SHAPE)
KINDS = ["square", "gaussian"]


def saliency(shape=SHAPE, seed=7):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def measure(function, images, maps, target=1, **options):
    model = intgrad.load_model(function, output="logit")
    return metrics.infidelity(model, images, maps, target, output="logit", **options)


def authors(sums, changes, fit_scale=True):
    """Return what get_exp_infid of Yeh et al.'s code makes of sums of I * map, and of F's change.

    Its beta is mean(change * sum) / mean(sum^2).
    """
    beta = np.mean(changes * sums) / np.mean(sums * sums) if fit_scale else 1
    return np.mean(np.square(changes - beta * sums))


def twin(function, image, pictures, values, baseline, target=1, **options):
    """Return the infidelity over these pictures, a plain loop over them."""
    x, values = np.float64(image), np.float64(values)
    sums, changes = [], []
    for picture in np.float64(pictures):
        moved = x - picture
        if options.get("meaning", "contributions") == "contributions":
            way = x - np.float64(baseline)
            moved = np.divide(moved, way, out=np.zeros(SHAPE), where=way != 0)
        sums.append((moved * values).sum())
        changes.append(float(score(function, x, target) - score(function, picture, target)))
    return authors(np.array(sums), np.array(changes), options.get("fit_scale", True))


def score(function, picture, target):
    """Return F as the model gives it, in float32."""
    return np.float32(function(np.float32(picture)[None], [target])[0][0, target]).astype(float)


# ---- The authors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_scale", [True, False])
@pytest.mark.parametrize("meaning", ["contributions", "slopes"])
@pytest.mark.parametrize("perturbation", KINDS)
@pytest.mark.parametrize("draws", [2, 32, 77])
def test_infidelity_is_that_of_the_authors(perturbation, meaning, fit_scale, draws, watch):
    function, image, values = Wave(SHAPE), pixels(SHAPE), saliency()
    baseline = pixels(SHAPE, 3)
    model, watched = watch(function, shape=SHAPE)
    options = {"perturbation": perturbation, "meaning": meaning, "fit_scale": fit_scale}
    found = metrics.infidelity(
        model, image, values, 1, draws=draws, baseline=baseline, output="logit", **options
    )
    np.testing.assert_array_equal(watched.pictures[0], image)
    pictures = watched.pictures[1:]
    assert len(pictures) == draws == found.draws
    expected = twin(function, image, pictures, values, baseline, **options)
    assert found.values[0] == pytest.approx(expected, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("baseline", ["black", "mean", 40.0])
def test_squares_are_set_to_the_baseline(baseline, watch):
    image = pixels(SHAPE)
    model, watched = watch(LINEAR, shape=SHAPE)
    metrics.infidelity(model, image, saliency(), 1, baseline=baseline, draws=500, output="logit")
    value = {"black": 0, "mean": image.mean(axis=(0, 1)), 40.0: 40}[baseline]
    sides, tops, lefts = [], [], []
    for picture in watched.pictures[1:]:
        inside = (picture != image).any(axis=2)
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        assert len(rows) == len(columns) == np.sqrt(inside.sum())
        np.testing.assert_allclose(
            picture[inside], np.broadcast_to(value, (inside.sum(), 3)), rtol=1e-4
        )
        sides.append(len(rows))
        tops.append(rows[0])
        lefts.append(columns[0])
    assert set(sides) == {1, 2, 3, 4}  # of 10 pixels 10/28, the authors' for MNIST
    for side in set(sides):
        of_side = np.array(sides) == side
        assert abs(of_side.mean() - 0.25) < 0.1
        assert set(np.array(tops)[of_side]) == set(range(12 - side + 1))
        assert set(np.array(lefts)[of_side]) == set(range(10 - side + 1))


def test_gaussian_pictures_are_a_noisy_baseline(watch):
    model, watched = watch(LINEAR, shape=SHAPE)
    options = {"perturbation": "gaussian", "baseline": "gray", "draws": 200, "output": "logit"}
    metrics.infidelity(model, pixels(SHAPE), saliency(), 1, noise=0.05, **options)
    noise = (np.array(watched.pictures[1:]) - 127.5) / (0.05 * 255)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert abs(noise.mean()) < 0.015
    watched.forget()
    options["baseline"] = "black"
    metrics.infidelity(model, pixels(SHAPE), saliency(), 1, noise=0.2, **options)
    seen = np.array(watched.pictures[1:])
    assert seen.min() == 0  # pictures stay pictures
    assert seen.max() <= 255


# ---- Theory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_scale", [True, False])
@pytest.mark.parametrize("perturbation", KINDS)
@pytest.mark.parametrize("baseline", ["black", "mean", "blur", pixels(SHAPE, 9)])
def test_a_linear_model_explains_itself(perturbation, fit_scale, baseline):
    """Of contributions from the same baseline, and of slopes, nothing is missed."""
    image = pixels(SHAPE)
    model = intgrad.load_model(LINEAR, output="logit")
    true = intgrad.integrated_gradients(model, image, 1, baseline=baseline, output="logit", steps=2)
    options = {"perturbation": perturbation, "fit_scale": fit_scale, "baseline": baseline}
    random = measure(LINEAR, image, saliency() * np.abs(true).mean(), **options).mean
    assert measure(LINEAR, image, true, **options).mean < 1e-6 * random
    slopes = LINEAR.weights[1]
    found = measure(LINEAR, image, slopes, meaning="slopes", **options)
    assert found.mean < 1e-6 * random


@pytest.mark.parametrize("perturbation", KINDS)
def test_a_fitted_scale_forgives_scale_and_sign(perturbation):
    image, true = pixels(SHAPE), LINEAR.weights[1] * pixels(SHAPE)
    noisy = true + 0.3 * true.std() * saliency()
    options = {"perturbation": perturbation}
    found = measure(LINEAR, image, noisy, **options).mean
    for factor in (10, 0.001, -1):
        assert measure(LINEAR, image, factor * noisy, **options).mean == pytest.approx(
            found, rel=1e-4
        )
    plain = [
        measure(LINEAR, image, factor * noisy, fit_scale=False, **options).mean
        for factor in (1, -1, 10)
    ]
    assert found <= plain[0] < plain[1] < plain[2]


@pytest.mark.parametrize("fit_scale", [True, False])
def test_the_order_of_maps_is_that_of_theory(fit_scale):
    image, true = pixels(SHAPE), LINEAR.weights[1] * pixels(SHAPE)
    means = [
        measure(LINEAR, image, values, fit_scale=fit_scale).mean
        for values in (true, true + true.std() * saliency(), saliency() * true.std())
    ]
    assert means[0] < means[1] < means[2]


def test_a_map_of_pixels_is_that_of_channels_for_squares():
    image, values = pixels(SHAPE), saliency()
    found = measure(Wave(SHAPE), image, values)
    summed = measure(Wave(SHAPE), image, np.float64(values).sum(axis=2))
    assert found.mean == pytest.approx(summed.mean, rel=1e-5)


def test_slopes_that_say_nothing_of_a_square():
    """No scale fits, and that is no number."""
    values = np.zeros(SHAPE)
    values[0, 0, :2] = 1, -1
    found = measure(LINEAR, pixels(SHAPE), values, draws=20)
    assert np.isnan(found.values[0])
    assert "no scale fits" in found.notes[0]


@pytest.mark.parametrize("perturbation", KINDS)
def test_value_errors_are_how_values_spread(perturbation):
    image, values = pixels(SHAPE), LINEAR.weights[1] * pixels(SHAPE) * (1 + saliency())
    options = {"perturbation": perturbation, "draws": 200, "fit_scale": False}
    runs = [measure(LINEAR, image, values, seed=seed, **options) for seed in range(60)]
    spread = np.std([run.mean for run in runs], ddof=1)
    claimed = np.sqrt(np.mean([run.value_errors[0] ** 2 for run in runs]))
    assert 0.75 < claimed / spread < 1.35


# ---- Images, seeds, other packages ---------------------------------------------------------------


@pytest.mark.parametrize("perturbation", KINDS)
def test_seeds_repeat_and_draws_are_a_prefix(perturbation, watch):
    function, image = Wave(SHAPE), pixels(SHAPE)
    model, watched = watch(function, shape=SHAPE)
    seen = []
    for draws, seed in [(40, 0), (40, 0), (70, 0), (40, 1)]:
        watched.forget()
        options = {"perturbation": perturbation, "draws": draws, "seed": seed, "output": "logit"}
        metrics.infidelity(model, image, saliency(), 1, **options)
        seen.append(np.array(watched.pictures[1:]))
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2][:32], seen[0][:32])  # as many as are drawn at a time
    assert (seen[0] != seen[3]).any()


def test_images_have_their_own_draws(watch):
    """Which differ by the pixels alone: squares lie elsewhere where one pixel is another."""
    images = np.stack([pixels(SHAPE)] * 3)
    images[2, 0, 0, 0] += 1
    model, watched = watch(Wave(SHAPE), shape=SHAPE)
    maps = np.stack([saliency()] * 3)
    metrics.infidelity(model, images, maps, 1, draws=33, output="logit")
    first, again, other = (np.array(watched.pictures)[34 * k + 1 : 34 * (k + 1)] for k in range(3))
    np.testing.assert_array_equal(first, again)
    assert ((first == 0).any(axis=3) != (other == 0).any(axis=3)).any()


def test_quantus_adds_up_squares_of_what_it_has_taken_before(watch):
    """Its Infidelity sets block after block to the baseline, each on top of the last.

    So most of its pictures are far from the image, and there is no chance in them at all. Ours are
    single squares: no picture lacks more than one, as in the paper's definition of I.
    """
    model, watched = watch(LINEAR, shape=SHAPE)
    metrics.infidelity(model, pixels(SHAPE), saliency(), 1, draws=100, output="logit")
    gone = [(picture != pixels(SHAPE)).any(axis=2).sum() for picture in watched.pictures[1:]]
    assert max(gone) == 16
    theirs = np.arange(1, 10) * 16  # blocks of 4 x 4, of which the last leave nothing
    assert theirs.max() > 120


@pytest.mark.unsanitized
@pytest.mark.parametrize("perturbation", KINDS)
def test_memory_is_flat_in_draws_and_images(perturbation):
    shape = (32, 32, 3)
    model = intgrad.load_model(Polynomial(1, shape), output="logit")
    images, maps = pixels((20, *shape)), saliency((20, *shape))
    options = {"perturbation": perturbation, "output": "logit", "batch_size": 4}

    def peak(count, draws):
        tracemalloc.start()
        metrics.infidelity(model, images[:count], maps[:count], 1, draws=draws, **options)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1, 2)
    picture = images[0].nbytes
    assert peak(1, 640) - peak(1, 64) < 20 * picture
    assert peak(20, 40) - peak(2, 40) < 20 * picture


def test_where_no_perturbation_moves_the_score_no_map_is_perfect():
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    found = metrics.infidelity(model, np.zeros(SHAPE), saliency(), 1, draws=8, output="logit")
    assert np.isnan(found.values[0])
    assert found.notes == {0: "no perturbation changes the score"}
