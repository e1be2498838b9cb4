"""The real model, a Keras Xception converted in this session; and what needs CUDA."""

import demo_files
import pytest
import torch

import intgrad
from intgrad import xception


@pytest.fixture(autouse=True)
def _skip_without_cuda(request):
    if request.node.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")


@pytest.fixture(scope="session")
def kitchen_archive(demo_wheel, tmp_path_factory):
    """The demo's Xception as an archive."""
    path = tmp_path_factory.mktemp("kitchen") / "kitchen.pt"
    xception.convert(
        demo_wheel / demo_files.MODEL, path, input_size=(299, 299), labels=demo_files.LABELS
    )
    return path


@pytest.fixture(scope="session")
def kitchen(kitchen_archive):
    return intgrad.load_model(kitchen_archive, device="cpu")


@pytest.fixture(scope="session")
def fork(demo_wheel):
    """Photograph 0412.jpg at 299 x 299."""
    path = demo_wheel / demo_files.PHOTOGRAPHS / "0412.jpg"
    return intgrad.load_image(path, size=(299, 299))
