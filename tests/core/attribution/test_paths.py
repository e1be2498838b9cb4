"""Paths that are not straight: against plain NumPy, SciPy's blur and PAIR's own code."""

import types

import numpy as np
import pytest
import twin
from analytic import Polynomial, Wave, pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import intgrad
from intgrad import _core

SHAPE = (9, 7, 3)
LABELS = np.arange(63).reshape(9, 7) // 10


def explain(function, images, targets=1, **options):
    model = intgrad.load_model(function, output="logit")
    return intgrad.integrated_gradients(
        model, images, targets, output="logit", return_info=True, **options
    )


def blurred(image, sigma):
    return ndimage.gaussian_filter(np.float64(image), [sigma, sigma, 0], mode="reflect")


# ---- The blur ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(1, 4),
    sigma=st.floats(0, 60),
    seed=st.integers(0, 99),
)
def test_blur_is_scipys(height, width, channels, sigma, seed):
    picture = pixels((height, width, channels), seed)
    np.testing.assert_allclose(_core.blur(picture, sigma), blurred(picture, sigma), atol=2e-5)


@pytest.mark.parametrize(
    "picture",
    [
        pixels((11, 14, 3))[::-1, ::2],
        pixels((11, 14, 3)).transpose(1, 0, 2),
        pixels((11, 14, 3)).astype(">f4"),
        pixels((11, 14, 3)).astype(np.uint8),
        np.full((5, 6, 1), 7, np.float32),
        np.full((3, 4, 1), 1e30, np.float32),
    ],
)
def test_blur_takes_any_array(picture):
    read_only = picture.copy()
    read_only.setflags(write=False)
    expected = blurred(picture, 2.5)
    np.testing.assert_allclose(_core.blur(read_only, 2.5), expected, rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize("sigma", [-1.0, np.nan, np.inf, 1e5])
def test_blur_of_no_sigma(sigma):
    with pytest.raises(ValueError, match="sigma"):
        _core.blur(pixels(SHAPE), sigma)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_blur_of_no_picture(value):
    with pytest.raises(ValueError, match="finite"):
        _core.blur(np.full(SHAPE, value, np.float32), 1.0)


# ---- Polylines -----------------------------------------------------------------------------------


def polyline(function, pictures, target):
    """Integrate along pictures: (attributions, T - T_half, chords' jumps h J)."""
    pictures = np.float64(np.float32(pictures))
    gradients = np.float64(np.float32(function(np.float32(pictures), [target] * len(pictures))[1]))
    moved, mean = np.diff(pictures, axis=0), (gradients[1:] + gradients[:-1]) / 2
    kept = list(range(0, len(pictures), 2))
    kept += [len(pictures) - 1] * (kept[-1] != len(pictures) - 1)
    half = np.diff(pictures[kept], axis=0) * (gradients[kept][1:] + gradients[kept][:-1]) / 2
    total = (moved * mean).sum(axis=0)
    return total, total - half.sum(axis=0), moved * np.diff(gradients, axis=0)


def deviations(difference, jumps):
    """Return the deviations of what has these jumps, for an even number of even intervals."""
    variance = (jumps**2).sum(axis=0) / 12
    return np.sqrt(variance * twin.relative((difference**2).sum() / 3, variance.sum()))


@pytest.mark.parametrize("steps", [2, 8, 32])
@pytest.mark.parametrize("targets", [[1], [2, 0]])
def test_blur_path_is_that_of_numpy(steps, targets):
    function, images = Wave(SHAPE), pixels((2, *SHAPE), 3)
    options = {"path": "blur", "sigma": 4.0, "steps": steps, "error_map": True, "segments": LABELS}
    maps, infos = explain(function, images, [targets] * 2, **options)
    alphas = np.linspace(0, 1, steps + 1)
    for image, row, found in zip(images, infos, maps, strict=True):
        pictures = [blurred(image, 4 * (1 - alpha) ** 2) for alpha in alphas]
        for target, info, map_ in zip(targets, row, found, strict=True):
            total, difference, jumps = polyline(function, pictures, target)
            norm = np.linalg.norm(total)
            np.testing.assert_allclose(map_, total, rtol=1e-4, atol=1e-5 * norm)
            np.testing.assert_allclose(
                info.error * np.linalg.norm(map_),
                np.linalg.norm(difference) / np.sqrt(3),
                rtol=1e-3,
            )
            expected = deviations(difference, jumps)
            np.testing.assert_allclose(info.error_map, expected, rtol=1e-3, atol=1e-5 * norm)
            expected = deviations(difference.mean(axis=2), jumps.mean(axis=3))
            np.testing.assert_allclose(info.pixel_error_map, expected, rtol=1e-3, atol=1e-5 * norm)
            pool = (LABELS.ravel() == np.unique(LABELS)[:, None]).astype(float)
            pooled = jumps.sum(axis=3).reshape(steps, -1) @ pool.T
            parts = difference.sum(axis=2).ravel() @ pool.T
            expected = deviations(parts, pooled)
            np.testing.assert_allclose(
                info.regions.deviations, expected, rtol=1e-3, atol=1e-5 * norm
            )


def test_blur_path_goes_from_the_blurred_image_to_the_image():
    function, image = Polynomial(3, SHAPE), pixels(SHAPE)
    _, info = explain(function, image, path="blur", sigma=3.0, steps=400)
    ends, _ = function(np.float32([blurred(image, 3.0), image]), [1, 1])
    np.testing.assert_allclose([info.baseline_score, info.score], ends[:, 1], rtol=1e-5)
    assert abs(info.delta) < 1e-3 * abs(ends[1, 1] - ends[0, 1])
    assert info.path == "blur"
    assert info.baseline == "blur of 3 pixels"
    assert info.sigma == 3.0
    assert "the image with a blur of 3 pixels" in info.summary()


def test_what_equals_the_blurred_image_may_get_something():
    """On the way it is another colour: a grey frame around a picture."""
    image = np.full((15, 15, 3), 128, np.float32)
    image[5:10, 5:10] = pixels((5, 5, 3))
    _, info = explain(Wave(image.shape), image, path="blur", sigma=1.0)
    assert info.unattributable == 0


def test_blur_of_a_grey_image_is_nothing():
    image = np.full(SHAPE, 100, np.float32)
    with pytest.warns(match="attributions of image 0 are 0"):
        maps, info = explain(Wave(SHAPE), image, path="blur", sigma=2.0)
    assert np.abs(maps).max() < 1e-3 * abs(info.score)


@pytest.mark.parametrize("aim", [{"steps": 64}, {"tolerance": 0.03}])
def test_blur_in_batches_is_that_of_single_images(aim):
    function, images = Wave(SHAPE), pixels((3, *SHAPE), 5)
    options = {"path": "blur", "sigma": 3.0, "error_map": True, **aim}
    together, infos = explain(function, images, [0, 1, 2], batch_size=7, **options)
    for k, image in enumerate(images):
        alone, info = explain(function, image, k, batch_size=1, **options)
        np.testing.assert_allclose(together[k], alone, rtol=1e-5, atol=1e-6 * np.abs(alone).max())
        assert infos[k].evaluations == info.evaluations
        np.testing.assert_array_equal(infos[k].alphas, info.alphas)


@pytest.mark.parametrize("tolerance", [0.1, 0.01])
@pytest.mark.parametrize("whose", ["pixels", "regions"])
def test_blur_to_a_tolerance(tolerance, whose):
    function, image = Wave(SHAPE), pixels(SHAPE, 2)
    true, _ = explain(function, image, path="blur", sigma=3.0, steps=2000)
    maps, info = explain(
        function,
        image,
        path="blur",
        sigma=3.0,
        tolerance=tolerance,
        tolerance_of=whose,
        segments=LABELS,
    )
    said = info.error if whose == "pixels" else info.regions.error
    assert said <= tolerance
    assert 17 <= info.evaluations < 400
    if whose == "pixels":
        assert np.linalg.norm(maps - true) < 2 * tolerance * np.linalg.norm(true)


# ---- The authors' code ---------------------------------------------------------------------------


@pytest.fixture
def pair(monkeypatch):
    """PAIR's Blur IG and Guided IG, mended where they are wrong or fail.

    The first blurs as if all beyond the image were black. The second calls np.quantile by an
    argument that NumPy 2.4 no longer has.
    """
    pytest.importorskip("saliency.core", reason="the authors' code is saliency")
    from saliency.core import blur_ig, guided_ig

    def blur(image, sigma):
        return blurred(image, sigma) if sigma else image

    numpy = types.SimpleNamespace(**{name: getattr(np, name) for name in dir(np)})
    numpy.quantile = lambda values, q, interpolation: np.quantile(values, q, method=interpolation)
    monkeypatch.setattr(blur_ig, "gaussian_blur", blur)
    monkeypatch.setattr(guided_ig, "np", numpy)
    return types.SimpleNamespace(blur=blur_ig.BlurIG(), guided=guided_ig.GuidedIG())


def as_pair(function, target):
    def call(batch, call_model_args=None, expected_keys=None):
        _, gradients = function(np.float32(batch), [target] * len(batch))
        return {"INPUT_OUTPUT_GRADIENTS": np.float32(gradients)}

    return call


@pytest.mark.parametrize(("steps", "sigma"), [(7, 2.0), (50, 5.0), (100, 50.0)])
def test_left_blur_is_pairs(pair, steps, sigma):
    """One picture a batch: with more, all steps of a batch get the width of its last one."""
    function, image = Wave(SHAPE), pixels(SHAPE)
    expected = pair.blur.GetMask(
        np.float64(image), as_pair(function, 1), max_sigma=sigma, steps=steps, batch_size=1
    )
    found, info = explain(function, image, path="blur", rule="left", steps=steps, sigma=sigma)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.linalg.norm(expected))
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)
    assert np.isnan(info.error)
    assert info.evaluations == steps


