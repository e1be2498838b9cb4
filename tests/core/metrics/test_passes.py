"""Perturbed pictures and their scores: the core's mixes against NumPy, and what is asked once."""

import numpy as np
import pytest
from analytic import Polynomial, Wave, pixels
from hypothesis import given, settings
from hypothesis import strategies as st

import intgrad
from intgrad import _core
from intgrad.metrics.passes import Mix, Passes
from intgrad.metrics.subjects import Subject

SHAPE = (5, 4, 3)


class Seen:
    """Scores of which no two pictures have the same, of pictures that are kept."""

    def __init__(self, most=10**9):
        self.pictures, self.batches, self.most = [], [], most

    def __call__(self, batch, targets):
        if len(batch) > self.most:
            raise MemoryError(f"no room for {len(batch)}")
        self.pictures.extend(batch)
        self.batches.append(len(batch))
        return score(batch), np.zeros_like(batch)


def score(batch):
    flat = batch.reshape(len(batch), -1).astype(np.float64)
    return np.stack([flat.mean(axis=1), flat @ np.sin(np.arange(flat.shape[1]))], axis=1)


def ask(function, pictures, orders, each, batch_size=7, progress=None):
    handle = _core.callable_model(function)
    return _core.mixed_scores(handle, pictures, orders, each, "logit", batch_size, progress)


def mix(pictures, orders, each):
    """Return the pictures that are meant, one by one."""
    return np.array(
        [
            np.where((orders[r] < taken)[..., None], pictures[other], pictures[picture])
            for picture, other, r, taken in each
        ],
        np.float32,
    )


def problem(shape=SHAPE, count=23, seed=0, pictures=4, orders=3):
    rng = np.random.default_rng(seed)
    size = shape[0] * shape[1]
    each = np.stack(
        [
            rng.integers(pictures, size=count),
            rng.integers(pictures, size=count),
            rng.integers(orders, size=count),
            rng.integers(-1, size + 2, size=count),
        ],
        axis=1,
    )
    ranks = np.array([rng.permutation(size).reshape(shape[:2]) for _ in range(orders)], np.int32)
    return pixels((pictures, *shape), seed), ranks, each


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 5),
    count=st.integers(1, 20),
    batch_size=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_mixes_are_those_of_numpy(height, width, channels, count, batch_size, seed):
    given_ = problem((height, width, channels), count, seed)
    seen = Seen()
    found = ask(seen, *given_, batch_size)
    expected = mix(*given_)
    np.testing.assert_array_equal(seen.pictures[-count:], expected)
    np.testing.assert_array_equal(found, np.float32(score(expected)))
    assert seen.batches[-1] <= batch_size


PICTURES, ORDERS, EACH = problem()


@pytest.mark.parametrize(
    ("pictures", "orders", "each"),
    [
        (PICTURES[::-1], ORDERS[:, ::-1], EACH[::2]),
        (PICTURES.astype(">f4"), ORDERS.astype(">i4"), EACH.astype(">i8")),
        (PICTURES.astype(np.float16), ORDERS.astype(np.int16), EACH.astype(np.int32)),
        (np.asfortranarray(PICTURES), np.asfortranarray(ORDERS), np.asfortranarray(EACH)),
        (PICTURES.astype(np.uint8), ORDERS, EACH),
        (PICTURES * np.float32(1e30), ORDERS, EACH),
        (0 * PICTURES, ORDERS, EACH),
        (PICTURES, 0 * ORDERS, EACH),  # equals go together: who asks makes ranks
        (PICTURES, ORDERS - 7, EACH),
        (PICTURES, ORDERS, EACH * np.int64([1, 1, 1, 2**40])),
        (PICTURES, ORDERS, EACH[:1]),
    ],
    ids=[
        "strided",
        "swapped",
        "others",
        "fortran",
        "bytes",
        "huge",
        "constant",
        "ties",
        "negative",
        "more than an int",
        "one",
    ],
)
def test_any_arrays(pictures, orders, each):
    arrays = [pictures.copy(order="K"), orders.copy(order="K"), each.copy(order="K")]
    for array in arrays:
        array.setflags(write=False)
    seen = Seen()
    found = ask(seen, *arrays)
    expected = mix(np.float32(pictures), orders, each)
    np.testing.assert_array_equal(seen.pictures[-len(each) :], expected)
    np.testing.assert_array_equal(found, np.float32(score(expected)))


@pytest.mark.parametrize("function", [Polynomial(1, SHAPE), Wave(SHAPE)])
def test_any_batch_gives_the_same_bits(function):
    found = [ask(function, *problem(), size) for size in (1, 2, 5, 23, 1000)]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_no_mixes_at_all():
    found = ask(Seen(), PICTURES, ORDERS, EACH[:0])
    assert found.shape == (0, 2)


