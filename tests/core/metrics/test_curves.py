"""Deletion and insertion: against RISE's convention in plain NumPy, and what others count."""

import tracemalloc

import numpy as np
import pytest
from analytic import Polynomial, Wave, pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate

import intgrad
from intgrad import metrics
from intgrad.metrics.ranking import rank

pytestmark = pytest.mark.unsanitized

SHAPE = (12, 10, 3)
COUNT = 120
CURVES = [metrics.deletion, metrics.insertion]


def load(function=None):
    function = Polynomial(1, SHAPE, scale=2e-3) if function is None else function
    return intgrad.load_model(function, output="logit")


def saliency(seed=7, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ends(metric, image, baseline):
    return (image, baseline) if metric is metrics.deletion else (baseline, image)


def rise(model, start, finish, target, values, step):
    """Return the scores of RISE's pictures, `step` pixels more in each, start and finish too.

    Its order is descending; pixels are taken with all channels.
    """
    order = np.flip(np.argsort(values.ravel()))
    picture, scores = np.array(start), []
    for taken in range(0, COUNT + step, step):
        scores.append(float(model.predict(picture)[target]))
        places = np.unravel_index(order[taken : taken + step], SHAPE[:2])
        picture[places] = finish[places]
    return scores


# ---- RISE ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3, 40, 120])
@pytest.mark.parametrize("metric", CURVES)
@pytest.mark.parametrize("function", [Polynomial(1, SHAPE, scale=2e-3), Wave(SHAPE)])
def test_curves_are_those_of_rise(metric, step, function, trapezoid):
    model, images, maps = load(function), pixels((2, *SHAPE)), saliency(shape=(2, *SHAPE))
    baselines = pixels((2, 1, *SHAPE), 5)
    targets = [1, 0]
    found = metric(model, images, maps, targets, baseline=baselines, steps=COUNT // step)
    for k in range(2):
        start, finish = ends(metric, images[k], baselines[k, 0])
        scores = rise(model, start, finish, targets[k], np.float64(maps[k]).sum(axis=2), step)
        np.testing.assert_allclose(found.curves[k], scores, rtol=1e-6)
        assert found.values[k] == pytest.approx(trapezoid(scores), rel=1e-6)
    np.testing.assert_allclose(found.fractions, np.arange(0, COUNT + 1, step) / COUNT)
    np.testing.assert_allclose(found.curve, found.curves.mean(axis=0))
    assert found.area == pytest.approx(found.mean) == pytest.approx(found.values.mean())
    assert found.higher_is_better == (metric is metrics.insertion)


@pytest.mark.parametrize(
    ("baseline", "picture"),
    [
        ("black", lambda x: 0 * x),
        (31.5, lambda x: 0 * x + np.float32(31.5)),
        ("mean", lambda x: np.broadcast_to(x.mean(axis=(0, 1), dtype=np.float64), x.shape)),
        (pixels(SHAPE, 3), lambda x: pixels(SHAPE, 3)),
    ],
)
@pytest.mark.parametrize("metric", CURVES)
def test_baselines_are_those_of_each_image(metric, baseline, picture):
    model, images = load(), pixels((2, *SHAPE))
    found = metric(model, images, saliency(shape=(2, *SHAPE)), 0, baseline=baseline, steps=4)
    for curve, image in zip(found.curves, images, strict=True):
        expected = [
            model.predict(np.float32(end))[0] for end in ends(metric, image, picture(image))
        ]
        np.testing.assert_allclose(curve[[0, -1]], expected, rtol=1e-5)


def test_what_is_not_asked_for_is_rises():
    """The mean colour, the blurred image, all pixels of equal weight, and the sum of channels."""
    model, image, values = load(), pixels(SHAPE), saliency()
    mean = np.float32(np.broadcast_to(image.mean(axis=(0, 1), dtype=np.float64), SHAPE))
    explicit = metrics.deletion(model, image, values.sum(axis=2), baseline=mean, steps=100)
    np.testing.assert_allclose(
        metrics.deletion(model, image, values).curves, explicit.curves, rtol=1e-5
    )
    found = metrics.insertion(model, image, values)
    assert len(found.fractions) == 101
    assert "'blur'" in repr(metrics.insertion.__kwdefaults__)
    assert "blur" in found.convention
    assert "mean" in metrics.deletion(model, image, values, steps=5).convention


@pytest.mark.parametrize("steps", [7, 50, 100])
def test_steps_that_do_not_divide_the_pixels(steps, watch):
    """As many pixels more in each as are nearest, and the area is over what was really taken."""
    image = pixels(SHAPE)
    model, watched = watch(Polynomial(1, SHAPE, scale=2e-3), shape=SHAPE)
    found = metrics.deletion(model, image, saliency(), 0, baseline="black", steps=steps)
    taken = [int((picture == 0).all(axis=2).sum()) for picture in sorted_by_zeros(watched.pictures)]
    np.testing.assert_array_equal(taken, np.round(np.linspace(0, COUNT, steps + 1)))
    places = np.array(taken) / COUNT
    assert found.values[0] == pytest.approx(integrate.trapezoid(found.curves[0], places), rel=1e-12)
    np.testing.assert_allclose(found.fractions, places, err_msg="fractions are where curves are")
    assert found.area == pytest.approx(found.mean, rel=1e-9)


def sorted_by_zeros(pictures):
    return sorted(pictures, key=lambda picture: (picture == 0).sum())


@pytest.mark.parametrize("metric", CURVES)
def test_the_untouched_point_is_there(metric):
    """Without it, the first step has gone before anything is counted."""
    model, image, baseline = load(), pixels(SHAPE), pixels(SHAPE, 1)
    found = metric(model, image, saliency(), 2, baseline=baseline, steps=10)
    start, finish = ends(metric, image, baseline)
    assert found.fractions[0] == 0
    assert found.fractions[-1] == 1
    assert found.curves[0, 0] == pytest.approx(model.predict(start)[2], rel=1e-6)
    assert found.curves[0, -1] == pytest.approx(model.predict(finish)[2], rel=1e-6)


# ---- Other packages ------------------------------------------------------------------------------


def quantus(curve):
    """Return what Quantus 0.6's PixelFlipping makes of a curve, by its area.

    Scores after each step, but none before the first, and trapezoids of width 1.
    """
    return integrate.trapezoid(curve[1:], dx=1)


def test_quantus_has_no_untouched_point_and_an_area_that_grows_with_the_steps(fair):
    """RISE's area is of a curve over 0..1 with both ends: it does not depend on the steps."""
    model, image, values = intgrad.load_model(fair(SHAPE)), pixels(SHAPE), saliency()
    options = {"targets": 0, "baseline": "black"}
    few = metrics.deletion(model, image, values, **options, steps=30)
    many = metrics.deletion(model, image, values, **options, steps=120)
    assert many.values[0] == pytest.approx(few.values[0], rel=0.05)
    theirs = [quantus(found.curves[0]) for found in (few, many)]
    assert theirs[1] / theirs[0] > 3.5
    for found, other in zip((few, many), theirs, strict=True):
        steps = len(found.fractions) - 1
        first = (found.curves[0, 0] + found.curves[0, 1]) / 2
        assert (other + first) / steps == pytest.approx(found.values[0], rel=1e-9)


def test_quantus_misses_what_the_first_step_does(fair):
    """A map that finds the one pixel that counts: all of the fall is before its first point."""
    function = fair(SHAPE)
    function.weights[:] = 0
    function.weights[4, 5] = 1 / 255 / 3
    image = np.full(SHAPE, 255, np.float32)
    right = np.zeros(SHAPE[:2])
    right[4, 5] = 1
    model = intgrad.load_model(function)
    found = metrics.deletion(model, image, right, 0, baseline="black", steps=COUNT)
    assert found.values[0] == pytest.approx(0.5 / COUNT)
    assert quantus(found.curves[0]) == 0
    assert found.curves[0, 0] == pytest.approx(1)


def xplique(model, start, finish, target, values, steps):
    """Return the area of xplique 2.0's CausalFidelity: even distances, places rounded down."""
    order = np.argsort(values.ravel(), kind="stable")[::-1]
    scores = []
    for taken in np.linspace(0, COUNT, steps + 1, dtype=np.int32):
        picture = start.copy().reshape(COUNT, -1)
        picture[order[:taken]] = finish.reshape(COUNT, -1)[order[:taken]]
        scores.append(model.predict(picture.reshape(SHAPE))[target])
    scores = np.float64(scores)
    return np.mean(scores[:-1] + scores[1:]) * 0.5


@pytest.mark.parametrize("metric", CURVES)
def test_xplique_has_the_same_area_where_steps_divide_the_pixels(metric):
    """It takes the mean of the channels, whose order is that of their sum."""
    model, image, values = load(Wave(SHAPE)), pixels(SHAPE), saliency()
    baseline = pixels(SHAPE, 3)
    start, finish = ends(metric, image, baseline)
    for steps in (10, 60):
        theirs = xplique(model, start, finish, 1, np.float64(values).mean(axis=2), steps)
        found = metric(model, image, values, 1, baseline=baseline, steps=steps)
        assert found.values[0] == pytest.approx(theirs, rel=1e-6)


def test_xplique_spaces_evenly_what_is_not(fair):
    """Linear scores and equal pixels: the area is 1/2 however many pixels a step takes."""
    function = fair(SHAPE)
    function.weights[:] = 1 / function.weights.size / 255
    model, image = intgrad.load_model(function), np.full(SHAPE, 255, np.float32)
    found = metrics.deletion(model, image, saliency(), 0, baseline="black", steps=100)
    assert found.values[0] == pytest.approx(0.5, rel=1e-6)
    theirs = xplique(model, image, 0 * image, 0, saliency().sum(axis=2), 100)
    assert abs(theirs - 0.5) > 1e-3


def test_xplique_takes_equals_by_their_place(fair):
    """From the last pixel on: where these count most, a map that says little scores well.

    Neither paper says what to do; by lot, it is as good as random within the equals.
    """
    function = fair(SHAPE)
    function.weights[:] = np.linspace(0.01, 1, function.weights.size).reshape(SHAPE)
    function.weights /= function.weights.sum() * 255
    model, image = intgrad.load_model(function), np.full(SHAPE, 255, np.float32)
    flat = np.zeros(SHAPE[:2])
    flat[0, 0] = -1  # or it were constant
    theirs = xplique(model, image, 0 * image, 0, flat, COUNT)
    ours = [
        metrics.deletion(model, image, flat, 0, baseline="black", steps=COUNT, seed=seed).mean
        for seed in range(20)
    ]
    assert theirs < 0.35
    assert abs(np.mean(ours) - 0.5) < 4 * np.std(ours) / np.sqrt(20) + 0.005


# ---- Theory --------------------------------------------------------------------------------------


def test_areas_of_a_linear_model_are_those_of_theory(fair):
    """True contributions make the least area, their inverse the largest, random ones the mean."""
    function, image = fair(SHAPE), pixels(SHAPE)
    model, true = intgrad.load_model(function), fair(SHAPE).weights * pixels(SHAPE)
    options = {"targets": 0, "steps": COUNT, "baseline": "black"}
    parts = np.sort(true.sum(axis=2).ravel())[::-1]
    curve = parts.sum() - np.concatenate([[0], np.cumsum(parts)])
    whole = curve[0]
    best = metrics.deletion(model, image, true, **options)
    np.testing.assert_allclose(best.curves[0], curve, atol=1e-6)
    assert best.mean == pytest.approx(integrate.trapezoid(curve) / COUNT, rel=1e-5)
    worst = metrics.deletion(model, image, -true, **options)
    assert worst.mean == pytest.approx(whole - best.mean, rel=1e-5)
    random = [metrics.deletion(model, image, saliency(k), **options).mean for k in range(40)]
    assert abs(np.mean(random) - whole / 2) < 4 * np.std(random) / np.sqrt(40)
    assert best.mean < min(random) < max(random) < worst.mean
    # What deletion takes first, insertion puts in first: the two add up to the whole.
    put_in = metrics.insertion(model, image, true, **options)
    assert put_in.mean == pytest.approx(whole - best.mean, rel=1e-5)


def test_a_map_on_another_scale_is_the_same(fair):
    model, image, values = intgrad.load_model(fair(SHAPE)), pixels(SHAPE), saliency()
    for metric in CURVES:
        a, b = metric(model, image, values), metric(model, image, values * 1000)
        np.testing.assert_array_equal(a.curves, b.curves)


# ---- Ranks ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    values=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.integers(-3, 3),
    ),
    seed=st.integers(0, 2**40),
)
def test_ranks_are_a_permutation_that_descends(values, seed):
    ranks = rank(values, seed)
    assert ranks.dtype == np.int32
    assert ranks.shape == values.shape
    assert sorted(ranks.ravel()) == list(range(values.size))
    assert (np.diff(values.ravel()[np.argsort(ranks.ravel())]) <= 0).all()
    np.testing.assert_array_equal(rank(values, seed), ranks)


