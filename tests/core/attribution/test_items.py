"""What is given in the place of images is named, with the line that makes images of it."""

from pathlib import Path

import numpy as np
import pytest
from analytic import Polynomial, pixels

import intgrad

SHAPE = (12, 10, 3)
IMAGE = pixels(SHAPE)
BATCH = pixels((2, *SHAPE))
FIRST = BATCH.transpose(0, 3, 1, 2)  # channels first, as loaders give them


def iterate(images):
    model = intgrad.load_model(Polynomial(1, SHAPE), output="logit")
    return list(intgrad.iter_integrated_gradients(model, images, 1, output="logit", steps=2))


@pytest.mark.parametrize(
    ("item", "kind", "line"),
    [
        (
            (FIRST, [0, 1]),
            "tuple of 2",
            "image for images, _ in {} for image in np.moveaxis(images, 1, -1)",
        ),
        ([BATCH, [0, 1]], "list of 2", "image for images, _ in {} for image in images"),
        ([BATCH, [0, 1], "a"], "list of 3", "image for images, _, _ in {} for image in images"),
        ([FIRST], "list of 1", "image for (images,) in {} for image in np.moveaxis(images, 1, -1)"),
        ((IMAGE, 3), "tuple of 2", "image for image, _ in {}"),
        ((3, IMAGE), "tuple of 2", "image for _, image in {}"),
        ((FIRST[0], 3), "tuple of 2", "np.moveaxis(image, 0, -1) for image, _ in {}"),
        ([IMAGE, IMAGE], "list of 2 images", "image for images in {} for image in images"),
        ({"image": IMAGE, "label": 1}, "dict of 'image', 'label'", "item['image'] for item in {}"),
        ({"y": 1, "x": IMAGE}, "dict of 'y', 'x'", "item['x'] for item in {}"),
        ({"y": 1}, "dict of 'y'", "item['image'] for item in {}"),
        (
            {"pixel_values": FIRST},
            "dict of 'pixel_values'",
            "image for item in {} for image in np.moveaxis(item['pixel_values'], 1, -1)",
        ),
        ({"img": [IMAGE, IMAGE]}, "dict of 'img'", "image for item in {} for image in item['img']"),
        ("a.jpg", "'a.jpg'", None),
        (Path("a.jpg"), "Path('a.jpg')", None),
        (BATCH, "a batch of shape (2, 12, 10, 3)", "image for images in {} for image in images"),
        (
            FIRST,
            "a batch of shape (2, 3, 12, 10)",
            "image for images in {} for image in np.moveaxis(images, 1, -1)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_items(item, kind, line):
    with pytest.raises((TypeError, ValueError), match="^image 0: must be an image") as error:
        iterate([item])
    assert kind in str(error.value)
    if line is None:
        assert "(intgrad.load_image(path, size=model.input_size) for path in paths)" in str(
            error.value
        )
        return
    assert str(error.value).endswith(f": ({line.format('loader')})")
    # The line does what it says.
    if kind != "dict of 'y'":
        names = {"loader": [item], "np": np}
        assert len(iterate(eval(f"({line.format('loader')})", names))) in (1, 2)


def test_a_later_item_has_its_number():
    with pytest.raises(TypeError, match="^image 2: must be an image, got a tuple"):
        iterate([IMAGE, IMAGE, (IMAGE, 1)])


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        ("folder", TypeError, r"got 'folder': \(intgrad.load_image\(path"),
        (Path("a.jpg"), TypeError, "got .*Path.*load_image"),
        (7, TypeError, "got int"),
        (None, TypeError, "got NoneType"),
        ({"a": IMAGE}, TypeError, r"got a dict: images.values\(\)"),
        (IMAGE, ValueError, r"got one array of shape \(12, 10, 3\): \[image\]"),
        (np.zeros((3, 28, 28)), ValueError, r"images\[..., None\] if they are grey"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_stream_is_told_at_once(images, error, text):
    model = intgrad.load_model(Polynomial(1, SHAPE), output="logit")
    with pytest.raises(error, match=text):
        intgrad.iter_integrated_gradients(model, images, output="logit")


def test_a_nested_list_of_four_axes_is_no_image():
    with pytest.raises(ValueError, match=r"image 0: must be an image .* shape \(2, 12, 10, 3\)"):
        iterate([BATCH.tolist()])


def test_what_holds_the_pixels_of_an_image_is_one():
    whole = np.round(IMAGE)
    rows = list(whole)
    found = iterate([whole, whole.tolist(), rows, tuple(rows), whole.astype(np.uint8)])
    for attributions, _ in found:
        np.testing.assert_array_equal(attributions, found[0][0])


def test_pictures_of_pillow_are_images():
    pil = pytest.importorskip("PIL.Image", reason="there are none without Pillow")
    picture = pil.fromarray(np.uint8(IMAGE))
    (found, _), (expected, _) = iterate([picture, np.uint8(IMAGE)])
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(TypeError, match=r"tuple of 2: \(image for image, _ in loader\)"):
        iterate([(picture, 3)])
    with pytest.raises(TypeError, match=r"\(item\['image'\] for item in loader\)"):
        iterate([{"image": picture, "label": 3}])
