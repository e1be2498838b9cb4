"""ImageTransform, against Pillow's and SciPy's arithmetic written out."""

import json

import numpy as np
import pytest
from scipy import ndimage

import intgrad
from intgrad.images import transform as module
from intgrad.images.reading import load_pixels
from intgrad.images.transform import INTERPOLATIONS, Box, ImageTransform

PIL = pytest.importorskip("PIL.Image", reason="photographs need Pillow")

RNG = np.random.default_rng(0)
SIZES = [(30, 40), (40, 30), (1, 50), (50, 1), (3, 2), (24, 24), (25, 31), (8, 200)]


def photograph(height, width, *shape):
    return RNG.integers(0, 256, (height, width, *shape), dtype=np.uint8)


def apply(array, channels=3, **fields):
    return load_pixels(array, ImageTransform.from_dict(fields), channels)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_shorter_side_then_middle(size, interpolation):
    array = photograph(*size, 3)
    picture = PIL.fromarray(array)
    height, width = size
    short = min(size)
    resized = (24 * width // short, 24 * height // short)
    expected = np.asarray(picture.resize(resized, PIL.Resampling[interpolation.upper()]))
    top, left = (round((full - 24) / 2) for full in expected.shape[:2])
    found = apply(array, resize_size=24, crop_size=24, interpolation=interpolation)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected[top : top + 24, left : left + 24])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_squash(size):
    array = photograph(*size, 3)
    expected = np.asarray(PIL.fromarray(array).resize((11, 7), PIL.Resampling.BILINEAR))
    np.testing.assert_array_equal(apply(array, resize_size=(7, 11)), expected)
    inner = apply(array, resize_size=(7, 11), crop_size=(3, 5))
    np.testing.assert_array_equal(inner, expected[2:5, 3:8])


@pytest.mark.parametrize(
    ("centering", "start"), [("torchvision", (2, 0, 1)), ("transformers", (1, 0, 1))]
)
def test_an_odd_pixel_is_left_over(centering, start):
    """13 - 10 leaves 1.5 pixels above, 11 - 10 half a pixel, 12 - 10 one."""
    for length, first in zip((13, 11, 12), start, strict=True):
        array = photograph(length, 10, 3)
        found = apply(array, crop_size=10, centering=centering)
        np.testing.assert_array_equal(found, array[first : first + 10])


@pytest.mark.parametrize(("centering", "above"), [("torchvision", 1), ("transformers", 2)])
def test_what_is_too_small_is_padded(centering, above):
    array = photograph(7, 12, 3)
    found = apply(array, crop_size=10, fill=[1, 2, 3], centering=centering)
    expected = np.broadcast_to(np.float32([1, 2, 3]), (10, 10, 3)).copy()
    expected[above : above + 7] = array[:, 1:11]
    np.testing.assert_array_equal(found, expected)


def test_contain_and_cover():
    array = photograph(30, 60, 3)
    fields = {"resize_size": [20, 20], "crop_size": 20, "interpolation": "bicubic"}
    small = np.asarray(PIL.fromarray(array).resize((20, 10), PIL.Resampling.BICUBIC))
    found = apply(array, resize_mode="contain", fill=9, **fields)
    np.testing.assert_array_equal(found[5:15], small)
    assert (found[:5] == 9).all()
    assert (found[15:] == 9).all()
    large = np.asarray(PIL.fromarray(array).resize((40, 20), PIL.Resampling.BICUBIC))
    np.testing.assert_array_equal(apply(array, resize_mode="cover", **fields), large[:, 10:30])


@pytest.mark.parametrize("new", [(5, 9), (31, 12), (64, 64)], ids=str)
def test_bilinear_without_antialiasing(new):
    array = photograph(31, 40, 3)
    places = [
        (np.arange(n) + 0.5) * old / n - 0.5 for n, old in zip(new, array.shape[:2], strict=True)
    ]
    rows, columns = np.meshgrid(*places, indexing="ij")
    expected = np.stack(
        [
            ndimage.map_coordinates(band, [rows, columns], order=1, mode="nearest")
            for band in np.float64(np.moveaxis(array, -1, 0))
        ],
        axis=-1,
    )
    fields = {"resize_size": new, "antialias": False}
    np.testing.assert_allclose(apply(array, dtype="float32", **fields), expected, atol=1e-3)
    np.testing.assert_allclose(apply(array, **fields), expected, atol=1.01)  # rounded twice