def test_pairs_blur_in_batches_is_another_sum(pair):
    """Their square-root spacing, where the widths of a batch differ; ours does not batch sums."""
    function, image = as_pair(Wave(SHAPE), 1), np.float64(pixels(SHAPE))
    one, many = (
        pair.blur.GetMask(image, function, max_sigma=5.0, steps=20, sqrt=True, batch_size=size)
        for size in (1, 20)
    )
    assert np.linalg.norm(many - one) > 0.1 * np.linalg.norm(one)


GUIDED = [
    {},
    {"max_distance": 1.0},
    {"fraction": 0.1, "max_distance": 0.3},
    {"fraction": 1.0, "max_distance": 0.05},
]


@pytest.mark.parametrize("options", GUIDED)
@pytest.mark.parametrize("function", [Wave(SHAPE), Polynomial(3, SHAPE)])
@pytest.mark.parametrize("steps", [1, 13, 60])
def test_left_guided_is_pairs(pair, options, function, steps):
    image, baseline = pixels(SHAPE, 1), pixels(SHAPE, 2)
    image[0] = baseline[0]  # where there is nothing to move
    names = {"fraction": "fraction", "max_distance": "max_dist"}
    expected = pair.guided.GetMask(
        image,
        as_pair(function, 1),
        x_baseline=baseline,
        x_steps=steps,
        **{names[name]: value for name, value in options.items()},
    )
    found, info = explain(
        function, image, path="guided", rule="left", steps=steps, baseline=baseline, **options
    )
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)
    assert np.isnan(info.error)
    assert info.evaluations == steps


