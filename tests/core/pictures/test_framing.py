"""What is drawn of a photograph, and where the model looked."""

import numpy as np
import pytest

from intgrad.images.transform import ImageTransform

PIL = pytest.importorskip("PIL.Image", reason="photographs need Pillow")
from intgrad.pictures.framing import CONTEXT, SHOWN, frame  # noqa: E402

CENTER = ImageTransform((224, 224), 256, "shortest_edge")
BORDER = ImageTransform((224, 224), (224, 224), "contain", fill=(10, 20, 30))
SQUASH = ImageTransform.exact((224, 224), "bilinear")


def photograph(height, width):
    """A photograph whose colours say where they are: red grows across, green down."""
    array = np.full((height, width, 3), 99, np.uint8)
    array[..., 0] = 255 * (np.arange(width) + 0.5) / width
    array[..., 1] = 255 * (np.arange(height) + 0.5)[:, np.newaxis] / height
    return PIL.fromarray(array)


def frame_as_seen(image, transform):
    if transform is None:
        return frame(image, None)
    return frame(image, transform.field_of_view(image.height, image.width), transform.fill)


@pytest.mark.parametrize("transform", [None, SQUASH], ids=str)
@pytest.mark.parametrize("size", [(300, 400), (1, 9), (2000, 30)], ids=str)
def test_all_is_seen(transform, size):
    framed = frame_as_seen(photograph(*size), transform)
    assert framed.is_whole
    expected = photograph(*size)
    expected.thumbnail(SHOWN)
    np.testing.assert_array_equal(framed.picture, expected)
    assert framed.surround(framed.picture) is framed.picture


@pytest.mark.parametrize("size", [(300, 400), (400, 300), (1500, 2000), (60, 80), (7, 9)], ids=str)
def test_the_middle_is_seen(size):
    """What lies in the frame are the colours of the part that the model sees."""
    framed = frame_as_seen(photograph(*size), CENTER)
    assert not framed.is_whole
    assert framed.picture.shape[0] <= SHOWN[1]
    assert framed.picture.shape[1] <= SHOWN[0]
    top, left, bottom, right = CENTER.field_of_view(*size)
    height, width = size
    for colour, axis, first, last, length in (
        (0, 1, left, right, width),
        (1, 0, top, bottom, height),
    ):
        colours = framed.seen[..., colour].mean(axis=1 - axis)
        allowed = 2 + 255 / min(length, 300)  # a pixel of the photograph, or of the drawing
        assert abs(colours[0] - 255 * first / length) <= allowed
        assert abs(colours[-1] - 255 * last / length) <= allowed
    drawing = np.full_like(framed.seen, 7)
    drawn = framed.surround(drawing)
    assert drawn.shape == framed.picture.shape
    assert (drawn == 7).all(axis=2).sum() == drawing.shape[0] * drawing.shape[1]
    assert (drawn[0] >= 128).all() or (drawn[:, 0] >= 128).all()  # faded


def test_of_a_panorama_only_the_surroundings_are_drawn():
    framed = frame_as_seen(photograph(200, 4000), CENTER)
    assert framed.picture.shape[1] == SHOWN[0]
    assert framed.width == pytest.approx(SHOWN[0] / CONTEXT, abs=2)
    assert framed.left == pytest.approx((SHOWN[0] - framed.width) / 2, abs=2)


def test_padding_is_drawn():
    framed = frame_as_seen(photograph(100, 400), BORDER)
    assert framed.is_whole
    height, width = framed.picture.shape[:2]
    assert height == width
    np.testing.assert_array_equal(framed.picture[0, 0], [10, 20, 30])
    np.testing.assert_array_equal(framed.picture[height // 2, :, 2], 99)


@pytest.mark.parametrize("transform", [CENTER, BORDER, SQUASH], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (1, 30000), (30000, 1), (9000, 11)], ids=str)
def test_any_shape_is_drawn(transform, size):
    framed = frame_as_seen(photograph(*size), transform)
    assert framed.seen.size > 0
    assert framed.surround(framed.seen).shape == framed.picture.shape
    assert max(framed.picture.shape) <= max(SHOWN)