def test_equals_are_drawn_by_lot():
    """Each pixel as often first as any other, and 0 and -0 are equal."""
    flat = np.where(np.arange(12).reshape(3, 4) % 2, 0.0, -0.0)
    first = np.bincount([rank(flat, seed).argmin() for seed in range(2400)], minlength=12)
    assert ((first - 200) ** 2 / 200).sum() < 32  # chi square of 11, at 0.1 %
    assert any((rank(flat, 0) != rank(flat, seed)).any() for seed in range(1, 3))


def test_ties_are_not_revealed_together(watch):
    """Where all equals go at once, the curve has no step between, and the area is another."""
    model, watched = watch(Polynomial(1, SHAPE, scale=2e-3), shape=SHAPE)
    halves = np.zeros(SHAPE[:2])
    halves[:6] = 1
    metrics.deletion(model, pixels(SHAPE), halves, 0, baseline="black", steps=COUNT)
    taken = [int((picture == 0).all(axis=2).sum()) for picture in watched.pictures]
    assert sorted(taken) == list(range(COUNT + 1))
    for picture in watched.pictures:
        gone = (picture == 0).all(axis=2)
        assert gone[:6].sum() == min(gone.sum(), 60)  # the larger half is first


@pytest.mark.parametrize(
    ("reduce", "reduced"),
    [
        ("sum", lambda v: np.float64(v).sum(axis=2)),
        ("abs", lambda v: np.abs(np.float64(v)).sum(axis=2)),
        ("max", lambda v: v.max(axis=2)),
        ("norm", lambda v: np.sqrt((np.float64(v) ** 2).sum(axis=2))),
    ],
)
@pytest.mark.parametrize("metric", CURVES)
def test_channels_are_reduced(metric, reduce, reduced):
    model, image, values = load(), pixels(SHAPE), saliency()
    found = metric(model, image, values, 0, reduce=reduce, steps=40)
    expected = metric(model, image, reduced(values), 0, steps=40)
    np.testing.assert_array_equal(found.curves, expected.curves)
    assert reduce in found.convention


