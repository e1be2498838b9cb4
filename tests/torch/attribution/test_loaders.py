"""Loaders of torch's: the message shows the line to write, and that line works."""

import re

import numpy as np
import pytest
import torch
from small_models import FACTS, SIZE, Smooth
from torch.utils.data import DataLoader, TensorDataset

import intgrad

pytestmark = pytest.mark.both_doors

PIXELS = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (4, 3, *SIZE))).float()
LABELLED = TensorDataset(PIXELS, torch.arange(4))


@pytest.fixture(scope="module")
def model():
    return intgrad.load_model(Smooth(), **FACTS)


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(LABELLED, batch_size=2),
        LABELLED,
        DataLoader(PIXELS, batch_size=3),
        DataLoader(TensorDataset(PIXELS), batch_size=2),
        DataLoader([{"pixel_values": image, "label": 1} for image in PIXELS], batch_size=2),
        [{"image": image.movedim(0, -1)} for image in PIXELS],
    ],
    ids=["batches", "dataset", "no labels", "tuples of one", "dicts of batches", "dicts"],
)
def test_a_loader_is_told_how_to_become_images(model, loader):
    with pytest.raises((TypeError, ValueError), match="image 0: must be an image") as error:
        next(intgrad.iter_integrated_gradients(model, loader, 0, steps=2))
    line = re.search(r": (\(\w.* in loader.*\))$", str(error.value))[1]
    images = eval(line, {"loader": loader})
    found = [a for a, _ in intgrad.iter_integrated_gradients(model, images, 0, steps=2)]
    expected = intgrad.integrated_gradients(model, PIXELS.movedim(1, -1), 0, steps=2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_the_line_for_batches_with_labels(model):
    line = r"\(image for images, _ in loader for image in images.movedim\(1, -1\)\)$"
    with pytest.raises(TypeError, match=f"got a list of 2: a DataLoader gives batches: {line}"):
        next(intgrad.iter_integrated_gradients(model, DataLoader(LABELLED, batch_size=2)))