# ---- Guided paths --------------------------------------------------------------------------------


class Watched:
    """A function that remembers its pictures."""

    def __init__(self, function):
        self.function, self.pictures = function, []

    def __call__(self, batch, targets):
        self.pictures.extend(batch)
        return self.function(batch, targets)


@pytest.mark.parametrize("options", GUIDED)
def test_guided_trapezoid_is_that_of_its_pictures(options):
    function, image, baseline = Watched(Wave(SHAPE)), pixels(SHAPE, 1), pixels(SHAPE, 2)
    maps, info = explain(
        function, image, path="guided", steps=20, baseline=baseline, error_map=True, **options
    )
    pictures = function.pictures[-21:]
    np.testing.assert_array_equal(pictures[0], baseline)
    np.testing.assert_array_equal(pictures[-1], image)
    total, difference, jumps = polyline(function.function, pictures, 1)
    norm = np.linalg.norm(total)
    np.testing.assert_allclose(maps, total, rtol=1e-4, atol=1e-5 * norm)
    np.testing.assert_allclose(
        info.error * norm, np.linalg.norm(difference) / np.sqrt(3), rtol=1e-4
    )
    np.testing.assert_allclose(
        info.error_map, deviations(difference, jumps), rtol=1e-3, atol=1e-5 * norm
    )


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_guided_batches_fill_across_images_baselines_and_targets(batch_size):
    function, images = Wave(SHAPE), pixels((2, *SHAPE), 5)
    stack = pixels((2, *SHAPE), 6)
    options = {"path": "guided", "steps": 12, "baseline": stack[None], "segments": LABELS}
    seen = []

    def watch(batch, targets):
        seen.append(len(batch))
        return function(batch, targets)

    maps, infos = explain(watch, images, [[0, 1, 2], [3, 0, 1]], batch_size=batch_size, **options)
    assert max(seen) == min(batch_size, 12)  # 2 images, 2 baselines, 3 targets
    for i, row in enumerate(infos):
        for t, info in enumerate(row):
            alone, expected = explain(function, images[i], info.target, **options)
            np.testing.assert_array_equal(maps[i, t], alone)
            assert (info.error, info.delta) == (expected.error, expected.delta)
            np.testing.assert_array_equal(info.regions.attributions, expected.regions.attributions)
            assert np.isnan([info.regions.error, *info.regions.deviations]).all()
            assert "how far they are off is unknown" in info.summary()


