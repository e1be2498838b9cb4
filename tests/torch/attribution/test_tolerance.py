"""tolerance= on real networks."""

import espresso
import numpy as np
import pytest
from reference import FORK, off
from skimage import data

import intgrad

pytestmark = pytest.mark.both_doors


@pytest.fixture
def kitchen(kitchens, door):
    return kitchens(door)


@pytest.fixture(scope="module")
def lite():
    return espresso.load_efficientnet()


def test_five_per_cent_of_a_real_xception(kitchen, fork):
    maps, info = intgrad.integrated_gradients(
        kitchen, fork, FORK, output="logit", tolerance=0.05, return_info=True
    )
    true_error = off(maps, "ig512_logit")
    assert info.quadrature_error <= 0.05
    assert 0.75 < info.error / true_error < 1.35
    assert info.evaluations < 40  # even nodes need 46


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.filterwarnings("ignore:12% of the pixels")  # the astronaut's suit is on black
def test_neighbours_and_batch_size_change_only_rounding(lite):
    photographs = [data.chelsea(), data.coffee(), data.astronaut(), data.rocket(), data.cat()]
    images = np.stack([espresso.square(photograph) for photograph in photographs])
    targets = lite.predict(images).argmax(axis=1)

    def explain(images, targets, batch_size):
        return intgrad.integrated_gradients(
            lite,
            images,
            targets,
            output="logit",
            tolerance=0.12,
            batch_size=batch_size,
            return_info=True,
        )

    expected, known = explain(images, targets, 8)
    for batch_size in (1, 3):
        found, infos = explain(images, targets, batch_size)
        for k in range(5):
            np.testing.assert_array_equal(infos[k].alphas, known[k].alphas)
            error = np.linalg.norm(found[k] - expected[k]) / np.linalg.norm(expected[k])
            assert error <= 1e-5
    assert len({info.evaluations for info in known}) > 1
    for batch_size in (1, 3, 8):
        alone, info = explain(images[0], int(targets[0]), batch_size)
        np.testing.assert_array_equal(info.alphas, known[0].alphas)
        assert np.linalg.norm(alone - expected[0]) <= 1e-5 * np.linalg.norm(expected[0])
