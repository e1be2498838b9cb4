"""GradVisualizer and its kernels against plain NumPy and SciPy: equal, not merely close."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from seed_twin import (
    FULL,
    SeedVisualizer,
    attributions_like,
    cleanup,
    energy_threshold,
    linear_transform,
    photograph_like,
)

import intgrad
from intgrad import GradVisualizer, _core

OURS, SEED = GradVisualizer(), SeedVisualizer()
FOUR = ndimage.generate_binary_structure(2, 1)
EIGHT = np.ones((3, 3))
FOUR_LINKS, EIGHT_LINKS = 5, 15


def for_all(**strategies):
    """A deadline would be one on the machine's other work."""
    return lambda test: settings(deadline=None)(given(**strategies)(test))


# ---- What hypothesis draws ---------------------------------------------------------------------

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
# Few distinct values make ties, and their sums are exact.
tied = st.integers(-8, 8).map(float)
values = st.one_of(tied, st.floats(-1e6, 1e6), st.floats(-1e-300, 1e-300))
maps = hnp.arrays(np.float64, shapes, elements=values)
tied_maps = hnp.arrays(np.float64, shapes, elements=tied)
masks = hnp.arrays(np.bool_, shapes)
structure_shapes = st.tuples(st.integers(1, 7), st.integers(1, 6))
structures = st.one_of(
    hnp.arrays(np.float64, structure_shapes, elements=st.floats(-10, 10)),
    st.builds(np.full, structure_shapes, st.sampled_from([0.0, 1.0, -0.3])),
)


def test_public_name():
    assert intgrad.GradVisualizer is GradVisualizer
    assert OURS.positive_channel == (0, 255, 0)
    assert OURS.negative_channel == (255, 0, 0)


# ---- Tone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("polarity", ["positive", "negative"])
@pytest.mark.parametrize("clip", [1.0, 0.3, None])
@for_all(a=hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, min_side=0), elements=values))
def test_polarity(polarity, clip, a):
    limit = np.inf if clip is None else clip
    low, high = (0, limit) if polarity == "positive" else (-limit, 0)
    result = OURS.apply_polarity(a, polarity, clip=clip)
    np.testing.assert_array_equal(result, np.clip(a, low, high), strict=a.ndim > 0)
    if clip == 1.0:
        np.testing.assert_array_equal(OURS.apply_polarity(a, polarity), result)
        np.testing.assert_array_equal(SEED.apply_polarity(a, polarity), result)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@for_all(shape=hnp.array_shapes(min_dims=3, max_dims=3, max_side=12), seed=st.integers(0, 99))
def test_channel_mean(dtype, sign, shape, seed):
    a = dtype(np.random.default_rng(seed).standard_normal(shape))
    expected = np.mean(np.float64(np.clip(sign * a, 0, 0.9)), axis=2)
    result = _core.channel_mean(a, sign, 0.9)
    # NumPy adds eight channels and more in another order.
    np.testing.assert_allclose(result, expected, rtol=0 if shape[2] < 8 else 1e-14, atol=0)


percentages = st.one_of(st.floats(0, 100), st.sampled_from([0, 25, 50, 75, 99.9, 100]))


@for_all(a=tied_maps, percentage=percentages)
def test_energy_threshold_where_sums_are_exact(a, percentage):
    result = OURS.get_thresholded_attributions(a, percentage)
    assert result == energy_threshold(a, percentage)
    assert isinstance(result, np.float64)


@for_all(a=maps, percentage=percentages)
def test_energy_threshold_reaches_the_percentage(a, percentage):
    """Where sums round, any value is right that reaches the percentage but for the rounding."""
    a = np.abs(a)
    threshold = OURS.get_thresholded_attributions(a, percentage)
    assert threshold in a
    target, slack = percentage / 100 * a.sum(), 1e-12 * a.sum()
    if percentage < 100:
        assert a[a >= threshold].sum() >= target - slack
        assert a[a > threshold].sum() <= target + slack


@pytest.mark.parametrize("percentage", [0, 1e-9, 0.1, 5, 50, 72, 99.9, 100])
@pytest.mark.parametrize("shape", [(299, 299), (1, 1), (1, 4000), (2048, 2048)])
def test_energy_threshold_of_maps_like_real_ones(shape, percentage):
    a = np.abs(np.random.default_rng(1).standard_normal(shape)) ** 3
    assert OURS.get_thresholded_attributions(a, percentage) == energy_threshold(a, percentage)


