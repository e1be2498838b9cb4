"""AIC and SIC: those of PAIR's own code on the same pictures and the same masks."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

import intgrad
from intgrad import metrics
from intgrad.metrics.information import THRESHOLDS, blur, draw_mask

pytestmark = pytest.mark.unsanitized

SHAPE = (24, 20, 3)


class Sharp:
    """Scores grow with what a blur takes away; no gradient is asked for."""

    def __init__(self, scale=0.12, middle=20.0):
        self.scale, self.middle = scale, middle

    def __call__(self, batch, targets):
        x = batch.astype(np.float64)
        rough = np.abs(np.diff(x, axis=1)).mean((1, 2, 3)) + np.abs(np.diff(x, axis=2)).mean(
            (1, 2, 3)
        )
        scores = np.stack([0 * rough, self.scale * (rough - self.middle), -1 + 0 * rough], axis=1)
        return scores, np.zeros_like(batch)


def drawing(seed, image):
    """Return what draws for an image: it goes by its pixels."""
    return np.random.default_rng([seed, zlib.crc32(np.float32(image).tobytes())])


def photograph(seed, shape=SHAPE):
    """Rough in a part, as photographs are, which compresses to less where it is smooth."""
    rng = np.random.default_rng(seed)
    image = np.full(shape, rng.integers(40, 200), np.float64)
    image += np.linspace(0, 30, shape[1])[:, None]
    height, width = shape[0] // 2, shape[1] // 2
    top, left = rng.integers(shape[0] - height), rng.integers(shape[1] - width)
    image[top : top + height, left : left + width] += rng.uniform(-150, 150, (height, width, 1))
    return image.clip(0, 255).astype(np.uint8)


def saliency(seed, shape=SHAPE[:2]):
    return np.random.default_rng(seed).permutation(shape[0] * shape[1]).reshape(shape) / 7.0


@pytest.fixture
def pic(monkeypatch):
    """PAIR's code, mended where it calls what NumPy 2.4 no longer has."""
    module = pytest.importorskip("saliency.metrics.pic", reason="the authors' code is saliency")
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)
    return module


def ask(pic, model, image, values, mask, metric="sic", target=1, least=0.0, **options):
    def predict(batch):
        scores = model.predict(np.float32(batch if batch.ndim == 4 else batch[..., None]))
        if metric == "sic":
            return scores[:, target]
        return np.float64(scores.argmax(axis=1) == target)

    return pic.compute_pic_metric(
        image, values, mask, predict, THRESHOLDS, min_pred_value=least, **options
    )


# ---- PAIR ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_monotonous", [True, False])
@pytest.mark.parametrize("metric", ["aic", "sic"])
def test_curves_are_those_of_pair(pic, metric, keep_monotonous):
    model, seed = intgrad.load_model(Sharp(), output="logit"), 5
    images = np.stack([photograph(k) for k in range(6)])
    maps = np.stack([saliency(k) for k in range(6)])
    found = getattr(metrics, metric)(
        model,
        np.float32(images),
        maps,
        1,
        **({"least_probability": 0} if metric == "sic" else {}),
        keep_monotonous=keep_monotonous,
        seed=seed,
    )
    results = []
    for k, image in enumerate(images):
        mask = draw_mask(SHAPE[:2], drawing(seed, image))
        options = {"metric": metric, "keep_monotonous": keep_monotonous}
        try:
            theirs = ask(pic, model, image, maps[k], mask, **options)
        except pic.ComputePicMetricError:
            assert np.isnan(found.values[k])
            assert k in found.notes
            continue
        results.append(theirs)
        np.testing.assert_allclose(found.curves[k], theirs.curve_y, atol=1e-6)
        assert found.values[k] == pytest.approx(theirs.auc, abs=1e-6)
        np.testing.assert_allclose(found.fractions, theirs.curve_x, atol=1e-12)
    assert len(results) >= 4
    together = pic.aggregate_individual_pic_results(results)
    np.testing.assert_allclose(found.curve, together.curve_y, atol=1e-6)
    assert found.area == pytest.approx(together.auc, abs=1e-6)
    assert found.mean == pytest.approx(np.mean([result.auc for result in results]), abs=1e-6)


