"""A model that is a Python callable: what it may return, and what happens when it misbehaves."""

import gc
import signal
import sys
import threading
from functools import partial

import numpy as np
import pytest
from analytic import Polynomial, pixels

import intgrad
from intgrad import _core

SHAPE = (4, 3, 2)
IMAGE = pixels(SHAPE)


def explain(function, image=IMAGE, **options):
    model = intgrad.load_model(function, output="logit")
    return intgrad.integrated_gradients(model, image, 0, output="logit", **options)


def zeros(batch):
    return np.zeros((len(batch), 3)), np.zeros_like(batch)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda b: None, r"must return \(scores, gradients\), got <class 'NoneType'>"),
        (lambda b: zeros(b)[0], "got <class 'numpy.ndarray'>"),
        (lambda b: (*zeros(b), 1), "got <class 'tuple'>"),
        (lambda b: (np.zeros(len(b)), zeros(b)[1]), "scores must have 2 dimensions, got 1"),
        (lambda b: (np.zeros((len(b), 0)), zeros(b)[1]), r"shape \(4, 0\) for a batch of 4"),
        (lambda b: (np.zeros((1, 3)), zeros(b)[1]), r"shape \(1, 3\) for a batch of 4"),
        (lambda b: (zeros(b)[0] * 1j, zeros(b)[1]), "real numbers, got dtype complex128"),
        (lambda b: (zeros(b)[0], np.zeros(SHAPE)), "gradients must have 4 dimensions"),
        (lambda b: (zeros(b)[0], zeros(b)[1][:, :2]), r"\(4, 2, 3, 2\); expected.*\(4, 4, 3, 2\)"),
        (lambda b: (zeros(b)[0], zeros(b)[1].astype(str)), "real numbers"),
    ],
)
def test_wrong_answers(answer, text):
    with pytest.raises(intgrad.ModelError, match=text):
        explain(lambda batch, targets: answer(batch), batch_size=4)


def test_number_of_classes_must_not_change():
    def function(batch, targets):
        return np.zeros((len(batch), len(batch))), np.zeros_like(batch)

    with pytest.raises(intgrad.ModelError, match="returned 3 classes, and 4 before"):
        explain(function, steps=6, batch_size=4)


@pytest.mark.parametrize("dtype", [np.float64, ">f4", np.float16, np.int32])
def test_any_real_dtype_and_layout_is_taken(dtype):
    def function(batch, targets):
        scores = np.asfortranarray(np.full((len(batch), 3), 2, dtype))
        return scores, np.full(batch.shape[::-1], 3, dtype).T

    np.testing.assert_allclose(explain(function), 3 * IMAGE, rtol=1e-6)


