"""xrai: the ranking of regions against its definition in exact fractions, and the authors' code."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import intgrad
from intgrad import _core

SHAPE = (6, 8)
HALVES = np.arange(48).reshape(SHAPE) % 8 // 4
MAP = np.arange(48.0).reshape(SHAPE)


def expect(values, masks, least=1, area=1.0, is_fast=False):
    """Return (labels, densities, segments) by the paper's definition, summed without rounding."""
    exact = [Fraction(value) for value in values.ravel().tolist()]

    def density(mask):
        places = np.flatnonzero(mask)
        return float(sum(exact[p] for p in places)) / len(places) if len(places) else -np.inf

    free, taken = np.ones(values.shape, bool), []
    first = [density(mask) for mask in masks]
    while 1 - free.mean() <= area:
        left = [k for k, mask in enumerate(masks) if (mask & free).sum() >= least]
        if not left:
            break
        gains = {k: first[k] if is_fast else density(masks[k] & free) for k in left}
        best = max(gains, key=gains.get)  # the first of equals
        taken.append((masks[best] & free, best))
        free &= ~masks[best]
    taken.sort(key=lambda region: -density(region[0]))
    regions = taken + ([(free, -1)] if free.any() else [])
    labels = sum(rank * mask for rank, (mask, _) in enumerate(regions))
    return labels, [density(mask) for mask, _ in regions], [k for _, k in regions]


def check(values, masks, **options):
    """Compare with the definition, to the last bit."""
    named = {"min_pixel_diff": options.get("least", 1)}
    if options.get("is_fast"):
        named["algorithm"] = "fast"
    elif "area" in options:
        named["area_threshold"] = options["area"]
    heat, ranking = intgrad.xrai(values, segments=masks, return_info=True, **named)
    labels, densities, segments = expect(values, masks, **options)
    np.testing.assert_array_equal(ranking.labels, labels)
    np.testing.assert_array_equal(ranking.segments, segments)
    covered = slice(len(segments) - (-1 in segments))  # the rest's mean is NumPy's
    np.testing.assert_array_equal(ranking.densities[covered], densities[covered])
    np.testing.assert_allclose(ranking.densities, densities, rtol=1e-12, atol=0)
    np.testing.assert_array_equal(ranking.pixels, np.bincount(labels.ravel()))
    np.testing.assert_array_equal(heat, ranking.densities.astype(np.float32)[labels], strict=True)
    return ranking


shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=7)
tied = st.integers(-4, 4).map(float)
wide = st.floats(-1e6, 1e6, width=32).filter(lambda value: value == 0 or abs(value) > 1e-15)


@st.composite
def problems(draw, values):
    shape = draw(shapes)
    masks = hnp.arrays(np.bool_, shape)
    return draw(hnp.arrays(np.float64, shape, elements=values)), draw(
        st.lists(masks, min_size=2, max_size=8)
    )


@pytest.mark.parametrize("is_fast", [False, True])
@given(problems(st.one_of(tied, wide)), st.integers(1, 5), st.floats(0, 1))
@settings(deadline=None)
def test_the_definition(is_fast, problem, least, area):
    values, masks = problem
    assume(max(mask.sum() for mask in masks) >= least)
    check(values, masks, least=least, area=1.0 if is_fast else area, is_fast=is_fast)


def test_sums_do_not_depend_on_what_was_taken_before():
    """The last two are left with the same pixels: a sum that rounds would prefer the second."""
    values = np.float32([[1e8, 1e8 / 3, 1e-8, 1e-8 / 3]]).astype(np.float64)
    masks = [np.array([bits], bool) for bits in ([1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 1, 1])]
    assert check(values, masks).segments.tolist() == [0, 1]
    assert check(values, [masks[0], masks[2], masks[1]]).segments.tolist() == [0, 1]


@pytest.mark.parametrize(
    "scale", [5e-324, 1e-310, 1e-30, 1.0, 3e38 / 47], ids=lambda scale: f"{scale:g}"
)
def test_the_unit_does_not_matter(scale):
    masks = [HALVES == 0, HALVES == 1, MAP > 30, MAP % 5 == 0]
    _, ranking = intgrad.xrai(scale * MAP, segments=masks, min_pixel_diff=1, return_info=True)
    expected = check(MAP, masks)
    np.testing.assert_array_equal(ranking.labels, expected.labels)
    np.testing.assert_allclose(ranking.densities / scale, expected.densities, atol=1.0)
    if scale >= 1e-30:
        np.testing.assert_allclose(ranking.densities / scale, expected.densities, rtol=1e-15)