@pytest.mark.parametrize("shape", [(24, 20, 1), (9, 33, 3), (31, 17, 3), (41, 5, 1)])
def test_other_shapes_and_grey(pic, shape):
    """PAIR's grey pictures have no axis of channels."""
    model = intgrad.load_model(Sharp(), output="logit")
    image, values = photograph(3, shape), saliency(4, shape[:2])
    found = metrics.sic(model, np.float32(image), values, 1, least_probability=0)
    flat = image[..., 0] if shape[2] == 1 else image
    theirs = ask(pic, model, flat, values, draw_mask(shape[:2], drawing(0, image)))
    np.testing.assert_allclose(found.curves[0], theirs.curve_y, atol=1e-6)


def test_pictures_are_those_of_pair(pic, watch):
    model, watched = watch(Sharp(), shape=SHAPE)
    image, values = photograph(1), saliency(1)
    metrics.sic(model, np.float32(image), values, 1, least_probability=0)
    pictures, seen = watched.pictures, watched.pictures.copy()
    theirs = ask(pic, model, image, values, draw_mask(SHAPE[:2], drawing(0, image)))
    del pictures[:]
    assert len(seen) == len(THRESHOLDS) + 2
    expected = [theirs.blurred_images[-1], *theirs.blurred_images[:-1]]
    np.testing.assert_array_equal(np.array(seen), np.array(expected))


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 999),
)
def test_blurs_are_those_of_pair(height, width, share, seed):
    pic = pytest.importorskip("saliency.metrics.pic", reason="the authors' code is saliency")
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    known = rng.random((height, width)) < share
    expected = pic.create_blurred_image(image, known)
    found = blur(np.float32(image), known)
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=60)
@given(last=st.integers(3, 500), seed=st.integers(0, 99))
def test_as_many_pixels_are_revealed_as_pair_does(last, seed):
    """PAIR: those at or above a quantile, which is between two values."""
    values = np.float64(np.random.default_rng(seed).permutation(last + 1)).reshape(1, -1)
    pictures = metrics.information.SIC(THRESHOLDS, 0, True, "sum", 0)
    known = np.zeros(values.shape, bool)
    ranks = metrics.ranking.rank(values, 0)
    revealed = []

    def look(image, mask):
        revealed.append(mask.copy())
        return np.zeros((1, last + 1, 3), np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics.information, "blur", look)
        pictures._reveal(np.zeros((1, last + 1, 3), np.float32), known, ranks, 0, 99)
    for threshold, mask in zip(THRESHOLDS, revealed, strict=True):
        np.testing.assert_array_equal(mask, values >= np.quantile(values, 1 - threshold))


