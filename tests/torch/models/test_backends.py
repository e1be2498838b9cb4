"""Which of the two ways to torch runs a model, and what Python's own does with it."""

import copy
import re

import numpy as np
import pytest
import torch
from small_models import FACTS, SIZE, Smooth, archive
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import intgrad
from intgrad.models.torch.module_folding import fold_modules

IMAGE = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
GOOD = archive(Smooth())


def load(source, **options):
    return intgrad.load_model(source, **{"device": "cpu", **FACTS, **options})


BUILDS = {
    "VERSION": ("1.2.3", "was built against torch 1.2.3, and torch .* is installed"),
    "CUDA": ("12.0", "was built against torch"),
    "CXX11_ABI": (0, "was built against torch"),
    "missing": (None, "was built without it"),
}


@pytest.mark.libtorch
@pytest.mark.parametrize("name", BUILDS)
def test_another_torch_than_the_one_built_against(monkeypatch, name):
    """Work goes on by Python's torch, with the same numbers; who asks for the other is told why."""
    from intgrad import _torch_build

    expected = load(GOOD)
    value, text = BUILDS[name]
    monkeypatch.setattr(_torch_build, "VERSION" if name == "missing" else name, value)
    model = load(GOOD)
    assert (expected.backend, model.backend) == ("libtorch", "autograd")
    assert re.search(text, model.backend_reason)
    np.testing.assert_allclose(
        *(intgrad.integrated_gradients(each, IMAGE, 1, steps=3) for each in (expected, model)),
        rtol=1e-5,
        atol=1e-9,
    )
    with pytest.raises(intgrad.BackendError, match=text + ".*pip install --force-reinstall"):
        load(GOOD, backend="libtorch")


@pytest.mark.libtorch
def test_a_backend_that_is_asked_for():
    module = Smooth()
    for source, default in ((archive(module), "libtorch"), (module, "autograd")):
        assert load(source).backend == default
        for backend in ("libtorch", "autograd"):
            model = load(source, backend=backend)
            assert model.backend == backend
            assert bool(model.backend_reason) == (backend == "autograd")
    with pytest.raises(ValueError, match="backend must be 'libtorch', 'autograd' or None, got 'c'"):
        load(module, backend="c")


class Uncopyable(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = Smooth()

    def forward(self, x):
        return self.network(x)

    def __deepcopy__(self, memo):
        raise RuntimeError("there is one of me")


def test_a_module_that_cannot_be_copied_is_used_itself():
    module = Uncopyable().eval()
    module.network.body[0].weight.grad = torch.ones(8, 3, 3, 3)
    before = module.state_dict(keep_vars=True)
    learns = {name: value.requires_grad for name, value in before.items()}
    model = load(module)
    np.testing.assert_allclose(
        intgrad.integrated_gradients(model, IMAGE, 1, steps=3),
        intgrad.integrated_gradients(load(Smooth()), IMAGE, 1, steps=3),
        rtol=1e-5,
        atol=1e-8,
    )
    for name, value in module.state_dict(keep_vars=True).items():
        assert value is before[name]
        assert value.requires_grad == learns[name]
    assert module.network.body[0].weight.grad.sum() == 216


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precision": "bfloat16"}, "precision='bfloat16' would change it"),
        ({"backend": "libtorch"}, "backend='libtorch' would change it"),
        ({"training": True}, r"is in training mode: call its eval\(\) first"),
    ],
)
def test_what_would_change_a_module_that_cannot_be_copied(options, text):
    module = Uncopyable().train(options.pop("training", False))
    with pytest.raises(intgrad.ModelError, match="Uncopyable cannot be copied.*" + text):
        load(module, **options)


class Hungry(nn.Module):
    """Of whom no more than two pictures fit into memory."""

    def __init__(self):
        super().__init__()
        self.network = Smooth()

    def forward(self, x):
        if len(x) > 2:
            torch.empty(10**15)
        return self.network(x)


