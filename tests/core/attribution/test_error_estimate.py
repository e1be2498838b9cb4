"""The error estimate on gradients that move like Brownian motion, for which it was derived."""

import numpy as np
import pytest
import twin

from intgrad import _core

GRID = 2**9  # nodes lie on it; the true integral is the trapezoid on all of it
SHAPE = (60, 60, 3)
PIXELS = int(np.prod(SHAPE))


class Brownian:
    """Gradients that walk from 0 at the image to the baseline, each pixel and baseline by itself.

    Which point a batch asks for is read from its first two pixels: the first is 255 * alpha, the
    second is 0 at the image and m + 1 at baseline m. `rate` is the variance per unit of alpha, a
    number or one for each cell of the grid.
    """

    def __init__(self, baselines, seed, rate=1.0):
        generator = np.random.default_rng(seed)
        self.image = generator.uniform(50, 255, SHAPE).astype(np.float32)
        self.image.ravel()[:2] = 255, 0
        self.baselines = np.zeros((baselines, *SHAPE), np.float32)
        self.baselines.reshape(baselines, -1)[:, 1] = np.arange(baselines) + 1
        steps = generator.normal(size=(baselines, GRID, PIXELS)).astype(np.float32)
        steps *= np.broadcast_to(np.sqrt(rate), GRID)[::-1, None]
        walk = np.concatenate([np.zeros((baselines, 1, PIXELS)), np.cumsum(steps, axis=1)], axis=1)
        self.walk = np.float32(walk[:, ::-1] / np.sqrt(GRID))  # by ascending alpha

    def __call__(self, batch, targets):
        flat = batch.reshape(len(batch), -1).astype(np.float64)
        alpha = flat[:, 0] / 255
        place = np.rint(alpha * GRID).astype(int)
        remaining = np.where(place == GRID, 1, 1 - alpha)
        which = np.where(place == GRID, 0, np.rint(flat[:, 1] / remaining).astype(int) - 1)
        return np.zeros((len(batch), 1)), self.walk[which, place].reshape(batch.shape)

    def exact(self):
        weights = np.r_[0.5, np.ones(GRID - 1), 0.5] / GRID
        mean = np.einsum("mgp,g->mp", self.walk, weights).reshape(-1, *SHAPE)
        return ((self.image - self.baselines) * mean).mean(axis=0)

    def measure(self, alphas):
        """Return the estimated and the true error, and the error map's z scores."""
        weights, half = _core.trapezoid_weights(alphas)
        result = _core.integrate(
            _core.callable_model(self),
            self.image[None],
            self.baselines[None],
            np.zeros((1, 1), np.int64),
            alphas,
            weights,
            half,
            "logit",
            16,
            False,
            True,
            None,
        )
        attributions = result["attributions"][0, 0].astype(np.float64)
        error = attributions - self.exact()
        estimate = result["quadrature_error"][0, 0] * np.linalg.norm(attributions)
        return estimate, np.linalg.norm(error), np.abs(error) / result["error_map"][0, 0]


def bisected(rounds, seed):
    """Nodes as bisection leaves them: 8 intervals, of which some are halved, and again."""
    alphas = np.arange(0, GRID + 1, GRID // 8)
    generator = np.random.default_rng(seed)
    for _ in range(rounds):
        wide = np.flatnonzero(np.diff(alphas) > 8)
        halved = generator.choice(wide, size=len(wide) // 2, replace=False)
        alphas = np.sort(np.r_[alphas, (alphas[halved] + alphas[halved + 1]) // 2])
    return alphas / GRID


@pytest.mark.parametrize("baselines", [1, 3])
@pytest.mark.parametrize("steps", [2, 8, 16, 64])
def test_mean_square_is_the_true_errors_on_an_even_number_of_intervals(steps, baselines):
    estimate, error, _ = Brownian(baselines, seed=steps).measure(np.linspace(0, 1, steps + 1))
    assert estimate**2 / error**2 == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("baselines", [1, 3])
@pytest.mark.parametrize("steps", [17, 33, 51])
def test_an_odd_interval_out_is_judged_by_its_jump(steps, baselines):
    """It is kept in T_half as it is; on nodes that are not quite even its jump is known."""
    alphas = np.rint(np.linspace(0, GRID, steps + 1)) / GRID
    estimate, error, _ = Brownian(baselines, seed=steps).measure(alphas)
    assert estimate**2 / error**2 == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("baselines", [1, 3])
@pytest.mark.parametrize("alphas", [bisected(1, 1), bisected(2, 2), bisected(3, 3)], ids=len)
def test_mean_square_is_the_true_errors_on_uneven_nodes(alphas, baselines):
    assert len(set(np.diff(alphas))) > 1
    estimate, error, _ = Brownian(baselines, seed=len(alphas)).measure(alphas)
    assert estimate**2 / error**2 == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("alphas", [bisected(2, 2), bisected(2, 6), np.linspace(0, 1, 33)], ids=len)
def test_a_motion_that_is_faster_in_places_is_judged_by_its_jumps(alphas):
    """As on a real path, whose gradient moves mostly in a part of it."""
    rate = np.where(np.arange(GRID) < GRID // 4, 20.0, 0.5)
    estimate, error, _ = Brownian(1, seed=7, rate=rate).measure(alphas)
    assert estimate**2 / error**2 == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("alphas", "tolerance"),
    # On the uneven nodes 5 of 18 intervals make nearly all of the error: a variance from so few
    # jumps is itself uncertain, and the intervals are a little narrow.
    [(np.linspace(0, 1, 33), 0.02), (bisected(2, seed=5), 0.07)],
    ids=["even", "uneven"],
)
def test_intervals_of_the_error_map_cover_what_they_say(alphas, tolerance):
    _, _, scores = Brownian(1, seed=3).measure(alphas)
    assert np.mean(scores < 1) == pytest.approx(0.683, abs=tolerance)
    assert np.mean(scores < 2) == pytest.approx(0.954, abs=tolerance)


def test_halving_the_nodes_doubles_the_error():
    """The reason for the factor: the error falls as 1 / steps, not as its square."""
    walk = Brownian(1, seed=1)
    _, coarse, _ = walk.measure(np.linspace(0, 1, 17))
    _, fine, _ = walk.measure(np.linspace(0, 1, 33))
    assert coarse / fine == pytest.approx(2, abs=0.1)


def test_the_twin_agrees():
    walk = Brownian(2, seed=4)
    alphas = bisected(1, seed=4)
    estimate, _, _ = walk.measure(alphas)
    weights, half = _core.trapezoid_weights(alphas)
    expected = twin.integrate(walk, walk.image, walk.baselines, 0, alphas, weights, half)
    norm = np.linalg.norm(expected["attributions"])
    assert estimate == pytest.approx(expected["quadrature_error"] * norm, rel=1e-5)