def test_short_memory_halves_the_batch_and_loses_nothing():
    seen = Seen(most=3)
    found = ask(seen, *problem(), 23)
    np.testing.assert_array_equal(found, np.float32(score(mix(*problem()))))
    assert max(seen.batches) == 2  # of 23: 11, 5, and then 2
    assert sum(seen.batches[1:]) == 23
    with pytest.raises(MemoryError, match="no room for 1"):
        ask(Seen(most=0), *problem())


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"each": [[4, 0, 0, 1]]}, IndexError, "mix 0 is of pictures 4 and 0 and order 0, .* 4 an"),
        ({"each": [[0, 0, 0, 1], [0, -1, 0, 1]]}, IndexError, "mix 1 is of pictures 0 and -1"),
        ({"each": [[0, 0, 3, 1]]}, IndexError, "and order 3, and there are 4 and 3 of them"),
        ({"each": [[0, 0, -1, 1]]}, IndexError, "order -1"),
        ({"each": [[0, 0, 0]]}, ValueError, r"each \(N, 4\), got .* and \(1, 3\)"),
        ({"each": [0, 0, 0, 0]}, ValueError, "too (small depth|deep)"),
        ({"orders": ORDERS[:, :4]}, ValueError, r"orders must be \(R, 5, 4\).*got \(3, 4, 4\)"),
        ({"orders": ORDERS[:, :, :3]}, ValueError, r"got \(3, 5, 3\)"),
        ({"orders": ORDERS[0]}, ValueError, "too (small depth|deep)"),
        ({"orders": ORDERS[:0]}, IndexError, "there are 4 and 0 of them"),
        ({"pictures": PICTURES[0]}, ValueError, "too (small depth|deep)"),
        ({"pictures": PICTURES[:, :0]}, ValueError, "pictures|orders"),
        ({"pictures": np.where(PICTURES > 250, np.nan, PICTURES)}, ValueError, "pictures .*finite"),
        ({"pictures": np.where(PICTURES > 250, np.inf, PICTURES)}, ValueError, "pictures .*finite"),
        ({"pictures": PICTURES + 1j}, TypeError, "complex|cast"),
        ({"pictures": PICTURES.astype(float)}, TypeError, "cast"),
        ({"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_what_is_wrong_is_said(change, kind, text):
    asked = {"pictures": PICTURES, "orders": ORDERS, "each": EACH} | change
    seen = Seen()
    with pytest.raises(kind, match=text):
        ask(seen, **asked)
    assert not seen.pictures


def test_scores_that_are_nan_are_located():
    def function(batch, targets):
        scores = score(batch)
        scores[(batch == batch[0, 0, 0, 0]).all(axis=(1, 2, 3)), 1] = np.nan
        return scores, np.zeros_like(batch)

    pictures = PICTURES.copy()
    pictures[2] = 7
    each = [[0, 0, 0, 0], [1, 2, 0, 3], [1, 2, 0, 20]]
    with pytest.raises(intgrad.ModelError, match="perturbed picture 2: .* score of class 1 is nan"):
        known(function, pictures, each)


def known(function, pictures, each):
    """Ask a model whose number of classes is known, of which nothing black is asked."""
    handle = _core.callable_model(function)
    _core.scores(handle, pictures[:1], "logit", 1, None)
    return _core.mixed_scores(handle, pictures, ORDERS, each, "logit", 2, None)


def test_progress_is_told_after_each_batch():
    told = []
    ask(Seen(), *problem(), 10, lambda done, total: told.append((done, total)))
    assert told == [(10, 23), (20, 23), (23, 23)]


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_of_progress_stops_it(error):
    def stop(done, total):
        raise error

    seen = Seen()
    with pytest.raises(type(error)) as caught:
        ask(seen, *problem(), 10, stop)
    assert caught.value is error
    assert sum(seen.batches[1:]) == 10


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_exceptions_of_the_model_come_through(error):
    calls = 0

    def function(batch, targets):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise error
        return score(batch), np.zeros_like(batch)

    with pytest.raises(type(error)) as caught:
        ask(function, *problem(), 10)
    assert caught.value is error


# ---- What is asked twice -------------------------------------------------------------------------


def test_a_picture_is_scored_once_however_often_it_is_asked_for(watch):
    model, watched = watch(Wave(SHAPE), shape=SHAPE)
    image, other, order = PICTURES[0], PICTURES[1], ORDERS[0]
    passes = Passes(model, Subject(model, 0, image, 1, {}), None)
    asked = [Mix(image), Mix(image, other, order, 3), Mix(other), Mix(image, other, order, 0)]
    asked += [
        Mix(image, other, order, 3),
        Mix(image, other, order, 20),
        Mix(other, image, order, 3),
    ]
    scores = passes.score("logit", asked, None)
    assert len(watched.pictures) == 4  # the image, the other, and two mixes
    pictures = [image, mix_one(image, other, order, 3), other, image]
    pictures += [pictures[1], other, mix_one(other, image, order, 3)]
    expected = np.float32(Wave(SHAPE)(np.array(pictures), [0] * 7)[0])
    np.testing.assert_array_equal(scores, expected)
    watched.forget()
    again = passes.score("logit", [Mix(image), Mix(image)], None)
    assert not watched.pictures  # its own scores are kept
    np.testing.assert_array_equal(again, expected[[0, 0]])


def mix_one(picture, other, order, taken):
    return np.where((order < taken)[..., None], other, picture)


@pytest.mark.parametrize("output", ["logit", "softmax", "log_softmax", "sigmoid"])
def test_probabilities_are_those_of_predict(output, watch):
    model, _ = watch(lambda b, t: (score(b / 255) / 30, np.zeros_like(b)), output, shape=SHAPE)
    passes = Passes(model, Subject(model, 0, PICTURES[0], 1, {}), 2)
    scores = passes.score(passes.resolve(None), [Mix(picture) for picture in PICTURES], None)
    found = passes.to_probabilities(scores)
    np.testing.assert_array_equal(found, model.predict(PICTURES))
