"""The whole computation in float64, by hand, on small networks: what is left is rounding."""

import numpy as np
import pytest
import torch
from small_models import FACTS, SIZE, Smooth, archive
from torch import nn

import intgrad

pytestmark = pytest.mark.both_doors

IMAGE = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
SCALE, OFFSET = FACTS["preprocess"]
OUTPUTS = {
    "softmax": lambda logits: logits.softmax(1),
    "log_softmax": lambda logits: logits.log_softmax(1),
    "logit": lambda logits: logits,
}


class Kinked(nn.Module):
    """ReLU and max-pooling, as the real ones."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        )

    def forward(self, x):
        return self.body(x)


def differentiate(module, pixels, target, output):
    """F and its gradient, in float64 throughout."""
    pixels = torch.tensor(pixels, dtype=torch.float64, requires_grad=True)
    scores = module(pixels.permute(2, 0, 1)[None] * SCALE + OFFSET)
    value = OUTPUTS[output](scores)[0, target]
    (gradient,) = torch.autograd.grad(value, pixels)
    return value.item(), gradient.numpy()


# Where a ReLU or a maximum is all but undecided, rounding decides: a few pixels are then elsewhere.
@pytest.mark.parametrize(("make", "most", "median"), [(Smooth, 2e-6, 1e-6), (Kinked, 2e-2, 1e-6)])
@pytest.mark.parametrize("output", OUTPUTS)
def test_attributions(make, most, median, output):
    steps, baseline = 24, np.full_like(IMAGE, 30, np.float64)
    module = make().eval()
    model = intgrad.load_model(archive(module), device="cpu", **FACTS)
    attributions, info = intgrad.integrated_gradients(
        model, IMAGE, 2, baseline=30, steps=steps, output=output, error_map=True, return_info=True
    )
    exact = module.double()
    points = [
        differentiate(exact, baseline + alpha * (IMAGE - baseline), 2, output)
        for alpha in np.arange(steps + 1) / steps
    ]
    gradients = np.stack([gradient for _, gradient in points])
    distance = IMAGE - baseline
    expected = np.trapezoid(gradients, dx=1 / steps, axis=0) * distance
    half = np.trapezoid(gradients[::2], dx=2 / steps, axis=0) * distance
    norm = np.linalg.norm
    error = attributions - expected
    assert norm(error) < most * norm(expected)
    assert np.median(np.abs(error)) < median * np.abs(expected).max()
    assert info.score == pytest.approx(points[-1][0], rel=1e-5)
    assert info.baseline_score == pytest.approx(points[0][0], rel=1e-5)
    estimate = norm(expected - half) / 3**0.5 / norm(expected)
    assert info.error == pytest.approx(estimate, rel=1e-3 if make is Smooth else 0.05)
    if make is Kinked:
        return
    jumps = np.diff(gradients, axis=0) * distance
    deviations = np.sqrt((jumps**2 / steps**2 / 12).sum(axis=0))
    deviations *= info.error * norm(expected) / norm(deviations)
    np.testing.assert_allclose(info.error_map, deviations, rtol=1e-3, atol=1e-4 * deviations.max())
