"""Paths that are drawn at random: their means, variances and standard errors, against NumPy."""

import itertools
import json
import threading
import warnings

import numpy as np
import pytest
from analytic import Polynomial, Wave, pixels
from hypothesis import given, settings
from hypothesis import strategies as st

import intgrad

SHAPE = (6, 5, 3)
LABELS = np.arange(30).reshape(6, 5) // 7
POOL = (LABELS.ravel() == np.unique(LABELS)[:, None]).astype(float)
REFERENCES = pixels((7, *SHAPE), 50)


class Watched:
    """A function that remembers its pictures and what it gave."""

    def __init__(self, function):
        self.function, self.pictures, self.gradients, self.batches = function, [], [], []

    def __call__(self, batch, targets):
        scores, gradients = self.function(batch, targets)
        self.pictures.extend(batch.copy())
        self.gradients.extend(np.float64(np.float32(gradients)))
        self.batches.append(len(batch))
        return scores, gradients


def load(function):
    return intgrad.load_model(function, output="logit")


def smooth(function, images, targets=1, **options):
    return intgrad.smoothgrad(
        load(function), images, targets, output="logit", return_info=True, **options
    )


def expect(function, images, targets=1, references=REFERENCES, **options):
    return intgrad.expected_gradients(
        load(function),
        images,
        targets,
        references=references,
        output="logit",
        return_info=True,
        **options,
    )


def exact(function, image, target=1, references=REFERENCES):
    """Return the expected gradients of a Wave, whose pixels do not depend on each other."""
    w, x = function.weights[target], np.float64(image)
    return np.mean([np.sin(w * x) - np.sin(w * np.float64(r)) for r in references], axis=0)


def standard_error(values, axis=0):
    """Return the standard error of the mean."""
    return np.std(values, axis=axis, ddof=1) / np.sqrt(np.shape(values)[axis])


# ---- SmoothGrad ----------------------------------------------------------------------------------


