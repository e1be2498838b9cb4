"""segments=: attributions of regions and their deviations, against a NumPy twin."""

import json

import numpy as np
import pytest
import twin
from analytic import Polynomial, Wave, pixels
from hypothesis import given, settings
from hypothesis import strategies as st

import intgrad
from intgrad import _core

SHAPE = (6, 5, 3)
LABELS = np.arange(30).reshape(6, 5) // 7 * 10 + 3  # 3, 13, ... 43: the ids are the user's


def explain(function, images, targets=1, **options):
    model = intgrad.load_model(function, output="logit")
    return intgrad.integrated_gradients(
        model, images, targets, output="logit", return_info=True, **options
    )


def expect(function, image, baselines, target, labels, steps, sample=False):
    """Pool the twin's nodes: sums, deviations and relative error of the regions."""
    alphas = np.linspace(0, 1, steps + 1)
    weights, half = np.full(steps + 1, 1 / steps), twin.half_weights(alphas)
    weights[[0, -1]] /= 2
    runs, differences, variance = [], [], 0
    pool = (labels.ravel() == np.unique(labels)[:, None]).astype(float)
    for baseline in baselines.astype(np.float64):
        distance = image.astype(np.float64) - baseline
        points = np.float32([baseline + alpha * distance for alpha in alphas])
        gradients = np.float64(np.float32(function(points, np.full(len(alphas), target))[1]))
        sides = (gradients * distance).sum(axis=3).reshape(len(alphas), -1) @ pool.T
        runs.append(weights @ sides)
        differences.append((weights - half) @ sides)
        variance = variance + ((np.diff(sides, axis=0) / steps) ** 2).sum(axis=0) / 12
    m = len(baselines)
    mean, difference = np.mean(runs, axis=0), np.mean(differences, axis=0)
    square = difference @ difference / 3
    scaled = variance * twin.relative(square, variance.sum())
    spread = np.var(runs, axis=0, ddof=1) / m if m > 1 and sample else 0
    return mean, np.sqrt(scaled + spread), np.sqrt((scaled + spread).sum()) / np.linalg.norm(mean)


