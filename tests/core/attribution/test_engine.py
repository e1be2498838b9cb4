"""The engine against functions whose integral is known, and against its NumPy twin."""

from contextlib import nullcontext

import numpy as np
import pytest
import twin
from analytic import Polynomial, Wave, pixels
from hypothesis import given, settings
from hypothesis import strategies as st

import intgrad
from intgrad import _core

SHAPE = (4, 5, 2)
RULES = ["trapezoid", "midpoint", "left", "right", "gauss-legendre"]


def explain(function, image, target=1, **options):
    model = intgrad.load_model(function, output="logit")
    return intgrad.integrated_gradients(
        model, image, target, output="logit", return_info=True, **options
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_linear_function_is_exact_for_every_rule(rule, steps):
    function, image = Polynomial(1, SHAPE), pixels(SHAPE)
    attributions, info = explain(function, image, rule=rule, steps=steps)
    np.testing.assert_allclose(attributions, function.attributions(image, 0, 1), rtol=1e-6)
    assert abs(info.delta) < 1e-6 * np.abs(attributions).sum()


@pytest.mark.parametrize("rule", ["trapezoid", "midpoint", "gauss-legendre"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_quadratic_function_is_exact_for_second_order_rules(rule, steps):
    function, image = Polynomial(2, SHAPE), pixels(SHAPE)
    attributions, _ = explain(function, image, rule=rule, steps=steps, baseline="gray")
    exact = function.attributions(image, 127.5, 1)
    np.testing.assert_allclose(attributions, exact, rtol=1e-5, atol=1e-6 * np.abs(exact).max())


@pytest.mark.parametrize(("rule", "sign"), [("left", -1), ("right", 1)])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_one_sided_rules_are_off_by_half_a_step(rule, sign, steps):
    function, image = Polynomial(2, SHAPE), pixels(SHAPE)
    nothing = rule == "left" and steps == 1  # the gradient on black is 0
    with pytest.warns(match="explain nothing") if nothing else nullcontext():
        attributions, _ = explain(function, image, rule=rule, steps=steps)
    first, last = function.weights[1] * 0, function.weights[1] * image
    error = sign * (last - first) * image / (2 * steps)
    expected = function.attributions(image, 0, 1) + error
    np.testing.assert_allclose(attributions, expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_trapezoid_on_a_cubic_is_off_by_euler_maclaurin(steps):
    function, image = Polynomial(3, SHAPE), pixels(SHAPE)
    baseline = np.float32(20.0)
    attributions, _ = explain(function, image, steps=steps, baseline=baseline)
    d = image - baseline
    slopes = (function.slope(image, 1) - function.slope(np.full(SHAPE, baseline), 1)) * d
    expected = function.attributions(image, baseline, 1) + slopes * d / (12 * steps**2)
    np.testing.assert_allclose(attributions, expected, rtol=1e-5, atol=1e-5 * np.abs(d).max())


@pytest.mark.parametrize("steps", [1, 2, 5, 16])
def test_gauss_legendre_is_exact_to_degree_2n(steps):
    alphas, weights, half = _core.nodes("gauss-legendre", steps)
    assert half is None
    for power in range(2 * steps):
        assert weights @ alphas**power == pytest.approx(1 / (power + 1), rel=1e-13)
    reference, reference_weights = np.polynomial.legendre.leggauss(steps)
    np.testing.assert_allclose(alphas, (reference + 1) / 2, atol=1e-15)
    np.testing.assert_allclose(weights, reference_weights / 2, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@given(steps=st.integers(1, 300))
@settings(deadline=None, max_examples=30)
def test_weights_sum_to_one(rule, steps):
    alphas, weights, half = _core.nodes(rule, steps)
    assert len(alphas) == len(weights) == steps + (rule == "trapezoid")
    assert (np.diff(alphas) > 0).all()
    assert alphas[0] >= 0
    assert alphas[-1] <= 1
    assert weights.sum() == pytest.approx(1, abs=1e-13)
    assert (half is not None) == (rule == "trapezoid" and steps >= 2)
    if half is not None:
        np.testing.assert_allclose(half, twin.half_weights(alphas), atol=1e-15)


@given(st.lists(st.integers(1, 2**20 - 1), min_size=1, max_size=40, unique=True))
def test_trapezoid_weights_on_uneven_nodes(inner):
    alphas = np.array([0, *sorted(inner), 2**20]) / 2**20
    weights, half = _core.trapezoid_weights(alphas)
    np.testing.assert_allclose(weights @ alphas, 0.5, rtol=1e-14)
    around = np.r_[0, alphas, 1]  # of each node, the one before and the one after
    np.testing.assert_allclose(weights, (around[2:] - around[:-2]) / 2, atol=1e-15)
    np.testing.assert_allclose(half, twin.half_weights(alphas), atol=1e-15)


@pytest.mark.parametrize("rule", RULES)
def test_completeness(rule):
    function, image = Wave(SHAPE), pixels(SHAPE)
    attributions, info = explain(function, image, rule=rule, steps=4000)
    scores, _ = function(np.stack([image, np.zeros_like(image)]), np.array([1, 1]))
    assert info.score == pytest.approx(scores[0, 1], rel=1e-6)
    assert info.baseline_score == pytest.approx(scores[1, 1], abs=1e-6)
    assert info.delta == pytest.approx(attributions.sum() - scores[0, 1] + scores[1, 1], abs=1e-4)
    # One-sided rules are off by half a step of the gradient's change, the others by its square.
    assert abs(info.delta) < (0.05 if rule in ("left", "right") else 1e-4)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("baselines", [1, 3])
def test_number_of_gradients_is_what_the_rule_says(rule, baselines):
    function = Polynomial(2, SHAPE)
    stack = pixels((baselines, *SHAPE), seed=5)
    _, info = explain(function, pixels(SHAPE), rule=rule, steps=7, baseline=stack, batch_size=4)
    points = baselines * (8 if rule == "trapezoid" else 7)
    # Where a rule has no node at an end, the score there is asked for by itself.
    ends = (rule not in ("trapezoid", "right")) + baselines * (rule not in ("trapezoid", "left"))
    assert info.evaluations == points
    assert function.evaluations == points + ends
    assert max(function.batches) == 4
    assert all(size == 4 for size in function.batches[: points // 4])


@pytest.mark.parametrize(("steps", "batch_size", "sizes"), [
    (16, 16, [9, 8]), (16, 5, [5, 4, 4, 4]), (4, 5, [5]), (4, 64, [5]), (2, 1, [1, 1, 1]),
])  # fmt: skip
def test_images_that_are_kept_apart_have_even_batches(steps, batch_size, sizes):
    function = Wave(SHAPE)
    nodes = _core.nodes("trapezoid", steps)
    images, black = pixels((3, *SHAPE)), np.zeros((1, 1, *SHAPE), np.float32)
    targets = np.array([[0], [1], [2]])
    seen, batches = [], []

    def watch(batch, chosen):
        batches.append(len(batch))
        seen.append(set(chosen))
        return function(batch, chosen)

    model = _core.callable_model(watch)
    result = _core.integrate(model, images, black, targets, *nodes, "logit", batch_size, apart=True)
    assert batches == 3 * sizes
    assert all(len(chosen) == 1 for chosen in seen)
    assert result["batch_size"] == min(batch_size, steps + 1)


def test_targets_of_an_image_count_as_one_evaluation_each():
    function = Polynomial(2, SHAPE)
    _, info = explain(function, pixels(SHAPE), [[0, 2]], steps=7)
    assert function.evaluations == 2 * 8
    assert [i.evaluations for i in info] == [8, 8]


SIZES = st.integers(1, 3)


@settings(deadline=None, max_examples=60)
@given(
    images=SIZES,
    baselines=SIZES,
    targets=SIZES,
    steps=st.integers(1, 9),
    rule=st.sampled_from(RULES),
    batch_size=st.integers(1, 40),
    shared=st.booleans(),
    sample=st.booleans(),
    apart=st.booleans(),
    shape=st.tuples(SIZES, SIZES, SIZES),
)
def test_any_schedule_equals_the_twin(
    images, baselines, targets, steps, rule, batch_size, shared, sample, apart, shape
):
    """N images x M baselines x T targets x nodes, in batches that mix them or do not."""
    function = Wave(shape)
    x = pixels((images, *shape), seed=1)
    start = pixels((1 if shared else images, baselines, *shape), seed=2)
    classes = np.random.default_rng(3).integers(0, 4, size=(images, targets))
    alphas, weights, half = _core.nodes(rule, steps)
    result = _core.integrate(
        _core.callable_model(function),
        x,
        start,
        classes,
        alphas,
        weights,
        half,
        "logit",
        batch_size,
        sample,
        half is not None,
        apart=apart,
    )
    scores, _ = function(x, np.zeros(images, int))
    for i in range(images):
        stack = start[0 if shared else i]
        start_scores, _ = function(stack, np.zeros(baselines, int))
        for t, target in enumerate(classes[i]):
            expected = twin.integrate(function, x[i], stack, target, alphas, weights, half, sample)
            scale = np.abs(expected["attributions"]).max()
            np.testing.assert_allclose(
                result["attributions"][i, t], expected["attributions"], rtol=1e-5, atol=1e-6 * scale
            )
            for name in ("quadrature_error", "baseline_error"):
                assert result[name][i, t] == pytest.approx(
                    expected[name], rel=1e-4, abs=1e-6, nan_ok=True
                )
            if half is not None:
                for name in ("error_map", "pixel_error_map"):
                    np.testing.assert_allclose(
                        result[name][i, t], expected[name], rtol=1e-3, atol=1e-5 * scale
                    )
            assert result["scores"][i, t] == pytest.approx(scores[i, target], rel=1e-5, abs=1e-6)
            assert result["baseline_scores"][i, t] == pytest.approx(
                start_scores[:, target].mean(), rel=1e-5, abs=1e-6
            )
            assert result["sums"][i, t] == pytest.approx(
                expected["attributions"].sum(), rel=1e-5, abs=1e-5 * scale
            )


def test_batch_size_and_neighbours_change_nothing():
    """Without a model's own rounding the sums are the same bits in every schedule."""
    function, stack = Wave(SHAPE), pixels((5, *SHAPE), seed=7)
    model = intgrad.load_model(function, output="logit")
    options = {"output": "logit", "steps": 11, "baseline": pixels((2, *SHAPE), seed=8)}
    alone = [intgrad.integrated_gradients(model, x, 1, **options) for x in stack]
    for batch_size in (1, 3, 8, 1000):
        together = intgrad.integrated_gradients(model, stack, 1, batch_size=batch_size, **options)
        np.testing.assert_array_equal(together, alone)


def test_ends_of_the_path_are_the_pictures_themselves():
    seen = []

    def function(batch, targets):
        seen.append(batch)
        return np.zeros((len(batch), 2)), np.ones_like(batch)

    image, baseline = pixels(SHAPE), pixels(SHAPE, seed=9)
    explain(function, image, steps=10, baseline=baseline)
    points = np.concatenate(seen)
    np.testing.assert_array_equal(points[0], baseline)
    np.testing.assert_array_equal(points[-1], image)
    middle = baseline + 0.3 * (np.float64(image) - baseline)
    np.testing.assert_array_equal(points[3], middle.astype(np.float32))


def test_nothing_along_the_path_is_no_error():
    with pytest.warns(match="from this baseline there is nothing to attribute"):
        attributions, info = explain(Polynomial(2, SHAPE), pixels(SHAPE), baseline=pixels(SHAPE))
    assert not attributions.any()
    assert info.error == info.delta == 0


def test_a_gradient_without_jumps_has_no_deviation():
    _, info = explain(Polynomial(1, SHAPE), pixels(SHAPE), steps=7, error_map=True)
    assert info.error < 1e-9
    assert not info.error_map.any()
    assert not info.pixel_error_map.any()


def test_an_attribution_of_zero_that_is_uncertain_is_infinitely_wrong():
    """T is 0, T_half is not: gradients 1, -1, 1 cancel in the trapezoid of two steps."""

    def function(batch, targets):
        gradient = np.where(batch == 1, -1.0, 1.0)
        return np.zeros((len(batch), 1)), gradient

    attributions, info = explain(function, np.full((1, 1, 1), 2.0), 0, steps=2)
    assert attributions == 0
    assert info.error == np.inf
    assert info.to_dict()["error"] is None


def test_random_baselines_of_a_batch_equal_those_of_its_images():
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    stack = pixels((3, *SHAPE))
    options = {"output": "logit", "runs": 4, "seed": 12, "return_info": True, "error_map": True}
    maps, infos = intgrad.random_baseline_integrated_gradients(model, stack, 1, **options)
    for image, together, info in zip(stack, maps, infos, strict=True):
        alone, same = intgrad.random_baseline_integrated_gradients(model, image, 1, **options)
        np.testing.assert_array_equal(together, alone)
        assert same.error == info.error == np.hypot(info.quadrature_error, info.baseline_error)
        assert info.baseline_error > 0
        norm = np.linalg.norm(info.error_map) / np.linalg.norm(together)
        assert norm == pytest.approx(info.error, rel=1e-5)
    draws = np.random.default_rng(12).random((1, 4, *SHAPE)) * 255
    given, info = intgrad.integrated_gradients(
        model, stack, 1, output="logit", baseline=draws[0], return_info=True
    )
    np.testing.assert_allclose(given, maps, rtol=1e-6, atol=1e-6)
    # What was given is what was asked for: its spread is told, and kept out of the error.
    assert info[0].baseline_error == pytest.approx(infos[0].baseline_error, rel=1e-5)
    assert info[0].error == info[0].quadrature_error


def test_draws_without_a_seed_differ_and_can_be_repeated():
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    options = {"output": "logit", "return_info": True}
    first, info = intgrad.random_baseline_integrated_gradients(model, pixels(SHAPE), 1, **options)
    other, _ = intgrad.random_baseline_integrated_gradients(model, pixels(SHAPE), 1, **options)
    again, _ = intgrad.random_baseline_integrated_gradients(
        model, pixels(SHAPE), 1, seed=info.seed, **options
    )
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first, again)


def test_attributions_beyond_float32_are_an_error():
    def steep(batch, targets):
        return np.zeros((len(batch), 2)), np.full_like(batch, 1e10)

    model = intgrad.load_model(steep, output="logit")
    with pytest.raises(intgrad.ModelError, match="image 0: its attributions are beyond"):
        intgrad.integrated_gradients(model, np.full(SHAPE, 1e30), 0, output="logit", steps=3)


def test_gauss_legendre_has_a_limit_of_its_own():
    model = intgrad.load_model(Polynomial(1, SHAPE), output="logit")
    with pytest.raises(ValueError, match="at most 10000 for rule='gauss-legendre', got 10001"):
        intgrad.integrated_gradients(
            model, pixels(SHAPE), 0, output="logit", rule="gauss-legendre", steps=10_001
        )


def test_ctrl_c_while_the_ends_of_the_paths_are_scored():
    """Rules without nodes there ask for the scores at last."""
    function, scored = Polynomial(2, SHAPE), []

    def progress(done, total):
        scored.append((done, total))
        if len(scored) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _core.integrate(
            _core.callable_model(function),
            pixels((3, *SHAPE)),
            np.zeros((1, 1, *SHAPE), np.float32),
            np.zeros((3, 1), np.int64),
            *_core.nodes("midpoint", 2),
            "logit",
            3,
            progress=progress,
        )
    assert scored == [(3, 6), (6, 6), (6, 6), (6, 6)]
