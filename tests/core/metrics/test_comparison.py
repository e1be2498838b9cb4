"""compare: the single metrics bit for bit, what they share, and which differences are real."""

import dataclasses
import functools
import json
import sys
import types

import numpy as np
import pytest
import scipy.stats
from analytic import Polynomial, Wave, pixels
from hypothesis import given
from hypothesis import strategies as st

import intgrad
from intgrad import metrics
from intgrad.metrics import comparison, measuring
from intgrad.metrics.statistics import correct, standard_error, t_test

pytestmark = pytest.mark.unsanitized

SHAPE = (12, 10, 3)
COUNT = 5
IMAGES = pixels((COUNT, *SHAPE))
BOX = (2, 3, 6, 7)


def saliency(seed=7, count=COUNT):
    return np.random.default_rng(seed).standard_normal((count, *SHAPE)).astype(np.float32)


MAPS = {"first": saliency(1), "second": saliency(2), "third": np.round(saliency(3)[..., 0], 1)}


def itself(model, images, targets):
    return np.asarray(images)


def load(function=None):
    return intgrad.load_model(function or Polynomial(1, SHAPE, scale=2e-3), output="logit")


def partial(function, **options):
    return functools.partial(function, **options)


METRICS = [
    partial(metrics.deletion, steps=9),
    partial(metrics.insertion, steps=11, seed=3),
    metrics.aic,
    partial(metrics.sic, least_probability=0),
    partial(metrics.infidelity, output="logit", draws=40),
    partial(metrics.road, order="least"),
    partial(metrics.mu_fidelity, output="logit", draws=40),
    partial(metrics.sensitivity_n, output="logit", draws=50),
    partial(metrics.pointing_game, boxes=[BOX] * COUNT, margin=0),
    partial(metrics.energy_inside, boxes=[BOX] * COUNT),
]


def same(a, b):
    for name in ("values", "curves", "curve", "area", "value_errors", "fractions"):
        np.testing.assert_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("metric", "convention", "formula", "reference", "notes", "draws"):
        assert getattr(a, name) == getattr(b, name)
    np.testing.assert_equal(a.others, b.others)


# ---- The single metrics --------------------------------------------------------------------------


@pytest.mark.parametrize("function", [Polynomial(1, SHAPE, scale=2e-3), Wave(SHAPE)])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_it_is_the_single_metrics_bit_for_bit(function, batch_size):
    model, targets = load(function), [0, 1, 2, 1, 0]
    found = metrics.compare(model, IMAGES, MAPS, METRICS, targets, batch_size=batch_size)
    assert len(found.results) == len(METRICS)
    for metric, of_methods in zip(METRICS, found.results.values(), strict=True):
        assert list(of_methods) == list(MAPS)
        for name, result in of_methods.items():
            same(result, metric(model, IMAGES, MAPS[name], targets))


def test_one_image_is_the_first_of_many():
    metrics_ = [metric for metric in METRICS if "boxes" not in getattr(metric, "keywords", {})]
    whole = metrics.compare(load(), IMAGES, MAPS, metrics_, 1)
    maps = {name: values[0] for name, values in MAPS.items()}
    alone = metrics.compare(load(), IMAGES[0], maps, metrics_, 1)
    listed = {name: values[:1] for name, values in MAPS.items()}
    listed = metrics.compare(load(), IMAGES[:1], listed, metrics_, 1)
    for metric, of_methods in alone.results.items():
        for name, result in of_methods.items():
            np.testing.assert_equal(result.values[0], whole.results[metric][name].values[0])
            same(result, listed.results[metric][name])


