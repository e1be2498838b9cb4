"""ROAD: imputation against the authors' system of equations, and the scores of its pictures."""

import tracemalloc

import numpy as np
import pytest
from analytic import Polynomial, Wave, pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse import linalg

import intgrad
from intgrad import _core, metrics

SHAPE = (12, 10, 3)
CLOSE = 0.02  # of 255
NEIGHBOURS = {
    (y, x): 1 / 6 if y == 0 or x == 0 else 1 / 12 for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x
}


def solve(picture, missing):
    """Return what the authors' NoisyLinearImputer makes of a picture, without its noise.

    A missing pixel is the weighted mean of those of its 8 neighbours that are in the picture.
    """
    height, width, channels = picture.shape
    places = np.argwhere(missing)
    if not len(places):
        return np.float64(picture)
    number = {tuple(place): k for k, place in enumerate(places.tolist())}
    system = sparse.lil_matrix((len(places), len(places)))
    known = np.zeros((len(places), channels))
    for (y, x), k in number.items():
        for (down, right), weight in NEIGHBOURS.items():
            there = (y + down, x + right)
            if not (0 <= there[0] < height and 0 <= there[1] < width):
                continue
            system[k, k] += weight
            if there in number:
                system[k, number[there]] -= weight
            else:
                known[k] += weight * np.float64(picture[there])
    solved = np.float64(picture)
    solved[missing] = linalg.spsolve(system.tocsc(), known).reshape(len(places), channels)
    return solved


def check(picture, missing):
    found = _core.impute(picture, missing)
    assert found.dtype == np.float32
    assert found.flags.writeable
    expected = solve(np.array(picture, np.float32), np.asarray(missing) != 0)
    size = max(255, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, atol=CLOSE / 255 * size)
    kept = ~(np.asarray(missing) != 0)
    np.testing.assert_array_equal(found[kept], np.float32(picture)[kept])
    return found


def mask(shape, share, seed=0):
    missing = np.random.default_rng(seed).random(shape[:2]) < share
    missing[0, 0] = False
    return missing


# ---- The kernel ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    channels=st.integers(1, 4),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_imputation_solves_the_authors_system(height, width, channels, share, seed):
    shape = (height, width, channels)
    check(pixels(shape, seed), mask(shape, share, seed))


@pytest.mark.parametrize(
    "shape", [(1, 2, 1), (2, 1, 1), (1, 300, 3), (300, 1, 3), (2, 2, 3), (2, 40, 1), (40, 32, 3)]
)
@pytest.mark.parametrize("known", ["one", "two ends", "a frame"])
def test_few_known_pixels(shape, known):
    missing = np.ones(shape[:2], bool)
    missing[0, 0] = False
    if known != "one":
        missing[-1, -1] = False
    if known == "a frame":
        missing[[0, -1]] = False
        missing[:, [0, -1]] = False
    picture = pixels(shape)
    found = check(picture, missing)
    if known == "one":
        np.testing.assert_allclose(found, np.broadcast_to(picture[0, 0], shape), atol=CLOSE)


PICTURE, MISSING = pixels((11, 14, 3)), mask((11, 14), 0.6, 1)


@pytest.mark.parametrize(
    ("picture", "missing"),
    [
        (PICTURE[::-1, ::2], MISSING[:, ::2]),
        (PICTURE.transpose(1, 0, 2), MISSING.T),
        (PICTURE.astype(">f4"), MISSING),
        (PICTURE.astype(np.uint8), MISSING),
        (PICTURE.astype(np.float16), MISSING),
        (np.full((5, 6, 1), 7, np.float32), MISSING[:5, :6]),
        (np.zeros((5, 6, 2), np.float32), MISSING[:5, :6]),
        (PICTURE * np.float32(1e34), MISSING),
        (PICTURE * np.float32(1e-34), MISSING),
        (PICTURE - 200, MISSING),
        (PICTURE[..., :1], MISSING),
        (pixels((11, 14, 7)), MISSING),
    ],
)
def test_any_arrays(picture, missing):
    picture, missing = picture.copy(order="K"), missing.copy(order="K")
    picture.setflags(write=False)
    missing.setflags(write=False)
    check(picture, missing)


def test_nothing_missing_is_the_picture():
    np.testing.assert_array_equal(_core.impute(PICTURE, np.zeros((11, 14), bool)), PICTURE)


def test_imputed_values_are_between_those_that_are_known():
    found = _core.impute(PICTURE, MISSING)
    known = PICTURE[~MISSING]
    assert (found >= known.min(axis=0) - CLOSE).all()
    assert (found <= known.max(axis=0) + CLOSE).all()


def test_the_way_of_writing_the_rim_matters():
    """Weights beyond the picture are left out, as in the authors' code, and not set to black."""
    picture = np.full((6, 6, 1), 200, np.float32)
    np.testing.assert_allclose(check(picture, mask((6, 6), 0.9)), 200, atol=CLOSE)


@pytest.mark.parametrize(
    ("picture", "missing", "kind", "text"),
    [
        (PICTURE, np.ones((11, 14), bool), ValueError, "all pixels are missing"),
        (PICTURE, MISSING[:10], ValueError, r"missing must be \(11, 14\), got \(10, 14\)"),
        (PICTURE, MISSING.T, ValueError, r"got \(14, 11\)"),
        (PICTURE, MISSING[0], ValueError, "too (small depth|deep)"),
        (PICTURE[0], MISSING, ValueError, "too (small depth|deep)"),
        (PICTURE[None], MISSING, ValueError, "too (small depth|deep)"),
        (PICTURE[:0], MISSING[:0], ValueError, "picture|missing"),
        (np.where(PICTURE > 250, np.nan, PICTURE), MISSING, ValueError, "picture .*finite"),
        (np.where(PICTURE > 250, np.inf, PICTURE), MISSING, ValueError, "picture .*finite"),
        (PICTURE + 1j, MISSING, TypeError, "complex|cast"),
        (PICTURE.astype(float), MISSING, TypeError, "cast"),
        (PICTURE, MISSING.astype(float), TypeError, "cast|bool"),
    ],
)
def test_what_is_wrong_is_said(picture, missing, kind, text):
    with pytest.raises(kind, match=text):
        _core.impute(picture, missing)


