"""The seed's own results on a real Xception and photograph, as TensorFlow gave them.

tests/data/xception_0412.npz holds every 37th value of each array, with its norm and sum.
"""

from pathlib import Path

import numpy as np
import pytest

DATA = np.load(Path(__file__).parent / "data/xception_0412.npz")
FORK = 1
SEED_UNITS = 127.5


def off(found, name):
    """Return the relative L2 error against the sample, having checked norm and sum."""
    norm = float(DATA[f"{name}_norm"])
    found = found.ravel().astype(np.float64)
    sample = DATA[name].astype(np.float64)
    error = np.linalg.norm(found[:: DATA["stride"]] - sample) / np.linalg.norm(sample)
    assert np.linalg.norm(found) == pytest.approx(norm, rel=max(error, 1e-3))
    assert abs(found.sum() - DATA[f"{name}_sum"]) < norm
    return error
