"""What is taken as an image, and what is said of what is not."""

import re
import types

import numpy as np
import pytest

import intgrad

PIL = pytest.importorskip("PIL.Image", reason="some of the images are Pillow's")

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def test_any_array_like_is_an_image(tmp_path):
    model = intgrad.load_model(
        lambda batch, targets: (batch.sum(axis=(1, 2)), np.ones_like(batch)), output="logit"
    )
    expected = model.predict(RGB)
    np.testing.assert_array_equal(model.predict(PIL.fromarray(RGB)), expected)
    np.testing.assert_array_equal(model.predict(memoryview(RGB)), expected)
    np.testing.assert_array_equal(model.predict(RGB.tolist()), expected)


class OnlyDLPack:
    """An array of a library that NumPy knows nothing of."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def test_dlpack_in():
    model = intgrad.load_model(
        lambda batch, targets: (batch.sum(axis=(1, 2)), np.ones_like(batch)), output="logit"
    )
    np.testing.assert_array_equal(model.predict(OnlyDLPack(RGB.copy())), model.predict(RGB))
    readonly = RGB.copy()
    readonly.setflags(write=False)
    if np.lib.NumpyVersion(np.__version__) < "2.1.0":
        with pytest.raises(TypeError, match="cannot be read as an array"):
            model.predict(OnlyDLPack(readonly))
    else:
        np.testing.assert_array_equal(model.predict(OnlyDLPack(readonly)), model.predict(RGB))


# ---- Pixels that are none ------------------------------------------------------------------------

PHOTOGRAPH = np.random.default_rng(1).integers(0, 256, (40, 40, 3)).astype(np.float64)
PHOTOGRAPH[0, 0], PHOTOGRAPH[0, 1] = 0, 255
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
ADVICE = {
    "0..1": (PHOTOGRAPH / 255, r"pass 255 \* image$"),
    "dark, 0..1": (PHOTOGRAPH / 2000, r"pass 255 \* image$"),
    "0..1, resized": (PHOTOGRAPH / 255 * 1.05 - 0.02, r"pass 255 \* np.clip\(image, 0, 1\)"),
    "barely above 1": (PHOTOGRAPH / 254, r"pass 255 \* np.clip\(image, 0, 1\)"),
    "-1..1": (PHOTOGRAPH / 127.5 - 1, r"pass 127.5 \* \(image \+ 1\)"),
    "-1..1, resized": (PHOTOGRAPH / 120 - 1.06, r"pass 127.5 \* \(image \+ 1\)"),
    "ImageNet": ((PHOTOGRAPH / 255 - MEAN) / STD, r"255 \* \(image \* std \+ mean\)"),
    "own mean": ((PHOTOGRAPH - PHOTOGRAPH.mean()) / PHOTOGRAPH.std(), "normalised"),
    "centred": (PHOTOGRAPH - 128, r"image \+ mean \(image \+ 128.0 for"),
    "centred int8": ((PHOTOGRAPH - 128).astype(np.int8), r"image \+ mean"),
    "mean subtracted": (PHOTOGRAPH - 255 * MEAN, r"image \+ mean"),
    "12 bits": ((PHOTOGRAPH * 16).astype(np.uint16), r"255 / \(2\*\*bits - 1\) \* image"),
    "16 bits": ((PHOTOGRAPH * 257).astype(np.uint16), r"pass image / 257"),
    "16 bits as floats": (PHOTOGRAPH * 257, r"pass image / 257"),
    "overshoot": (PHOTOGRAPH * 261 / 255 - 3, r"pass np.clip\(image, 0, 255\)"),
    "overshoot above": (PHOTOGRAPH * 1.1, r"pass np.clip\(image, 0, 255\)"),
    "overshoot below": (PHOTOGRAPH * 0.4 - 7, r"pass np.clip\(image, 0, 255\)"),
    "int16": ((PHOTOGRAPH * 1.1 - 20).astype(np.int16), r"pass np.clip\(image, 0, 255\)"),
    "32 bits": (PHOTOGRAPH * 1e6, "scale it to 0..255"),
}
ANY = intgrad.load_model(
    lambda batch, targets: (batch.sum(axis=(1, 2)), np.ones_like(batch)), output="logit"
)


@pytest.mark.parametrize("kind", ADVICE)
@pytest.mark.parametrize("dtype", [None, np.float32])
def test_what_is_no_pixel_is_warned_of(kind, dtype):
    image, advice = ADVICE[kind]
    image = image if dtype is None or image.dtype.kind != "f" else image.astype(dtype)
    with pytest.warns(UserWarning, match=advice) as caught:
        ANY.predict(image)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=f"largest value is .* in 0..255: .*{advice}") as caught:
        intgrad.integrated_gradients(ANY, image[None], 0, steps=2, output="logit")
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float16, np.float64])
def test_pixels_are_not_warned_of(dtype):
    for image in (PHOTOGRAPH, 0 * PHOTOGRAPH, PHOTOGRAPH / 100, np.full((3, 3, 3), 255)):
        ANY.predict(image.astype(dtype))


def test_a_path_is_no_image():
    with pytest.raises(TypeError, match=r"got dtype <U7 of str: intgrad\.load_image\(path\)"):
        ANY.predict("cat.jpg")


def test_a_mask_of_integers_is_a_dark_picture():
    ANY.predict((PHOTOGRAPH > 99).astype(np.int64))


# ---- Shapes --------------------------------------------------------------------------------------


def model_of(channels, size=(28, 28)):
    """A model that takes images of this many channels; of the callable nobody knows it."""
    model = intgrad.load_model(
        lambda batch, targets: (batch.sum(axis=(1, 2)), np.ones_like(batch)), output="logit"
    )
    model.input_size, model.channels = size, channels
    return model


@pytest.mark.parametrize(
    ("channels", "shape", "text"),
    [
        (1, (28, 28), r"channel axis, got shape \(28, 28\): pass image\[..., None\]$"),
        (3, (28, 28), r": np.repeat\(image\[..., None\], 3, axis=-1\) makes grey RGB"),
        (None, (28, 28), r": np.repeat\(image\[..., None\], 3, .*, image\[..., None\] one channel"),
        (13, (28, 28), "the model takes 13 channels"),
        (1, (5, 28, 28), r"if that is 5 grey images, pass images\[..., None\]"),
        (1, (28, 28, 3), r"takes 1 channel, .*load_image\(path, size=\(28, 28\), channels=1\)"),
        (1, (2, 28, 28, 3), r"\(image @ \[0.299, 0.587, 0.114\]\)\[..., None\] makes"),
        (1, (28, 28, 4), r"\(image\[..., :3\] @ "),
        (3, (28, 28, 1), r"takes 3 channels, .*: np.repeat\(image, 3, axis=-1\) makes grey RGB"),
        (3, (28, 28, 4), r"image\[..., :3\] leaves out the opacity"),
        (13, (28, 28, 3), r"takes 13 channels, got images of shape \(28, 28, 3\)$"),
        (13, (13, 28, 28), r"np.moveaxis\(images, 0, -1\)"),
        (13, (2, 13, 10, 10), r"np.moveaxis\(images, 1, -1\)"),
        (2, (2, 28, 28), r"np.moveaxis\(images, 0, -1\)"),
        (2, (5, 2, 64, 64), r"np.moveaxis\(images, 1, -1\)"),
        (1, (1, 28, 28), r"np.moveaxis\(images, 0, -1\)"),
        (3, (3, 500, 400), r"np.moveaxis\(images, 0, -1\)"),
        (None, (13, 28, 28), r"np.moveaxis\(images, 0, -1\)"),
        (3, (20, 20, 3), r"load_image\(path, size=\(28, 28\)\) .*fromarray\(image\)"),
        (
            1,
            (20, 20, 1),
            r"load_image\(path, size=\(28, 28\), channels=1\) .*\[..., None\] an array",
        ),
        (13, (20, 20, 13), r"np.stack\(\[.* for band in np.moveaxis\(image, -1, 0\)\], axis=-1\)"),
    ],
)
def test_a_wrong_shape_is_told_with_the_call_that_mends_it(channels, shape, text):
    with pytest.raises(ValueError, match=text):
        model_of(channels).predict(np.full(shape, 9.0))


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4, 13])
def test_every_number_of_channels_is_taken(channels):
    image = np.full((28, 28, channels or 5), 9.0)
    assert model_of(channels).predict(image).shape == (channels or 5,)
    assert model_of(channels).predict(image[None]).shape == (1, channels or 5)


def said(model, image):
    with pytest.raises(ValueError, match=": ") as caught:
        model.predict(image)
    return str(caught.value)


@pytest.mark.parametrize(
    ("channels", "shape", "call"),
    [
        (3, (6, 9, 3), r"(np.asarray\(.*\)) an array"),
        (1, (6, 9, 1), r"(np.asarray\(.*\]) an array"),
        (2, (6, 9, 2), r"(np.stack\(.*\)) resizes"),
        (1, (28, 20, 3), r"grey, (.*) makes"),
        (1, (28, 20, 4), r"grey, (.*) makes"),
        (3, (28, 20, 1), r": (np.repeat.*) makes"),
        (3, (28, 20, 4), r": (image.*) leaves"),
        (1, (28, 20), r"pass (.*)$"),
        (3, (28, 20), r": (.*) makes"),
    ],
)
def test_the_calls_that_messages_name_work(channels, shape, call):
    image = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    model = model_of(channels, (28, 20))
    is_colour = shape == (6, 9, 3)  # of which Pillow has no floats
    for array in (image,) if is_colour else (image, image.astype(np.float32)):
        names = {"PIL": types.SimpleNamespace(Image=PIL), "np": np, "image": array}
        mended = eval(re.search(call, said(model, array))[1], names)
        assert model.predict(mended).shape == (channels,)
