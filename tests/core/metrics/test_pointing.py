"""The pointing game, and the part of the energy that is inside."""

import numpy as np
import pytest
from analytic import Polynomial, pixels
from hypothesis import given, settings
from hypothesis import strategies as st

import intgrad
from intgrad import metrics

pytestmark = pytest.mark.unsanitized

SHAPE = (12, 10, 3)
MODEL = intgrad.load_model(Polynomial(1, SHAPE), output="logit")
IMAGE = pixels(SHAPE)
BOTH = [metrics.pointing_game, metrics.energy_inside]


def point(*place, value=5.0):
    values = np.zeros(SHAPE[:2])
    values[place] = value
    return values


def boxed(top, left, bottom, right):
    mask = np.zeros(SHAPE[:2], bool)
    mask[top:bottom, left:right] = True
    return mask


def saliency(seed=7):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


# ---- Twins ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 9999),
    margin=st.sampled_from([0, 1, 1.5, 2, 5, 30]),
    reduce=st.sampled_from(["sum", "abs", "max", "norm"]),
)
def test_a_hit_is_within_the_margin_of_the_mask(seed, margin, reduce):
    rng = np.random.default_rng(seed)
    mask, values = rng.random(SHAPE[:2]) < 0.05, saliency(seed)
    mask[tuple(rng.integers(SHAPE[:2]))] = True
    reduced = {
        "sum": np.float64(values).sum(axis=2),
        "abs": np.abs(np.float64(values)).sum(axis=2),
        "max": values.max(axis=2),
        "norm": np.linalg.norm(np.float64(values), axis=2),
    }[reduce]
    y, x = np.unravel_index(reduced.argmax(), reduced.shape)
    places = np.argwhere(mask)
    near = np.hypot(y - places[:, 0], x - places[:, 1]).min() <= margin
    all_near = all(np.hypot(*(places - at).T).min() <= margin for at in np.ndindex(SHAPE[:2]))
    found = metrics.pointing_game(MODEL, IMAGE, values, 0, masks=mask, margin=margin, reduce=reduce)
    np.testing.assert_array_equal(found.values, [np.nan if all_near else near])
    assert (0 in found.notes) == all_near


@pytest.mark.parametrize("reduce", ["sum", "abs", "max", "norm"])
def test_energy_is_the_part_of_what_is_positive(reduce):
    values, mask = saliency(), boxed(2, 3, 6, 7)
    wide = np.float64(values)
    reduced = {
        "sum": wide.sum(axis=2),
        "abs": np.abs(wide).sum(axis=2),
        "max": wide.max(axis=2),
        "norm": np.sqrt((wide**2).sum(axis=2)),
    }[reduce]
    positive = np.where(reduced > 0, reduced, 0)
    found = metrics.energy_inside(MODEL, IMAGE, values, 0, masks=mask, reduce=reduce)
    assert found.values[0] == pytest.approx(positive[mask].sum() / positive.sum(), rel=1e-12)
    assert found.higher_is_better


@pytest.mark.parametrize("metric", BOTH)
def test_boxes_are_masks(metric):
    options = {"margin": 0} if metric is metrics.pointing_game else {}
    for values in (point(2, 3), point(5, 6), point(6, 6), point(5, 7), saliency()):
        by_mask = metric(MODEL, IMAGE, values, 0, masks=boxed(2, 3, 6, 7), **options)
        by_box = metric(MODEL, IMAGE, values, 0, boxes=(2, 3, 6, 7), **options)
        assert by_mask.values[0] == by_box.values[0]
    both = boxed(2, 3, 6, 7) | boxed(0, 0, 1, 1)
    by_mask = metric(MODEL, IMAGE, saliency(), 0, masks=both, **options)
    by_box = metric(MODEL, IMAGE, saliency(), 0, boxes=[(2, 3, 6, 7), (0, 0, 1, 1)], **options)
    assert by_mask.values[0] == by_box.values[0]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint16])
def test_masks_of_any_whole_numbers(dtype):
    mask = boxed(2, 3, 6, 7).astype(dtype) * dtype(1 if dtype is bool else 200)
    assert metrics.pointing_game(MODEL, IMAGE, point(2, 3), 0, masks=mask, margin=0).mean == 1


