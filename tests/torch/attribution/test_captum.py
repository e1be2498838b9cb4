"""Against Captum on the same nodes: its Gauss-Legendre rule is the one whose weights sum to 1."""

import io

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from small_models import FACTS, SIZE, Smooth, archive, quiet_jit

import intgrad

pytestmark = pytest.mark.both_doors


@pytest.fixture
def kitchen(kitchens, door):
    return kitchens(door)


def with_captum(module, image, target, steps, baseline=0.0):
    nchw = torch.from_numpy(np.moveaxis(image, -1, 0).copy())[None]
    found = IntegratedGradients(module).attribute(
        nchw,
        baselines=torch.full_like(nchw, baseline),
        target=target,
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=4,
    )
    return np.moveaxis(found[0].numpy(), 0, -1)


def off(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("steps", [1, 5, 16])
def test_smooth_network(steps):
    module = Smooth().eval()
    image = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
    model = intgrad.load_model(archive(module), device="cpu", **FACTS)
    found = intgrad.integrated_gradients(
        model, image, 2, rule="gauss-legendre", steps=steps, output="logit", baseline="gray"
    )
    scale, offset = FACTS["preprocess"]
    expected = with_captum(lambda x: module(x * scale + offset), image, 2, steps, 127.5)
    assert off(found, expected) <= 1e-5


def test_real_model(kitchen, kitchen_archive, fork):
    found = intgrad.integrated_gradients(
        kitchen, fork, 1, rule="gauss-legendre", steps=8, output="logit"
    )
    with quiet_jit():
        module = torch.jit.load(io.BytesIO(kitchen_archive.read_bytes()))
    expected = with_captum(module, fork, 1, steps=8)
    assert off(found, expected) <= 5e-3
