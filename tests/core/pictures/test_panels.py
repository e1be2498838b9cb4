"""Panels of maps that have no sign."""

from types import SimpleNamespace

import numpy as np
import pytest

from intgrad.pictures.colours import NEGATIVE, POSITIVE, STEPS, diverging
from intgrad.pictures.panels import (
    EFFECT_UNSIGNED,
    Subject,
    draw_regions,
    draw_trusted,
    explain_colours,
)

COLOURS = (POSITIVE, NEGATIVE)
GREY = [np.full((4, 4, 3), 100, np.uint8)]
LABELS = np.repeat([[0, 0, 1, 1]], 4, axis=0)


@pytest.mark.parametrize(
    ("polarity", "low", "shades"), [("both", -2.0, 2 * STEPS + 1), ("positive", 0.0, STEPS + 1)]
)
def test_scales_begin_where_the_maps_do(polarity, low, shades):
    subject = Subject("", "unit", np.ones((1, 4, 4, 3)), 2.0)
    trusted = draw_trusted(subject, [np.zeros((4, 4))], 2.0, COLOURS, polarity).bar
    parts = SimpleNamespace(
        labels=LABELS, attributions=np.array([1.0, 2.0]), deviations=np.array([0.1, 0.1])
    )
    regions = draw_regions(GREY, [parts], 2.0, COLOURS, polarity, "others").bar
    for bar in (trusted, regions):
        assert (bar.low, bar.high) == (low, 2.0)
        assert bar.picture.shape == (1, shades, 3)
    assert (trusted.label, regions.label) == ("unit", "others")
    np.testing.assert_array_equal(trusted.picture[0], diverging(*COLOURS)[-shades:])


@pytest.mark.parametrize("style", ["blended", "heat"])
def test_one_colour_has_one_meaning(style):
    keys = explain_colours(style, "positive", COLOURS, 2.0, EFFECT_UNSIGNED)
    assert [key.text for key in keys] == [
        "changes the score",
        "too uncertain to call: within 2 standard deviations of 0",
    ]
    assert keys[0].colour == explain_colours(style, "both", COLOURS, None)[0].colour