def test_masks_are_a_hundredth_of_the_pixels_and_the_corners():
    mask, again, other = (draw_mask((60, 50), np.random.default_rng(k)) for k in (3, 3, 4))
    assert mask[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert 30 <= mask.sum() <= 34
    np.testing.assert_array_equal(mask, again)
    assert (mask != other).any()
    assert draw_mask((1, 1), np.random.default_rng(0)).all()


# ---- What PAIR leaves out ------------------------------------------------------------------------


def test_equals_are_not_revealed_together(pic, watch):
    """PAIR reveals all that equal the quantile, be it the whole picture: its curve is one step."""
    model, watched = watch(Sharp(), shape=SHAPE)
    image = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    values = np.zeros(SHAPE[:2])
    values[3, 4] = -1  # or it were constant
    theirs = ask(pic, model, image, values, draw_mask(SHAPE[:2], drawing(0, image)))
    assert (theirs.blurred_images[1] == image).mean() > 0.99
    watched.forget()
    metrics.sic(model, np.float32(image), values, 1, least_probability=0)
    sharp = [(picture == image).all(axis=2).sum() for picture in watched.pictures[2:]]
    expected = np.array(THRESHOLDS) * image[..., 0].size
    np.testing.assert_allclose(sharp, expected, atol=10)  # and those of the mask


@pytest.mark.parametrize(
    ("image", "function", "least", "note"),
    [
        (np.full(SHAPE, 90), Sharp(), 0, "the blurred picture holds as much information"),
        (photograph(1), Sharp(-0.12), 0, "the blurred picture scores as high"),
        (photograph(1), Sharp(0.001), 0.8, "is below 0.8"),
    ],
)
def test_an_image_that_cannot_be_measured_is_nan_and_says_why(pic, image, function, least, note):
    model, values = intgrad.load_model(function, output="logit"), saliency(1)
    found = metrics.sic(model, np.float32(image), values, 1, least_probability=least)
    assert np.isnan(found.values[0])
    assert note in found.notes[0]
    assert f"image 0: {found.notes[0]}" in found.summary()
    mask = draw_mask(SHAPE[:2], drawing(0, image))
    with pytest.raises(pic.ComputePicMetricError):
        ask(pic, model, np.uint8(image), values, mask, least=least)


def test_aic_of_an_image_of_another_class_is_nan_and_no_probability():
    model = intgrad.load_model(Sharp(), output="logit")
    found = metrics.aic(model, np.float32(photograph(1)), saliency(1), 2)
    assert np.isnan(found.values[0])
    assert "class" in found.notes[0]  # it is not the top one, and not that its probability is 0
    assert "no image has a value" in found.summary()


def test_an_image_without_a_value_does_not_count():
    model = intgrad.load_model(Sharp(), output="logit")
    images = np.float32([np.full(SHAPE, 90), photograph(1)])
    found = metrics.sic(model, images, [saliency(1)] * 2, 1, least_probability=0)
    assert np.isnan(found.curves[0]).all()
    np.testing.assert_array_equal(found.curve, found.curves[1])
    assert found.mean == found.values[1] == pytest.approx(found.area)
    assert np.isnan(found.standard_error)
    assert list(found.notes) == [0]


def test_no_curve_where_no_image_has_a_value():
    model = intgrad.load_model(Sharp(-0.12), output="logit")
    images = np.float32([photograph(1), photograph(2)])
    found = metrics.sic(model, images, [saliency(1)] * 2, 1)
    assert found.curve is None
    assert np.isnan([found.mean, found.area, found.standard_error]).all()
    with pytest.raises(ValueError, match="no image has a curve: .* is below"):
        found.plot()


@pytest.mark.parametrize("shape", [(1, 40, 3), (40, 1, 3)])
def test_a_row_of_pixels_has_no_blur(shape):
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    model = intgrad.load_model(
        lambda b, t: (b.reshape(len(b), -1)[:, :3], np.zeros_like(b)), output="logit"
    )
    found = metrics.sic(model, image, np.arange(40.0).reshape(shape[:2]), 0, least_probability=0)
    assert np.isnan(found.values).all()
    assert "as much information" in found.notes[0]


# ---- Theory, seeds, images -----------------------------------------------------------------------


def test_the_order_of_maps_is_that_of_theory():
    """Of two rough halves, the model looks at the left: that one first needs half of the bytes."""
    image = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.float32)

    def look(batch, targets):
        missed = np.abs(batch - image)[:, :, :10].mean(axis=(1, 2, 3), dtype=np.float64)
        return np.stack([2 - missed / 10, 0 * missed], axis=1), np.zeros_like(batch)

    left = np.where(np.arange(20) < 10, 1.0, 0.0) + saliency(0) / 1000
    model = intgrad.load_model(look, output="logit")
    right_first, random, left_first = (
        np.mean(
            [
                metrics.sic(model, image, values, 0, least_probability=0, seed=seed).mean
                for seed in range(8)
            ]
        )
        for values in (-left, saliency(50), left)
    )
    assert left_first > 2 * max(right_first, random) > 0, (right_first, random, left_first)


def test_a_curve_goes_from_nothing_to_all_and_may_not_fall():
    model = intgrad.load_model(Sharp(), output="logit")
    found = metrics.sic(model, np.float32(photograph(1)), saliency(1), 1, least_probability=0)
    curve = found.curves[0]
    assert curve[-1] == 1
    assert (np.diff(curve) >= 0).all()
    assert ((curve >= 0) & (curve <= 1)).all()
    assert found.values[0] == pytest.approx(integrate.trapezoid(curve, found.fractions))


def test_seeds_repeat_and_differ():
    model, image = intgrad.load_model(Sharp(), output="logit"), np.float32(photograph(1))
    values = [
        metrics.sic(model, image, saliency(1), 1, least_probability=0, seed=seed).values[0]
        for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_pixels_are_rounded_to_whole_numbers(watch):
    model, watched = watch(Sharp(), shape=SHAPE)
    image = photograph(1) + np.random.default_rng(0).uniform(-0.4, 0.4, SHAPE)
    metrics.sic(model, image.clip(0, 255), saliency(1), 1, least_probability=0)
    assert len(watched.pictures) == len(THRESHOLDS) + 2
    np.testing.assert_array_equal(watched.pictures[0], photograph(1))
    np.testing.assert_array_equal(watched.pictures, np.round(watched.pictures))