def statistics(gradients, kind):
    """Return what is to come out, and the values whose mean's error is its error."""
    if kind == "mean":
        return gradients.mean(axis=0), gradients
    if kind == "square":
        return (gradients**2).mean(axis=0), gradients**2
    size = 2 if len(gradients) < 20 else 5
    groups = gradients[: len(gradients) // size * size].reshape(-1, size, *SHAPE)
    values = groups.var(axis=1, ddof=1)
    share = (size - 1) * len(values) / (len(gradients) - 1)  # of the degrees of freedom
    return gradients.var(axis=0, ddof=1), values.mean(axis=0) + np.sqrt(share) * (
        values - values.mean(axis=0)
    )


@pytest.mark.parametrize("draws", [4, 11, 50])
@pytest.mark.parametrize("kind", ["mean", "square", "variance"])
def test_smoothgrad_is_that_of_numpy(kind, draws):
    function, image = Watched(Wave(SHAPE)), pixels(SHAPE)
    maps, info = smooth(function, image, draws=draws, kind=kind, error_map=True, segments=LABELS)
    gradients = np.array(function.gradients[:draws])
    expected, values = statistics(gradients, kind)
    deviations = standard_error(values)
    norm = np.linalg.norm(expected)
    np.testing.assert_allclose(maps, expected, rtol=1e-5, atol=1e-6 * norm)
    np.testing.assert_allclose(info.error_map, deviations, rtol=1e-4)
    np.testing.assert_allclose(info.error, np.linalg.norm(deviations) / norm, rtol=1e-5)
    np.testing.assert_allclose(info.pixel_error_map, standard_error(values.mean(axis=3)), rtol=1e-4)
    sums = expected.sum(axis=2).ravel() @ POOL.T
    of_sums = standard_error(values.sum(axis=3).reshape(len(values), -1) @ POOL.T)
    np.testing.assert_allclose(info.regions.attributions, sums, rtol=1e-5, atol=1e-5 * norm)
    np.testing.assert_allclose(info.regions.deviations, of_sums, rtol=1e-4)
    np.testing.assert_allclose(
        info.regions.error, np.linalg.norm(of_sums) / np.linalg.norm(sums), rtol=1e-4
    )
    assert (info.draws, info.evaluations) == (draws, draws)
    assert (info.path, info.rule, info.steps, info.alphas) == (None,) * 4
    assert (info.kind, info.noise, info.sigma) == (kind, 0.15, None)
    assert np.isnan([info.delta, info.baseline_score, info.quadrature_error]).all()
    assert info.score == pytest.approx(float(function(image[None], [1])[0][0, 1]), rel=1e-6)


def test_noise_is_a_share_of_the_range():
    function, image = Watched(Polynomial(1, SHAPE)), pixels(SHAPE)
    smooth(function, image, draws=400, noise=0.2)
    noise = np.array(function.pictures[:400]) - image
    assert noise.std() == pytest.approx(0.2 * np.ptp(image), rel=0.02)
    assert abs(noise.mean()) < 0.02 * np.ptp(image)
    assert abs(np.corrcoef(noise.reshape(400, -1)[::2].ravel(), noise[1::2].ravel())[0, 1]) < 0.02


def test_a_variance_is_no_difference_of_large_numbers():
    """Where E[x^2] - E[x]^2 in float32 gives nothing, or less than nothing."""
    image = pixels(SHAPE)

    def function(batch, targets):
        return np.zeros((len(batch), 2)), 1e4 + 1e-3 * np.float64(batch)

    watched = Watched(function)
    maps, _ = smooth(watched, image, draws=40, kind="variance", noise=0.05)
    gradients = np.array(watched.gradients[:40])
    np.testing.assert_allclose(maps, gradients.var(axis=0, ddof=1), rtol=1e-4)
    single = np.float32(gradients)
    naive = (single**2).mean(axis=0, dtype=np.float32) - single.mean(axis=0, dtype=np.float32) ** 2
    assert not np.allclose(naive, gradients.var(axis=0), rtol=0.5)


@pytest.mark.parametrize("kind", ["mean", "square", "variance"])
def test_smoothgrad_of_integrated_gradients(kind):
    """Each draw is a path to the noisy image; what is left of its quadrature is in the error."""
    image, draws = pixels(SHAPE), 24
    function = Watched(Wave(SHAPE))
    options = {"of": "integrated_gradients", "steps": 6, "baseline": "gray", "kind": kind}
    maps, info = smooth(function, image, draws=draws, error_map=True, **options)
    ends = np.array(function.pictures[: 7 * draws]).reshape(draws, 7, *SHAPE)[:, -1]
    model, options = load(Wave(SHAPE)), {"output": "logit", "steps": 6, "baseline": "gray"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noise is beyond 0..255
        paths = [intgrad.integrated_gradients(model, end, 1, **options) for end in ends]
    expected, values = statistics(np.array(paths, np.float64), kind)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    error = np.linalg.norm(standard_error(values)) / np.linalg.norm(expected)
    assert info.baseline_error == pytest.approx(error, rel=1e-4)
    if kind == "mean":
        assert info.error == pytest.approx(np.hypot(error, info.quadrature_error), rel=1e-4)
        assert info.error > info.baseline_error
    else:
        assert info.error == info.baseline_error
        assert np.isnan(info.quadrature_error)
    assert (info.draws, info.evaluations, info.steps) == (draws, 7 * draws, 6)
    assert info.baseline == "gray"
    assert np.isfinite(info.baseline_score)


# ---- Expected Gradients --------------------------------------------------------------------------


def used_alphas(pictures, image, references):
    """Return (reference, alpha) of each picture on a path from one of these to the image."""
    found = []
    for picture in np.float64(pictures):
        distance = np.float64(image) - np.float64(references)
        alphas = ((picture - references) * distance).sum(axis=(1, 2, 3)) / (distance**2).sum(
            axis=(1, 2, 3)
        )
        gap = picture - references - alphas[:, None, None, None] * distance
        best = np.abs(gap).max(axis=(1, 2, 3)).argmin()
        assert np.abs(gap[best]).max() < 1e-3
        found.append((best, alphas[best]))
    return found


@pytest.mark.parametrize(("count", "draws"), [(7, 200), (7, 14), (3, 100), (1, 64), (20, 41)])
def test_every_reference_equally_often_at_even_alphas(count, draws):
    function, image = Watched(Wave(SHAPE)), pixels(SHAPE)
    references = pixels((count, *SHAPE), 60)
    _, info = expect(function, image, references=references, draws=draws, seed=3)
    used = used_alphas(function.pictures[: info.draws], image, references)
    numbers = np.array([reference for reference, _ in used])
    each = np.bincount(numbers, minlength=count)
    assert (each == info.draws // count).all()
    starts = {1: 8, 3: 4, 7: 2, 20: 2}[count]
    assert draws - starts * count < info.draws <= draws
    for reference in range(count):
        alphas = np.array([alpha for number, alpha in used if number == reference])
        nodes = len(alphas) // starts
        for path in alphas.reshape(starts, nodes):
            np.testing.assert_allclose(np.diff(path), 1 / nodes, atol=1e-4)
            assert 0 <= path[0] < 1 / nodes + 1e-4


@pytest.mark.parametrize(("count", "draws"), [(30, 12), (30, 30), (30, 59)])
def test_no_reference_comes_twice_where_there_are_many(count, draws):
    function, image = Watched(Wave(SHAPE)), pixels(SHAPE)
    references = pixels((count, *SHAPE), 60)
    _, info = expect(function, image, references=references, draws=draws, seed=3)
    used = used_alphas(function.pictures[: info.draws], image, references)
    assert info.draws == min(draws, count) == len({number for number, _ in used})
    strata = sorted(int(alpha * info.draws) for _, alpha in used)
    assert strata == list(range(info.draws))  # each share of the way once


@pytest.mark.parametrize("independent", [True, False])
def test_expected_gradients_are_those_of_numpy(independent):
    """Of each draw (image - reference) * gradient; the error is what differs within references."""
    function, image, draws = Watched(Wave(SHAPE)), pixels(SHAPE), 42
    maps, info = expect(
        function, image, draws=draws, independent=independent, error_map=True, segments=LABELS
    )
    used = used_alphas(function.pictures[:draws], image, REFERENCES)
    values = np.array(
        [
            (image - np.float64(REFERENCES[reference])) * gradient
            for (reference, _), gradient in zip(used, function.gradients, strict=False)
        ]
    )
    mean = values.mean(axis=0)
    if independent:
        square = values.var(axis=0, ddof=1) / draws
        of_regions = (values.sum(axis=3).reshape(draws, -1) @ POOL.T).var(axis=0, ddof=1) / draws
    else:
        paths = values.reshape(7, 2, 3, *SHAPE).mean(axis=2)
        square = (paths.var(axis=1, ddof=1) / 2).sum(axis=0) / 7**2
        pooled = paths.sum(axis=4).reshape(7, 2, -1) @ POOL.T
        of_regions = (pooled.var(axis=1, ddof=1) / 2).sum(axis=0) / 7**2
    norm = np.linalg.norm(mean)
    np.testing.assert_allclose(maps, mean, rtol=1e-4, atol=1e-5 * norm)
    np.testing.assert_allclose(info.error_map, np.sqrt(square), rtol=1e-3, atol=1e-6 * norm)
    assert info.error == pytest.approx(np.sqrt(square.sum()) / norm, rel=1e-4)
    np.testing.assert_allclose(info.regions.deviations, np.sqrt(of_regions), rtol=1e-3)
    used_references = REFERENCES[[reference for reference, _ in used]]
    scores, _ = Wave(SHAPE)(used_references, [1] * draws)
    assert info.baseline_score == pytest.approx(scores[:, 1].mean(), rel=1e-5)
    assert info.delta == pytest.approx(mean.sum() - (info.score - info.baseline_score), abs=1e-3)


def test_even_draws_need_a_fraction_of_independent_ones():
    function, image = Wave(SHAPE), pixels(SHAPE)
    true = exact(function, image)
    errors = {}
    for independent in (True, False):
        squares = [
            np.sum((expect(function, image, independent=independent, seed=seed)[0] - true) ** 2)
            for seed in range(20)
        ]
        errors[independent] = np.sqrt(np.mean(squares)) / np.linalg.norm(true)
    assert errors[False] < errors[True] / 4  # a sixteenth of the gradients for the same error


@pytest.mark.parametrize(
    "run",
    [
        lambda f, x, seed: expect(f, x, seed=seed, draws=56),
        lambda f, x, seed: expect(f, x, seed=seed, draws=200, independent=True),
        lambda f, x, seed: expect(f, x, seed=seed, draws=40, references=pixels((60, *SHAPE), 9)),
        lambda f, x, seed: smooth(f, x, seed=seed),
        lambda f, x, seed: smooth(f, x, seed=seed, kind="square"),
        lambda f, x, seed: smooth(f, x, seed=seed, kind="variance"),
    ],
)
def test_the_standard_error_is_how_runs_spread(run):
    function, image = Wave(SHAPE), pixels(SHAPE)
    runs = [run(function, image, seed) for seed in range(40)]
    maps = np.array([found for found, _ in runs], np.float64)
    spread = np.sqrt(maps.var(axis=0, ddof=1).sum())
    claimed = [(info.error * np.linalg.norm(found)) ** 2 for found, info in runs]
    assert 0.8 < np.sqrt(np.mean(claimed)) / spread < 1.25


# ---- Tolerances ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [0.2, 0.1])
@pytest.mark.parametrize(
    "run",
    [
        lambda f, **o: expect(f, pixels(SHAPE), **o),
        lambda f, **o: expect(f, pixels(SHAPE), independent=True, **o),
        lambda f, **o: expect(f, pixels(SHAPE), references=pixels((9000, *SHAPE), 4), **o),
        lambda f, **o: smooth(f, pixels(SHAPE), **o),
        lambda f, **o: smooth(f, pixels(SHAPE), kind="variance", **o),
        lambda f, **o: smooth(f, pixels(SHAPE), of="integrated_gradients", steps=4, **o),
        lambda f, **o: expect(f, pixels(SHAPE), segments=LABELS, tolerance_of="regions", **o),
    ],
)
def test_drawn_until_it_is_exact_enough(run, tolerance):
    _, info = run(Wave(SHAPE), tolerance=tolerance, max_evaluations=20_000, seed=1)
    said = info.baseline_error if info.regions is None else info.regions.error
    assert 0.2 * tolerance < said <= tolerance
    assert 16 <= info.evaluations <= 20_000
    _, closer = run(Wave(SHAPE), tolerance=tolerance / 2.5, max_evaluations=20_000, seed=1)
    first = 112  # what a tolerance draws of seven references at first
    assert closer.evaluations > info.evaluations or closer.evaluations == first


def test_a_tolerance_finds_how_many_each_reference_takes():
    function, image = Wave(SHAPE), pixels(SHAPE)
    maps, info = expect(function, image, tolerance=0.02, max_evaluations=20_000, seed=2)
    true = exact(function, image)
    assert np.linalg.norm(maps - true) < 3 * 0.02 * np.linalg.norm(true)
    _, plain = expect(
        function, image, tolerance=0.02, max_evaluations=90_000, seed=2, independent=True
    )
    assert info.evaluations < plain.evaluations / 8


@pytest.mark.parametrize("run", [smooth, expect])
def test_a_tolerance_that_is_not_reached(run):
    with pytest.warns(match="tolerance=0.001 was not reached: image 0 is at"):
        _, info = run(Wave(SHAPE), pixels(SHAPE), tolerance=1e-3, max_evaluations=150)
    assert 75 <= info.evaluations <= 150


# ---- Batches, images, streams --------------------------------------------------------------------

RUNS = [
    lambda f, x, t, **o: expect(f, x, t, draws=28, seed=5, **o),
    lambda f, x, t, **o: expect(f, x, t, tolerance=0.3, max_evaluations=2000, seed=5, **o),
    lambda f, x, t, **o: smooth(f, x, t, draws=12, seed=5, **o),
    lambda f, x, t, **o: smooth(f, x, t, tolerance=0.3, max_evaluations=2000, seed=5, **o),
    lambda f, x, t, **o: smooth(f, x, t, draws=6, of="integrated_gradients", steps=5, seed=5, **o),
]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_batches_are_single_images(run, batch_size):
    function, images, targets = Wave(SHAPE), pixels((3, *SHAPE), 7), [[0, 1], [2, 3], [1, 1]]
    maps, infos = run(
        function, images, targets, batch_size=batch_size, error_map=True, segments=LABELS
    )
    for i, row in enumerate(infos):
        alone, expected = run(
            function, images[i], [targets[i]], batch_size=1, error_map=True, segments=LABELS
        )
        np.testing.assert_allclose(maps[i], alone, rtol=1e-5)
        for info, other in zip(row, expected, strict=True):
            assert (info.evaluations, info.draws) == (other.evaluations, other.draws)
            np.testing.assert_allclose(info.error_map, other.error_map, rtol=1e-5)
            np.testing.assert_allclose(info.regions.deviations, other.regions.deviations, rtol=1e-5)


@pytest.mark.parametrize("run", RUNS)
def test_seeds_repeat_the_bits(run):
    function, image = Wave(SHAPE), pixels(SHAPE)
    maps, info = run(function, image, 1)
    again, other = run(function, image, 1)
    np.testing.assert_array_equal(maps, again)
    assert (info.seed, info.error) == (other.seed, other.error) == (5, other.error)
    assert not np.array_equal(maps, smooth(function, image, seed=6, draws=12)[0])


def test_a_seed_that_nobody_gave_is_told():
    function, image = Wave(SHAPE), pixels(SHAPE)
    for run in (smooth, expect):
        maps, info = run(function, image)
        np.testing.assert_array_equal(run(function, image, seed=info.seed)[0], maps)
        assert not np.array_equal(run(function, image)[0], maps)


def test_streams_of_images():
    model, images = load(Wave(SHAPE)), pixels((5, *SHAPE), 8)
    for iterate, run, options in (
        (intgrad.iter_smoothgrad, intgrad.smoothgrad, {"draws": 9}),
        (
            intgrad.iter_expected_gradients,
            intgrad.expected_gradients,
            {"references": REFERENCES, "draws": 28},
        ),
    ):
        common = {"output": "logit", "seed": 4, "segments": LABELS, **options}
        found = list(iterate(model, iter(images), 2, **common))
        maps, infos = run(model, images, 2, return_info=True, **common)
        assert len(found) == 5
        for (one, info), map_, other in zip(found, maps, infos, strict=True):
            np.testing.assert_allclose(one, map_, rtol=1e-6)
            assert info.error == pytest.approx(other.error, rel=1e-5)


def test_devices_share_the_images():
    """Each device draws for its own images what one device draws for them."""
    function, images = Wave(SHAPE), pixels((5, *SHAPE), 8)
    one, two = load(function), load(function)
    two._handles = [*two._handles, *load(function)._handles]
    for run in (
        lambda model: intgrad.smoothgrad(model, images, 1, seed=1, output="logit", draws=8),
        lambda model: intgrad.expected_gradients(
            model, images, 1, seed=1, output="logit", draws=28, references=REFERENCES
        ),
        lambda model: intgrad.integrated_gradients(
            model, images, [[1, 2]] * 5, path="guided", steps=9, output="logit"
        ),
    ):
        np.testing.assert_allclose(run(one), run(two), rtol=1e-6)


# ---- References ----------------------------------------------------------------------------------


class Lazy:
    """A sequence that reads a picture when it is asked for."""

    def __init__(self, pictures):
        self.pictures, self.asked = pictures, []

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, number):
        self.asked.append(int(number))
        return self.pictures[number]


@pytest.mark.parametrize("kind", ["list", "lazy", "memmap", "bytes", "transposed"])
def test_references_may_be_any_sequence(kind, tmp_path):
    function, image = Wave(SHAPE), pixels(SHAPE)
    whole = np.round(REFERENCES)
    expected, _ = expect(function, image, references=whole, draws=28, seed=1)
    if kind == "memmap":
        given = np.lib.format.open_memmap(
            tmp_path / "references.npy", "w+", np.float32, whole.shape
        )
        given[:] = whole
    else:
        given = {
            "list": list(whole),
            "lazy": Lazy(whole),
            "bytes": whole.astype(np.uint8),
            "transposed": np.moveaxis(np.ascontiguousarray(np.moveaxis(whole, 1, 3)), 3, 1),
        }[kind]
    found, info = expect(function, image, references=given, draws=28, seed=1)
    np.testing.assert_array_equal(found, expected)
    assert info.baseline == "7 references"
    assert "on the mean of 7 references" in info.summary()


@pytest.mark.parametrize(
    ("references", "advice"),
    [
        (REFERENCES / 255, r"0\S*\.\.\S+, .* pass 255 \* reference"),
        ((REFERENCES - 128) / 64, "as it was before it was normalised"),
    ],
)
def test_references_that_are_no_pixels_are_warned_of(references, advice):
    with pytest.warns(UserWarning, match=f"the reference's values lie in .*{advice}"):
        expect(Wave(SHAPE), pixels(SHAPE), references=references, draws=28, seed=1)
    dark = np.concatenate([np.zeros((1, *SHAPE), np.float32), REFERENCES])
    expect(Wave(SHAPE), pixels(SHAPE), references=dark, draws=32, seed=1)


def test_only_references_that_are_drawn_are_read():
    references = Lazy(pixels((500, *SHAPE), 3))
    expect(Wave(SHAPE), pixels(SHAPE), references=references, draws=20)
    assert len(set(references.asked) - {0}) <= 20


def test_a_reference_that_fails_is_told():
    class Broken(Lazy):
        def __getitem__(self, number):
            if len(self.asked) > 12:
                raise OSError("the disk is gone")
            return super().__getitem__(number)

    with pytest.raises(OSError, match="the disk is gone"):
        expect(Wave(SHAPE), pixels(SHAPE), references=Broken(REFERENCES), draws=200)


@pytest.mark.parametrize(
    ("references", "error", "text"),
    [
        (REFERENCES[:0], ValueError, "references must hold at least one image, got none"),
        ([], ValueError, "references must hold at least one image, got none"),
        (
            REFERENCES[0],
            ValueError,
            r"references must be images \(H, W, C\), got \(6, 5, 3\): references\[None\]",
        ),
        (REFERENCES[:, :5], ValueError, r"the shape of an image, \(6, 5, 3\); references\[0\] has"),
        (REFERENCES.tolist, TypeError, "references must be an array"),
        (["a.jpg", "b.jpg"], TypeError, r"got 'a.jpg': \[intgrad.load_image\(path"),
        ("photographs", TypeError, "references must be an array .* got str"),
        (None, TypeError, "references must be an array .* got NoneType"),
        ([*REFERENCES[:3], REFERENCES[3] * np.nan], ValueError, r"references\[3\] holds NaN"),
        ([*REFERENCES[:3], REFERENCES[3].astype(complex)], TypeError, r"references\[3\] must be"),
    ],
)
def test_references_that_are_none(references, error, text):
    function = Watched(Wave(SHAPE))
    with pytest.raises(error, match=text):
        expect(function, pixels(SHAPE), references=references)
    assert not function.pictures


# ---- Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"draws": 0}, ValueError, "draws must be at least 2, got 0"),
        ({"draws": 1}, ValueError, "draws must be at least 2, got 1"),
        ({"draws": -3}, ValueError, "draws must be at least 2, got -3"),
        ({"draws": 2.5}, TypeError, "draws must be an int, got 2.5"),
        ({"draws": 10**9}, ValueError, "draws must be at most 1000000, got 1000000000"),
        ({"draws": 3, "kind": "variance"}, ValueError, "at least 4 for kind='variance', got 3"),
        ({"noise": 0}, ValueError, "noise must be a positive number up to 10, got 0"),
        ({"noise": -0.1}, ValueError, "noise must be a positive number up to 10, got -0.1"),
        ({"noise": np.nan}, ValueError, "noise must be a positive number up to 10, got nan"),
        ({"noise": np.inf}, ValueError, "noise must be a positive number up to 10, got inf"),
        ({"noise": 300}, ValueError, "noise must be a positive number up to 10, got 300"),
        ({"noise": "0.1"}, TypeError, "noise must be a number, got '0.1'"),
        (
            {"kind": "median"},
            ValueError,
            "kind must be one of mean, square, variance, got 'median'",
        ),
        ({"of": "logits"}, ValueError, "of must be one of gradient, integrated_gradients, got"),
        ({"steps": 10}, ValueError, "steps=10 is of a path, and of='gradient' has none"),
        ({"baseline": "white"}, ValueError, "baseline='white' is of a path"),
        ({"rule": "left"}, ValueError, "rule='left' is of a path"),
        ({"kind": "variance", "tolerance": 0.1, "max_evaluations": 3}, ValueError, "is too few"),
        ({"path": "blur"}, TypeError, "unexpected option 'path'"),
        ({"gradient": True}, TypeError, "unexpected option 'gradient'"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"tolerance": 0}, ValueError, "tolerance must be a positive number"),
        ({"tolerance": 0.1, "max_evaluations": 1}, ValueError, "max_evaluations=1 is too few"),
        (
            {"of": "integrated_gradients", "baseline": pixels((2, *SHAPE))},
            ValueError,
            "baseline must be one picture where draws are averaged, got 2",
        ),
    ],
)
def test_smoothgrad_of_nothing(options, error, text):
    function = Watched(Wave(SHAPE))
    with pytest.raises(error, match=text):
        smooth(function, pixels(SHAPE), **options)
    assert not function.pictures


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"draws": 1}, ValueError, "draws must be at least 2, got 1"),
        ({"independent": "yes"}, TypeError, "independent must be True or False, got 'yes'"),
        ({"baseline": "white"}, TypeError, "unexpected option 'baseline'"),
        ({"steps": 10}, TypeError, "unexpected option 'steps'"),
        ({"tolerance": 0.1, "max_evaluations": 1}, ValueError, "max_evaluations=1 is too few"),
        ({"tolerance_of": "regions"}, ValueError, "tolerance_of='regions' needs tolerance="),
    ],
)
def test_expected_gradients_of_nothing(options, error, text):
    function = Watched(Wave(SHAPE))
    with pytest.raises(error, match=text):
        expect(function, pixels(SHAPE), **options)
    assert not function.pictures