@pytest.mark.parametrize(
    "array",
    [
        MAP[::-1, ::-1],
        np.asfortranarray(MAP),
        np.repeat(MAP, 2, axis=1)[:, ::2],
        MAP.astype(">f8"),
        MAP.astype(np.float32),
        MAP.astype(np.int16),
        np.zeros(SHAPE),
        np.full(SHAPE, -0.1),
        MAP.tolist(),
    ],
)
def test_any_real_array(array):
    values = np.asarray(array)
    values.setflags(write=False)
    masks = [HALVES == 0, MAP > 30, MAP % 5 == 0]
    heat = intgrad.xrai(array, segments=masks, min_pixel_diff=1)
    labels, densities, _ = expect(values.astype(np.float64), masks)
    np.testing.assert_allclose(heat, np.float32(densities)[labels], rtol=1e-6)


def test_the_largest_over_the_channels_counts():
    stack = np.stack([MAP, 50 - MAP, -MAP], axis=-1)
    found = intgrad.xrai(stack, segments=HALVES, min_pixel_diff=1)
    largest = np.maximum(MAP, 50 - MAP)
    np.testing.assert_array_equal(found, intgrad.xrai(largest, segments=HALVES, min_pixel_diff=1))


def test_label_maps_are_all_their_masks():
    rows = np.arange(48).reshape(SHAPE) // 16 * 7 + 2
    masks = [rows == 2, rows == 9, rows == 16, MAP % 5 == 0, HALVES == 0, HALVES == 1]
    expected = check(MAP, masks)
    for segments in [
        [rows, MAP % 5 == 0, HALVES],
        (rows.astype(np.uint8), MAP % 5 == 0, HALVES.astype(">i8")),
        iter([rows, MAP % 5 == 0, HALVES]),
    ]:
        _, ranking = intgrad.xrai(MAP, segments=segments, min_pixel_diff=1, return_info=True)
        np.testing.assert_array_equal(ranking.labels, expected.labels)
        np.testing.assert_array_equal(ranking.segments, expected.segments)
    _, alone = intgrad.xrai(MAP, segments=rows, min_pixel_diff=1, return_info=True)
    np.testing.assert_array_equal(alone.labels, 2 - rows // 7)
    stacked = intgrad.xrai(MAP, segments=np.stack([rows, HALVES]), min_pixel_diff=1)
    np.testing.assert_array_equal(
        stacked, intgrad.xrai(MAP, segments=[rows, HALVES], min_pixel_diff=1)
    )


def test_the_ranking():
    masks = [HALVES == 1, MAP >= 40, MAP < 8]
    ranking = check(MAP, masks)
    assert ranking.segments.tolist() == [1, 0, 2, -1]
    assert ranking.pixels.tolist() == [8, 20, 4, 16]
    assert repr(ranking) == "<intgrad Ranking: 4 regions, densities 1.5 to 43.5>"
    for area, regions in [(0, 0), (0.01, 1), (8 / 48, 1), (0.2, 2), (32 / 48, 3), (1, 4)]:
        np.testing.assert_array_equal(ranking.top(area), ranking.labels < regions)
    for area, kind in [
        (-0.1, ValueError),
        (1.1, ValueError),
        (np.nan, ValueError),
        (None, TypeError),
    ]:
        with pytest.raises(kind, match=f"area must be .*0..1, got {area}"):
            ranking.top(area)


def test_what_covers_nothing_or_too_little_is_left_out():
    masks = [HALVES == 0, np.zeros(SHAPE, bool), MAP == 47, HALVES == 1]
    assert check(MAP, masks, least=2).segments.tolist() == [3, 0]
    assert check(MAP, masks, least=1).segments.tolist() == [2, 3, 0]


# ---- The authors' code -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authors():
    return pytest.importorskip("saliency.core.xrai", reason="the authors' code is saliency")


@pytest.fixture(scope="module")
def skimage():
    return pytest.importorskip("skimage", reason="images are cut by scikit-image")


def photograph(skimage, name):
    image = getattr(skimage.data, name)()
    channels = image if image.ndim == 3 else image[..., np.newaxis]
    return skimage.transform.resize(channels, (150, 200), preserve_range=True)


@pytest.fixture(scope="module", params=["chelsea", "coffee", "camera"])
def cut(request, authors, skimage):
    """A photograph, and the authors' segments of it."""
    image = photograph(skimage, request.param)
    return image, authors._get_segments_felzenszwalb(image)


def ask(authors, values, masks, algorithm="full", min_pixel_diff=50, area_threshold=1.0):
    """Return the authors' (map, ranks from 1 on), in float64."""
    run = authors.XRAI._xrai if algorithm == "full" else authors.XRAI._xrai_fast
    return run(
        values.astype(np.float64), masks, area_perc_th=area_threshold, min_pixel_diff=min_pixel_diff
    )


@pytest.mark.parametrize("algorithm", ["full", "fast"])
@given(problem=problems(tied), least=st.integers(1, 5), area=st.floats(0, 1))
@settings(deadline=None)
def test_the_authors_ranking(authors, algorithm, problem, least, area):
    """Whole numbers, whose sums do not round in their code either."""
    values, masks = problem
    assume(max(mask.sum() for mask in masks) >= least)
    options = {"algorithm": algorithm, "min_pixel_diff": least}
    if algorithm == "full":
        options["area_threshold"] = area
    heat, ranking = intgrad.xrai(values, segments=masks, return_info=True, **options)
    found, ranks = ask(authors, values, masks, **options)
    np.testing.assert_array_equal(ranking.labels + 1, ranks)
    np.testing.assert_array_equal(heat, found.astype(np.float32))


@pytest.mark.parametrize(
    "options",
    [{}, {"algorithm": "fast"}, {"area_threshold": 0.3}, {"min_pixel_diff": 1}],
    ids=str,
)
def test_the_authors_ranking_of_a_photograph(authors, cut, options):
    image, masks = cut
    attributions = np.float32(np.random.default_rng(1).standard_normal((150, 200, 3)) ** 3)
    heat, ranking = intgrad.xrai(attributions, image, return_info=True, **options)
    found, ranks = ask(authors, attributions.max(axis=2), masks, **options)
    np.testing.assert_array_equal(ranking.labels + 1, ranks)
    np.testing.assert_allclose(heat, found, rtol=1e-6)
    np.testing.assert_array_equal(intgrad.xrai(attributions, segments=masks, **options), heat)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32])
