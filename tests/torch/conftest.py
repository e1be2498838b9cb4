"""The demo's photograph; and what needs CUDA."""

import demo_files
import pytest
import torch

import intgrad


@pytest.fixture(autouse=True)
def _skip_without_cuda(request):
    if request.node.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")


@pytest.fixture(scope="session")
def fork(demo_wheel):
    """Photograph 0412.jpg at 299 x 299."""
    path = demo_wheel / demo_files.PHOTOGRAPHS / "0412.jpg"
    return intgrad.load_image(path, size=(299, 299))