def test_a_guided_path_that_fails_is_that_of_its_image():
    """Each of an image's targets has a path of its own, and messages count images."""
    images = pixels((3, *SHAPE), 5)

    def function(batch, targets):
        scores, gradients = Wave(SHAPE)(batch, targets)
        at_end = (batch == images[2]).all(axis=(1, 2, 3))
        return scores, np.where(at_end[:, None, None, None], np.nan, gradients)

    with pytest.raises(intgrad.ModelError, match="^image 2, baseline 0, alpha 1: the model's grad"):
        explain(function, images, [[0, 1]] * 3, path="guided", steps=5)


# ---- What means nothing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"path": "curved"}, "path must be one of straight, blur, guided, got 'curved'"),
        ({"sigma": 3}, "sigma=3 is for path='blur', and the path is 'straight'"),
        ({"path": "guided", "sigma": 3}, "sigma=3 is for path='blur', and the path is 'guided'"),
        ({"path": "blur", "fraction": 0.5}, "fraction=0.5 is for path='guided'"),
        ({"path": "blur", "sigma": 0}, "sigma must be a positive number up to 1000, got 0"),
        ({"path": "blur", "sigma": -2.5}, "positive number up to 1000, got -2.5"),
        ({"path": "blur", "sigma": np.nan}, "positive number up to 1000, got nan"),
        ({"path": "blur", "sigma": 1e9}, "positive number up to 1000, got 1000000000.0"),
        ({"path": "guided", "fraction": 1.5}, "fraction must be a number from 0.001 up to 1, got"),
        ({"path": "guided", "fraction": 1e-6}, "number from 0.001 up to 1, got 1e-06"),
        ({"path": "blur", "baseline": pixels(SHAPE)}, r"baseline=\.\.\. means nothing to it"),
        ({"path": "guided", "max_distance": np.inf}, "max_distance must be a positive number"),
        ({"path": "blur", "baseline": "white"}, "baseline='white' means nothing to it"),
        ({"path": "guided", "tolerance": 0.1}, "tolerance=0.1 needs a path whose nodes"),
        ({"path": "blur", "rule": "midpoint"}, "path='blur' needs rule='trapezoid', or 'left'"),
        ({"path": "guided", "rule": "left", "error_map": True}, "error_map=True needs the trapez"),
    ],
)
def test_an_option_that_means_nothing(options, text):
    function = Watched(Wave(SHAPE))
    with pytest.raises(ValueError, match=text):
        explain(function, pixels(SHAPE), **options)
    assert not function.pictures


@pytest.mark.parametrize("value", ["3", True, [3]])
def test_a_sigma_that_is_no_number(value):
    with pytest.raises(TypeError, match="sigma must be a number, got"):
        explain(Wave(SHAPE), pixels(SHAPE), path="blur", sigma=value)