def test_the_authors_segments(authors, skimage, dtype):
    image = photograph(skimage, "coffee").astype(dtype)
    ours = list(intgrad.attribution.segmentation.cut_for_xrai(image))
    np.testing.assert_array_equal(ours, authors._get_segments_felzenszwalb(image))


def test_the_range_of_the_image_does_not_matter(skimage):
    image = photograph(skimage, "coffee")
    attributions = np.random.default_rng(1).standard_normal((150, 200))
    heat = intgrad.xrai(attributions, image)
    np.testing.assert_array_equal(intgrad.xrai(attributions, image / 256), heat)


def test_five_channels(skimage):
    image = np.repeat(photograph(skimage, "camera"), 5, axis=2)
    heat, ranking = intgrad.xrai(image[..., 0] / 255, image, return_info=True)
    assert heat.shape == (150, 200)
    assert len(ranking) > 5


# ---- What is wrong -----------------------------------------------------------------------------

NAN, INF = MAP.copy(), MAP.copy()
NAN[2, 3], INF[0, 1] = np.nan, -np.inf
IMAGE = np.stack([MAP] * 3, axis=-1)
BROKEN = IMAGE.copy()
BROKEN[1, 2, 0] = np.inf

WRONG = [
    (
        {"attributions": NAN},
        ValueError,
        "attributions must be finite, .* got nan at row 2, column 3",
    ),
    ({"attributions": INF}, ValueError, "got -inf at row 0, column 1"),
    (
        {"attributions": MAP * 1e38},
        ValueError,
        "at most 3.4e38 in magnitude, got 4e.38 at row 0, c",
    ),
    ({"attributions": MAP[0]}, ValueError, r"shape \(H, W, C\) or \(H, W\).*, got \(8,\)"),
    ({"attributions": IMAGE[None]}, ValueError, r"got \(1, 6, 8, 3\): one image at a time"),
    ({"attributions": MAP[:0]}, ValueError, r"not be empty, got \(0, 8\)"),
    ({"attributions": MAP + 1j}, TypeError, "attributions must be real numbers, got dtype complex"),
    ({"segments": 8}, TypeError, "segments must be masks of bool, or label maps .*, got 8"),
    ({"segments": "slic"}, TypeError, "segments must be masks of bool, .*, got 'slic'"),
    ({"segments": []}, ValueError, "segments must be several, to be ranked, got 0"),
    ({"segments": [HALVES == 0]}, ValueError, "segments must be several, to be ranked, got 1"),
    ({"segments": HALVES == 0}, ValueError, "segments must be several, to be ranked, got 1"),
    ({"segments": HALVES * 0}, ValueError, "segments must be several, to be ranked, got 1"),
    ({"segments": [HALVES, -HALVES]}, ValueError, r"segments\[1\] must not hold negative .* -1"),
    ({"segments": [HALVES, MAP]}, TypeError, r"segments\[1\] must be a map of whole .* float64"),
    ({"segments": HALVES.T}, ValueError, r"segments\[0\] must have shape \(6, 8\), got \(8, 6\)"),
    ({"segments": [HALVES, HALVES[0]]}, ValueError, r"segments\[1\] must have shape .* got \(8,\)"),
    ({"segments": None}, TypeError, "needs an image to cut into segments, or segments=, and got n"),
    ({"segments": None, "image": MAP}, ValueError, r"image must have shape \(H, W, C\).*\(6, 8\)$"),
    ({"segments": None, "image": IMAGE[1:]}, ValueError, r"\(6, 8\), got \(5, 8, 3\)"),
    (
        {"segments": None, "image": IMAGE > 3},
        TypeError,
        "image must be real numbers, got dtype bool",
    ),
    ({"segments": None, "image": BROKEN}, ValueError, r"must be finite, got inf at \(1, 2, 0\)"),
    ({"segments": None, "image": IMAGE * 0 + 7}, ValueError, "image is 7.0 everywhere"),
    ({"min_pixel_diff": 25}, ValueError, "min_pixel_diff=25 leaves out all of 2 .* has 24 pixels"),
    ({"min_pixel_diff": 0}, ValueError, "min_pixel_diff must be at least 1, got 0"),
    ({"min_pixel_diff": 1.5}, TypeError, "min_pixel_diff must be an int, got 1.5"),
    ({"area_threshold": 1.5}, ValueError, r"area_threshold must be in 0..1, got 1.5"),
    ({"area_threshold": -1}, ValueError, r"area_threshold must be in 0..1, got -1"),
    ({"area_threshold": "all"}, TypeError, r"area_threshold must be a number in 0..1, got 'all'"),
    ({"algorithm": "slow"}, ValueError, "algorithm must be 'full' or 'fast', got 'slow'"),
    (
        {"algorithm": "fast", "area_threshold": 0.5},
        ValueError,
        "area_threshold=0.5 is for .*'full'",
    ),
]


