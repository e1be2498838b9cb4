"""Max-sensitivity: how far maps move with their images."""

import functools
import warnings

import numpy as np
import pytest
from analytic import Polynomial, Wave, pixels

import intgrad
from intgrad import metrics

pytestmark = pytest.mark.unsanitized

SHAPE = (12, 10, 3)
IMAGE = pixels(SHAPE)


class Explain:
    """A function of the images alone, which remembers them."""

    def __init__(self, function=lambda x: x**2):
        self.function, self.images, self.targets = function, [], []

    def __call__(self, model, images, targets):
        self.images.extend(np.array(images))
        self.targets.extend(targets)
        return self.function(np.asarray(images, np.float64))


def load(function=None):
    return intgrad.load_model(function or Wave(SHAPE), output="logit")


def measure(explain, image=IMAGE, **options):
    values = explain(None, image[None], [])[0] if image.ndim == 3 else explain(None, image, [])
    if isinstance(explain, Explain):
        explain.images.clear()
        explain.targets.clear()
    return metrics.max_sensitivity(model(), image, values, 1, explain=explain, **options)


@pytest.mark.parametrize("draws", [1, 8, 21])
def test_the_maximum_is_that_of_numpy(draws):
    explain = Explain()
    found = measure(explain, draws=draws, radius=0.05)
    assert len(explain.images) - 1 == draws == found.draws
    assert explain.targets == [1] * (draws + 1)
    value = np.float64(np.float32(np.float64(IMAGE) ** 2))
    changes = [
        np.linalg.norm(np.float64(moved) ** 2 - value) / np.linalg.norm(value)
        for moved in explain.images[1:]  # after the image itself
    ]
    assert found.values[0] == pytest.approx(max(changes), rel=1e-6)
    assert found.others["mean"][0] == pytest.approx(np.mean(changes), rel=1e-6)


def test_moves_are_uniform_within_the_radius():
    explain = Explain()
    measure(explain, draws=200, radius=0.02)
    moves = (np.array(explain.images) - IMAGE) / (0.02 * 255)
    assert np.abs(moves).max() <= 1 + 1e-4
    assert moves.std() == pytest.approx(1 / np.sqrt(3), rel=0.01)
    assert abs(moves.mean()) < 0.01
    quarters = np.histogram(moves, 4, (-1, 1))[0] / moves.size
    np.testing.assert_allclose(quarters, 0.25, atol=0.01)


def test_it_grows_with_draws_that_are_a_prefix():
    explain = Explain()
    seen, values = [], []
    for draws in (1, 5, 8, 9, 30):
        found = measure(explain, draws=draws)
        seen.append(np.array(explain.images))
        values.append(found.values[0])
        assert f"largest of {draws} draws" in found.convention
    for some in seen:
        np.testing.assert_array_equal(some, seen[-1][: len(some)])
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_a_maximum_is_divided_by_the_norm_once():
    """Yeh et al.'s code divides what is the largest so far by the norm again in each round.

    For a norm other than 1 it depends on which draw is the largest: the formula is of each draw.
    """
    explain = Explain(lambda x: x * 1e-4)
    found = measure(explain, draws=12)
    norm = np.linalg.norm(np.float64(IMAGE) * 1e-4)
    changes = [np.linalg.norm(1e-4 * (np.float64(moved) - IMAGE)) for moved in explain.images]
    authors = -np.inf
    for change in changes:
        authors = max(authors, change) / norm
    assert found.values[0] == pytest.approx(max(changes) / norm, rel=1e-5)
    assert authors > 1e3 * found.values[0]


def test_values_that_theory_gives():
    """A map that never moves is 0; the image itself moves as it does; scale does not matter."""
    constant = np.arange(360.0).reshape(SHAPE)
    assert measure(Explain(lambda x: np.broadcast_to(constant, x.shape))).mean == 0
    found = measure(Explain(lambda x: x), draws=50, radius=0.02).mean
    expected = 0.02 * 255 / np.sqrt(3) / np.sqrt((np.float64(IMAGE) ** 2).mean())
    assert found == pytest.approx(expected, rel=0.1)
    assert measure(Explain(lambda x: -7 * x), draws=50).mean == pytest.approx(found, rel=1e-5)
    rough = measure(Explain(lambda x: np.sin(40 * x)), draws=50).mean
    assert rough > 10 * found