def test_maps_may_be_what_makes_them():
    explain = functools.partial(intgrad.integrated_gradients, output="logit", steps=3)
    model = load(Wave(SHAPE))
    maps = explain(model, IMAGES, 1)
    names = ["deletion", metrics.max_sensitivity]
    made = metrics.compare(
        model, IMAGES, {"a": explain, "b": IMAGES}, names, 1, explain={"b": itself}
    )
    given_ = metrics.compare(
        model,
        IMAGES,
        {"a": maps, "b": IMAGES},
        names,
        1,
        explain={"a": explain, "b": itself},
    )
    for metric in ("deletion", "max_sensitivity"):
        for name in "ab":
            same(made.results[metric][name], given_.results[metric][name])
    single = metrics.max_sensitivity(model, IMAGES, maps, 1, explain=explain)
    same(made.results["max_sensitivity"]["a"], single)


def test_a_single_image_with_what_makes_its_map():
    explain = functools.partial(intgrad.integrated_gradients, output="logit", steps=3)
    found = metrics.compare(load(), IMAGES[0], {"a": explain}, ["deletion"], 1)
    expected = metrics.deletion(load(), IMAGES[0], explain(load(), IMAGES[0], 1), 1)
    same(found.results["deletion"]["a"], expected)


# ---- What is computed once -----------------------------------------------------------------------


def ask(watch, maps, metrics_, images=IMAGES[:1]):
    """Return the pictures that the model saw."""
    model, watched = watch(Wave(SHAPE), shape=SHAPE)
    maps = {name: values[: len(images)] for name, values in maps.items()}
    metrics.compare(model, images, maps, metrics_, 1)
    return watched.pictures


def test_aic_and_sic_are_one_pass(watch):
    model, watched = watch(SteepSteps(), shape=SHAPE)
    one = {"first": MAPS["first"][:1]}
    sic = partial(metrics.sic, least_probability=0)
    for metrics_ in ([metrics.aic], [sic], [metrics.aic, sic]):
        watched.forget()
        metrics.compare(model, IMAGES[:1].round(), one, metrics_, 1)
        assert len(watched.pictures) == 13 + 2


class SteepSteps:
    """A second class that wins where pixels differ from their neighbours."""

    def __call__(self, batch, targets):
        rough = np.abs(np.diff(batch, axis=1)).mean(axis=(1, 2, 3))
        return np.stack([0 * rough + 30, rough], axis=1), np.zeros_like(batch)


def test_the_ends_of_a_curve_are_those_of_all_methods(watch):
    """Methods have their own ranks; the image and its baseline are computed once."""
    asked = [partial(metrics.deletion, steps=9)]
    assert len(ask(watch, {"a": MAPS["first"]}, asked)) == 10
    assert len(ask(watch, {"a": MAPS["first"], "b": MAPS["second"]}, asked)) == 10 + 8


def test_a_metric_that_is_there_twice_is_numbered(watch):
    twice = [partial(metrics.deletion, steps=4), partial(metrics.deletion, steps=4)]
    model, _ = watch(Wave(SHAPE), shape=SHAPE)
    found = metrics.compare(model, IMAGES, MAPS, twice, 1)
    assert list(found.results) == ["deletion(steps=4)", "deletion(steps=4) #2"]


def test_two_metrics_of_one_order_share_its_pictures(watch):
    asked = [partial(metrics.deletion, steps=steps) for steps in (10, 20, 40)]
    assert len(ask(watch, {"a": MAPS["first"]}, asked)) == 41


def test_the_image_and_its_baseline_are_computed_once(watch):
    """Deletion and insertion from one baseline have both ends in common, and road has none."""
    both = [
        partial(metric, steps=9, baseline="black")
        for metric in (metrics.deletion, metrics.insertion)
    ]
    seen = ask(watch, {"a": MAPS["first"]}, both)
    assert len(seen) == 2 + 8 + 8
    assert sum((picture == IMAGES[0]).all() for picture in seen) == 1
    assert sum((picture == 0).all() for picture in seen) == 1


@pytest.mark.parametrize(
    "metric",
    [
        partial(metrics.infidelity, output="logit", draws=70),
        partial(metrics.infidelity, output="logit", draws=70, perturbation="gaussian"),
        partial(metrics.mu_fidelity, output="logit", draws=70),
        partial(metrics.sensitivity_n, output="logit", draws=70),
    ],
    ids=["square", "gaussian", "mu_fidelity", "sensitivity_n"],
)
def test_perturbations_are_the_same_for_all_methods_and_computed_once(metric, watch):
    maps = {name: values for name, values in MAPS.items() if values.ndim == 4}
    maps["fourth"] = saliency(4)
    assert len(ask(watch, maps, [metric])) == 1 + 70


