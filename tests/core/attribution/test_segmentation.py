"""segments="slic" and "felzenszwalb": images that are cut by name."""

import sys

import numpy as np
import pytest
from analytic import Wave, pixels

import intgrad

skimage = pytest.importorskip("skimage", reason="images are cut by scikit-image")

from intgrad.attribution.segmentation import NAMES, segment  # noqa: E402

COUNTS = {"slic": (30, 60), "felzenszwalb": (10, 35)}


def photograph(name="coffee", size=(299, 299), dtype=np.float32):
    image = getattr(skimage.data, name)()
    return skimage.transform.resize(image, size, preserve_range=True).astype(dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(299, 299), (224, 224), (150, 400)])
@pytest.mark.parametrize("picture", ["astronaut", "chelsea", "coffee", "rocket"])
def test_photographs_have_a_few_dozen_regions(name, size, picture):
    labels = segment(photograph(picture, size), name)
    assert labels.shape == size
    least, most = COUNTS[name]
    assert least <= len(np.unique(labels)) <= most


@pytest.mark.parametrize("name", NAMES)
def test_borders_are_where_the_colours_change(name):
    """A disk on a plain ground: no region has much of both."""
    y, x = np.mgrid[:120, :160]
    disk = (y - 60) ** 2 + (x - 90) ** 2 < 35**2
    image = np.where(disk[..., None], [200.0, 40.0, 30.0], [90.0, 160.0, 230.0])
    labels = segment(image.astype(np.float32), name)
    inside = np.bincount(labels.ravel(), disk.ravel()) / np.bincount(labels.ravel())
    assert np.minimum(inside, 1 - inside)[labels].mean() < 0.02


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_any_number_of_channels(name, channels):
    image = np.repeat(photograph()[..., :1], channels, axis=2)
    assert 5 < len(np.unique(segment(image, name))) < 100


@pytest.mark.parametrize("name", NAMES)
def test_bytes_and_floats_in_0_to_255_are_the_same_picture(name):
    image = photograph(dtype=np.uint8)
    expected = segment(image.astype(np.float64), name)
    agree = segment(image.astype(np.float32), name) == expected
    assert agree.mean() > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_regions_by_name(name):
    """Each image of a batch by itself, and in a stream."""
    images = np.stack([photograph(picture, (60, 80)) for picture in ("coffee", "chelsea")])
    model = intgrad.load_model(Wave((60, 80, 3)), output="logit")
    options = {"output": "logit", "steps": 4, "segments": name}
    maps, infos = intgrad.integrated_gradients(model, images, 1, return_info=True, **options)
    stream = intgrad.iter_integrated_gradients(model, images, 1, **options)
    for image, attributions, info, (_, streamed) in zip(images, maps, infos, stream, strict=True):
        expected = segment(image, name)
        found = info.regions
        np.testing.assert_array_equal(found.ids[found.labels], expected)
        sums = np.bincount(expected.ravel(), attributions.sum(axis=2, dtype=np.float64).ravel())
        np.testing.assert_allclose(found.attributions, sums, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(streamed.regions.attributions, found.attributions)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.full((40, 40, 3), 7.0), "segments='felzenszwalb' must hold several .*, and has one, 0"),
        (np.full((40, 40, 3), np.nan), r"must be finite, got nan at \(0, 0, 0\)"),
    ],
)
def test_what_cannot_be_cut(image, text):
    model = intgrad.load_model(Wave((40, 40, 3)), output="logit")
    with pytest.raises(ValueError, match=text):
        intgrad.integrated_gradients(
            model, image, 1, output="logit", return_info=True, segments="felzenszwalb"
        )


def test_without_scikit_image_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    model = intgrad.load_model(Wave((6, 5, 3)), output="logit")
    with pytest.raises(ImportError, match=r"pip install scikit-image .*'intgrad\[segments\]'"):
        intgrad.integrated_gradients(
            model, pixels((6, 5, 3)), 1, output="logit", return_info=True, segments="slic"
        )
