"""Modules that a batch, folding or a copy would explain wrongly: refused, or run as they are."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import intgrad

SIZE = (64, 64)
KIND = {"input_size": SIZE, "preprocess": (1 / 255, 0.0), "scores": "logits", "device": "cpu"}


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


class Scaled(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.network, self.scale = network(), scale

    def forward(self, x):
        return self.network(self.scale(x))


STATISTICS = {
    "maximum": lambda x: x / (x.amax() + 1e-6),
    "mean": lambda x: x - x.mean(),
    "deviation": lambda x: (x - x.mean()) / (x.std() + 1e-3),
    "channels": lambda x: x - x.mean((0, 2, 3), keepdim=True),
    "norm": lambda x: nn.functional.layer_norm(x, x.shape),
}


@pytest.mark.parametrize("kind", STATISTICS)
def test_statistics_of_a_whole_batch_are_seen(kind):
    with pytest.raises(intgrad.ModelError, match="mixes the images of a batch"):
        intgrad.load_model(Scaled(STATISTICS[kind]).eval(), **KIND)


class Branching(nn.Module):
    """Bright pictures do without the batch normalisation, which no run on black shows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.norm.running_var.fill_(4.0)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        y = self.conv(x)
        if x.mean() < 0.9:
            y = self.norm(y)
        return self.head(y.relu().mean((2, 3)))


def test_what_branches_by_its_pixels_is_not_folded():
    module, bright = Branching().eval(), np.full((*SIZE, 3), 250, np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* one image at a time")
        model = intgrad.load_model(module, **KIND)
    pixels = torch.tensor(bright, requires_grad=True)
    score = module((pixels / 255).permute(2, 0, 1)[None])[0, 1]
    score.backward()
    assert float(model.gradients(bright, 1, output="logit").sum()) == pytest.approx(
        float(pixels.grad.sum()), rel=1e-4
    )
    _, info = intgrad.integrated_gradients(
        model, bright, 1, output="logit", steps=2, return_info=True
    )
    assert info.score == pytest.approx(float(score.detach()), rel=1e-5)


def test_a_replaced_forward_is_not_run_by_a_copy():
    """A copy's would run the original, and teach its batch norms."""
    module = network()
    run = module.forward
    module.forward = lambda x: run(x)
    module.train()
    with pytest.raises(intgrad.ModelError, match=r"call its eval\(\) first"):
        intgrad.load_model(module, **KIND)
    assert int(module[1].num_batches_tracked) == 0
    assert intgrad.load_model(module.eval(), **KIND).num_classes == 4
    with pytest.raises(intgrad.ModelError, match=r"cannot be copied .*load_model\(module\)"):
        intgrad.save_model(module, "never.pt2", input_size=SIZE, preprocess="none", scores="logits")