# ---- Images, batches, seeds ----------------------------------------------------------------------


@pytest.mark.parametrize("metric", CURVES)
def test_one_image_or_many_give_the_same(metric):
    model, images, maps = load(Wave(SHAPE)), pixels((3, *SHAPE)), saliency(shape=(3, *SHAPE))
    maps = np.round(maps, 1)  # with equals
    together = metric(model, images, maps, [0, 1, 2], steps=17)
    for k in range(3):
        alone = metric(model, images[k], maps[k], k, steps=17)
        np.testing.assert_array_equal(alone.curves[0], together.curves[k])
        assert alone.values.tolist() == [together.values[k]]
    default = metric(model, images, maps, steps=17)
    top = model.predict(images).argmax(axis=1)
    np.testing.assert_array_equal(default.curves, metric(model, images, maps, top, steps=17).curves)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 1000])
def test_batches_do_not_matter(batch_size, watch):
    model, watched = watch(Wave(SHAPE), shape=SHAPE)
    found = metrics.deletion(model, pixels(SHAPE), saliency(), 0, batch_size=batch_size, steps=20)
    expected = metrics.deletion(load(Wave(SHAPE)), pixels(SHAPE), saliency(), 0, steps=20)
    np.testing.assert_array_equal(found.curves, expected.curves)
    assert max(watched.batches) == min(batch_size, 21)


