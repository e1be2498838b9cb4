"""On a CPU an image's bits do not depend on the images beside it."""

import functools

import numpy as np
import pytest
import torch
from small_models import FACTS, SIZE, Dense

import intgrad

pytestmark = pytest.mark.both_doors

IMAGES = np.random.default_rng(0).uniform(0, 255, (7, *SIZE, 3)).astype(np.float32)
REFERENCES = np.random.default_rng(1).uniform(0, 255, (5, *SIZE, 3)).astype(np.float32)
EXPECTED = functools.partial(
    intgrad.iter_expected_gradients, references=REFERENCES, seed=0, draws=12
)
PATHS = intgrad.iter_integrated_gradients


@pytest.fixture(scope="module")
def model():
    return intgrad.load_model(Dense(), **FACTS)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "iterate",
    [
        PATHS,
        functools.partial(PATHS, rule="gauss-legendre", baseline="blur"),
        functools.partial(PATHS, tolerance=0.01),
        functools.partial(PATHS, path="blur", error_map=True),
        functools.partial(PATHS, steps=4),
        functools.partial(PATHS, path="guided", batch_size=1),
        functools.partial(intgrad.iter_smoothgrad, draws=6, seed=0),
        EXPECTED,
        functools.partial(EXPECTED, tolerance=0.2, independent=True),
    ],
)
@pytest.mark.parametrize("batch_size", [None, 2, 5, 64])
def test_bits_are_those_of_the_image_alone(model, iterate, batch_size):
    options = {"steps": 9, "batch_size": batch_size} | getattr(iterate, "keywords", {})
    if "draws" in options or "tolerance" in options:
        options.pop("steps")
    for image, (maps, info) in zip(IMAGES, iterate(model, IMAGES, **options), strict=True):
        ((alone, expected),) = iterate(model, [image], **options)
        np.testing.assert_array_equal(maps, alone)
        for key, value in vars(expected).items():
            if key not in ("seconds", "versions"):
                np.testing.assert_array_equal(getattr(info, key), value, key)


def test_so_they_are_with_two_threads(model, two_threads):
    """Which share the rows of a batch, so that it matters which row one is."""
    test_bits_are_those_of_the_image_alone(model, PATHS, 6)


def test_the_network_minds_how_many_are_beside_it(model):
    """Or the test above would say nothing."""
    module = Dense().eval()
    batch = torch.from_numpy(IMAGES).movedim(-1, 1) / 127.5 - 1
    with torch.no_grad():
        together = module(batch)
        assert any((together[k] != module(batch[k : k + 1])[0]).any() for k in range(len(batch)))