@pytest.mark.parametrize(
    "a",
    [
        np.float64([5e-324, 1e-323, 2e-323]),
        np.nextafter(1.0, 2) * np.ones(50),
        1 + np.arange(1000) * 2.0**-52,
        np.append(np.zeros(1000), 1.0),
        np.float64([1e290, -1e290, 1e289]),
        np.float64([-3, -1, -2]),
        np.float64([-1, 1]),
        np.zeros(7),
    ],
)
@pytest.mark.parametrize("percentage", [0, 30, 60, 99, 100])
def test_energy_threshold_of_awkward_values(a, percentage):
    """Denormals, one value only, values that differ in the last bit, a sum of 0 or below."""
    assert OURS.get_thresholded_attributions(a, percentage) == energy_threshold(a, percentage)


def test_a_percentage_that_a_float32_sum_never_reaches():
    a = np.random.default_rng(0).random(1_000_000, np.float32)
    with pytest.raises(IndexError):
        SEED.get_thresholded_attributions(a, 99.9999)
    result = OURS.get_thresholded_attributions(a, 99.9999)
    assert result == energy_threshold(a, 99.9999)
    assert isinstance(result, np.float32)


@pytest.mark.parametrize("lower_end", [0.0, 0.2, 1.0, -0.5])
@for_all(a=st.one_of(maps, tied_maps), above=percentages, below=percentages)
def test_linear_transformation(lower_end, a, above, below):
    high = OURS.get_thresholded_attributions(a, 100 - above)
    low = OURS.get_thresholded_attributions(a, 100 - below)
    with np.errstate(over="ignore", under="ignore"):
        expected = linear_transform(a, high, low, lower_end)
    result = OURS.apply_linear_transformation(a, above, below, lower_end)
    np.testing.assert_array_equal(result, expected, strict=True)


def test_linear_transformation_is_the_seeds():
    a = attributions_like((61, 47)).mean(axis=2)
    for options in [{}, {"lower_end": 0.0}, {"clip_above_percentile": 10.0}]:
        np.testing.assert_array_equal(
            OURS.apply_linear_transformation(np.abs(a), **options),
            SEED.apply_linear_transformation(np.abs(a), **options),
        )


@for_all(a=maps, threshold=st.one_of(st.just(0.001), st.floats(-10, 10)))
def test_binarize(a, threshold):
    expected = SEED.binarize(a, threshold)
    np.testing.assert_array_equal(OURS.binarize(a, threshold), expected, strict=True)
    small = a.astype(np.float32)
    np.testing.assert_array_equal(OURS.binarize(small, threshold), SEED.binarize(small, threshold))


def test_binarize_rounds_its_threshold_as_numpy_does():
    a = np.float32([0.001])
    assert not SEED.binarize(a)[0]
    assert not OURS.binarize(a)[0]


# ---- Morphology --------------------------------------------------------------------------------


@for_all(a=maps, structure=structures)
def test_cleanup(a, structure):
    expected = SEED.morphological_cleanup_fn(a, structure)
    np.testing.assert_array_equal(
        OURS.morphological_cleanup_fn(a, structure), expected, strict=True
    )


@pytest.mark.parametrize("rows", range(1, 8))
@pytest.mark.parametrize("columns", range(1, 7))
@pytest.mark.parametrize("flat", [True, False])
def test_cleanup_with_every_size_of_structure(rows, columns, flat):
    rng = np.random.default_rng(rows * 10 + columns)
    structure = np.full((rows, columns), 0.7) if flat else rng.standard_normal((rows, columns))
    for shape in [(1, 1), (1, 9), (9, 1), (17, 23), (24, 16)]:
        a = rng.random(shape)
        np.testing.assert_array_equal(
            OURS.morphological_cleanup_fn(a, structure), SEED.morphological_cleanup_fn(a, structure)
        )


@pytest.mark.parametrize("size", [(9, 9), (22, 29), (64, 1), (1, 200), (30, 25)])
def test_cleanup_with_windows_longer_than_the_map(size):
    a = np.random.default_rng(3).random((11, 14))
    for structure in (np.ones(size), np.random.default_rng(4).random(size)):
        result = OURS.morphological_cleanup_fn(a, structure)
        np.testing.assert_array_equal(result, cleanup(a, structure))


def test_cleanup_default_is_four_by_four():
    a = np.random.default_rng(3).random((30, 31))
    np.testing.assert_array_equal(
        OURS.morphological_cleanup_fn(a), SEED.morphological_cleanup_fn(a, np.ones((4, 4)))
    )


@pytest.mark.parametrize("size", [(3, 3), (9, 12)])
def test_cleanup_of_large_maps(size):
    a = np.random.default_rng(4).random((2048, 1031))
    flat = ndimage.grey_opening(ndimage.grey_closing(a, size=size), size=size)
    np.testing.assert_array_equal(OURS.morphological_cleanup_fn(a, np.zeros(size)), flat)


def test_cleanup_takes_no_longer_for_long_windows():
    """O(1) a pixel for constant rectangles: a thousand times the area, a few times the time."""
    a = np.random.default_rng(5).random((400, 400))

    def seconds(size):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            OURS.morphological_cleanup_fn(a, np.ones((size, size)))
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds(128) < 10 * seconds(4)