# ---- The metric ----------------------------------------------------------------------------------


def saliency(shape=SHAPE, seed=7):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def remove(values, fraction, order):
    """Return which pixels go: so many, by a descending or an ascending order."""
    places = np.argsort(values.ravel(), kind="stable")
    places = places[::-1] if order == "most" else places
    gone = np.zeros(values.size, bool)
    gone[places[: int(values.size * fraction)]] = True
    return gone.reshape(values.shape)


@pytest.mark.parametrize("order", ["most", "least"])
@pytest.mark.parametrize("fractions", [None, (0.05, 0.5, 0.99)])
def test_road_without_noise_is_that_of_numpy(order, fractions):
    model = intgrad.load_model(Polynomial(1, SHAPE, scale=2e-3), output="logit")
    images, maps = pixels((2, *SHAPE)), saliency((2, *SHAPE))
    options = {"order": order, "noise": 0} | ({"fractions": fractions} if fractions else {})
    found = metrics.road(model, images, maps, [1, 2], **options)
    fractions = fractions or np.arange(1, 10) / 10
    for k in range(2):
        values = np.float64(maps[k]).sum(axis=2)
        pictures = [solve(images[k], remove(values, part, order)) for part in fractions]
        expected = model.predict(np.float32(pictures))[:, k + 1]
        np.testing.assert_allclose(found.curves[k], expected, rtol=1e-3)
        assert found.values[k] == pytest.approx(found.curves[k].mean(), rel=1e-12)
    np.testing.assert_allclose(found.fractions, fractions)
    assert found.higher_is_better == (order == "least")
    assert np.isnan(found.area)  # a curve without ends
    assert order in found.convention


def test_noise_is_a_share_of_the_range_and_only_where_pixels_went(watch):
    model, watched = watch(Wave(SHAPE), shape=SHAPE)
    image, values = pixels(SHAPE), saliency(SHAPE[:2])
    gone = remove(values, 0.5, "most")
    metrics.road(model, image, values, 0, fractions=[0.5], noise=0)
    (clean,) = watched.pictures
    noise = []
    for seed in range(60):
        watched.forget()
        metrics.road(model, image, values, 0, fractions=[0.5], noise=0.1, seed=seed)
        np.testing.assert_array_equal(watched.pictures[0][~gone], image[~gone])
        noise.append((watched.pictures[0] - clean)[gone])
    noise = np.array(noise) / 25.5
    assert noise.std() == pytest.approx(1, abs=4 / np.sqrt(2 * noise.size))
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    # Channels and pixels have their own.
    flat = noise.transpose(2, 0, 1).reshape(3, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(3)).max() < 4 / np.sqrt(flat.shape[1])
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 4 / np.sqrt(noise.size)


def test_seeds_repeat_and_differ():
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    found = [
        metrics.road(model, pixels(SHAPE), saliency(), 0, noise=0.3, seed=seed).values[0]
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


def test_the_first_image_alone_is_that_of_many():
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    images, maps = pixels((3, *SHAPE)), saliency((3, *SHAPE))
    together = metrics.road(model, images, maps, 0)
    alone = metrics.road(model, images[0], maps[0], 0)
    np.testing.assert_array_equal(together.curves[0], alone.curves[0])


def test_the_order_of_maps_is_that_of_theory(fair):
    """True contributions of bright pixels on a dark ground are the first to be missed."""
    function = fair(SHAPE)
    image = np.full(SHAPE, 20, np.float32)
    image[3:8, 3:7] = 240
    true = function.weights * image
    model = intgrad.load_model(function)
    means = {
        name: metrics.road(model, image, values, 0, fractions=[0.2, 0.3]).mean
        for name, values in {"true": true, "random": saliency(), "inverted": -true}.items()
    }
    assert means["true"] < means["random"] < means["inverted"]
    least = metrics.road(model, image, true, 0, order="least", fractions=[0.2, 0.3])
    assert least.mean == pytest.approx(means["inverted"], rel=0.02)


# ---- Other packages ------------------------------------------------------------------------------


def test_quantus_counts_hits_and_not_probabilities(fair):
    """Its ROAD is 0 or 1 for a picture: whether the target is still the top class, with no lot.

    The paper's accuracy is that, over a data set; the probability tells single images apart.
    """
    model, image = intgrad.load_model(fair(SHAPE)), pixels(SHAPE)
    found = metrics.road(model, image, saliency(), 0)
    hits = found.curves[0] > 0.5
    assert set(np.float64(hits)) <= {0.0, 1.0}
    assert 0 < found.values[0] < 1
    assert len(np.unique(found.curves[0])) == 9


def test_memory_does_not_grow_with_fractions():
    model = intgrad.load_model(Wave(SHAPE), output="logit")
    image, peaks = pixels(SHAPE), []
    for count in (8, 80):
        fractions = np.linspace(0.1, 0.9, count).tolist()
        tracemalloc.start()
        metrics.road(model, image, pixels(SHAPE, 3), 1, fractions=fractions, batch_size=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 16 * image.nbytes