def test_the_unperturbed_image_is_computed_once_for_all(watch):
    options = {"output": "logit", "draws": 40}
    asked = [partial(metrics.infidelity, **options), partial(metrics.mu_fidelity, **options)]
    asked += [partial(metrics.sensitivity_n, **options)]
    seen = ask(watch, {"a": MAPS["first"], "b": MAPS["second"]}, asked)
    assert len(seen) == 1 + 3 * 40
    assert sum((picture == IMAGES[0]).all() for picture in seen) == 1


def test_images_are_not_mixed_up(watch):
    """Each has its own pictures, in its turn."""
    seen = ask(watch, {"a": MAPS["first"]}, [partial(metrics.deletion, steps=3)], IMAGES[:3])
    assert len(seen) == 3 * 4
    for k in range(3):
        own = [(picture == IMAGES[k]).all(axis=2).any() for picture in seen[4 * k : 4 * k + 3]]
        assert all(own)


# ---- Pairs ---------------------------------------------------------------------------------------


def test_p_values_are_those_of_scipy():
    found = metrics.compare(load(), IMAGES, MAPS, ["deletion", "road"], 1)
    assert len(found.pairs) == 6
    for pair in found.pairs:
        a = found.results[pair["metric"]][pair["method"]]
        b = found.results[pair["metric"]][pair["other"]]
        expected = scipy.stats.ttest_rel(a.values, b.values)
        assert pair["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
        differences = a.values - b.values
        assert pair["difference"] == pytest.approx(differences.mean())
        assert pair["difference_error"] == pytest.approx(scipy.stats.sem(differences))
        assert (pair["mean"], pair["standard_error"]) == (a.mean, a.standard_error)
        assert (pair["other_mean"], pair["other_standard_error"]) == (b.mean, b.standard_error)
        assert a.standard_error == pytest.approx(scipy.stats.sem(a.values))
        assert pair["images"] == COUNT
        lower = pair["method"] if a.mean < b.mean else pair["other"]
        assert pair["better"] == lower  # of both, lower is better
    corrected = [pair["p_corrected"] for pair in found.pairs]
    assert corrected == holm([pair["p_value"] for pair in found.pairs])
    assert "p is corrected for 6 comparisons (Holm)" in str(found)


def holm(p_values):
    """Return Holm's adjusted p values, by his definition."""
    m, order = len(p_values), np.argsort(p_values, kind="stable")
    adjusted = np.empty(m)
    for i, k in enumerate(order):
        adjusted[k] = max(min(1, (m - j) * p_values[order[j]]) for j in range(i + 1))
    return adjusted.tolist()


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=12))
def test_holms_correction(p_values):
    found = correct(p_values)
    known = [p for p in p_values if p == p]
    assert [p for p in found if p == p] == pytest.approx(holm(known))
    assert [p != p for p in found] == [p != p for p in p_values]
    assert all(c >= p for c, p in zip(found, p_values, strict=True) if p == p)


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_t_tests_are_those_of_scipy(count):
    values = np.random.default_rng(count).normal(0.3, 1, count)
    found = t_test(values.mean(), standard_error(values), count)
    assert found == pytest.approx(scipy.stats.ttest_1samp(values, 0).pvalue, rel=1e-9)
    assert np.isnan(t_test(1.0, np.nan, 1))
    assert t_test(0.0, 0.0, 5) == 1