# ---- Components --------------------------------------------------------------------------------


def spiral(n):
    """One wall, one pixel wide, that winds inwards."""
    mask = np.zeros((n, n), bool)
    for r in range(0, n // 2, 2):
        end = n - r
        mask[r, r:end] = mask[r:end, end - 1] = mask[end - 1, r:end] = True
        mask[r + 2 : end, r] = True
        mask[r + 2 : r + 3, r + 1] = True
    return mask


def checkerboard(height, width):
    return np.indices((height, width)).sum(axis=0) % 2 == 0


def rings(n):
    """Squares inside squares: a hole inside each."""
    y, x = np.indices((n, n)) - n // 2
    return np.maximum(abs(y), abs(x)) % 2 == 0


PATTERNS = {
    "spiral": spiral(201),
    "checkerboard": checkerboard(120, 121),
    "rings": rings(99),
    "comb": np.indices((60, 61))[1] % 2 == 0,
    "noise": np.random.default_rng(0).random((257, 129)) < 0.5,
    "sparse": np.random.default_rng(1).random((257, 129)) < 0.1,
    "full": np.ones((40, 30), bool),
    "empty": np.zeros((40, 30), bool),
    "dot": np.ones((1, 1), bool),
    "row": np.random.default_rng(2).random((1, 200)) < 0.5,
    "column": np.random.default_rng(3).random((200, 1)) < 0.5,
}
PATTERNS |= {f"not {name}": ~mask for name, mask in list(PATTERNS.items())}
PATTERNS |= {f"turned {name}": np.rot90(mask) for name, mask in list(PATTERNS.items())}


def check_components(mask, structure, links):
    labels, sums = _core.components(mask, links, None)
    expected, count = ndimage.label(mask, structure=structure)
    np.testing.assert_array_equal(labels, expected, strict=True)
    np.testing.assert_array_equal(sums, np.bincount(expected.ravel(), minlength=count + 1)[1:])
    weights = np.random.default_rng(0).integers(-9, 9, mask.shape)
    _, sums = _core.components(mask, links, weights)
    np.testing.assert_array_equal(
        sums, ndimage.sum_labels(weights, expected, np.arange(1, count + 1))
    )


@pytest.mark.parametrize("mask", PATTERNS.values(), ids=PATTERNS)
def test_patterns(mask):
    check_components(mask, FOUR, FOUR_LINKS)
    check_components(mask, EIGHT, EIGHT_LINKS)
    filled = ndimage.binary_fill_holes(mask)
    np.testing.assert_array_equal(_core.fill_holes(mask), filled, strict=True)


@for_all(mask=masks)
def test_components(mask):
    check_components(mask, FOUR, FOUR_LINKS)
    check_components(mask, EIGHT, EIGHT_LINKS)
    np.testing.assert_array_equal(_core.fill_holes(mask), ndimage.binary_fill_holes(mask))


@pytest.mark.parametrize("links", range(16))
def test_every_symmetric_structure(links):
    half = [bool(links & bit) for bit in (2, 4, 8, 1)]
    structure = np.array([*half, True, *half[::-1]]).reshape(3, 3)
    mask = PATTERNS["noise"]
    check_components(mask, structure, links)
    small = mask[:40, :40]
    np.testing.assert_array_equal(
        OURS.draw_outlines(small, 100, structure), SEED.draw_outlines(small, 100, structure)
    )


def test_large_patterns():
    """What is known of them without SciPy, which is slow here."""
    mask = spiral(2047)
    for links in (FOUR_LINKS, EIGHT_LINKS):
        labels, sums = _core.components(mask, links, None)
        assert list(sums) == [mask.sum()]
        np.testing.assert_array_equal(labels, mask)
    np.testing.assert_array_equal(_core.fill_holes(mask), mask)
    board = checkerboard(2048, 2048)
    labels, sums = _core.components(board, FOUR_LINKS, None)
    np.testing.assert_array_equal(labels[board], np.arange(1, 2048 * 1024 + 1))
    assert sums.min() == sums.max() == 1
    _, sums = _core.components(board, EIGHT_LINKS, None)
    assert list(sums) == [2048 * 1024]
    filled = _core.fill_holes(board)
    assert filled[1:-1, 1:-1].all()
    np.testing.assert_array_equal(filled[0], board[0])
    assert _core.fill_holes(rings(2049)).all()


@pytest.mark.parametrize("percentage", [0, 10, 50, 89.9, 90, 100])
@for_all(mask=masks)
def test_outlines(percentage, mask):
    result = OURS.draw_outlines(mask, percentage)
    if mask.any():
        expected = SEED.draw_outlines(mask, percentage)
        np.testing.assert_array_equal(result, expected, strict=True)
    else:
        assert not result.any()


@pytest.mark.parametrize("name", ["noise", "sparse", "checkerboard", "not rings", "row", "dot"])
@pytest.mark.parametrize("structure", [FOUR, EIGHT])
def test_outlines_of_patterns(name, structure):
    mask = PATTERNS[name][:60, :60]
    np.testing.assert_array_equal(
        OURS.draw_outlines(mask, 90, structure), SEED.draw_outlines(mask, 90, structure)
    )


@for_all(sums=st.lists(st.integers(1, 5), min_size=1, max_size=9), percentage=percentages)
def test_the_largest_components_are_kept(sums, percentage):
    """By themselves: bars apart from each other, of which ties keep the first."""
    mask = np.zeros((2 * len(sums), 5), bool)
    for k, length in enumerate(sums):
        mask[2 * k, :length] = True
    expected = SEED.draw_outlines(mask, percentage)
    np.testing.assert_array_equal(OURS.draw_outlines(mask, percentage), expected)


# ---- process_grads -----------------------------------------------------------------------------


def compare(image, attributions, **options):
    """At most 0.1 % of the pixels may be off by more than 0.05 of 255 (a threshold tie)."""
    expected = SEED.process_grads(image, attributions, **options)
    result = OURS.process_grads(image, attributions, **options)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    off = np.abs(result - expected).max(axis=2) > 0.05
    assert off.mean() <= 0.001
    return result, expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("polarity", ["positive", "negative"])
@pytest.mark.parametrize("clips", [(99.9, 0), (99, 0), (95, 28), (100, 100), (80, 60)])
@pytest.mark.parametrize("structure", [None, np.ones((3, 3)), np.ones((4, 4)), np.eye(2, 3)])
@pytest.mark.parametrize("outlines", [None, 90, 40])
@pytest.mark.parametrize("overlay", [True, False])
def test_process_grads(dtype, polarity, clips, structure, outlines, overlay):
    attributions = attributions_like((53, 71), seed=7, dtype=dtype)
    options = {
        "polarity": polarity,
        "clip_above_percentile": clips[0],
        "clip_below_percentile": clips[1],
        "morphological_cleanup": structure is not None,
        "outlines": outlines is not None,
        "overlay": overlay,
    }
    if structure is not None:
        options["structure"] = structure
    if outlines is not None:
        options["outlines_component_percentage"] = outlines
    if clips == (100, 100):  # equal thresholds: the seed divides by 0
        result = OURS.process_grads(photograph_like((53, 71)), attributions, **options)
        assert np.isfinite(result).all()
        return
    result, expected = compare(photograph_like((53, 71)), attributions, **options)
    if dtype == np.float64:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("shape", [(299, 299), (1, 1), (1, 50), (50, 1), (2, 3)])
@pytest.mark.parametrize("options", [{}, {"clip_above_percentile": 99}, FULL], ids=str)
def test_process_grads_of_other_sizes(shape, options):
    attributions = np.abs(attributions_like((299, 299), seed=2))[: shape[0], : shape[1]]
    if shape == (1, 1):  # a constant map: 0 / 0 in the seed, saturated by its definition
        result = OURS.process_grads(None, attributions, overlay=False)
        np.testing.assert_array_equal(result, [[[0, 255, 0]]])
        return
    result, expected = compare(photograph_like(shape), attributions, **options)
    np.testing.assert_array_equal(result, expected)


def test_process_grads_of_a_large_map():
    attributions = attributions_like((1024, 1024), dtype=np.float32)
    compare(photograph_like((1024, 1024)), attributions)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, ">f4", ">i2"])