# ---- Values that are known -----------------------------------------------------------------------


def test_values_of_maps_that_are_known():
    box, mask = (2, 3, 6, 7), boxed(2, 3, 6, 7)
    right, wrong = mask * 1.0, ~mask * 1.0
    for values, energy in [(right, 1), (wrong, 0), (right - 0.5, 1), (point(0, 0), 0)]:
        assert metrics.energy_inside(MODEL, IMAGE, values, 0, boxes=box).mean == energy
    assert metrics.pointing_game(MODEL, IMAGE, right, 0, boxes=box, margin=0).mean == 1
    assert metrics.pointing_game(MODEL, IMAGE, wrong, 0, boxes=box, margin=0).mean == 0
    # Of a map that is random, the part of the picture that the box has.
    share = mask.mean()
    hits, parts = [], []
    for seed in range(300):
        hits.append(
            metrics.pointing_game(MODEL, IMAGE, saliency(seed), 0, boxes=box, margin=0).mean
        )
        parts.append(metrics.energy_inside(MODEL, IMAGE, saliency(seed), 0, boxes=box).mean)
    assert abs(np.mean(hits) - share) < 4 * np.sqrt(share * (1 - share) / 300)
    assert abs(np.mean(parts) - share) < 4 * np.std(parts) / np.sqrt(300)


@pytest.mark.parametrize(("margin", "hit"), [(0, 0), (1, 0), (1.41, 0), (1.5, 1), (3, 1)])
def test_margins_are_distances(margin, hit):
    found = metrics.pointing_game(MODEL, IMAGE, point(1, 2), 0, boxes=(2, 3, 6, 7), margin=margin)
    assert found.mean == hit


def test_a_margin_that_reaches_everywhere_says_nothing():
    """As the authors' 15 pixels on a picture of 28."""
    found = metrics.pointing_game(MODEL, IMAGE, point(0, 0), 0, boxes=(2, 3, 6, 7), margin=15)
    assert np.isnan(found.mean)
    assert "margin=15 from the object: every map would be a hit" in found.summary()


def test_the_authors_margin_is_15():
    assert (
        "within 15 pixels"
        in metrics.pointing_game(MODEL, IMAGE, point(1, 2), 0, boxes=(2, 3, 6, 7)).convention
    )


def test_equals_are_drawn_by_lot_where_quantus_takes_all():
    """Quantus 0.6 counts a hit if any of the largest is inside: half a map of equals always hits.

    The authors point once.
    """
    values = np.ones(SHAPE[:2])
    values[0] = 0
    mask = boxed(2, 3, 6, 7)
    quantus = bool((mask & (values == values.max())).any())
    hits = [
        metrics.pointing_game(MODEL, IMAGE, values, 0, masks=mask, margin=0, seed=seed).mean
        for seed in range(200)
    ]
    assert quantus
    assert abs(np.mean(hits) - 16 / 110) < 4 * np.sqrt(16 / 110 / 200)
    assert set(hits) == {0, 1}


def test_nothing_positive_is_no_energy_and_says_why():
    found = metrics.energy_inside(MODEL, IMAGE, point(3, 4, value=-1), 0, boxes=(2, 3, 6, 7))
    assert np.isnan(found.values[0])
    assert "no pixel is positive" in found.notes[0]


# ---- Many images ---------------------------------------------------------------------------------


def test_each_image_has_its_own_mask():
    images, maps = pixels((3, *SHAPE)), np.stack([point(2, 3), point(2, 3), point(9, 9)])
    masks = np.stack([boxed(2, 3, 6, 7), boxed(7, 0, 9, 4), boxed(9, 9, 10, 10)])
    found = metrics.pointing_game(MODEL, images, maps, 0, masks=masks, margin=0)
    assert found.values.tolist() == [1, 0, 1]
    assert found.mean == pytest.approx(2 / 3)
    assert found.standard_error == pytest.approx(np.std([1, 0, 1], ddof=1) / np.sqrt(3))
    boxes = [(2, 3, 6, 7), [(7, 0, 9, 4), (0, 9, 1, 10)], (9, 9, 10, 10)]
    found = metrics.energy_inside(MODEL, images, maps, 0, boxes=boxes)
    assert found.values.tolist() == [1, 0, 1]