@pytest.mark.parametrize(("options", "kind", "text"), WRONG)
def test_what_is_wrong_is_said(options, kind, text):
    asked = {"attributions": MAP, "segments": HALVES, "min_pixel_diff": 1} | options
    with pytest.raises(kind, match=text):
        intgrad.xrai(**asked)


@pytest.mark.parametrize(
    ("starts", "runs"),
    [
        ([0], []),
        ([1, 1], [[0, 3]]),
        ([0, 2], [[0, 3]]),
        ([0, 2, 1], [[0, 3]]),
        ([0, -1, 1], [[0, 3]]),
        ([0, 5, 1], [[0, 3]]),
        ([0, 1], [[3, 3]]),
        ([0, 1], [[3, 2]]),
        ([0, 1], [[-1, 2]]),
        ([0, 1], [[40, 49]]),
        ([0, 2], [[0, 3], [2, 4]]),
        ([0, 2], [[5, 6], [2, 4]]),
        ([0, 1], [[0, 3, 4]]),
    ],
)
def test_the_core_looks_at_segments_itself(starts, runs):
    runs = np.array(runs, np.int32).reshape(-1, len(runs[0]) if runs else 2)
    with pytest.raises(ValueError, match="starts must begin with 0"):
        _core.xrai(MAP, np.array(starts), runs, 1, 1.0, False)


def test_without_scikit_image_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(ImportError, match=r"pip install scikit-image .*'intgrad\[segments\]'"):
        intgrad.xrai(MAP, IMAGE)