def test_images_of_any_dtype(dtype):
    attributions = attributions_like((31, 29))
    image = photograph_like((31, 29)) // 2
    expected = OURS.process_grads(image, attributions)
    result = OURS.process_grads(image.astype(dtype), attributions)
    np.testing.assert_array_equal(result, expected, strict=True)


def test_grey_images_and_other_colours():
    attributions = attributions_like((31, 29))
    image = photograph_like((31, 29))
    for visualizer in (
        GradVisualizer((10, 20, 30), (0.5, 0, 1)),
        GradVisualizer([255], [7]),
        GradVisualizer(np.array([1, 2, 3, 4, 5]), (1, 2, 3, 4, 5)),
    ):
        seed = SeedVisualizer()
        seed.positive_channel = visualizer.positive_channel
        seed.negative_channel = visualizer.negative_channel
        depth = len(visualizer.positive_channel)
        pictures = [np.repeat(image[:, :, :1], depth, axis=2), image[:, :, :1]]
        for picture in pictures:
            for options in (
                {},
                {"polarity": "negative"},
                {"outlines": True, "overlay": False},
                {"polarity": "negative", "outlines": True, "overlay": False},
            ):
                expected = seed.process_grads(picture, attributions, **options)
                result = visualizer.process_grads(picture, attributions, **options)
                np.testing.assert_array_equal(result, expected, strict=True)


