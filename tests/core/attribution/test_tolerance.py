"""tolerance=: bisection against its NumPy twin, its bounds, its memory."""

import numpy as np
import pytest
import twin
from analytic import Polynomial, Wave, pixels
from hypothesis import given, settings
from hypothesis import strategies as st

import intgrad
from intgrad.attribution import plan

SHAPE = (6, 5, 2)
BATCH_SIZES = (1, 3, 8)


class Kinks:
    """A ReLU network in small: gradients that jump where a hidden unit switches on."""

    def __init__(self, seed=0, units=60, classes=3):
        generator = np.random.default_rng(seed)
        self.inner = generator.normal(size=(units, *SHAPE)) / 255
        self.offsets = generator.normal(size=units) * 3
        self.outer = generator.normal(size=(classes, units))
        self.evaluations = 0

    def __call__(self, batch, targets):
        self.evaluations += len(batch)
        scores, gradients = [], []
        for x, target in zip(batch.astype(np.float64), targets, strict=True):  # one by one, so
            hidden = np.einsum("uhwc,hwc->u", self.inner, x) + self.offsets  # that rounding is too
            scores.append(self.outer @ np.maximum(hidden, 0))
            gradients.append(
                np.einsum("u,uhwc->hwc", self.outer[target] * (hidden > 0), self.inner)
            )
        return np.array(scores), np.array(gradients)


def explain(function, images, targets=1, **options):
    model = intgrad.load_model(function, output="logit")
    return intgrad.integrated_gradients(
        model, images, targets, output="logit", return_info=True, **options
    )


def paths_of(info):
    return info.alphas if isinstance(info.alphas, tuple) else (info.alphas,)


@pytest.mark.parametrize("tolerance", [0.3, 0.1, 0.03, 0.01])
@pytest.mark.parametrize("baselines", [1, 3])
@pytest.mark.parametrize("targets", [[1], [2, 0]])
def test_the_twin_agrees(tolerance, baselines, targets):
    function, image = Kinks(), pixels(SHAPE, 1)
    stack = pixels((baselines, *SHAPE), 2)
    maps, infos = explain(
        function, image, [targets], baseline=stack, tolerance=tolerance, max_evaluations=600
    )
    counted = function.evaluations
    nodes, total, estimates = twin.refine(function, image, stack, targets, tolerance, 600)
    for info, estimate, found, expected in zip(infos, estimates, maps, total, strict=True):
        for mine, theirs in zip(paths_of(info), nodes, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert info.evaluations == sum(map(len, nodes)) == counted / len(targets)
        assert info.steps == info.evaluations - baselines
        assert info.quadrature_error == pytest.approx(estimate, rel=1e-5)
        assert np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)


@given(
    seed=st.integers(0, 2**32 - 1),
    tolerance=st.floats(1e-3, 2),
    most=st.integers(9, 120),
    batch_size=st.integers(1, 20),
)
@settings(deadline=None, max_examples=40)
@pytest.mark.filterwarnings("ignore:tolerance=")
def test_any_request_is_kept_to(seed, tolerance, most, batch_size):
    function, image = Kinks(seed), pixels(SHAPE, seed)
    _, info = explain(
        function, image, tolerance=tolerance, max_evaluations=most, batch_size=batch_size
    )
    assert info.evaluations == function.evaluations == len(info.alphas) <= most
    assert info.quadrature_error <= tolerance or info.evaluations == most
    assert info.evaluations >= min(17, most)
    assert set(np.linspace(0, 1, 9)) <= set(info.alphas)
    assert (np.diff(info.alphas) > 0).all()
    assert info.tolerance == tolerance


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_neighbours_and_batch_size_change_nothing(batch_size):
    images = pixels((5, *SHAPE), 3)
    targets = [0, 1, 2, 1, 0]
    maps, infos = explain(Kinks(), images, targets, tolerance=0.003, batch_size=batch_size)
    assert len({info.evaluations for info in infos}) > 1
    for image, target, found, info in zip(images, targets, maps, infos, strict=True):
        for size in BATCH_SIZES:
            alone, known = explain(Kinks(), image, target, tolerance=0.003, batch_size=size)
            np.testing.assert_array_equal(known.alphas, info.alphas)
            np.testing.assert_array_equal(alone, found)


