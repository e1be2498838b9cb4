"""The demo's photograph; the two ways to torch; and what needs CUDA."""

import functools

import demo_files
import pytest
import torch

import intgrad
from intgrad.models.torch import running


@pytest.fixture(autouse=True)
def _skip_without_cuda(request):
    if request.node.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")


DOORS = (pytest.param("libtorch", marks=pytest.mark.libtorch), "autograd")


@pytest.fixture(autouse=True)
def door(request, monkeypatch):
    """Prefer one of the two ways to torch, in tests marked `both_doors`, which hold for each."""
    name = getattr(request, "param", None)
    if name is not None:
        monkeypatch.setattr(running, "prefers_libtorch", lambda archive: name == "libtorch")
    return name


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("both_doors"):
        metafunc.parametrize("door", DOORS, indirect=True)


@pytest.fixture(scope="session")
def kitchens(kitchen_archive):
    """The demo's Xception, loaded by the way that runs it."""
    return functools.cache(
        lambda name: intgrad.load_model(kitchen_archive, device="cpu", backend=name)
    )


@pytest.fixture(scope="session")
def fork(demo_wheel):
    """Photograph 0412.jpg at 299 x 299."""
    path = demo_wheel / demo_files.PHOTOGRAPHS / "0412.jpg"
    return intgrad.load_image(path, size=(299, 299))