def test_any_number_of_attribution_channels():
    attributions = attributions_like((31, 29))
    for channels in (1, 2, 7, 20):
        a = np.tile(attributions, 7)[:, :, :channels]
        for dtype in (np.float32, np.float64):
            compare(photograph_like((31, 29)), a.astype(dtype))


def test_clip_is_a_matter_of_units():
    """The seed's arrays are 127.5 times ours: its picture, and how to get it from ours."""
    seed_units = attributions_like((64, 64), seed=3)
    ours = seed_units / 127.5
    image = photograph_like((64, 64))
    expected = SEED.process_grads(image, seed_units, clip_above_percentile=99)
    same = OURS.process_grads(image, 127.5 * ours, clip_above_percentile=99)
    np.testing.assert_allclose(same, expected, atol=1e-9)
    scaled = OURS.process_grads(image, ours, clip_above_percentile=99, clip=1 / 127.5)
    np.testing.assert_allclose(scaled, expected, atol=1e-9)
    free = OURS.process_grads(image, seed_units, clip_above_percentile=99, clip=None)
    assert np.abs(free - expected).max() > 1
    np.testing.assert_allclose(
        OURS.process_grads(image, ours, clip_above_percentile=99), free, atol=1e-9
    )


# ---- Where the seed crashes or yields NaN ------------------------------------------------------

IMAGE = photograph_like((20, 30))


@pytest.mark.parametrize("options", [{}, FULL, {"outlines": True}, {"clip_above_percentile": 0}])
@pytest.mark.parametrize("overlay", [True, False])
@pytest.mark.parametrize(
    ("attributions", "polarity"),
    [
        (np.zeros((20, 30, 3)), "positive"),
        (np.zeros((20, 30, 3)), "negative"),
        (np.full((20, 30, 3), 0.5), "negative"),
        (np.full((20, 30, 3), -0.5), "positive"),
    ],
)
def test_nothing_of_that_sign_is_blank(options, overlay, attributions, polarity):
    result = OURS.process_grads(IMAGE, attributions, polarity, overlay=overlay, **options)
    np.testing.assert_array_equal(result, IMAGE if overlay else np.zeros_like(IMAGE))


@pytest.mark.parametrize("value", [0.5, 7.0])
def test_constant_maps_are_saturated(value):
    attributions = np.full((20, 30, 3), value)
    result = OURS.process_grads(IMAGE, attributions, overlay=False)
    np.testing.assert_array_equal(result, np.broadcast_to([0, 255, 0], (20, 30, 3)))
    result = OURS.process_grads(IMAGE, attributions, overlay=False, outlines=True)
    border = np.ones((20, 30), np.int64)
    border[1:-1, 1:-1] = 0
    np.testing.assert_array_equal(result, border[..., np.newaxis] * [0, 255, 0], strict=True)


def test_equal_thresholds_are_a_step():
    a = np.float64([4, 3, 2, 1, 0])
    for percentile in (30, 50, 80, 100):
        threshold = energy_threshold(a, 100 - percentile)
        result = OURS.apply_linear_transformation(a, percentile, percentile, 0.0)
        np.testing.assert_array_equal(result, (a >= threshold) & (a > 0))


def test_no_component_is_blank():
    result = OURS.draw_outlines(np.full((5, 6), 0.001))
    assert result.dtype == bool
    assert not result.any()


# ---- What is wrong -----------------------------------------------------------------------------

MAP = np.ones((20, 30, 3))


def broken(value, shape=(20, 30, 3), place=(3, 4, 1)):
    a = np.ones(shape)
    a[place] = value
    return a