def test_higher_is_better_of_some():
    mask = np.zeros(SHAPE[:2])
    mask[2:6, 3:7] = 1
    inside = mask + 0.001 * saliency()[..., 0]
    maps = {"inside": inside, "outside": 1 - inside}
    asked = [partial(metrics.energy_inside, boxes=[BOX] * COUNT)]
    found = metrics.compare(load(), IMAGES, maps, asked, 1)
    (pair,) = found.pairs
    assert pair["better"] == "inside"
    assert pair["difference"] > 0
    turned = dict(reversed(maps.items()))
    (other,) = metrics.compare(load(), IMAGES, turned, asked, 1).pairs
    assert other["better"] == "inside"
    assert other["difference"] == pytest.approx(-pair["difference"])
    assert other["p_value"] == pytest.approx(pair["p_value"])


def test_a_map_against_itself_is_no_better():
    maps = {"a": MAPS["first"], "b": MAPS["first"].copy()}
    (pair,) = metrics.compare(load(), IMAGES, maps, ["deletion"], 1).pairs
    assert (pair["difference"], pair["difference_error"], pair["p_value"]) == (0, 0, 1)
    assert pair["better"] == ""


def test_images_without_a_value_are_left_out_of_pairs():
    """Of both, where one has none; which of the means is over how many, is said."""
    maps = {"a": MAPS["first"].copy(), "b": np.abs(MAPS["second"])}
    maps["a"][1] = -np.abs(maps["a"][1])  # nothing positive
    asked = [partial(metrics.energy_inside, boxes=[BOX] * COUNT)]
    found = metrics.compare(load(), IMAGES, maps, asked, 1)
    (pair,), (name,) = found.pairs, found.results
    a, b = (found.results[name][method].values for method in "ab")
    assert np.isnan(a[1])
    kept = [0, 2, 3, 4]
    expected = scipy.stats.ttest_rel(a[kept], b[kept])
    assert pair["images"] == 4
    assert pair["p_value"] == pytest.approx(expected.pvalue)
    assert pair["difference"] == pytest.approx((a - b)[kept].mean())
    assert [row["images"] for row in found.means] == [4, 5]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))


def test_nothing_to_compare_where_no_image_has_a_value():
    maps = {"a": -np.abs(MAPS["first"]), "b": np.abs(MAPS["second"])}
    asked = [partial(metrics.energy_inside, boxes=[BOX] * COUNT)]
    found = metrics.compare(load(), IMAGES, maps, asked, 1)
    (pair,) = found.pairs
    assert pair["images"] == 0
    assert np.isnan([pair["difference"], pair["p_value"], pair["p_corrected"]]).all()
    assert pair["better"] == ""
    text = str(found)
    assert "nan" not in text
    assert text.count("no image has a value\n") == 1
    assert text.count("  image 0: nothing speaks for the target") == 1
    assert "a - b: no image has both values" in text
    assert "Holm" not in text
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["pairs"][0]["p_value"] is None


def test_standard_errors_are_right():
    """Over 200 sets of images, 60 to 75 % of the means lie within one of what they estimate."""
    shape, count, sets = (6, 5, 1), 12, 200
    function = Polynomial(1, shape, scale=0.004)
    model, rng = intgrad.load_model(function, output="logit"), np.random.default_rng(0)
    rows = []
    for _ in range(sets):
        images = rng.uniform(0, 255, (count, *shape)).astype(np.float32)
        true = function.weights[1] * images
        maps = {"true": true, "noisy": true + rng.normal(0, 1, true.shape) * true.std()}
        found = metrics.compare(
            model, images, maps, [partial(metrics.deletion, steps=5, baseline="black")], 1
        )
        rows += found.pairs
    for value, error in [
        ("mean", "standard_error"),
        ("other_mean", "other_standard_error"),
        ("difference", "difference_error"),
    ]:
        values, errors = (np.array([row[key] for row in rows]) for key in (value, error))
        within = np.mean(np.abs(values - values.mean()) <= errors)
        assert 0.6 <= within <= 0.75, (value, within)
    # Pairs are of the same images: their difference is surer than its parts.
    parts = np.hypot(
        [row["standard_error"] for row in rows], [row["other_standard_error"] for row in rows]
    )
    assert np.median([row["difference_error"] for row in rows] / parts) < 0.9


