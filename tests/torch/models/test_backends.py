"""Which of the two ways to torch runs a model, and that both give the same."""

import re

import numpy as np
import pytest
from small_models import FACTS, SIZE, Smooth, archive

import intgrad

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