def must_not_run(*args):
    raise AssertionError("work was done before the arguments were checked")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        ((IMAGE, MAP, "both?"), {}, ValueError, r"polarity must be .*, got 'both\?'"),
        ((IMAGE, MAP), {"polarity": None}, ValueError, "got None"),
        ((IMAGE, MAP), {"clip_above_percentile": 101}, ValueError, r"\[0, 100\], got 101"),
        ((IMAGE, MAP), {"clip_below_percentile": -0.5}, ValueError, r"\[0, 100\], got -0.5"),
        ((IMAGE, MAP), {"clip_below_percentile": np.nan}, ValueError, "finite, got nan"),
        ((IMAGE, MAP), {"clip_below_percentile": "x"}, TypeError, "must be a number, got 'x'"),
        ((IMAGE, MAP), {"outlines_component_percentage": 200}, ValueError, "got 200"),
        ((IMAGE, MAP), {"clip": 0}, ValueError, "clip must be positive.* got 0"),
        ((IMAGE, MAP), {"clip": np.nan}, ValueError, "got nan"),
        ((IMAGE[:-1], MAP), {}, ValueError, r"\(20, 30, 3\), .* got \(19, 30, 3\)"),
        ((IMAGE[..., :2], MAP), {}, ValueError, r"got \(20, 30, 2\)"),
        ((IMAGE[..., 0], MAP), {}, ValueError, r"3 dimensions, got shape \(20, 30\)"),
        ((None, MAP), {}, TypeError, "image must be real numbers, got dtype object"),
        ((IMAGE, MAP[..., 0]), {}, ValueError, r"3 dimensions, got shape \(20, 30\)"),
        ((IMAGE, MAP[np.newaxis]), {}, ValueError, r"got shape \(1, 20, 30, 3\)"),
        ((IMAGE, MAP + 0j), {}, TypeError, "complex128"),
        ((IMAGE, MAP.astype(object)), {}, TypeError, "object"),
        ((IMAGE, "map"), {}, TypeError, "<U3"),
        (
            (IMAGE, MAP),
            {"morphological_cleanup": True, "structure": np.ones((0, 3))},
            ValueError,
            r"structure must not be empty, got shape \(0, 3\)",
        ),
        (
            (IMAGE, MAP),
            {"morphological_cleanup": True, "structure": np.ones(3)},
            ValueError,
            r"structure must have 2 dimensions, got shape \(3,\)",
        ),
        (
            (IMAGE, MAP),
            {"morphological_cleanup": True, "structure": [[1, np.inf]]},
            ValueError,
            "structure must be finite, got .*inf",
        ),
    ],
)
def test_wrong_arguments(monkeypatch, arguments, options, error, text):
    monkeypatch.setattr(_core, "channel_mean", must_not_run)
    with pytest.raises(error, match=text):
        OURS.process_grads(*arguments, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.longdouble])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(dtype, value):
    text = rf"attributions must be finite, .*, got {value} at \(3, 4"
    bad = broken(value).astype(dtype)
    flat = bad[:, :, 1]
    for call in (
        lambda: OURS.process_grads(IMAGE, bad),
        lambda: OURS.apply_polarity(bad, "positive"),
        lambda: OURS.apply_linear_transformation(flat),
        lambda: OURS.get_thresholded_attributions(bad, 50),
        lambda: OURS.binarize(flat),
        lambda: OURS.morphological_cleanup_fn(flat),
        lambda: OURS.draw_outlines(flat),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.raises(ValueError, match=rf"image must be finite, .*, got {value} at \(3, 4, 1\)"):
        OURS.process_grads(bad, MAP)


def test_values_that_are_too_large():
    with pytest.raises(ValueError, match=r"at most 1e290 in magnitude, got -1e\+291 at \(1,\)"):
        OURS.binarize([1, -1e291])
    with pytest.raises(ValueError, match="got inf"):
        OURS.binarize(np.array([np.longdouble("1e400")]))
    assert OURS.get_thresholded_attributions([1e290, 1.0], 50) == 1e290


@pytest.mark.parametrize(
    "call",
    [
        lambda a: OURS.apply_linear_transformation(a),
        lambda a: OURS.get_thresholded_attributions(a, 50),
        lambda a: OURS.morphological_cleanup_fn(a),
        lambda a: OURS.draw_outlines(a),
    ],
)
def test_empty_maps(call):
    with pytest.raises(ValueError, match=r"must not be empty, got shape \(0, 4\)"):
        call(np.zeros((0, 4)))


def test_empty_maps_where_nothing_is_sought():
    assert OURS.apply_polarity(np.zeros((0, 4)), "positive").shape == (0, 4)
    assert OURS.binarize(np.zeros((4, 0))).shape == (4, 0)
    with pytest.raises(ValueError, match="must not be empty"):
        OURS.process_grads(np.zeros((0, 4, 3)), np.zeros((0, 4, 3)))
    with pytest.raises(ValueError, match="must not be empty"):
        OURS.process_grads(IMAGE, np.zeros((20, 30, 0)))


def test_other_wrong_arguments():
    with pytest.raises(ValueError, match="polarity"):
        OURS.apply_polarity(MAP, "Positive")
    with pytest.raises(ValueError, match=r"percentage must be in \[0, 100\], got 100.1"):
        OURS.get_thresholded_attributions(MAP, 100.1)
    with pytest.raises(ValueError, match=r"percentage must be in \[0, 100\], got -1"):
        OURS.draw_outlines(MAP[..., 0], -1)
    with pytest.raises(ValueError, match="lower_end must be finite, got inf"):
        OURS.apply_linear_transformation(MAP, lower_end=np.inf)
    with pytest.raises(ValueError, match="threshold must be finite, got nan"):
        OURS.binarize(MAP, np.nan)
    for structure in (np.ones((2, 2)), np.ones(9), [[0, 1, 0], [1, 1, 1], [0, 0, 0]]):
        with pytest.raises(ValueError, match=r"shape \(3, 3\) and be the same after a turn"):
            OURS.draw_outlines(MAP[..., 0], 90, structure)
    for colour in (3, "red", (), [[1, 2, 3]], (1, None, 2)):
        with pytest.raises(ValueError, match="positive_channel must be a colour"):
            GradVisualizer(positive_channel=colour)
    with pytest.raises(ValueError, match="negative_channel must be finite"):
        GradVisualizer(negative_channel=(1, np.nan, 2))


# ---- Arrays of every make ----------------------------------------------------------------------


def strided(a):
    wide = np.zeros((a.shape[0] * 2, a.shape[1] * 3, *a.shape[2:]), a.dtype)
    wide[::2, ::-3] = a
    return wide[::2, ::-3]


def unaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    raw[...] = a
    return raw


def read_only(a):
    a = a.copy()
    a.setflags(write=False)
    return a


LAYOUTS = {
    "strided": strided,
    "unaligned": unaligned,
    "read_only": read_only,
    "transposed": np.asfortranarray,
    "byte_swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "list": np.ndarray.tolist,
}
METHODS = {
    "apply_polarity": lambda a: OURS.apply_polarity(a, "negative"),
    "apply_linear_transformation": lambda a: OURS.apply_linear_transformation(a),
    "get_thresholded_attributions": lambda a: OURS.get_thresholded_attributions(a, 30),
    "binarize": lambda a: OURS.binarize(a),
    "morphological_cleanup_fn": lambda a: OURS.morphological_cleanup_fn(a),
    "draw_outlines": lambda a: OURS.draw_outlines(a),
    "process_grads": lambda a: OURS.process_grads(
        np.asarray(a)[..., np.newaxis], np.asarray(a)[..., np.newaxis], **FULL
    ),
}


# The attributions are taken for an image too, which they are not.
NO_PIXELS = pytest.mark.filterwarnings("ignore:the image's least value")


@NO_PIXELS
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts(layout, method, dtype):
    plain = attributions_like((33, 21), dtype=dtype)[..., 0]
    array = layout(plain)
    before = np.array(array)
    expected = method(plain.astype(np.float64) if layout is np.ndarray.tolist else plain)
    np.testing.assert_array_equal(method(array), expected, strict=np.ndim(expected) > 0)
    np.testing.assert_array_equal(array, before)


@NO_PIXELS
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int8, np.int16, np.uint16, np.int64, np.float16, np.longdouble]
)
def test_dtypes(method, dtype):
    array = np.round(3 * np.abs(attributions_like((33, 21))[..., 0])).astype(dtype)
    expected = method(array.astype(np.float64))
    result = method(array)
    np.testing.assert_array_equal(result, expected, strict=np.ndim(expected) > 0)