@pytest.mark.parametrize("steps", [2, 8, 32])
@pytest.mark.parametrize("baselines", [1, 3])
@pytest.mark.parametrize("targets", [[1], [2, 0]])
def test_the_twin_agrees(steps, baselines, targets):
    function, images = Wave(SHAPE), pixels((2, *SHAPE), 1)
    stack = pixels((baselines, *SHAPE), 2)
    maps = np.stack([LABELS, LABELS.T.reshape(6, 5) % 4])
    attributions, infos = explain(
        function, images, [targets] * 2, baseline=stack, steps=steps, segments=maps
    )
    for image, row, labels, values in zip(images, infos, maps, attributions, strict=True):
        for target, info, map_ in zip(targets, row, values, strict=True):
            found = info.regions
            sums, deviations, error = expect(function, image, stack, target, labels, steps)
            np.testing.assert_allclose(found.attributions, sums, rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(found.deviations, deviations, rtol=1e-5, atol=1e-9)
            assert found.error == pytest.approx(error, rel=1e-5)
            np.testing.assert_array_equal(found.ids, np.unique(labels))
            np.testing.assert_array_equal(found.ids[found.labels], labels)
            np.testing.assert_array_equal(found.pixels, np.unique(labels, return_counts=True)[1])
            assert found.attributions.sum() == pytest.approx(map_.sum(), rel=1e-4, abs=1e-4)


def test_draws_of_baselines_are_in_the_deviations():
    function, image = Wave(SHAPE), pixels(SHAPE, 1)
    model = intgrad.load_model(function, output="logit")
    _, info = intgrad.random_baseline_integrated_gradients(
        model, image, 1, runs=4, seed=5, output="logit", return_info=True, segments=LABELS
    )
    draws = np.random.default_rng(5).uniform(0, 255, (4, *SHAPE)).astype(np.float32)
    sums, deviations, error = expect(function, image, draws, 1, LABELS, 50, sample=True)
    np.testing.assert_allclose(info.regions.attributions, sums, rtol=1e-5)
    np.testing.assert_allclose(info.regions.deviations, deviations, rtol=1e-5)
    assert info.regions.error == pytest.approx(error, rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.sampled_from(["none", "tolerance"]))
@settings(max_examples=30, deadline=None)
def test_the_map_itself_is_the_limit_of_small_regions(seed, count, kind):
    """Whatever the labels: sums are those of the map, and batches are those of single images."""
    function, images = Wave(SHAPE), pixels((3, *SHAPE), seed % 100)
    maps = np.random.default_rng(seed).integers(0, count, (3, *SHAPE[:2]))
    options = {"tolerance": 0.1} if kind == "tolerance" else {"steps": 8}
    attributions, infos = explain(function, images, segments=maps, **options)
    for image, map_, labels, info in zip(images, attributions, maps, infos, strict=True):
        sums = [map_[labels == label].sum(dtype=np.float64) for label in np.unique(labels)]
        np.testing.assert_allclose(info.regions.attributions, sums, rtol=1e-4, atol=1e-4)
        _, alone = explain(function, image, segments=labels, **options)
        np.testing.assert_array_equal(alone.regions.attributions, info.regions.attributions)
        np.testing.assert_array_equal(alone.regions.deviations, info.regions.deviations)


def test_attributions_are_the_same_bits_without_regions():
    function, image = Wave(SHAPE), pixels(SHAPE)
    for options in ({"error_map": True}, {"tolerance": 0.05, "error_map": True}):
        without, plain = explain(function, image, **options)
        with_regions, info = explain(function, image, segments=2, **options)
        np.testing.assert_array_equal(without, with_regions)
        np.testing.assert_array_equal(plain.error_map, info.error_map)
        assert plain.error == info.error


@pytest.mark.parametrize("rule", ["left", "gauss-legendre"])
def test_without_an_estimate_the_deviations_are_unknown(rule):
    _, info = explain(Wave(SHAPE), pixels(SHAPE), rule=rule, segments=LABELS)
    assert np.isnan(info.regions.deviations).all()
    assert np.isnan(info.regions.error)
    assert not info.regions.is_certain().any()
    assert info.to_dict()["regions"]["deviations"] == [None] * 5
    json.dumps(info.to_dict(), allow_nan=False)


@pytest.mark.parametrize("tolerance", [0.3, 0.1, 0.02])
@pytest.mark.parametrize("baselines", [1, 2])
def test_a_tolerance_of_regions_is_reached(tolerance, baselines):
    function, image = Wave(SHAPE), pixels(SHAPE, 3)
    _, info = explain(
        function,
        image,
        baseline=pixels((baselines, *SHAPE), 4),
        tolerance=tolerance,
        tolerance_of="regions",
        segments=LABELS,
    )
    assert info.regions.error <= tolerance
    _, more = explain(
        function, image, baseline=pixels((baselines, *SHAPE), 4), steps=4000, segments=LABELS
    )
    true = info.regions.attributions - more.regions.attributions
    assert np.linalg.norm(true) <= 2 * tolerance * np.linalg.norm(more.regions.attributions)


def test_a_tolerance_of_regions_that_is_not_reached_is_said():
    with pytest.warns(UserWarning, match="tolerance=1e-09 was not reached"):
        explain(
            Wave(SHAPE),
            pixels(SHAPE),
            tolerance=1e-9,
            max_evaluations=40,
            tolerance_of="regions",
            segments=LABELS,
        )


def test_patches():
    _, info = explain(Wave(SHAPE), pixels(SHAPE), segments=4)
    np.testing.assert_array_equal(
        info.regions.labels, [[0, 0, 0, 0, 1]] * 4 + [[2, 2, 2, 2, 3]] * 2
    )
    assert len(info.regions) == 4


def test_a_function_makes_the_map_of_each_image():
    images = pixels((2, *SHAPE))
    seen = []

    def by_brightness(image):
        seen.append(image.copy())
        return image.mean(axis=2) > 128

    _, infos = explain(Wave(SHAPE), images, segments=by_brightness)
    np.testing.assert_array_equal(seen, images)
    for image, info in zip(images, infos, strict=True):
        np.testing.assert_array_equal(info.regions.labels, image.mean(axis=2) > 128)


def test_streams():
    images = pixels((5, *SHAPE))
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    stream = intgrad.iter_integrated_gradients(
        model, images, 1, output="logit", segments=LABELS, steps=4
    )
    _, infos = explain(Wave(SHAPE), images, segments=LABELS, steps=4)
    for (_, info), expected in zip(stream, infos, strict=True):
        np.testing.assert_array_equal(info.regions.attributions, expected.regions.attributions)


def test_what_explains_nothing_has_no_error():
    constant = Polynomial(1, SHAPE, scale=0)
    with pytest.warns(UserWarning, match="are 0"):
        _, info = explain(constant, pixels(SHAPE), segments=LABELS)
    assert np.isnan(info.regions.error)
    assert not info.regions.attributions.any()


def test_the_table():
    labels = np.arange(30).reshape(6, 5) // 2
    _, info = explain(Wave(SHAPE), pixels(SHAPE), segments=labels)
    lines = str(info.regions).splitlines()
    order = info.regions.order()
    assert len(lines) == 14
    assert lines[1].split()[0] == str(info.regions.ids[order[0]])
    rest = info.regions.attributions[order[12:]].sum()
    assert lines[-1].split() == ["3", "others", f"{rest:+.4g}"]
    magnitudes = np.abs(info.regions.attributions[order])
    assert (np.diff(magnitudes) <= 0).all()
    np.testing.assert_array_equal(
        info.regions.to_map(), info.regions.attributions[info.regions.labels]
    )
    assert repr(info.regions).startswith("<intgrad Regions: 15, error=")


NOT_MAPS = [
    (1, ValueError, r"segments=1 must be the side of patches"),
    (0, ValueError, r"segments must be .*, got 0"),
    (6, ValueError, r"segments=6 must be the side .* image of 6 x 5"),
    (2.5, TypeError, r"segments must be .*, got 2.5"),
    ("slick", ValueError, r"segments must be 'slic', 'felzenszwalb', .*, got 'slick'"),
    (LABELS[1:], ValueError, r"segments must have shape \(6, 5\), got \(5, 5\)"),
    (LABELS.astype(float), TypeError, r"segments must be a map of whole numbers.* float64"),
    (-LABELS, ValueError, r"segments must not hold negative labels, got -43"),
    (np.zeros((6, 5), int), ValueError, r"must hold several regions, and has one, 0"),
    (np.arange(30).reshape(6, 5), ValueError, r"a region for each of its 30 pixels"),
    (np.stack([LABELS] * 3), ValueError, r"one map for each of 2 images, got 3"),
    (lambda image: image, TypeError, r"segments\(image\) must be a map of whole numbers"),
    (lambda image: None, TypeError, r"segments\(image\) must be a map .* NoneType"),
]


@pytest.mark.parametrize(("segments", "kind", "text"), NOT_MAPS)
def test_what_is_no_map_is_said_before_any_work(segments, kind, text):
    function = Polynomial(2, SHAPE)
    with pytest.raises(kind, match=text):
        explain(function, pixels((2, *SHAPE)), segments=segments)
    assert function.evaluations == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tolerance_of": "regions", "tolerance": 0.1}, "needs segments=, and it is None"),
        ({"tolerance_of": "regions", "segments": 2}, "needs tolerance=, and it is None"),
        ({"tolerance_of": "both"}, "tolerance_of must be one of pixels, regions, got 'both'"),
    ],
)
def test_options_that_contradict(options, text):
    with pytest.raises(ValueError, match=text):
        explain(Wave(SHAPE), pixels(SHAPE), **options)