def test_seeds_repeat_and_differ():
    model, image, flat = load(), pixels(SHAPE), np.round(saliency())
    curves = [metrics.deletion(model, image, flat, 0, seed=seed).curves for seed in (0, 0, 1, None)]
    np.testing.assert_array_equal(curves[0], curves[1])
    assert (curves[0] != curves[2]).any()
    np.testing.assert_array_equal(curves[0], curves[3])


@pytest.mark.unsanitized
@pytest.mark.parametrize("metric", CURVES)
def test_memory_is_flat_in_steps_and_images(metric):
    shape = (32, 32, 3)
    model, images = load(Polynomial(1, shape)), pixels((24, *shape))
    maps = saliency(shape=images.shape)

    def peak(count, steps):
        tracemalloc.start()
        metric(model, images[:count], maps[:count], 0, steps=steps, batch_size=4)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1, 8)
    picture = images[0].nbytes
    assert peak(1, 512) - peak(1, 64) < 448 * picture / 20  # what is asked for, but no pictures
    assert peak(24, 16) - peak(2, 16) < 4 * picture


@pytest.mark.parametrize("metric", [metrics.deletion, metrics.insertion])
def test_an_image_that_is_its_own_baseline_has_no_area(metric):
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    found = metric(model, np.full(SHAPE, 7.0), pixels(SHAPE, 3), 1, baseline="mean", steps=4)
    assert np.isnan(found.values[0])
    assert "is its own baseline" in found.notes[0]