def test_floats_are_resized_unrounded():
    array = photograph(31, 40).astype(np.float32) * np.float32(0.999)
    expected = PIL.fromarray(array).resize((9, 8), PIL.Resampling.BICUBIC)
    found = apply(array, 1, resize_size=(8, 9), interpolation="bicubic")
    np.testing.assert_allclose(found[..., 0], np.clip(np.asarray(expected), 0, 255), atol=1e-4)


def test_whole_numbers_are_resized_as_bytes():
    array = photograph(31, 40, 3)
    expected = apply(array, resize_size=(8, 9))
    for kind in (np.float32, np.int64, np.float64):
        np.testing.assert_array_equal(apply(array.astype(kind), resize_size=(8, 9)), expected)


def test_any_number_of_channels():
    array = photograph(31, 40, 13)
    found = apply(array, 13, resize_size=20, crop_size=(20, 21))
    for band in range(13):
        expected = apply(array[..., band], 1, resize_size=20, crop_size=(20, 21))
        np.testing.assert_array_equal(found[..., [band]], expected)


def test_grey_becomes_rgb():
    array = photograph(31, 40)
    found = apply(array, resize_size=20, crop_size=30, fill=(1, 2, 3))
    assert found[0, 0].tolist() == [1, 2, 3]
    grey = apply(array, 1, resize_size=20, crop_size=30)
    np.testing.assert_array_equal(found[8:20, 8:20], np.repeat(grey, 3, axis=2)[8:20, 8:20])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    "fields",
    [
        {"resize_size": 24, "crop_size": 20},
        {"resize_size": [24, 30], "crop_size": [20, 30]},
        {"resize_size": [24, 30], "crop_size": [20, 30], "resize_mode": "contain"},
        {"crop_size": 20},
    ],
    ids=str,
)
def test_field_of_view(size, fields):
    """Pictures of a ramp say from where their pixels come."""
    height, width = size
    transform = ImageTransform.from_dict({**fields, "dtype": "float32", "antialias": False})
    box = transform.field_of_view(height, width)
    rows, columns = np.mgrid[:height, :width].astype(np.float32) + 1.25  # no whole numbers
    for ramp, start, end, axis, length in (
        (rows, box.top, box.bottom, 0, height),
        (columns, box.left, box.right, 1, width),
    ):
        found = load_pixels(ramp, transform, 1)[..., 0]
        cells = transform.crop_size[axis]
        places = start + (np.arange(cells) + 0.5) * (end - start) / cells
        inside = (places > 0.5) & (places < length - 0.5)
        seen = found.max(axis=1 - axis)  # padding is 0
        np.testing.assert_allclose(seen[inside], places[inside] + 0.75, atol=1e-2)


def test_of_a_photograph_that_is_resized_alone_all_is_seen():
    assert ImageTransform.exact((5, 6), "nearest").field_of_view(40, 30) == Box(0, 0, 40, 30)


def test_json_keeps_it():
    transform = ImageTransform.from_dict(
        {"resize_size": 24, "crop_size": [20, 22], "fill": [1, 2, 3]}
    )
    assert ImageTransform.from_dict(json.loads(json.dumps(transform.to_dict()))) == transform


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"resize_size": 256}, "crop_size is missing.*256"),
        ({}, "is missing"),
        ({"interpolation": "bicubic"}, "is missing"),
        ({"crop_size": 0}, "positive"),
        ({"crop_size": (1, 2, 3)}, "crop_size must be"),
        ({"crop_size": True}, "crop_size must be"),
        ({"crop_size": 5, "resize_size": -1}, "positive"),
        ({"crop_size": 5, "resize_size": 2.5}, "resize_size must be"),
        ({"crop_size": 5, "resize_size": 5, "resize_mode": "squash"}, "takes a resize_size of"),
        ({"resize_size": (5, 5), "resize_mode": "shortest_edge"}, "takes a resize_size of one"),
        ({"crop_size": 5, "interpolation": "cubic"}, "'bicubic'.*got 'cubic'"),
        ({"crop_size": 5, "interpolation": 6}, "got '6'"),
        ({"crop_size": 5, "antialias": "yes"}, "antialias must be"),
        ({"crop_size": 5, "antialias": False, "interpolation": "lanczos"}, "antialias=False"),
        ({"crop_size": 5, "fill": 256}, "0..255, got 256"),
        ({"crop_size": 5, "fill": "black"}, "got 'black'"),
        ({"crop_size": 5, "dtype": "float64"}, "dtype"),
        ({"crop_size": 5, "centering": "left"}, "centering"),
        ({"crop_size": 5, "crop": 5}, "no 'crop' among"),
    ],
)
def test_what_makes_no_sense(fields, text):
    with pytest.raises(ValueError, match=text):
        ImageTransform.from_dict(fields)


