"""What is taken as an image, and what is said of what is not."""

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
