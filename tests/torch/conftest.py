"""The real model: a Keras Xception converted in this session."""

import demo_files
import pytest

import intgrad
from intgrad import xception


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