@pytest.mark.parametrize(("bad", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("where", ["scores", "gradients"])
def test_nan_and_inf_are_located_and_never_averaged(bad, shown, where):
    stack = np.stack([IMAGE, IMAGE + 1])

    def function(batch, targets):
        scores, gradients = zeros(batch)
        for row, picture in enumerate(batch):
            if np.allclose(picture, 0.25 * stack[1]):
                (scores if where == "scores" else gradients)[row, 0] = bad
        return scores, gradients

    name = "score is" if where == "scores" else "gradient holds"
    with pytest.raises(
        intgrad.ModelError, match=f"image 1, baseline 0, alpha 0.25: .*{name} {shown}"
    ):
        explain(function, stack, steps=8, batch_size=5)
    name = "score of class 0 is" if where == "scores" else "gradient holds"
    model = intgrad.load_model(function, output="logit")
    ask = (
        model.predict if where == "scores" else partial(model.gradients, targets=0, output="logit")
    )
    with pytest.raises(intgrad.ModelError, match=f"image 1: the model's {name} {shown}"):
        ask(0.25 * stack)


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_exceptions_propagate_unchanged_from_any_call(call, error):
    calls = 0

    def function(batch, targets):
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return zeros(batch)

    with pytest.raises(type(error)) as caught:  # midpoint: end points are calls of their own
        explain(function, steps=6, batch_size=1, rule="midpoint")
    assert caught.value is error
    assert calls == call


def test_exceptions_of_a_progress_callback_propagate_unchanged(monkeypatch):
    from intgrad import _optional

    class MineError(Exception):
        pass

    class Bar:
        n = 0

        def __init__(self, unit):
            assert unit == "gradient"

        def update(self, count):
            assert self.total == 51
            raise MineError

        def close(self):
            pass

    monkeypatch.setattr(_optional, "require", lambda *names: type("tqdm", (), {"tqdm": Bar}))
    with pytest.raises(MineError):
        explain(Polynomial(1, SHAPE), progress=True)


def test_progress(capsys):
    explain(Polynomial(1, SHAPE), progress=True, steps=20)
    assert "21/21" in capsys.readouterr().err


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_between_batches():
    """A signal that arrives while C is at work is seen after the batch."""
    calls = 0

    def function(batch, targets):
        nonlocal calls
        calls += 1
        if calls == 3:
            signal.raise_signal(signal.SIGINT)
        return zeros(batch)

    with pytest.raises(KeyboardInterrupt):
        explain(function, steps=50, batch_size=1)
    assert calls == 3


@pytest.mark.filterwarnings("ignore:the attributions of image 0 are 0")
def test_the_callable_may_keep_what_it_gets():
    kept = []

    def function(batch, targets):
        kept.append((batch, batch.copy(), targets, targets.copy()))
        return zeros(batch)

    explain(function, steps=20, batch_size=3)
    gc.collect()
    for batch, copy, targets, same in kept:
        np.testing.assert_array_equal(batch, copy)
        np.testing.assert_array_equal(targets, same)
        assert batch.dtype == np.float32
        assert targets.dtype == np.int64


def test_nothing_is_leaked():
    function = Polynomial(2, SHAPE)
    bad = iter(range(10**9))

    def failing(batch, targets):
        if next(bad) % 3 == 2:
            raise ValueError("now and then")
        return function(batch, targets)

    counts = []
    for _ in range(3):
        for _ in range(50):
            explain(function, steps=3, return_info=True, error_map=True)
            with pytest.raises(ValueError, match="now and then"):
                explain(failing, steps=30, batch_size=2)
        gc.collect()
        counts.append((sys.getrefcount(function), sys.getrefcount(IMAGE), len(gc.get_objects())))
    assert counts[1][:2] == counts[2][:2]
    assert abs(counts[1][2] - counts[2][2]) < 20


def test_threads_share_a_model():
    model = intgrad.load_model(Polynomial(3, SHAPE), output="logit")
    images = [pixels(SHAPE, seed=k) for k in range(8)]
    expected = [intgrad.integrated_gradients(model, x, 1, output="logit") for x in images]
    found = [None] * len(images)

    def work(k):
        for _ in range(20):
            found[k] = intgrad.integrated_gradients(model, images[k], 1, output="logit")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, expected)


def test_one_logit_of_a_callable_is_a_sigmoid():
    def score(batch, targets):
        return batch.mean((1, 2, 3))[:, None] / 100, np.full_like(batch, 1 / (100 * batch[0].size))

    model = intgrad.load_model(score, output="logit")
    image = np.full((4, 5, 3), 80.0)
    np.testing.assert_allclose(model.predict(image), 1 / (1 + np.exp(-0.8)), rtol=1e-5)


# ---- Several targets, and memory -----------------------------------------------------------------


class Many:
    """Scores k * mean(x^2), k = 1..3, whose targets share a forward pass."""

    takes_many_targets = True
    output = "logit"
    most = 100

    def __init__(self):
        self.asked = []

    def __call__(self, batch, targets):
        self.asked.append(targets.shape)
        if len(batch) > self.most:
            raise MemoryError(f"no room for {len(batch)}")
        factors = np.arange(1, 4, dtype=np.float32)
        scores = (batch**2).mean((1, 2, 3))[:, None] * factors
        each = factors[targets][..., None, None, None]
        return scores, each * 2 * batch[:, None] / batch[0].size


MANY_IMAGE = np.random.default_rng(0).uniform(0, 255, (4, 5, 3)).astype(np.float32)


def test_targets_share_the_pass_of_a_callable_that_takes_many():
    function = Many()
    model = intgrad.load_model(function)
    maps = intgrad.integrated_gradients(
        model, MANY_IMAGE, [[0, 2, 1]], output="logit", steps=6, batch_size=4
    )
    assert function.asked == [(4, 3), (3, 3)]
    for found, factor in zip(maps, (1, 3, 2), strict=True):
        truth = factor * MANY_IMAGE**2 / MANY_IMAGE.size
        np.testing.assert_allclose(found, truth, rtol=1e-5)
    function.asked.clear()
    assert model.predict(MANY_IMAGE).shape == (3,)
    assert function.asked == [(1, 0)]  # no gradient is asked for
    assert model.gradients(MANY_IMAGE, [[1, 0]], output="logit").shape == (2, 4, 5, 3)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda g: g[:, 0], "gradients must have 5 dimensions, got 4"),
        (lambda g: g[:, :1], r"shape \(7, 1, 4, 5, 3\); expected \(7, 2, 4, 5, 3\), one of each"),
        (lambda g: g[:, :, :3], r"shape \(7, 2, 3, 5, 3\); expected \(7, 2, 4, 5, 3\)"),
    ],
)
def test_gradients_of_other_shapes_than_asked_for(change, text):
    class Wrong(Many):
        def __call__(self, batch, targets):
            scores, gradients = super().__call__(batch, targets)
            return scores, change(gradients)

    with pytest.raises(intgrad.ModelError, match=text):
        intgrad.integrated_gradients(
            intgrad.load_model(Wrong()), MANY_IMAGE, [[0, 1]], output="logit", steps=6, batch_size=7
        )


def test_a_callable_short_of_memory_gets_smaller_batches():
    function = Many()
    function.most = 2
    maps, info = intgrad.integrated_gradients(
        intgrad.load_model(function),
        MANY_IMAGE,
        1,
        output="logit",
        steps=6,
        batch_size=7,
        return_info=True,
    )
    assert info.batch_size <= 2
    np.testing.assert_allclose(maps, 2 * MANY_IMAGE**2 / MANY_IMAGE.size, rtol=1e-5)
    function.most = 0
    with pytest.raises(MemoryError, match="no room for 1"):
        intgrad.load_model(function).predict(MANY_IMAGE)


@pytest.mark.parametrize(("free", "expected"), [(10**6, 8), (5000, 4), (10, 1), (0, 1)])
def test_batches_that_fit_into_the_memory_that_a_callable_tells(free, expected):
    function = Many()
    function.measure_memory = lambda n, height, width, channels: (1000 * n, free)
    handle = _core.callable_model(function, False, True)
    assert _core.fitting_batch(handle, 4, 5, 3, 8) == expected
    assert _core.fitting_batch(_core.callable_model(Many(), False, True), 4, 5, 3, 8) == 0