def test_p_values_of_equal_methods_are_uniform():
    shape, rng = (6, 5, 1), np.random.default_rng(1)
    model = intgrad.load_model(Polynomial(1, shape, scale=0.004), output="logit")
    p_values = []
    for _ in range(150):
        images = rng.uniform(0, 255, (10, *shape)).astype(np.float32)
        maps = {name: rng.normal(size=images.shape) for name in "ab"}
        (pair,) = metrics.compare(
            model, images, maps, [partial(metrics.deletion, steps=5)], 1
        ).pairs
        p_values.append(pair["p_value"])
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 1e-3


# ---- What is asked for ---------------------------------------------------------------------------


def test_metrics_by_name_function_or_partial():
    asked = ["deletion", metrics.insertion, partial(metrics.deletion, steps=7)]
    found = metrics.compare(load(), IMAGES, MAPS, asked, 1)
    assert list(found.results) == ["deletion", "insertion", "deletion(steps=7)"]
    assert len(found.results["deletion(steps=7)"]["first"].fractions) == 8
    default = metrics.compare(load(), IMAGES, MAPS, targets=1)
    assert list(default.results) == ["deletion", "insertion"]
    assert set(comparison.METRICS) == set(metrics.__all__) - {
        "Comparison",
        "MetricResult",
        "compare",
    }


def test_two_options_that_begin_alike_are_two_metrics():
    asked = [
        partial(metrics.road, fractions=[0.1, 0.2, 0.3, 0.4, 0.5]),
        partial(metrics.road, fractions=[0.1, 0.2, 0.3, 0.4, 0.9]),
    ]
    found = metrics.compare(load(), IMAGES, MAPS, asked, 1)
    assert len(found.results) == 2


WRONG = [
    ({"maps": MAPS["first"]}, TypeError, "maps must be a dict of maps by their methods' names"),
    ({"maps": {}}, TypeError, "maps must be a dict of maps"),
    ({"maps": {"a": MAPS["first"][:2]}}, ValueError, "a must have the shape of the images"),
    ({"maps": {"bad": MAPS["first"] * np.nan}}, ValueError, "bad must be finite, got nan"),
    (
        {"metrics": "deletion"},
        ValueError,
        "must be a list of deletion, insertion, .*got 'deletion'",
    ),
    ({"metrics": metrics.deletion}, (TypeError, ValueError), "metrics must be a list of deletion"),
    ({"metrics": []}, ValueError, r"must be a list of .*, got \[\]"),
    (
        {"metrics": ["deletion", "accuracy"]},
        ValueError,
        "functions of intgrad.metrics .*'accuracy'",
    ),
    ({"metrics": [len]}, ValueError, "built-in function len"),
    ({"metrics": [3]}, ValueError, "got 3"),
    ({"metrics": [functools.partial(metrics.deletion, 3)]}, TypeError, "options by name"),
    (
        {"metrics": [partial(metrics.deletion, batch_size=3)]},
        TypeError,
        "deletion takes baseline, steps, reduce, seed here, got batch_size",
    ),
    ({"metrics": [partial(metrics.deletion, step=3)]}, TypeError, "got step"),
    ({"metrics": [partial(metrics.deletion, steps=0)]}, ValueError, "steps must be at least 1"),
    ({"metrics": ["pointing_game"]}, TypeError, "needs masks= or boxes="),
    ({"metrics": ["max_sensitivity"]}, TypeError, "has to know what made first"),
    ({"metrics": ["infidelity"]}, ValueError, "output='logit'"),
    ({"explain": {"fourth": itself}}, ValueError, "explain has fourth, of which there are no maps"),
]


@pytest.mark.parametrize(("options", "kind", "text"), WRONG)
def test_what_is_wrong_is_said(options, kind, text, watch):
    model, watched = watch(Polynomial(1, SHAPE), shape=SHAPE)
    asked = {"images": IMAGES, "maps": MAPS, "metrics": ["deletion"], "targets": 1} | options
    with pytest.raises(kind, match=text):
        metrics.compare(model, **asked)
    assert not watched.pictures