def test_the_batch_shrinks_where_memory_is_short():
    maps, info = intgrad.integrated_gradients(
        load(Hungry()), IMAGE, 1, steps=9, batch_size=8, return_info=True
    )
    assert info.batch_size == 2
    expected = intgrad.integrated_gradients(load(Smooth()), IMAGE, 1, steps=9)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-8)


def test_targets_share_a_forward_pass():
    calls = []
    module = Smooth()
    module.register_forward_pre_hook(lambda part, inputs: calls.append(len(inputs[0])))
    model = load(module)
    calls.clear()
    maps = intgrad.integrated_gradients(model, IMAGE, [[0, 1, 2]], steps=8, batch_size=3)
    assert sum(calls) == 9
    for target in range(3):
        alone = intgrad.integrated_gradients(model, IMAGE, target, steps=8, batch_size=3)
        np.testing.assert_allclose(maps[target], alone, rtol=1e-5, atol=1e-9)


# ---- Folding -------------------------------------------------------------------------------------


class Normed(nn.Module):
    """A convolution and batch norms, put together as `forward` says."""

    def __init__(self, forward, convolution=None):
        super().__init__()
        torch.manual_seed(0)
        self.c = convolution or nn.Conv2d(3, 3, 3, padding=1)
        self.a, self.b = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        for norm in (self.a, self.b):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
        self.l, self.edit = nn.Linear(3, 5), forward

    def forward(self, x):
        return self.l(torch.tanh(self.edit(self, x)).mean((2, 3)))


FOLDS = {
    "plain": (1, lambda s, x: s.a(s.c(x)), None),
    "no-bias": (1, lambda s, x: s.a(s.c(x)), nn.Conv2d(3, 3, 3, bias=False)),
    "twice": (0, lambda s, x: s.b(s.c(s.a(s.c(x)))), None),
    "norm-twice": (0, lambda s, x: s.a(s.a(s.c(x))), None),
    "two-readers": (0, lambda s, x: s.a(y := s.c(x)) + y, None),
    "functional": (1, lambda s, x: s.a(nn.functional.conv2d(x, s.c.weight, s.c.bias)), None),
    "in-place": (0, lambda s, x: s.a(s.c(x).relu_()), None),
    "transposed": (1, lambda s, x: s.a(s.c(x)), nn.ConvTranspose2d(3, 3, 3)),
    "depthwise": (1, lambda s, x: s.a(s.c(x)), nn.Conv2d(3, 3, 3, groups=3)),
    "no-convolution": (0, lambda s, x: s.a(x), None),
    "weight-norm": (0, lambda s, x: s.a(s.c(x)), weight_norm(nn.Conv2d(3, 3, 3))),
}


@pytest.mark.parametrize("kind", FOLDS)
def test_batch_norms_fold_where_they_can(kind):
    count, forward, convolution = FOLDS[kind]
    module = Normed(forward, convolution).eval()
    module.c.requires_grad_(True)
    pixels = torch.tensor(IMAGE, dtype=torch.float64, requires_grad=True)
    scale, offset = FACTS["preprocess"]
    scores = copy.deepcopy(module).double()(
        (pixels * scale + offset).permute(2, 0, 1)[None].contiguous()
    )
    (gradient,) = torch.autograd.grad(scores[0, 1], pixels)
    found = load(module).gradients(IMAGE, 1, output="logit")
    error = np.linalg.norm(found - gradient.numpy()) / np.linalg.norm(gradient.numpy())
    assert error < 1e-5
    assert fold_modules(module, lambda: module(torch.zeros(1, 3, *SIZE))) == count


def test_norms_that_are_watched_stay():
    seen = []
    module = Normed(lambda s, x: s.a(s.c(x))).eval()
    module.a.register_forward_hook(lambda part, inputs, output: seen.append(len(output)))
    model = load(module)
    seen.clear()
    model.predict(IMAGE)
    assert seen
