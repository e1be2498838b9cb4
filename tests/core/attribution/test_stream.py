"""iter_integrated_gradients: any number of images, in order, with bounded memory."""

import numpy as np
import pytest
from analytic import Polynomial, Wave, pixels

import intgrad
from intgrad.attribution import stream

SHAPE = (4, 5, 2)
IMAGES = pixels((23, *SHAPE))


def load(function=None, **options):
    return intgrad.load_model(function or Wave(SHAPE), output="logit", **options)


def iterate(images, targets=1, model=None, **options):
    return intgrad.iter_integrated_gradients(
        model or load(), images, targets, output="logit", **options
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tolerance": 0.001},
        {"rule": "midpoint", "steps": 5},
        {"baseline": "mean", "steps": 3},
        {"baseline": "uniform", "seed": 7, "steps": 3},
        {"baseline": pixels((2, *SHAPE), 9), "error_map": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("targets", [1, list(range(3)) * 8, [[0, 2]] * 23, None], ids=str)
def test_equals_one_call_for_all(options, targets):
    targets = targets[:23] if isinstance(targets, list) else targets
    maps, infos = intgrad.integrated_gradients(
        load(), IMAGES, targets, output="logit", return_info=True, **options
    )
    found = list(iterate(IMAGES, targets, **options))
    assert len(found) == 23
    for (mine, info), expected, other in zip(found, maps, infos, strict=True):
        np.testing.assert_array_equal(mine, expected)
        for one, two in zip(np.ravel(info), np.ravel(other), strict=True):
            assert one.target == two.target
            assert one.error == pytest.approx(two.error, nan_ok=True)
            assert one.seed == two.seed
            assert one.evaluations == two.evaluations


def test_takes_no_more_images_than_it_works_on():
    taken = []

    def endless():
        for number in range(10**9):
            taken.append(number)
            yield IMAGES[number % 23]

    results = iterate(endless(), batch_size=2)
    assert not taken
    for number in range(50):
        next(results)
        assert len(taken) - number <= 10
    results.close()


def test_a_full_chunk_waits_for_no_further_image():
    images = iter(IMAGES)
    results = iterate(images, batch_size=2)
    next(results)
    assert len(list(images)) == 23 - 4


def test_a_callable_s_own_exceptions_are_left_as_they_are():
    def function(batch, targets):
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "mine")

    with pytest.raises(UnicodeDecodeError, match="mine"):
        list(iterate(IMAGES, model=load(function)))


def test_a_generator_may_use_its_array_again():
    def one_buffer():
        buffer = np.empty(SHAPE, np.float32)
        for image in IMAGES:
            buffer[:] = image
            yield buffer

    for (found, _), (expected, _) in zip(iterate(one_buffer()), iterate(IMAGES), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_batches_are_filled_across_images():
    function = Polynomial(2, SHAPE)
    list(iterate(IMAGES, model=load(function), batch_size=8, steps=50))
    assert np.mean(function.batches) > 7.5
    assert function.evaluations == 23 * 51


def test_memory_bounds_the_images_at_a_time(monkeypatch):
    monkeypatch.setattr(stream, "CHUNK_BYTES", 1)
    function = Polynomial(2, SHAPE)
    list(iterate(IMAGES[:3], model=load(function), batch_size=8, steps=3))
    assert function.batches == [4, 4, 4]


def test_sizes_may_differ():
    def square(batch, targets):
        return np.sum(batch**2, axis=(1, 2, 3))[:, None] / 2 * [1, 2], batch * (
            1.0 + targets[:, None, None, None]
        )

    images = [pixels((size, size + 1, 3), size) for size in (4, 4, 5, 4, 6, 6, 6)]
    found = list(iterate(images, 1, model=load(square)))
    for image, (attributions, _) in zip(images, found, strict=True):
        np.testing.assert_allclose(attributions, image**2, rtol=1e-4)


@pytest.mark.parametrize("bad", [np.zeros((4, 5)), np.full(SHAPE, "x"), np.full(SHAPE, np.nan)])
def test_the_images_before_a_bad_one_are_yielded(bad):
    found = []
    with pytest.raises((TypeError, ValueError), match=r"image 5: "):
        found.extend(iterate([*IMAGES[:5], bad, *IMAGES[5:]], batch_size=8))
    assert len(found) == 5


def test_a_model_that_fails_at_an_image_names_it():
    def function(batch, targets):
        gradients = np.where(batch.max(axis=(1, 2, 3), keepdims=True) == 255, np.inf, batch)
        return np.ones((len(batch), 2)), gradients

    images = [*IMAGES[:5], np.full(SHAPE, 255.0), *IMAGES[5:]]
    found = []
    with pytest.raises(intgrad.ModelError, match=r"image 5, baseline 0, alpha 1: .* inf"):
        found.extend(iterate(images, model=load(function), batch_size=8))
    assert len(found) == 5


@pytest.mark.parametrize("target", [np.int64(1), np.array(1)], ids=repr)
def test_one_target_for_all(target):
    for (found, _), (expected, _) in zip(
        iterate(IMAGES[:2], target), iterate(IMAGES[:2], 1), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("targets", "error", "text"),
    [
        ([1, 1], ValueError, "one for each of 23 images, got 2"),
        pytest.param(iter([1, 1]), ValueError, "targets ended before image 2", id="iterator"),
        ([1, 1, 99, *[1] * 20], IndexError, "target 99"),
        ([1, 1, "cat", *[1] * 20], ValueError, "image 2: .*'cat'"),
        ([1, 1, 0.5, *[1] * 20], TypeError, "image 2: .* got 0.5"),
    ],
    ids=str,
)
def test_targets(targets, error, text):
    model = load()
    model.predict(IMAGES[0])  # it now knows its number of classes
    with pytest.raises(error, match=text):
        list(iterate(IMAGES, targets, model=model))


def test_options_are_checked_before_any_image_is_taken():
    with pytest.raises(ValueError, match="steps must be at least 1"):
        iterate(iter([]), steps=0)
    with pytest.raises(TypeError, match="got str"):
        intgrad.iter_integrated_gradients("model", [])
    model = load(labels=["cap", "car", "bus"])
    for target, error in (("cat", ValueError), (0.5, TypeError), (-1, IndexError)):
        with pytest.raises(error, match=str(target)):
            iterate(iter([]), target, model=model)


def test_draws_are_the_same_for_all_images():
    results = list(iterate(IMAGES[:9], baseline="uniform", steps=2, batch_size=1))
    assert len({info.seed for _, info in results}) == 1


def test_progress(capsys):
    assert len(list(iterate(IMAGES, steps=2, progress=True))) == 23
    assert "23/23" in capsys.readouterr().err
    assert list(iterate([])) == []


def test_a_shortfall_names_the_image():
    with pytest.warns(UserWarning, match=r"image \d+ is at"):
        list(iterate(IMAGES, tolerance=1e-9, max_evaluations=20))


@pytest.mark.parametrize("rule", ["trapezoid", "midpoint"])
def test_scores_that_are_not_finite_name_the_image(rule):
    """Those that decide the top class, and those at the ends of a path."""

    def function(batch, targets):
        scores = np.ones((len(batch), 2))
        scores[batch.mean(axis=(1, 2, 3)) > 200] = np.nan
        return scores, np.ones_like(batch)

    model = intgrad.load_model(function, output="logit")
    images = [np.full((4, 5, 3), 220.0 if k == 5 else 100.0) for k in range(8)]
    for targets in (None, 1):
        found = intgrad.iter_integrated_gradients(
            model, images, targets, output="logit", rule=rule, steps=2
        )
        with pytest.raises(intgrad.ModelError, match="image 5"):
            list(found)