def test_batches_are_filled_from_other_images():
    sizes = []
    function = Kinks()

    def counted(batch, targets):
        sizes.append(len(batch))
        return function(batch, targets)

    explain(counted, pixels((12, *SHAPE), 3), tolerance=0.02, batch_size=8)
    assert np.mean(sizes) > 7


def test_fewer_gradients_than_even_nodes_for_the_same_error():
    function, image = Kinks(), pixels(SHAPE, 5)
    truth, _ = explain(function, image, steps=20000)

    def error(found):
        return np.linalg.norm(found - truth) / np.linalg.norm(truth)

    found, info = explain(function, image, tolerance=0.01)
    even, _ = explain(function, image, steps=info.evaluations - 1)
    assert 0.5 < info.error / error(found) < 2
    assert error(found) < 0.6 * error(even)


def test_a_linear_function_takes_17_gradients():
    function = Polynomial(1, SHAPE)
    _, info = explain(function, pixels(SHAPE), tolerance=1e-6)
    assert info.evaluations == function.evaluations == 17
    assert info.error < 1e-6


def test_nodes_gather_where_the_gradient_jumps():
    def step(batch, targets):
        on = (batch.mean(axis=(1, 2, 3)) > 60).astype(np.float64)
        return on[:, None] * np.ones(2), on[:, None, None, None] * np.ones_like(batch)

    _, info = explain(step, np.full(SHAPE, 200.0), tolerance=1e-4)
    assert np.abs(info.alphas - 0.3).min() < 1e-3
    assert np.sum(np.abs(info.alphas - 0.3) < 0.05) > 0.2 * info.evaluations


@pytest.mark.parametrize("images", [1, 3])
def test_a_tolerance_that_is_not_reached_warns(images):
    with pytest.warns(UserWarning, match=r"image 0 is at 0\.\d+ after 40 gradients") as caught:
        _, infos = explain(Kinks(), pixels((images, *SHAPE)), tolerance=1e-6, max_evaluations=40)
    assert len(caught) == 1
    assert "raise max_evaluations" in str(caught[0].message)
    assert ("and 2 more" in str(caught[0].message)) == (images == 3)
    assert caught[0].filename == __file__
    for info in infos:
        assert info.evaluations == 40
        assert info.error > 1e-6


def test_memory_that_keeps_fewer_gradients_than_asked_for(monkeypatch):
    monkeypatch.setattr(plan, "RETAINED_BYTES", 50 * 4 * np.prod(SHAPE))
    with pytest.warns(UserWarning, match=r"after 50 gradients; more gradients than take"):
        _, info = explain(Kinks(), pixels(SHAPE), tolerance=1e-6)
    assert info.evaluations == 50
    with pytest.raises(ValueError, match=r"at least 54 gradients of 6 baselines, and 50 .* steps="):
        explain(Kinks(), pixels(SHAPE), tolerance=0.1, baseline=pixels((6, *SHAPE)))


def test_memory_for_one_image_at_a_time_changes_nothing(monkeypatch):
    images = pixels((6, *SHAPE), 3)
    maps, infos = explain(Kinks(), images, tolerance=0.01, batch_size=8)
    most = max(info.evaluations for info in infos)
    for room in (most, most + 10, 2 * most):
        monkeypatch.setattr(plan, "RETAINED_BYTES", room * 4 * np.prod(SHAPE))
        found, known = explain(Kinks(), images, tolerance=0.01, batch_size=8)
        np.testing.assert_array_equal(found, maps)
        assert [info.evaluations for info in known] == [info.evaluations for info in infos]


