"""Ten thousand small calls, errors among them, leave memory and reference counts as they were."""

import contextlib
import gc
import sys
import weakref

import numpy as np
import pytest
from analytic import Polynomial, pixels
from resident import resident_bytes

import intgrad
from intgrad import _core

SHAPE = (4, 3, 2)
IMAGE = pixels(SHAPE)
FUNCTION = Polynomial(2, SHAPE)
MODEL = intgrad.load_model(FUNCTION, output="logit")
OPTIONS = {"output": "logit", "steps": 3}
VISUALIZER = intgrad.GradVisualizer()
PICTURE = pixels((8, 9, 3))
MAP = np.random.default_rng(3).normal(size=(8, 9, 3))
LABELS = np.arange(72).reshape(8, 9) // 13


def explain():
    intgrad.integrated_gradients(
        MODEL, IMAGE, 1, return_info=True, error_map=True, gradient=True, **OPTIONS
    )
    FUNCTION.batches.clear()


def fail():
    for arguments in ((IMAGE, 9), (IMAGE[0], 1), (IMAGE * np.nan, 1)):
        with pytest.raises((IndexError, ValueError)):
            intgrad.integrated_gradients(MODEL, *arguments, **OPTIONS)


def draw():
    VISUALIZER.process_grads(
        PICTURE, MAP, clip_above_percentile=95, clip_below_percentile=28, outlines=True
    )


def rank():
    intgrad.xrai(MAP, segments=[LABELS, LABELS > 2], min_pixel_diff=1, return_info=True)


def refine():
    intgrad.integrated_gradients(
        MODEL, IMAGE, 1, output="logit", tolerance=0.01, max_evaluations=40
    )
    FUNCTION.batches.clear()


def curve():
    common = {"output": "logit", "steps": 3, "return_info": True}
    intgrad.integrated_gradients(MODEL, IMAGE, 1, path="blur", sigma=1.0, error_map=True, **common)
    intgrad.integrated_gradients(MODEL, IMAGE, [[0, 1]], path="guided", **common)
    FUNCTION.batches.clear()


def sample():
    common = {"output": "logit", "seed": 1, "return_info": True, "segments": 2}
    intgrad.smoothgrad(MODEL, IMAGE, 1, draws=6, kind="variance", **common)
    intgrad.expected_gradients(MODEL, IMAGE, 1, draws=6, references=[IMAGE, IMAGE[::-1]], **common)
    with pytest.raises(ValueError, match="references must be finite"):
        intgrad.expected_gradients(MODEL, IMAGE, references=[IMAGE * np.nan], **common)
    FUNCTION.batches.clear()


def perturb():
    orders = np.arange(12, dtype=np.int32).reshape(1, 4, 3)
    pictures = np.stack([IMAGE, IMAGE[::-1]])
    for each in ([[0, 1, 0, 5], [1, 0, 0, 2]], [[0, 2, 0, 5]]):  # of which the last is no picture
        with contextlib.suppress(IndexError):
            _core.mixed_scores(MODEL._handle, pictures, orders, np.array(each), "logit", 2, None)
    for missing in (orders[0] > 3, orders[0] >= 0):  # all of them are too many
        with contextlib.suppress(ValueError):
            _core.impute(IMAGE, missing)
    FUNCTION.batches.clear()


@pytest.mark.unsanitized
@pytest.mark.parametrize("call", [explain, fail, draw, rank, refine, curve, sample, perturb])
def test_ten_thousand_calls(call):
    def work(count):
        for _ in range(count):
            call()
        gc.collect()
        counts = [sys.getrefcount(each) for each in (FUNCTION, MODEL, IMAGE, PICTURE, MAP, None)]
        return resident_bytes(), counts[:-1], len(gc.get_objects())

    work(500)
    before, after = work(500), work(2500)
    assert after[0] - before[0] < 2**20
    assert after[1] == before[1]
    assert abs(after[2] - before[2]) < 50


@pytest.mark.unsanitized
@pytest.mark.parametrize("method", ["smoothgrad", "expected_gradients"])
def test_memory_is_the_same_for_any_number_of_draws(method):
    """Keeping a picture of each would take half a gigabyte."""
    image = pixels((96, 96, 3))
    most = 0

    def watch(batch, targets):
        nonlocal most
        most = max(most, resident_bytes())
        return np.zeros((len(batch), 2)), batch

    model = intgrad.load_model(watch, output="logit")
    options = {"references": [image, image[::-1]]} if method == "expected_gradients" else {}
    peaks = []
    for draws in (50, 50, 5000):  # the first time what is imported and cached comes in
        most = 0
        getattr(intgrad, method)(model, image, 1, draws=draws, output="logit", **options)
        peaks.append(most)
    assert abs(peaks[2] - peaks[1]) < 20 * 2**20


class Explainer:
    """Holds the model of its own method, as classes that wrap a framework's model like to."""

    def __init__(self):
        self.function = Polynomial(2, SHAPE)
        self.model = intgrad.load_model(self.gradients, output="logit")

    def gradients(self, batch, targets):
        return self.function(batch, targets)


def test_a_model_of_an_objects_own_method_is_collected():
    explainer = Explainer()
    intgrad.integrated_gradients(explainer.model, IMAGE, 1, **OPTIONS)
    seen = weakref.ref(explainer), weakref.ref(explainer.function)
    del explainer
    gc.collect()
    assert [each() for each in seen] == [None, None]
