"""The seed's own results on a real Xception and photograph, as TensorFlow gave them."""

import numpy as np
import pytest
from reference import DATA, FORK, SEED_UNITS, off

import intgrad

pytestmark = pytest.mark.both_doors


@pytest.fixture
def kitchen(kitchens, door):
    return kitchens(door)


def test_probabilities(kitchen, fork):
    np.testing.assert_allclose(kitchen.predict(fork), DATA["probabilities"], atol=1e-3)
    assert [label for label, _, _ in kitchen.top(fork, 3)] == ["fork", "knife", "spoon"]


def test_gradient(kitchen, fork):
    assert off(SEED_UNITS * kitchen.gradients(fork, FORK), "gradient_seed_units") <= 0.03


def test_integrated_gradients_from_black(kitchen, fork):
    maps, info = intgrad.integrated_gradients(kitchen, fork, "fork", return_info=True)
    assert off(SEED_UNITS * maps, "ig50_black_seed_units") <= 0.005
    assert info.evaluations == 51
    assert info.target == FORK
    assert info.score == pytest.approx(float(DATA["path_softmax"][-1]), abs=1e-4)
    assert info.baseline_score == pytest.approx(float(DATA["path_softmax"][0]), abs=1e-4)
    # The estimate against the true error, by a 513-point trapezoid.
    true_error = off(maps, "ig512_softmax")
    assert 0.75 < info.error / true_error < 1.35
    assert info.delta == pytest.approx(
        maps.sum(dtype=np.float64) - info.score + info.baseline_score, abs=1e-6
    )


def test_integrated_gradients_from_noise(kitchen, fork):
    noise = np.random.RandomState(0).random((299, 299, 3)) * 255  # the reference's own baseline
    maps = intgrad.integrated_gradients(kitchen, fork, FORK, baseline=noise, steps=20)
    assert off(SEED_UNITS * maps, "ig20_random_seed_units") <= 0.01


def test_error_of_the_logit(kitchen, fork):
    maps, info = intgrad.integrated_gradients(
        kitchen, fork, FORK, output="logit", steps=32, return_info=True, error_map=True
    )
    true_error = off(maps, "ig512_logit")
    assert 0.06 < true_error < 0.08
    assert 0.75 < info.error / true_error < 1.35
    errors = np.abs(maps.ravel()[:: DATA["stride"]] - DATA["ig512_logit"])
    deviations = info.error_map.ravel()[:: DATA["stride"]]
    assert 0.60 < np.mean(errors <= deviations) < 0.80
    assert 0.88 < np.mean(errors <= 2 * deviations) < 0.99


def test_determinism_and_invariance(kitchen, fork):
    """Same bits for equal calls; rounding only across batch sizes and neighbours."""
    other = fork[::-1].copy()

    def explain(images, targets, batch_size):
        return intgrad.integrated_gradients(
            kitchen, images, targets, steps=2, output="logit", batch_size=batch_size
        )

    reference = explain(fork, FORK, 4)
    np.testing.assert_array_equal(explain(fork, FORK, 4), reference)
    for batch_size, images in ((1, [fork]), (3, [other, fork]), (8, [fork, other])):
        maps = explain(images, FORK, batch_size)
        mine = maps[[image is fork for image in images].index(True)]
        assert np.linalg.norm(mine - reference) <= 1e-5 * np.linalg.norm(reference)


def test_targets_share_a_forward_pass_and_change_nothing(kitchen, fork):
    both = intgrad.integrated_gradients(kitchen, fork, [["fork", "knife"]], steps=3)
    for name, found in zip(("fork", "knife"), both, strict=True):
        alone = intgrad.integrated_gradients(kitchen, fork, name, steps=3)
        assert np.linalg.norm(found - alone) <= 1e-5 * np.linalg.norm(alone)
