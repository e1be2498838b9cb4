"""Attributions that explain nothing are warned of, and their error is never a reassuring 0."""

import json
import math
import warnings

import numpy as np
import pytest
from analytic import Polynomial, pixels

import intgrad

SHAPE = (4, 5, 3)
IMAGES = pixels((6, *SHAPE))


def step(batch, targets):
    """F jumps along the path, as of a network that rounds: its gradient is 0."""
    score = np.floor(batch.mean(axis=(1, 2, 3)) / 20)
    return np.stack([score, -score], axis=1), np.zeros_like(batch)


def saturated(scale):
    """Probabilities of two classes, the first almost 1 for a large scale, and more so for white."""

    def function(batch, targets):
        logit = scale * (1 + batch.mean(axis=(1, 2, 3), dtype=np.float64))
        p = np.float32(1 / (1 + np.exp(-logit)))
        signs = np.where(targets == 0, 1, -1)
        slope = (signs * scale * p * (1 - p) / batch[0].size).reshape(-1, 1, 1, 1)
        return np.stack([p, 1 - p], axis=1), np.broadcast_to(slope, batch.shape)

    return function


def explain(function, images, target=0, output="logit", **options):
    model = intgrad.load_model(function, output=output)
    return intgrad.integrated_gradients(
        model, images, target, output=output, return_info=True, **options
    )


@pytest.mark.parametrize("options", [{}, {"tolerance": 0.05}, {"rule": "midpoint"}], ids=str)
@pytest.mark.parametrize("baseline", ["black", IMAGES[:3] / 4])
def test_a_score_that_moved_without_a_gradient(options, baseline):
    with pytest.warns(UserWarning, match="image 0 explain nothing.* its gradient is 0") as caught:
        attributions, info = explain(step, IMAGES[0], baseline=baseline, **options)
    assert [warning.filename for warning in caught] == [__file__]
    assert not attributions.any()
    assert info.score > info.baseline_score
    assert math.isnan(info.error)
    assert math.isnan(info.quadrature_error)
    assert json.loads(json.dumps(info.to_dict(), allow_nan=False))["error"] is None


def test_random_baselines_are_no_better():
    model = intgrad.load_model(step, output="logit")
    with pytest.warns(UserWarning, match="explain nothing") as caught:
        _, info = intgrad.random_baseline_integrated_gradients(
            model, pixels(SHAPE) / 8, 0, seed=1, output="logit", return_info=True
        )
    assert [warning.filename for warning in caught] == [__file__]
    assert math.isnan(info.error)
    assert math.isnan(info.baseline_error)


def test_next_to_nothing_is_nothing():
    """A rest of gradient whose estimate is confident."""

    def function(batch, targets):
        scores, gradients = step(batch, targets)
        return scores, gradients + 1e-9

    with pytest.warns(UserWarning, match="explain nothing"):
        attributions, info = explain(function, IMAGES[0])
    assert attributions.all()
    assert math.isnan(info.error)


def test_images_and_targets_are_named_in_one_warning():
    images = IMAGES.copy()
    images[:2] = 19  # up to there, the second class does not move

    def function(batch, targets):
        scores = np.stack([batch.sum(axis=(1, 2, 3)), step(batch, targets)[0][:, 0]], axis=1)
        return scores, np.ones_like(batch) * (targets == 0).reshape(-1, 1, 1, 1)

    with pytest.warns(UserWarning, match="target 1") as caught:
        _, infos = explain(function, images, [[0, 1]] * 6)
    lost, idle = [str(warning.message) for warning in caught]
    assert "image 2, target 1 (and 3 more) explain nothing" in lost
    assert "image 0, target 1 (and 1 more) are 0" in idle
    errors = np.array([[info.error for info in row] for row in infos])
    assert np.isnan(errors[:, 1]).all()
    assert (errors[:, 0] < 1e-6).all()


def test_a_stream_says_it_once():
    model = intgrad.load_model(step, output="logit")
    stream = intgrad.iter_integrated_gradients(
        model, [*IMAGES] * 9, 0, output="logit", steps=4, batch_size=1
    )
    with pytest.warns(UserWarning, match=r"image 0 .*; not said again of later images") as caught:
        found = [info.error for _, info in stream]
    assert [warning.filename for warning in caught] == [__file__]
    assert len(found) == 54
    assert np.isnan(found).all()


