"""End to end: the seed's two pictures from our gradients, against those from TensorFlow's.

tests/data/seed_pictures_0412.npz holds every 7th pixel of the maps that the seed's arithmetic
(SeedVisualizer in seed_twin.py) makes of the arrays that its own code gave under TensorFlow for
photograph 0412: the green channel of the plain map without the photograph, 0..255, the outlines as
bits, and how many pixels they have. Our arrays differ by float32 rounding, which flips ReLUs, so
that the maps are those of arrays 0.1 to 1 % away: that is what the tolerances are for.
"""

from pathlib import Path

import numpy as np
import pytest
from seed_twin import FULL

import intgrad

DATA = np.load(Path(__file__).parents[2] / "data/seed_pictures_0412.npz")
FORK = 1
SEED_UNITS = 127.5
PLAIN = {"clip_above_percentile": 99, "clip_below_percentile": 0}


@pytest.fixture(scope="module")
def arrays(kitchen, fork):
    """What the seed's story computes, in its units."""
    noise = np.random.RandomState(0).random((299, 299, 3)) * 255
    explain = intgrad.integrated_gradients
    return {
        "gradient": SEED_UNITS * kitchen.gradients(fork, FORK),
        "ig50_black": SEED_UNITS * explain(kitchen, fork, FORK),
        "ig20_random": SEED_UNITS * explain(kitchen, fork, FORK, baseline=noise, steps=20),
    }


def draw(fork, array, **options):
    """Return the green channel of the map, every 7th pixel of it, and all of it."""
    shown = intgrad.GradVisualizer().process_grads(fork, array, overlay=False, **options)
    green = shown[..., 1].ravel()
    return green[:: int(DATA["stride"])], green


@pytest.mark.parametrize("name", ["gradient", "ig50_black", "ig20_random"])
def test_plain_picture(arrays, fork, name):
    found, _ = draw(fork, arrays[name], **PLAIN)
    expected = DATA[f"{name}_plain"]
    assert np.linalg.norm(found - expected) <= 0.02 * np.linalg.norm(expected)
    assert np.mean(np.abs(found - expected) > 1) <= 0.002


@pytest.mark.parametrize("name", ["gradient", "ig50_black", "ig20_random"])
def test_outlines(arrays, fork, name):
    sampled, whole = draw(fork, arrays[name], **FULL)
    expected = np.unpackbits(DATA[f"{name}_outlines"])[: sampled.size] > 0
    found = sampled > 0
    assert (found & expected).sum() >= 0.97 * (found | expected).sum()
    assert np.count_nonzero(whole) == pytest.approx(int(DATA[f"{name}_outlined"]), rel=0.01)
