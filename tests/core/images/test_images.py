"""load_image, on files written here."""

import numpy as np
import pytest

import intgrad
from intgrad.images import reading

PIL = pytest.importorskip("PIL.Image", reason="load_image needs Pillow")

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def save(folder, array, mode=None, name="x.png", **options):
    path = folder / name
    picture = PIL.fromarray(array) if mode is None else PIL.fromarray(array).convert(mode)
    picture.save(path, **options)
    return path


def test_rgb_is_read_as_it_is(tmp_path):
    image = intgrad.load_image(save(tmp_path, RGB))
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, RGB)
    np.testing.assert_array_equal(intgrad.load_image(str(tmp_path / "x.png")), RGB)


@pytest.mark.parametrize("size", [(3, 4), (6, 9), (13, 2)])
def test_resize_is_nearest_neighbour_as_in_keras(tmp_path, size):
    expected = PIL.fromarray(RGB).resize((size[1], size[0]), PIL.Resampling.NEAREST)
    image = intgrad.load_image(save(tmp_path, RGB), size=size)
    np.testing.assert_array_equal(image, np.asarray(expected))


@pytest.mark.parametrize("size", [299, (299,), (0, 5), (-1, 5), (2.0, 2), "ab", (True, 5)])
def test_size_is_height_and_width(tmp_path, size):
    with pytest.raises(ValueError, match="size must be"):
        intgrad.load_image(save(tmp_path, RGB), size=size)


def test_grey_becomes_rgb(tmp_path):
    image = intgrad.load_image(save(tmp_path, RGB[..., 0]))
    np.testing.assert_array_equal(image, RGB[..., :1].repeat(3, axis=2))


def test_sixteen_bits_are_scaled(tmp_path):
    deep = np.array([[0, 257, 65535, 32896]], np.uint16)
    image = intgrad.load_image(save(tmp_path, deep))
    np.testing.assert_array_equal(image[0, :, 0], [0, 1, 255, 128])


@pytest.mark.parametrize("kind", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(tmp_path, kind):
    rgba = np.dstack([RGB, np.linspace(0, 255, 54).reshape(6, 9).astype(np.uint8)])
    picture = PIL.fromarray(rgba).convert(kind)
    picture.save(tmp_path / "x.png")
    solid = np.float64(np.asarray(picture.convert("RGBA")))
    alpha = solid[..., 3:] / 255
    expected = alpha * solid[..., :3] + (1 - alpha) * 255
    np.testing.assert_allclose(intgrad.load_image(tmp_path / "x.png"), expected, atol=1)


def test_transparent_palette(tmp_path):
    picture = PIL.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.save(tmp_path / "x.png", transparency=0)
    image = intgrad.load_image(tmp_path / "x.png")
    np.testing.assert_array_equal(image[0], [[255, 255, 255], [40, 50, 60]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = PIL.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, RGB, name="x.png", exif=exif)
    upright = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.swapaxes(0, 1),
        6: np.rot90(RGB, -1),
        7: np.rot90(RGB, 2).swapaxes(0, 1),
        8: np.rot90(RGB),
    }[orientation]
    np.testing.assert_array_equal(intgrad.load_image(path), upright)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no.png"):
        intgrad.load_image(tmp_path / "no.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"text.png' is not a picture"):
        intgrad.load_image(tmp_path / "text.png")
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for name in ("x.png", "x.jpg"):
        path = save(tmp_path, noise, name=name)
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ValueError, match=f"{name}' is damaged"):
            intgrad.load_image(path)


def test_large_pictures_are_refused_before_decoding(tmp_path, monkeypatch):
    path = save(tmp_path, RGB)
    monkeypatch.setattr(reading, "MAX_PIXELS", 53)
    with pytest.raises(ValueError, match="too large: 6 x 9 pixels, and the limit is 53"):
        intgrad.load_image(path)
    monkeypatch.setattr(PIL, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(ValueError, match="too large"):
        intgrad.load_image(path)


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