def test_results_have_the_dtypes_of_the_seed():
    for dtype in (np.float32, np.float64):
        a = np.abs(attributions_like((33, 21), dtype=dtype)[..., 0])
        pairs = [
            (OURS.apply_polarity(a, "positive"), SEED.apply_polarity(a, "positive")),
            (OURS.apply_linear_transformation(a), SEED.apply_linear_transformation(a)),
            (OURS.get_thresholded_attributions(a, 9), SEED.get_thresholded_attributions(a, 9)),
            (OURS.binarize(a), SEED.binarize(a)),
            (OURS.morphological_cleanup_fn(a), SEED.morphological_cleanup_fn(a)),
            (OURS.draw_outlines(a), SEED.draw_outlines(a)),
        ]
        for ours, seed in pairs:
            assert ours.dtype == seed.dtype
            np.testing.assert_allclose(ours, seed, rtol=1e-5, atol=1e-6)


@NO_PIXELS
def test_inputs_are_left_alone():
    """Not written to, not kept, and not returned."""
    image, attributions = photograph_like((33, 21)).astype(float), attributions_like((33, 21))
    structure = np.ones((3, 3))
    inputs = [image, attributions, structure]
    before = [a.copy() for a in inputs]
    counts = [sys.getrefcount(a) for a in inputs]
    for options in ({}, FULL, {"overlay": False}):
        result = OURS.process_grads(image, attributions, structure=structure, **options)
        assert not any(np.shares_memory(result, a) for a in inputs)
    for method in METHODS.values():
        method(attributions[..., 0])
    attributions[3, 4, 1] = before[1][3, 4, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        OURS.process_grads(image, attributions)
    for k, expected in enumerate(before):
        np.testing.assert_array_equal(inputs[k], expected)
    assert [sys.getrefcount(a) for a in inputs] == counts


# ---- The core's own checks ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: _core.channel_mean(np.ones((2, 2)), 1.0, 1.0),
        lambda: _core.fill_holes(np.ones(3, bool)),
        lambda: _core.fill_holes(np.ones((0, 3), bool)),
        lambda: _core.components(np.ones((2, 2), bool), 15, np.ones((2, 3))),
        lambda: _core.outline(np.ones((0, 2), np.int32), np.ones(1), 90.0),
        lambda: _core.linear_transform(np.ones(3), 1.0, 50.0, 0.0, np.ones(4)),
        lambda: _core.linear_transform(np.ones(3), 1.0, 50.0, 0.0, np.ones(3, np.float32)),
        lambda: _core.cleanup(np.ones((3, 4)), np.ones((1, 1)), np.ones((4, 3)).T),
        lambda: _core.cleanup(np.ones((3, 4)), np.ones((1, 0)), None),
        lambda: _core.overlay(np.ones((3, 4, 2)), np.ones((3, 4)), (1.0, 2.0, 3.0)),
        lambda: _core.overlay(np.ones((3, 4, 3)), np.ones((4, 3)), (1.0, 2.0, 3.0)),
    ],
)
def test_the_core_refuses_what_its_kernels_cannot_take(call):
    with pytest.raises(ValueError, match="must"):
        call()