def test_a_score_that_is_the_same_at_both_ends():
    with pytest.warns(UserWarning, match="5 on the baseline as on the image") as caught:
        _, info = explain(step, IMAGES[0] * 0 + 110, baseline=105)
    assert len(caught) == 1
    assert math.isnan(info.error)


def test_an_image_that_is_its_own_baseline_has_no_error():
    with pytest.warns(UserWarning, match="nothing to attribute"):
        _, info = explain(Polynomial(2, SHAPE), IMAGES[0] * 0)
    assert info.error == info.delta == 0
    assert info.unattributable == 1


def test_a_way_that_leads_back_is_explained():
    """F is the same at both ends, and pixels speak for and against it."""

    def function(batch, targets):
        difference = batch[..., 0].sum(axis=(1, 2)) - batch[..., 1].sum(axis=(1, 2))
        return np.stack([difference] * 2, axis=1), np.ones_like(batch) * [1, -1, 0]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attributions, info = explain(function, np.full(SHAPE, 50.0))
    assert info.score == info.baseline_score
    assert attributions.any()
    assert info.error < 1e-9


@pytest.mark.parametrize(("target", "probability"), [(0, "1"), (1, "0")])
def test_a_probability_that_cannot_move(target, probability):
    """What one logit with a softmax is always, and a sure model often."""
    match = rf"the probability is {probability} on the baseline .*output='logit'"
    with pytest.warns(UserWarning, match=match) as caught:
        _, info = explain(saturated(100), IMAGES[0], target, output="softmax")
    assert len(caught) == 1
    assert math.isnan(info.error)


@pytest.mark.parametrize("output", ["softmax", "log_softmax"])
def test_a_probability_of_1_that_hardly_moves(output):
    def function(batch, targets):
        scores, gradients = saturated(16)(batch, targets)
        scores = np.clip(scores, 1e-30, 1)
        if output == "log_softmax":
            gradients = gradients / scores[:, :1, None, None]
            scores = np.log(scores)
        return scores, gradients

    with pytest.warns(UserWarning, match="hardly moves") as caught:
        explain(function, IMAGES[0] * 0 + 2, 0, output=output)
    assert len(caught) == 1


def test_small_probabilities_that_move_are_explained():
    """A class among thousands: its probability is small, and well explained."""

    def function(batch, targets):
        p = 1e-8 * np.exp(batch.mean(axis=(1, 2, 3), dtype=np.float64) / 100)
        slope = (p / 100 / batch[0].size).reshape(-1, 1, 1, 1)
        return np.stack([p, 1 - p], axis=1), np.broadcast_to(slope, batch.shape)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attributions, info = explain(function, IMAGES[0], 0, output="softmax")
    assert attributions.sum() == pytest.approx(info.score - info.baseline_score, rel=1e-3)
    assert info.error < 0.01


def test_a_large_gap_alone_is_no_reason_to_warn():
    """Few steps of a steep function: most of the change is missed or counted twice."""

    def function(batch, targets):
        z = (batch.mean(axis=(1, 2, 3), dtype=np.float64) - 64) / 4
        p = 1 / (1 + np.exp(-z))
        slope = (p * (1 - p) / 4 / batch[0].size).reshape(-1, 1, 1, 1)
        return np.stack([p, 1 - p], axis=1), np.broadcast_to(slope, batch.shape)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, info = explain(function, IMAGES[0] * 0 + 128, 0, output="softmax", steps=2)
    assert abs(info.delta) > 0.5 * (info.score - info.baseline_score)


@pytest.mark.parametrize(
    "function",
    [
        intgrad.integrated_gradients,
        intgrad.random_baseline_integrated_gradients,
        lambda *args, **options: list(intgrad.iter_integrated_gradients(*args, **options)),
    ],
    ids=["integrated", "random", "iter"],
)
@pytest.mark.parametrize(
    ("images", "options", "text"),
    [
        (IMAGES[:1] / 255, {}, "largest value"),
        (IMAGES[:1], {"tolerance": 1e-9, "max_evaluations": 20}, "was not reached"),
    ],
    ids=["pixels", "tolerance"],
)
def test_warnings_of_other_kinds_are_the_callers_too(function, images, options, text):
    model = intgrad.load_model(Polynomial(2, SHAPE), output="logit")
    with pytest.warns(UserWarning, match=text) as caught:
        function(model, images, 0, output="logit", **options)
    assert [warning.filename for warning in caught] == [__file__]
