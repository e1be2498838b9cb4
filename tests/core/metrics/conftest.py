"""What the tests of metrics share: models that are watched, and linear ones."""

import numpy as np
import pytest

import intgrad


class Watched:
    """A function that remembers its pictures, and how many came at a time."""

    def __init__(self, function):
        self.function, self.pictures, self.batches = function, [], []

    def __call__(self, batch, targets):
        self.pictures.extend(batch.copy())
        self.batches.append(len(batch))
        return self.function(batch, targets)

    def forget(self):
        self.pictures, self.batches = [], []


class Fair:
    """Two probabilities, linear in the pixels: the first is the sum of weights * x, in 0..1."""

    output = "softmax"

    def __init__(self, shape, seed=0):
        weights = np.random.default_rng(seed).uniform(0.1, 1, shape)
        self.weights = weights / weights.sum() / 255

    def __call__(self, batch, targets):
        first = np.tensordot(batch.astype(np.float64), self.weights, 3)
        signs = np.where(np.asarray(targets) == 0, 1, -1)[:, None, None, None]
        return np.stack([first, 1 - first], axis=1), signs * self.weights


@pytest.fixture
def watch():
    """Load a function and return (model, what it is watched by), which has seen nothing yet."""

    def load(function, output="logit", shape=None):
        watched = Watched(function)
        model = intgrad.load_model(watched, output=output)
        if shape is not None:
            model.predict(np.zeros(shape, np.float32))  # or the core asks how many classes
            watched.forget()
        return model, watched

    return load


@pytest.fixture
def fair():
    """Return a linear function of two probabilities for pictures of a shape."""
    return Fair


@pytest.fixture
def trapezoid():
    """Return the area under a curve at even distances on 0..1, by the definition."""

    def area(curve):
        curve = np.float64(curve)
        return (curve.sum() - curve[0] / 2 - curve[-1] / 2) / (len(curve) - 1)

    return area