def test_the_core_refuses_an_out_that_is_read_only():
    out = read_only(np.ones(3))
    with pytest.raises(ValueError, match="out must be"):
        _core.linear_transform(np.ones(3), 1.0, 50.0, 0.0, out)


def test_in_place_is_the_same():
    a = np.abs(attributions_like((33, 21))[..., 0])
    expected = _core.linear_transform(a, 5.0, 72.0, 0.0, None)
    result = a.copy()
    assert _core.linear_transform(result, 5.0, 72.0, 0.0, result) is result
    np.testing.assert_array_equal(result, expected)
    expected = _core.cleanup(a, np.eye(2), None)
    result = a.copy()
    assert _core.cleanup(result, np.eye(2), result) is result
    np.testing.assert_array_equal(result, expected)


# ---- Threads -----------------------------------------------------------------------------------


def test_threads_agree():
    jobs = [(attributions_like((120, 130), seed), photograph_like((120, 130))) for seed in range(8)]

    def work(job):
        return OURS.process_grads(job[1], job[0], **FULL), OURS.process_grads(job[1], job[0])

    alone = [work(job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, jobs * 5))
    for result, expected in zip(together, alone * 5, strict=True):
        np.testing.assert_array_equal(result[0], expected[0])
        np.testing.assert_array_equal(result[1], expected[1])


def test_the_gil_is_released():
    """Another thread goes on while a kernel runs: it is not held up for half of that time."""
    a = np.random.default_rng(0).random((700, 700))
    structure = np.random.default_rng(1).random((20, 20))
    span = []

    def work():
        start = time.perf_counter()
        OURS.morphological_cleanup_fn(a, structure)
        span.extend([start, time.perf_counter()])

    thread = threading.Thread(target=work)
    ticks = []
    thread.start()
    while thread.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0.002)
    thread.join()
    during = [span[0], *(tick for tick in ticks if span[0] < tick < span[1]), span[1]]
    assert np.diff(during).max() < (span[1] - span[0]) / 2


# ---- visualize ---------------------------------------------------------------------------------


@pytest.fixture
def pyplot(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib", reason="visualize needs matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: shown.append(True))
    shown = pyplot.shown = []
    yield pyplot
    del pyplot.shown
    pyplot.close("all")


@pytest.mark.parametrize("options", [{}, FULL, {"overlay": False, "polarity": "negative"}])
def test_visualize(pyplot, options):
    image, gradients = photograph_like((31, 29)), attributions_like((31, 29), 1)
    attributions = attributions_like((31, 29), 2)
    figure = OURS.visualize(image, gradients, attributions, **options)
    assert pyplot.shown == [True]
    width, height = figure.get_size_inches()
    assert width == pytest.approx(15)
    assert height < 8
    titles = ["Input", "Normal gradients", "Integrated gradients"]
    assert [panel.get_title() for panel in figure.axes] == titles
    expected = [image] + [
        SEED.process_grads(image, a, **options).astype(np.uint8) for a in (gradients, attributions)
    ]
    for panel, picture in zip(figure.axes, expected, strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), picture)


def test_visualize_without_showing(pyplot):
    image, attributions = photograph_like((31, 29)), attributions_like((31, 29))
    figure = OURS.visualize(image, attributions, attributions, figsize=(5, 3), show=False)
    assert pyplot.shown == []
    width, height = figure.get_size_inches()
    assert width == pytest.approx(5)
    assert height < 3


def test_visualize_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        OURS.visualize(IMAGE, MAP, MAP)