def test_without_scipy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"pip install scipy .*'intgrad\[metrics\]'"):
        metrics.compare(load(), IMAGES, MAPS)


# ---- What is told --------------------------------------------------------------------------------


def compared(count=COUNT, asked=("deletion", "road")):
    maps = {name: values[:count] for name, values in MAPS.items()}
    return metrics.compare(load(), IMAGES[:count], maps, list(asked), 1)


def test_a_table_is_pandas_where_that_is_there(monkeypatch):
    found = compared()
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert found.table() is found.pairs
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=tuple))
    assert found.table() == tuple(found.pairs)


def test_text_has_means_and_differences():
    found = compared()
    text = str(found)
    assert "deletion (lower is better)" in text
    for method, result in found.results["road"].items():
        assert f"{method:<24} {result.mean:.4g} +- {result.standard_error:.2g} over 5" in text
    for pair in found.pairs:
        assert f"{pair['method']} - {pair['other']}: {pair['difference']:+.4g}" in text
    assert "two images or more" not in text
    assert repr(found) == "<intgrad Comparison: 2 metrics, 6 pairs>"


def test_all_numbers_of_a_pair_are_of_the_images_that_have_both():
    """Or means would say the opposite of their difference."""
    lost = MAPS["second"].copy()
    lost[0] = -np.abs(lost[0])
    asked = [partial(metrics.energy_inside, boxes=[BOX] * COUNT)]
    found = metrics.compare(load(), IMAGES, {"a": MAPS["first"], "b": lost}, asked, 1)
    (pair,) = found.pairs
    a, b = (result.values[1:] for result in next(iter(found.results.values())).values())
    assert pair["images"] == COUNT - 1
    assert pair["mean"] == a.mean()
    assert pair["other_mean"] == b.mean()
    assert pair["difference"] == pytest.approx(pair["mean"] - pair["other_mean"])
    assert pair["standard_error"] == pytest.approx(a.std(ddof=1) / np.sqrt(len(a)))
    assert f"over {COUNT - 1} images, p = " in str(found)


def test_text_counts_the_p_values_that_there_are():
    same = {"a": np.stack([MAPS["first"][0]] * 3), "b": np.stack([MAPS["second"][0]] * 3)}
    boxes = [partial(metrics.energy_inside, boxes=[BOX] * 3)]
    text = str(metrics.compare(load(), np.stack([IMAGES[0]] * 3), same, boxes, 1))
    assert "all differences are the same, so that there is no p" in text
    assert "Holm" not in text


def test_text_of_one_image_says_that_there_is_no_error():
    text = str(compared(count=1))
    assert "the standard error of a mean needs two images or more" in text
    assert "Holm" not in text


def test_text_of_one_method_says_no_such_thing():
    """It has a standard error, and nothing to be compared with."""
    found = metrics.compare(load(), IMAGES, {"a": MAPS["first"]}, ["deletion"], 1)
    assert not found.pairs
    assert np.isfinite(found.results["deletion"]["a"].standard_error)
    assert "two images or more" not in str(found)


def test_a_dict_is_json():
    asked = ["deletion", partial(metrics.mu_fidelity, output="logit", draws=5)]
    found = compared(asked=[*asked, partial(metrics.sic, least_probability=1)])
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(read) == {"results", "pairs"}
    assert len(read["pairs"]) == len(found.pairs)
    for metric, of_methods in found.results.items():
        for method, result in of_methods.items():
            told = read["results"][metric][method]
            expected = [value if np.isfinite(value) else None for value in result.values.tolist()]
            assert told["values"] == expected
            assert told["convention"] == result.convention
            assert told == json.loads(json.dumps(result.to_dict(), allow_nan=False))