# ---- On the way ----------------------------------------------------------------------------------


def test_a_tolerance_that_takes_more_references():
    with pytest.warns(
        match="was not reached: .* after 30 gradients; all references are drawn: give more"
    ):
        _, info = expect(
            Wave(SHAPE), pixels(SHAPE), references=pixels((30, *SHAPE)), tolerance=1e-3,
            max_evaluations=40,
        )  # fmt: skip
    assert info.evaluations == 30


@pytest.mark.parametrize("run", [smooth, expect])
def test_progress_and_a_model_that_fails(run):
    calls = itertools.count()

    def function(batch, targets):
        if next(calls) == 3:
            raise RuntimeError("the model fell over")
        return Wave(SHAPE)(batch, targets)

    with pytest.raises(RuntimeError, match="the model fell over"):
        run(function, pixels(SHAPE), batch_size=4)
    watched = Watched(Wave(SHAPE))
    _, info = run(watched, pixels(SHAPE), batch_size=4, progress=True)
    assert watched.batches.count(4) >= len(watched.pictures) // 4 - 3  # and the scores of ends
    assert info.batch_size == 4


def test_not_finite():
    def function(batch, targets):
        return np.zeros((len(batch), 2)), np.where(batch > batch.max() - 1, np.nan, batch)

    with pytest.raises(
        intgrad.ModelError, match=r"image 0, draw \d+, alpha 1: .*gradient holds nan"
    ):
        smooth(function, pixels(SHAPE))


