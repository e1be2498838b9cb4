"""Whose baseline is whose, and which are no pixels."""

import warnings

import numpy as np
import pytest
from analytic import Wave, pixels

import intgrad
from intgrad.attribution.baselines import share_equal

SHAPE = (6, 5, 3)
STACK = pixels((4, *SHAPE))
BASELINES = pixels((4, *SHAPE), seed=9)


def explain(images, **options):
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    return intgrad.integrated_gradients(
        model, images, 1, output="logit", return_info=True, **options
    )


def test_as_many_baselines_as_images_could_be_either():
    with pytest.raises(ValueError, match=r"shape \(4, 6, 5, 3\) with 4 images may be") as error:
        explain(STACK, baseline=BASELINES)
    each = r"baseline[:, None] for one each (shape (4, 1, 6, 5, 3))"
    assert each in str(error.value)
    assert r"baseline[None] for the stack (shape (1, 4, 6, 5, 3))" in str(error.value)


def test_one_baseline_for_each_image():
    maps, infos = explain(STACK, baseline=BASELINES[:, None])
    for image, baseline, attributions, info in zip(STACK, BASELINES, maps, infos, strict=True):
        alone, same = explain(image, baseline=baseline)
        np.testing.assert_array_equal(attributions, alone)
        assert info.baseline == same.baseline == "array"
        assert info.error == same.error
        assert info.unattributable == same.unattributable


def test_one_stack_for_each_image():
    stacks = pixels((4, 2, *SHAPE), seed=3)
    maps, infos = explain(STACK, baseline=stacks)
    for image, stack, attributions, info in zip(STACK, stacks, maps, infos, strict=True):
        alone, same = explain(image, baseline=stack)
        np.testing.assert_array_equal(attributions, alone)
        assert info.baseline == same.baseline == "stack of 2"
        assert info.baseline_error == same.baseline_error


def test_a_stack_for_all_that_is_as_large_as_the_batch():
    maps, infos = explain(STACK, baseline=BASELINES[None])
    for image, attributions, info in zip(STACK, maps, infos, strict=True):
        np.testing.assert_array_equal(attributions, explain(image, baseline=BASELINES)[0])
        assert info.baseline == "stack of 4"


def test_stacks_that_are_no_matter_of_doubt():
    """Of one image, in a batch of one, or of another number than the images."""
    single, info = explain(STACK[0], baseline=BASELINES)
    assert info.baseline == "stack of 4"
    np.testing.assert_array_equal(explain(STACK[:1], baseline=BASELINES)[0][0], single)
    np.testing.assert_array_equal(explain(STACK[:1], baseline=BASELINES[:1])[0].shape, (1, *SHAPE))
    np.testing.assert_array_equal(explain(STACK[:3], baseline=BASELINES)[0][0], single)
    np.testing.assert_array_equal(explain(STACK[0], baseline=BASELINES[None])[0], single)


@pytest.mark.parametrize(
    ("images", "shape", "text"),
    [
        (STACK, (3, 1, *SHAPE), "is of 3 images.* there are 4 images"),
        (STACK[0], (4, 1, *SHAPE), "is of 4 images.* there are 1 images"),
        (STACK, (4, 0, *SHAPE), "must have the shape of an image"),
        (STACK, (1, 4, 1, *SHAPE), "must have the shape of an image"),
        (STACK, (4, 1, 5, 6, 3), "must have the shape of an image"),
    ],
)
def test_shapes_that_fit_no_reading(images, shape, text):
    with pytest.raises(ValueError, match=text):
        explain(images, baseline=np.zeros(shape))


def test_images_one_by_one_share_their_baseline():
    model = intgrad.load_model(Wave(SHAPE), output="logit")

    def iterate(baseline):
        return list(
            intgrad.iter_integrated_gradients(model, STACK, 1, output="logit", baseline=baseline)
        )

    for baseline in (BASELINES, BASELINES[None]):  # as many as there are images
        expected = explain(STACK, baseline=BASELINES[None])[0]
        np.testing.assert_array_equal([found for found, _ in iterate(baseline)], expected)
    with pytest.raises(ValueError, match="come one by one share theirs"):
        iterate(BASELINES[:, None])


@pytest.mark.parametrize(
    ("baseline", "text"),
    [
        (STACK[1] / 255, r"lie in 0\.0\d+\.\.\d.*pass 255 \* baseline"),
        (STACK[:2] / 255, r"pass 255 \* baseline"),
        (0.5, r"lie in 0\.5\.\.0\.5"),
        (STACK[1] / 127.5 - 1, r"lie in -\d.*as it was before it was normalised"),
        (STACK[1] - 120, "as it was before it was normalised"),
        (STACK[1].astype(np.uint16) * 257, "before it was normalised"),
    ],
    ids=str,
)
def test_baselines_that_are_no_pixels_are_warned_of(baseline, text):
    with pytest.warns(UserWarning, match=text) as caught:
        explain(STACK[0], baseline=baseline)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "baseline",
    [0, 0.0, 1, 255, np.zeros(SHAPE), np.ones(SHAPE, np.uint8), 255 * np.ones(SHAPE)],
    ids=str,
)
def test_baselines_that_are_pixels_are_not(baseline):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(STACK[0], baseline=baseline)


def test_baselines_are_not_doubted_where_the_images_are_no_pixels_either():
    with pytest.warns(UserWarning, match="pixels are expected in 0..255") as caught:
        explain(STACK[0] / 255, baseline=STACK[1] / 255)
    assert len(caught) == 1


def test_the_share_of_pixels_that_equal_the_baseline():
    image = np.full((2, 5, 3), 200.0, np.float32)
    image[0] = 1.9  # five of ten, as good as black
    image[1, 0] = [0, 0, 3]  # and one that is not, in a channel
    black = np.zeros((1, 1, *image.shape), np.float32)
    both = np.concatenate([black, black + 255], axis=1)
    each = np.stack([black[0], image[None]])
    assert share_equal(image[None], black).tolist() == [0.5]
    assert share_equal(image[None], both).tolist() == [0]
    assert share_equal(np.stack([image, image]), each).tolist() == [0.5, 1]


def test_the_info_tells_it():
    image = STACK[0].copy()
    image[:3] = 0
    text = "50% of the pixels of image 0 equal the black baseline and get nothing"
    with pytest.warns(UserWarning, match=text) as said:
        assert explain(image)[1].unattributable == 0.5
    assert len(said) == 1
    with pytest.warns(UserWarning, match=r"image 1 \(and of 1 more images\)"):
        explain(np.stack([STACK[0], image, image]))
    assert explain(image, baseline="white")[1].unattributable < 0.05
    assert explain(image, baseline="uniform", seed=1)[1].unattributable < 0.05
    given = np.where(image > 100, image, 0)
    assert explain(image, baseline=given)[1].unattributable > 0.5  # it is asked for: no warning
