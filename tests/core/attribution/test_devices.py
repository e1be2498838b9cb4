"""A batch of images spread over the devices of a model: here, callables."""

import threading

import numpy as np
import pytest
from analytic import Wave, pixels

import intgrad
from intgrad import _core

SHAPE = (4, 5, 2)
IMAGES = pixels((7, *SHAPE))


def spread(*functions):
    """Return a model with one device for each function."""
    model = intgrad.load_model(functions[0], output="logit")
    model._handles = tuple(_core.callable_model(function) for function in functions)
    return model


def explain(model, images=IMAGES, targets=1, **options):
    return intgrad.integrated_gradients(
        model, images, targets, output="logit", return_info=True, **options
    )


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
@pytest.mark.parametrize(
    "options",
    [
        {"error_map": True, "gradient": True},
        {"tolerance": 0.001},
        {"baseline": "mean", "steps": 3},
        {"baseline": pixels((2, *SHAPE), 9), "targets": [[0, 1]] * 7},
    ],
    ids=str,
)
def test_any_number_of_devices_gives_the_same(count, options):
    expected, known = explain(spread(Wave(SHAPE)), **options)
    found, infos = explain(spread(*[Wave(SHAPE)] * count), **options)
    np.testing.assert_array_equal(found, expected)
    for one, two in zip(np.ravel(infos), np.ravel(known), strict=True):
        assert (one.target, one.error, one.evaluations) == (two.target, two.error, two.evaluations)


def test_devices_work_side_by_side():
    meeting = threading.Barrier(2, timeout=20)

    def function(batch, targets):
        meeting.wait()  # is not passed unless both are there
        return Wave(SHAPE)(batch, targets)

    explain(spread(function, function), IMAGES[:4], batch_size=2)


def test_a_failure_on_one_device_stops_the_others_and_names_the_image():
    calls = []

    def endless(batch, targets):
        calls.append(len(batch))
        return Wave(SHAPE)(batch, targets)

    def failing(batch, targets):
        while len(calls) < 5:
            pass
        return np.ones((len(batch), 4)), np.full_like(batch, np.nan)

    with pytest.raises(intgrad.ModelError, match=r"image 4, baseline 0, alpha 0: .* nan"):
        explain(spread(endless, failing), steps=100_000, batch_size=1)
    assert len(calls) < 400_000


def test_exceptions_propagate_unchanged():
    def failing(batch, targets):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="^mine$"):
        explain(spread(Wave(SHAPE), failing))


def test_progress_adds_up(capsys):
    explain(spread(Wave(SHAPE), Wave(SHAPE)), steps=9, progress=True)
    assert "70/70" in capsys.readouterr().err