def test_what_would_be_too_large(monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", 20_000)
    with pytest.raises(ValueError, match="1 x 50 would be resized to 24 x 1200 .*limit is 20,000"):
        apply(photograph(1, 50, 3), resize_size=24, crop_size=24)


@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        (np.zeros((3, 40, 50)), ValueError, "channels last"),
        (np.zeros((40, 50, 4)), ValueError, "takes 3 channels"),
        (np.zeros((2, 40, 50, 3)), ValueError, "one image"),
        (np.zeros((40, 50, 0)), ValueError, "empty"),
        (np.zeros(5), ValueError, "shape"),
        (np.array(["a"]), TypeError, "real numbers"),
        (None, TypeError, "real numbers"),
    ],
    ids=str,
)
def test_arrays_that_are_no_photographs(array, error, text):
    with pytest.raises(error, match=text):
        apply(array, crop_size=5)


def test_pixels_that_are_none_are_warned_of():
    with pytest.warns(UserWarning, match="normalised"):
        apply(np.linspace(-2, 2, 300).reshape(10, 10, 3), crop_size=5)


def test_pillow_images_are_read_as_files_are(tmp_path):
    fields = ImageTransform.from_dict({"resize_size": 24, "crop_size": 20})
    for name, picture in {
        "rgba.png": PIL.fromarray(photograph(31, 40, 4)),
        "grey.png": PIL.fromarray(photograph(31, 40)),
        "deep.png": PIL.fromarray(photograph(31, 40).astype(np.uint16) * 257),
        "deep.tif": PIL.fromarray(photograph(31, 40).astype(np.uint16) * 257),
        "turned.jpg": PIL.fromarray(photograph(31, 40, 3)),
        "turned.tif": PIL.fromarray(photograph(31, 40, 3)),
    }.items():
        exif = PIL.Exif()
        exif[0x0112] = 6 if name.startswith("turned") else 1
        picture.save(tmp_path / name, exif=exif)
        expected = load_pixels(tmp_path / name, fields, 3)
        with PIL.open(tmp_path / name) as opened:
            before = dict(opened.getexif())
            np.testing.assert_array_equal(load_pixels(opened, fields, 3), expected)
            assert load_pixels(opened, None, 1).shape == (
                (40, 31, 1) if name.startswith("turned") else (31, 40, 1)
            )
            if not name.endswith(".tif"):  # Pillow itself takes the tag of one that it turned
                assert dict(opened.getexif()) == before


def test_a_picture_without_a_scale():
    with pytest.raises(ValueError, match="the picture holds values"):
        load_pixels(PIL.fromarray(np.full((3, 3), 1e6, np.float32)), None, 3)


def test_models_that_say_nothing_have_the_seeds_nearest_neighbour(tmp_path):
    PIL.fromarray(photograph(31, 40, 3)).save(tmp_path / "x.png")
    model = intgrad.load_model(lambda *_: None, input_size=(7, 9), output="logit")
    expected = intgrad.load_image(tmp_path / "x.png", size=(7, 9))
    np.testing.assert_array_equal(model.load_image(tmp_path / "x.png"), expected)
    with PIL.open(tmp_path / "x.png") as picture:
        np.testing.assert_array_equal(model.load_image(picture), expected)
        np.testing.assert_array_equal(model.load_image(np.asarray(picture)), expected)
    assert model.field_of_view((31, 40)) == (0, 0, 31, 40)
    free = intgrad.load_model(lambda *_: None, output="logit")
    assert free.load_image(tmp_path / "x.png").shape == (31, 40, 3)
    assert free.load_image(photograph(5, 6, 13)).shape == (5, 6, 13)
    with pytest.raises(ValueError, match="size must be"):
        free.field_of_view(5)
