"""What an info says in words."""

import numpy as np
import pytest
from analytic import Polynomial, Wave, pixels

import intgrad

SHAPE = (6, 5, 3)
LABELS = ["cup", "fork", "glass"]


def explain(target=1, image=None, labels=LABELS, function=None, **options):
    function = function or Polynomial(2, SHAPE)
    model = intgrad.load_model(function, output="logit", labels=labels)
    image = pixels(SHAPE) if image is None else image
    return intgrad.integrated_gradients(
        model, image, target, output="logit", return_info=True, **options
    )[1]


def test_label():
    assert explain("fork").label == explain(1).label == "fork"
    assert explain(1).to_dict()["label"] == "fork"
    assert explain(1, labels=None).label is None
    assert explain(1, labels=None).to_dict()["label"] is None
    assert [info.label for info in explain([[2, 0]])] == ["glass", "cup"]
    assert repr(explain(1)).startswith("AttributionInfo(target=1, label='fork', score=")
    assert "\n" not in repr(explain(1))


def test_summary():
    info = explain(function=Wave(SHAPE, classes=3), steps=8)
    first, error, gap = info.summary().splitlines()
    score, start = f"{info.score:.4g}", f"{info.baseline_score:.4g}"
    assert first == f"fork: logit {score} at the image, {start} on the black baseline"
    assert error.startswith(f"estimated error: {100 * info.error:.1f} %, what stopping at 9 points")
    share = abs(info.delta / (info.score - info.baseline_score))
    assert gap.startswith(
        f"completeness gap: {info.delta:+.3g}, {100 * share:.1f} % of the score's"
    )
    assert gap.endswith(
        "a poor guide, because errors of many pixels cancel or pile up in it:"
        " go by the estimated error"
    )


def test_caption():
    info = explain(function=Wave(SHAPE, classes=3), steps=8)
    told = f"logit {info.score:.3g} here, {info.baseline_score:.3g} on the black baseline,"
    error = f"attributions off by about {100 * info.error:.1f} %"
    assert info.caption() == f"fork, {told} {error}"
    assert info.caption(0.752) == f"fork 75.2 %, {told} {error}"
    assert info.caption(0.0001).startswith("fork less than 0.1 %, ")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"baseline": "white"}, "the white baseline"),
        ({"baseline": 7}, "the 7 baseline"),
        ({"baseline": pixels(SHAPE, 2)}, "the given baseline"),
        ({"baseline": pixels((3, *SHAPE), 2)}, "the mean of 3 given baselines"),
        ({"baseline": "uniform"}, "a random baseline"),
    ],
    ids=str,
)
def test_baselines_have_names(options, name):
    info = explain(**options)
    assert f" on {name}, " in info.caption()
    assert f" on {name}\n" in info.summary()


def test_random_baselines_are_named_as_a_source_of_error():
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    _, info = intgrad.random_baseline_integrated_gradients(
        model, pixels(SHAPE), 1, runs=3, output="logit", return_info=True
    )
    assert "the mean of 3 random baselines" in info.caption()
    assert "points and drawing few baselines makes of" in info.summary()


@pytest.mark.parametrize("options", [{"rule": "midpoint"}, {"steps": 1}], ids=str)
def test_an_error_that_nobody_knows(options):
    info = explain(labels=None, **options)
    assert info.caption().startswith("class 1, logit ")
    assert info.caption().endswith("error of the attributions unknown")
    assert "estimated error: unknown; only the trapezoid" in info.summary()
    assert "go by" not in info.summary()


def test_attributions_of_nothing_are_called_so():
    def constant(batch, targets):
        return np.ones((len(batch), 3)), np.zeros_like(batch)

    with pytest.warns(UserWarning, match="nothing to attribute"):
        info = explain(function=constant)
    assert "estimated error: unknown; the attributions explain nothing" in info.summary()
    assert "completeness gap: +0, a poor guide" in info.summary()
    assert info.caption().endswith("error of the attributions unknown")


def test_pixels_that_get_nothing_are_told_where_there_are_many():
    image = pixels(SHAPE)
    assert "equal the baseline" not in explain(image=image).summary()
    image[:3] = 0
    with pytest.warns(UserWarning, match="50% of the pixels"):
        info = explain(image=image)
    assert "50.0 % of the pixels equal the baseline, and get nothing" in info.summary()
    assert info.caption().endswith("50.0 % of the pixels equal the baseline and get nothing")
