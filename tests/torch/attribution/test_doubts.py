"""Networks whose gradient says nothing, and networks that are too sure to be explained."""

import math

import numpy as np
import pytest
import torch

import intgrad

pytestmark = pytest.mark.both_doors

SIZE = (16, 16)
FACTS = {"input_size": SIZE, "preprocess": (1 / 25, 0), "scores": "logits"}
IMAGES = np.random.default_rng(0).uniform(0, 255, (3, *SIZE, 3)).astype(np.float32)


class Rounded(torch.nn.Module):
    """Quantised activations, without a gradient of their own."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3 * 16 * 16, 3)

    def forward(self, x):
        return self.linear(torch.round(x).flatten(1))


class Sure(torch.nn.Module):
    """Says class 0 whatever it sees, and the more of it the brighter."""

    def __init__(self):
        super().__init__()
        self.mean = torch.nn.Flatten()

    def forward(self, x):
        light = self.mean(x).mean(1, keepdim=True)
        return torch.cat([40 + light, torch.zeros_like(light)], 1)


@pytest.mark.parametrize("output", ["logit", "softmax"])
@pytest.mark.parametrize("tolerance", [None, 0.05])
def test_rounding_on_the_way_is_no_exact_answer(output, tolerance):
    torch.manual_seed(0)
    model = intgrad.load_model(Rounded(), **FACTS)
    with pytest.warns(UserWarning, match=r"image 0 \(and 2 more\) explain nothing") as caught:
        attributions, infos = intgrad.integrated_gradients(
            model, IMAGES, 1, output=output, tolerance=tolerance, return_info=True
        )
    assert len(caught) == 1
    assert ("output='logit'" in str(caught[0].message)) == (output == "softmax")
    assert not attributions.any()
    assert all(abs(info.score - info.baseline_score) > 0.01 for info in infos)
    assert all(math.isnan(info.error) for info in infos)


@pytest.mark.parametrize("output", ["softmax", "log_softmax"])
def test_a_saturated_softmax_advises_the_logit(output):
    model = intgrad.load_model(Sure(), **FACTS)
    with pytest.warns(UserWarning, match="probability is 1 on the baseline.*output='logit'"):
        _, info = intgrad.integrated_gradients(model, IMAGES[0], output=output, return_info=True)
    assert info.error != 0
    attributions, info = intgrad.integrated_gradients(
        model, IMAGES[0], output="logit", return_info=True
    )
    assert info.error < 1e-5
    np.testing.assert_allclose(attributions, IMAGES[0] / 25 / IMAGES[0].size, rtol=1e-5)
