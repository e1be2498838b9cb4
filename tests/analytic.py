"""Functions whose integrated gradients are known, as callables for load_model."""

import numpy as np


class Polynomial:
    """F_k(x) = sum over the pixels of weights[k] * x^degree / degree, which counts its calls."""

    def __init__(self, degree, shape, classes=3, seed=0, scale=1e-3):
        self.degree = degree
        self.weights = np.random.default_rng(seed).normal(size=(classes, *shape)) * scale
        self.batches = []

    def __call__(self, batch, targets):
        self.batches.append(len(batch))
        x = batch.astype(np.float64)
        scores = np.einsum("nhwc,khwc->nk", x**self.degree / self.degree, self.weights)
        return scores, self.weights[targets] * x ** (self.degree - 1)

    @property
    def evaluations(self):
        return sum(self.batches)

    def slope(self, x, target):
        """The gradient's derivative with respect to each pixel."""
        return self.weights[target] * (self.degree - 1) * x ** float(self.degree - 2)

    def attributions(self, image, baseline, target):
        x, x0 = np.float64(image), np.float64(baseline)
        return self.weights[target] * (x**self.degree - x0**self.degree) / self.degree


class Wave:
    """F_k(x) = sum of sin(weights[k] * x): smooth, with a gradient that is no polynomial."""

    def __init__(self, shape, classes=4, seed=1):
        self.weights = np.random.default_rng(seed).uniform(0.01, 0.05, size=(classes, *shape))

    def __call__(self, batch, targets):
        phase = self.weights[None] * batch[:, None].astype(np.float64)
        scores = np.sin(phase).sum(axis=(2, 3, 4))
        w = self.weights[targets]
        return scores, w * np.cos(w * batch)


def pixels(shape, seed=0):
    """Random pixels in 0..255, float32."""
    return np.random.default_rng(seed).uniform(0, 255, size=shape).astype(np.float32)