def test_means_are_records():
    found = compared()
    assert [(row["metric"], row["method"]) for row in found.means] == [
        (metric, method) for metric in ("deletion", "road") for method in MAPS
    ]
    for row in found.means:
        result = found.results[row["metric"]][row["method"]]
        assert (row["mean"], row["standard_error"]) == (result.mean, result.standard_error)
        assert not row["higher_is_better"]


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_a_plot_has_curves_with_bands_or_bars(pyplot):
    asked = ["deletion", partial(metrics.mu_fidelity, output="logit", draws=5)]
    figure = compared(asked=asked).plot()
    figure.canvas.draw()
    curves, bars = figure.axes
    assert len(curves.lines) == len(curves.collections) == 3
    assert [text.get_text().split(":")[0] for text in curves.get_legend().texts] == list(MAPS)
    assert len(bars.patches) == 3
    assert [label.get_text() for label in bars.get_xticklabels()] == list(MAPS)
    assert curves.get_title() == "deletion (lower is better)"
    assert bars.get_title().endswith("(higher is better)")


def test_a_plot_of_one_image_has_no_bands(pyplot):
    asked = ["deletion", partial(metrics.mu_fidelity, output="logit", draws=5)]
    figure = compared(count=1, asked=asked).plot()
    figure.canvas.draw()
    assert not figure.axes[0].collections


def test_a_plot_where_no_image_has_a_value(pyplot):
    figure = compared(asked=[partial(metrics.sic, least_probability=1)]).plot()
    figure.canvas.draw()


def test_a_plot_where_only_the_first_method_has_no_value(pyplot):
    """Its name, and the curves of the others, all the same."""
    steep = intgrad.load_model(SteepSteps(), output="logit")
    images = IMAGES.round()
    found = metrics.compare(steep, images, MAPS, [partial(metrics.sic, least_probability=0)], 1)
    results = {name: dict(of_methods) for name, of_methods in found.results.items()}
    (name,) = results
    first = results[name]["first"]
    nothing = np.full_like(first.values, np.nan)
    results[name]["first"] = dataclasses.replace(first, values=nothing, curves=None, curve=None)
    figure = dataclasses.replace(found, results=results).plot()
    figure.canvas.draw()
    assert not figure.axes[0].patches  # no bars
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [1001, 1001]


def test_a_plot_of_a_result(pyplot):
    found = compared().results["deletion"]["first"]
    axes = found.plot()
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), found.curve)
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    error = found.curves.std(axis=0, ddof=1) / np.sqrt(COUNT)
    assert band.max() == pytest.approx((found.curve + error).max())
    own = pyplot.subplots()[1]
    assert found.plot(own) is own
    other = metrics.energy_inside(load(), IMAGES, MAPS["first"], 1, boxes=[BOX] * COUNT)
    with pytest.raises(ValueError, match="energy_inside has no curve"):
        other.plot()


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    found = compared()
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        found.plot()


def test_progress_goes_to_the_end(monkeypatch):
    told = []

    class Bar:
        def __init__(self, show, unit):
            assert show
            assert unit == "picture"

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, done, total):
            told.append((done, total))

    monkeypatch.setattr(measuring, "ProgressBar", Bar)
    metrics.compare(load(), IMAGES, MAPS, METRICS, 1, progress=True)
    dones, totals = zip(*told, strict=True)
    assert list(dones) == sorted(dones)
    assert set(totals) == {dones[-1]}


def test_memory_is_that_of_one_batch(watch):
    model, watched = watch(Wave(SHAPE), shape=SHAPE)
    metrics.compare(model, IMAGES, MAPS, METRICS, 1, batch_size=6)
    assert max(watched.batches) == 6


def test_what_makes_a_map_is_called_when_all_else_is_right():
    def explain(*arguments):
        raise AssertionError("it was called")

    for asked, options in (
        ([partial(metrics.deletion, steps=10**6)], {}),
        ([partial(metrics.pointing_game, masks=[np.zeros(SHAPE[:2], bool)] * 2)], {}),
        (["deletion"], {"batch_size": 0}),
    ):
        with pytest.raises(ValueError, match="steps must|is empty|batch_size must"):
            metrics.compare(load(), IMAGES[:2], {"a": explain}, asked, 1, **options)