@pytest.mark.parametrize("metric", BOTH)
def test_the_model_is_asked_nothing_where_targets_are_given(metric, watch):
    model, watched = watch(Polynomial(1, SHAPE), shape=SHAPE)
    metric(model, IMAGE, saliency(), 0, boxes=(2, 3, 6, 7))
    assert not watched.pictures


# ---- What is wrong -------------------------------------------------------------------------------

FULL, EMPTY = np.ones(SHAPE[:2], bool), np.zeros(SHAPE[:2], bool)


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({}, TypeError, "needs masks= or boxes=, where the object is: one of them"),
        ({"masks": ~EMPTY, "boxes": (0, 0, 1, 1)}, TypeError, "one of them"),
        ({"masks": EMPTY}, ValueError, r"masks\[0\] is empty: nothing can be inside"),
        ({"masks": FULL}, ValueError, r"masks\[0\] covers all of the image"),
        ({"masks": boxed(2, 3, 6, 7) * 1.0}, TypeError, "of bool or whole numbers, got float64"),
        (
            {"masks": boxed(2, 3, 6, 7).T},
            ValueError,
            r"shape of an image, \(12, 10\), got \(10, 12",
        ),
        ({"masks": boxed(2, 3, 6, 7)[None]}, ValueError, r"got \(1, 12, 10\)"),
        ({"boxes": (0, 0, 12, 10)}, ValueError, r"boxes\[0\] covers all of the image"),
        ({"boxes": [(0, 0, 6, 10), (6, 0, 12, 10)]}, ValueError, "covers all of the image"),
        ({"boxes": (2, 3, 2, 7)}, ValueError, "and not be empty, got"),
        ({"boxes": (6, 3, 2, 7)}, ValueError, "within 12 x 10"),
        ({"boxes": (2, 3, 13, 7)}, ValueError, "within 12 x 10"),
        ({"boxes": (-1, 3, 3, 7)}, ValueError, "within 12 x 10"),
        ({"boxes": (2, 3, 6)}, ValueError, r"\(top, left, bottom, right\), or several"),
        ({"boxes": []}, ValueError, r"\(top, left, bottom, right\), or several"),
        ({"boxes": (2.5, 3, 6, 7)}, TypeError, "whole numbers"),
        ({"boxes": (2, 3, 6, np.nan)}, TypeError, "whole numbers"),
        ({"masks": "cat"}, TypeError, "of bool or whole numbers"),
        ({"boxes": (2, 3, 6, 7), "reduce": "min"}, ValueError, "one of sum, abs, max, norm"),
    ],
)
def test_what_is_wrong_is_said(metric, options, kind, text):
    """Quantus's pointing game gives an empty mask's NaN to an array of bool, where it is a hit."""
    with pytest.raises(kind, match=text):
        metric(MODEL, IMAGE, saliency(), 0, **options)


def test_an_empty_mask_is_a_hit_in_an_array_of_bool():
    """What becomes of Quantus 0.6's `hit[...] = np.nan`."""
    hit = np.array([False])
    hit[np.array([True])] = np.nan
    assert hit[0]


@pytest.mark.parametrize("margin", [-1, np.nan, np.inf])
def test_a_margin_that_is_wrong(margin):
    with pytest.raises(ValueError, match="margin must be a positive number"):
        metrics.pointing_game(MODEL, IMAGE, saliency(), 0, boxes=(2, 3, 6, 7), margin=margin)


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize("name", ["masks", "boxes"])
def test_where_that_is_nothing_for_many_images(metric, name):
    images = pixels((2, *SHAPE))
    with pytest.raises((TypeError, ValueError), match=f"{name} must be .*got 5"):
        metric(MODEL, images, images, 0, **{name: 5})


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize("name", ["masks", "boxes"])
def test_a_mask_too_few(metric, name):
    where = {"masks": boxed(2, 3, 6, 7)[None], "boxes": [(2, 3, 6, 7)]}[name]
    images = pixels((2, *SHAPE))
    with pytest.raises(ValueError, match=f"{name} must be one for each of 2 images, got 1"):
        metric(MODEL, images, images, 0, **{name: where})