@pytest.mark.parametrize("sample", [False, True])
def test_several_baselines_share_the_tolerance(sample):
    function, image = Kinks(), pixels(SHAPE, 7)
    options = {"tolerance": 0.03, "error_map": True, "max_evaluations": 2000}
    model = intgrad.load_model(function, output="logit")
    if sample:
        _, info = intgrad.random_baseline_integrated_gradients(
            model, image, 1, runs=4, seed=3, output="logit", return_info=True, **options
        )
    else:
        _, info = explain(function, image, baseline=pixels((4, *SHAPE), 8), **options)
    assert info.quadrature_error <= 0.03
    assert len(info.alphas) == 4
    assert sum(map(len, info.alphas)) == info.evaluations == function.evaluations >= 4 * 17
    assert info.error_map.shape == SHAPE
    expected = np.hypot(info.quadrature_error, info.baseline_error)
    assert info.error == pytest.approx(expected if sample else info.quadrature_error)
    assert isinstance(info.to_dict()["alphas"][3], list)


def test_error_maps_have_the_norm_of_the_estimate():
    maps, info = explain(Kinks(), pixels(SHAPE, 7), tolerance=0.03, error_map=True)
    norm = np.linalg.norm(maps)
    assert np.linalg.norm(info.error_map) == pytest.approx(info.error * norm, rel=1e-5)


def test_a_map_of_zeros_ends_the_search_and_is_not_called_exact():
    def constant(batch, targets):
        return np.ones((len(batch), 3)), np.zeros_like(batch)

    with pytest.warns(UserWarning, match="nothing to attribute") as caught:
        _, info = explain(constant, pixels(SHAPE), tolerance=0.1)
    assert len(caught) == 1
    assert np.isnan(info.error)
    assert info.evaluations == 17


def test_nan_at_a_refined_node_names_it():
    def function(batch, targets):
        gradients = np.ones_like(batch) * batch**2
        gradients[np.isclose(batch[:, 0, 0, 0], 255 * 15 / 16)] = np.nan
        return np.ones((len(batch), 2)), gradients

    image = np.full(SHAPE, 255.0)
    with pytest.raises(intgrad.ModelError, match=r"image 1, baseline 0, alpha 0.9375: .* nan"):
        explain(function, [0.9 * image, image], tolerance=1e-9, max_evaluations=20)


def test_progress_counts_gradients(capsys):
    _, info = explain(Kinks(), pixels(SHAPE), tolerance=0.05, progress=True)
    assert f"{info.evaluations}gradient" in capsys.readouterr().err.replace(" ", "")


@pytest.mark.parametrize("options", [{}, {"steps": 3}, {"rule": "right"}, {"tolerance": 0.1}])
@pytest.mark.parametrize("targets", [1, [[2, 0]]])
def test_the_gradient_at_the_image_comes_with_the_path(options, targets):
    function, image = Wave(SHAPE), pixels(SHAPE)
    _, infos = explain(
        function, image, targets, gradient=True, baseline=pixels((2, *SHAPE), 4), **options
    )
    for info in infos if isinstance(infos, list) else [infos]:
        expected = function(image[None], np.array([info.target]))[1][0]
        np.testing.assert_array_equal(info.gradient, np.float32(expected))
    assert explain(function, image)[1].gradient is None


@pytest.mark.parametrize("baselines", [1, 2])
def test_a_jump_in_the_odd_interval_is_not_overlooked(baselines):
    """T_half keeps the last of an odd number of intervals as it is, and so says nothing of it."""

    def step(batch, targets):
        on = (batch.mean(axis=(1, 2, 3)) > 199.999).astype(np.float64)
        return on[:, None] * np.ones(2), on[:, None, None, None] * np.ones_like(batch)

    stack = np.zeros((baselines, *SHAPE), np.float32)
    attributions, info = explain(step, np.full(SHAPE, 200.0), tolerance=0.05, baseline=stack)
    np.testing.assert_allclose(attributions, 200 * 0.001 / 200, rtol=0.1)
    assert 0 < info.error <= 0.05