def test_integrated_gradients_of_a_linear_model_move_as_the_image_does():
    explain = functools.partial(intgrad.integrated_gradients, output="logit", steps=2)
    model = load(Polynomial(1, SHAPE))
    maps = explain(model, IMAGE, 1)
    found = metrics.max_sensitivity(model, IMAGE, maps, 1, explain=explain)
    assert 0.005 < found.mean < 0.05


def test_pictures_beyond_the_range_are_not_warned_of():
    """They are ours: no user can do anything about it."""
    image = np.full(SHAPE, 255, np.float32)
    image[:6] = 0
    explain = functools.partial(
        intgrad.integrated_gradients, output="logit", steps=4, baseline="gray"
    )
    model = load()
    maps = explain(model, image, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.max_sensitivity(model, image, maps, 1, explain=explain)


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e22, 1e30])
def test_a_map_on_another_scale_is_as_sensitive(scale):
    """Gradients of a probability of almost 1 are that small, and squares beyond float32."""
    expected = measure(Explain(lambda x: x)).mean
    assert measure(Explain(lambda x: scale * x)).mean == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "explain",
    [
        lambda m, x, t: np.asarray(x).sum(axis=3) ** 2,
        lambda m, x, t: (np.asarray(x).sum(axis=3) ** 2, ["info"] * len(x)),
    ],
    ids=["without channels", "with info"],
)
def test_what_an_explainer_may_return(explain):
    maps = np.float64(IMAGE).sum(axis=2) ** 2
    found = metrics.max_sensitivity(model(), IMAGE, maps, 1, explain=explain)
    assert 0 < found.mean < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 3, 9])
def test_a_map_that_is_not_finite_is_no_number(bad, which):
    """A NaN compares as nothing: whether max() notices depends on where it comes."""
    calls = 0

    def explain(model, images, targets):
        nonlocal calls
        maps = np.array(images, np.float64)
        for each in maps:
            if calls == which:
                each[2, 3, 0] = bad
            calls += 1
        return maps

    with pytest.raises(ValueError, match="finite|nan|inf"):
        metrics.max_sensitivity(model(), IMAGE, IMAGE, 1, explain=explain)


@pytest.mark.parametrize(
    "change",
    [lambda x: x[:1], lambda x: x[0], lambda x: x[:, :6], lambda x: np.swapaxes(x, 1, 2)],
    ids=["one", "squeezed", "smaller", "turned"],
)
def test_maps_of_another_shape_than_the_images(change):
    def explain(model, images, targets):
        return change(np.asarray(images))

    with pytest.raises(ValueError, match="shape"):
        metrics.max_sensitivity(model(), IMAGE, IMAGE, 1, explain=explain)


def test_what_an_explainer_raises_comes_through():
    def explain(model, images, targets):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        metrics.max_sensitivity(model(), IMAGE, IMAGE, 1, explain=explain)


def test_seeds_repeat_and_images_have_their_own_draws():
    images = np.stack([IMAGE] * 2)
    images[1, 0, 0, 0] += 1
    found = [measure(Explain(), images, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0].values, found[1].values)
    assert found[0].values[0] != found[2].values[0]
    assert found[0].values[0] != found[0].values[1]
    assert measure(Explain(), seed=0).values[0] == found[0].values[0]


def model():
    return intgrad.load_model(Wave(SHAPE), output="logit")


def test_maps_that_explain_does_not_make_are_refused():
    """Or its changes would be those of another method's maps."""
    explain = Explain()
    (maps,) = explain(None, IMAGE[None], [1])
    with pytest.raises(ValueError, match="does not give attributions again: .* 50% off; .* seed"):
        metrics.max_sensitivity(model(), IMAGE, 2 * maps, 1, explain=explain)
    with pytest.raises(ValueError, match=r"shape of attributions, \(1, .*, 1\), got \(1, .*, 3\)"):
        metrics.max_sensitivity(model(), IMAGE, maps.sum(axis=2), 1, explain=explain)


def test_warnings_of_others_are_left_alone():
    """Pictures are moved beyond 0..255, of which nobody is warned, in this thread alone."""
    before = list(warnings.filters)
    measure(Explain(), np.full_like(IMAGE, 255) - IMAGE / 9, radius=0.5)
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="pixels are expected in 0..255"):
        model().predict(np.full_like(IMAGE, 300))