def test_threads_side_by_side():
    function, image = Wave(SHAPE), pixels(SHAPE)
    model = load(function)
    expected = intgrad.smoothgrad(model, image, 1, seed=1, output="logit")
    found = []

    def work():
        found.append(intgrad.smoothgrad(model, image, 1, seed=1, output="logit"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for each in found:
        np.testing.assert_array_equal(each, expected)


def test_infos_are_json():
    function, image = Wave(SHAPE), pixels(SHAPE)
    for _, info in (smooth(function, image, segments=LABELS), expect(function, image)):
        record = json.loads(json.dumps(info.to_dict()))
        assert record["draws"] == info.draws
        assert record["method"] == info.method
        assert record["error"] == info.error
        assert f"{info.draws} draws" in info.summary()
        assert "nan" not in info.summary() + info.caption(0.5)


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 40),
    draws=st.integers(2, 90),
    seed=st.integers(0, 2**70),
    independent=st.booleans(),
)
def test_any_design(count, draws, seed, independent):
    """Whatever there is to draw from: within the budget, and what is drawn is what is scored."""
    function = Watched(Polynomial(1, SHAPE))
    references = pixels((count, *SHAPE), 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maps, info = expect(
            function,
            pixels(SHAPE),
            references=references,
            draws=draws,
            seed=seed,
            independent=independent,
        )
    assert 2 <= info.draws <= max(draws, 2) or info.draws == count == 1
    if draws >= 2 * count and not independent:  # a linear function knows no alpha
        assert info.error < 1e-6
        assert abs(info.delta) < 1e-5 * np.abs(maps).sum()


@pytest.mark.parametrize(("kind", "magnitude"), [("mean", False), ("square", True)])
def test_smoothgrad_is_pairs_on_the_same_noise(kind, magnitude, monkeypatch):
    saliency = pytest.importorskip("saliency.core", reason="the authors' code is saliency")
    function, image, draws = Wave(SHAPE), pixels(SHAPE), 12
    numbers = itertools.count()

    def noise(mean, deviation, shape):
        rng = np.random.default_rng([3, next(numbers)])
        return mean + deviation * rng.standard_normal(shape, dtype=np.float32)

    def call(batch, call_model_args=None, expected_keys=None):
        _, gradients = function(np.float32(batch), [1] * len(batch))
        return {"INPUT_OUTPUT_GRADIENTS": np.float32(gradients)}

    monkeypatch.setattr(np.random, "normal", noise)
    expected = saliency.GradientSaliency().GetSmoothedMask(
        np.float64(image), call, nsamples=draws, stdev_spread=0.2, magnitude=magnitude
    )
    found, _ = smooth(function, image, draws=draws, noise=0.2, kind=kind, seed=3)
    # Its pictures are double until they are the model's.
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


# ---- What is said of them ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["square", "variance"])
def test_squares_are_no_shares_of_a_score(kind):
    """They may be far less than the score's change, and explain what they do."""
    _, info = smooth(
        Wave(SHAPE), pixels(SHAPE) / 40, kind=kind, of="integrated_gradients", steps=4, noise=0.01
    )
    assert np.isfinite(info.error)
    assert np.isnan(info.delta)
    assert "completeness" not in info.summary()


def test_a_score_that_no_draw_moves():
    def function(batch, targets):
        return np.ones((len(batch), 2)), np.zeros_like(batch)

    for run in (smooth, expect):
        with pytest.warns(match="0 everywhere|are 0|explain nothing"):
            _, info = run(function, pixels(SHAPE))
        assert np.isnan(info.error)
        assert "unknown; there is nothing" in info.summary()


def test_an_image_of_one_value_has_no_noise():
    with pytest.warns(match="of one value has no range, and noise=0.15 of it is none"):
        _, info = smooth(Wave(SHAPE), np.full(SHAPE, 9, np.float32))
    assert info.error == 0


def test_regions_of_smoothed_attributions_are_judged_by_their_draws():
    """What its steps leave is no standard error, and no further draw makes it less."""
    function, image = Polynomial(6, SHAPE, scale=1e-9), pixels(SHAPE)
    options = {"of": "integrated_gradients", "steps": 4, "segments": LABELS, "noise": 0.05}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, info = smooth(
            function, image, tolerance=0.05, tolerance_of="regions", max_evaluations=5000, **options
        )
    assert info.quadrature_error > 0.05
    assert f"of {info.steps} steps each" in info.summary()
    with pytest.warns(match="tolerance=0.001 was not reached"):
        smooth(
            function, image, tolerance=0.001, tolerance_of="regions", max_evaluations=60, **options
        )
    with pytest.raises(ValueError, match="read-only"):
        info.alphas[:] = 0.5


def test_only_what_was_drawn_is_scored():
    function, references = Watched(Wave(SHAPE)), pixels((3000, *SHAPE), 3)
    _, info = expect(function, pixels(SHAPE), references=references, tolerance=0.9, seed=2)
    assert info.evaluations < 60
    assert len(function.pictures) < 2 * info.evaluations + 3
    drawn = [r for r, _ in used_alphas(function.pictures[: info.draws], pixels(SHAPE), references)]
    scores, _ = Wave(SHAPE)(references[drawn], [1] * len(drawn))
    assert info.baseline_score == pytest.approx(scores[:, 1].mean(), rel=1e-5)


def test_a_reference_that_the_model_does_not_take():
    references = pixels((90, *SHAPE), 3)
    references[70] = 255

    def function(batch, targets):
        scores, gradients = Wave(SHAPE)(batch, targets)
        return np.where((batch == 255).all(axis=(1, 2, 3))[:, None], np.nan, scores), gradients

    with pytest.raises(intgrad.ModelError, match=r"references\[64\] to \[89\]: image 6: .*nan"):
        expect(function, pixels(SHAPE), references=references, seed=1)


@pytest.mark.parametrize(("count", "most"), [(1, 15), (3, 15), (300, 2500)])
def test_few_evaluations_are_used(count, most):
    """Where not all can be drawn twice over again, they are drawn twice."""
    references = pixels((count, *SHAPE), 3)
    with pytest.warns(match="was not reached: .* raise max_evaluations"):
        _, info = expect(
            Wave(SHAPE), pixels(SHAPE), references=references, tolerance=1e-4, max_evaluations=most
        )
    assert most / 2 < info.evaluations <= most
    assert np.isfinite(info.error)