def test_regions_need_the_info():
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    with pytest.raises(ValueError, match="needs return_info=True"):
        intgrad.integrated_gradients(model, pixels(SHAPE), 1, output="logit", segments=2)


def test_the_core_looks_at_labels_itself():
    nodes = _core.nodes("trapezoid", 4)
    handle = _core.callable_model(Wave(SHAPE), False, False)
    image = pixels((1, *SHAPE))
    call = [handle, image, image[None] * 0, np.zeros((1, 1), np.int64), *nodes, "logit", 4]
    for labels, counts, text in [
        (np.full((1, 6, 5), 2), [2], "a label is 2, and image 0 has 2 regions"),
        (np.full((1, 6, 5), -1), [2], "a label is -1"),
        (np.zeros((1, 6, 5)), [31], "more regions than pixels: 31"),
        (np.zeros((1, 5, 6)), [1], r"labels must have shape \(N, H, W\)"),
        (np.zeros((2, 6, 5)), [1, 1], r"labels must have shape \(N, H, W\)"),
        (np.zeros((1, 6, 5)), [1, 1], r"region_counts \(N\)"),
    ]:
        with pytest.raises(ValueError, match=text):
            _core.integrate(
                *call, labels=labels.astype(np.int32), region_counts=np.array(counts, np.int64)
            )
