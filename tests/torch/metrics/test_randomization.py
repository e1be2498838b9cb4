"""Randomising a network from the top, which only a torch module can be."""

import functools
import gc
import io
import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from analytic import pixels
from small_models import FACTS, METADATA, SIZE, Smooth, archive, quiet_jit
from torch import nn

import intgrad
from intgrad import metrics

SHAPE = (*SIZE, 3)
IMAGES = pixels((2, *SHAPE))
LAYERS = 4  # with weights, of Smooth: two convolutions, a norm, a linear one
EXPLAIN = functools.partial(intgrad.integrated_gradients, steps=8)


def load(module):
    return intgrad.load_model(module, device="cpu", **FACTS)


@pytest.fixture
def module():
    return Smooth().eval()


def itself(model, images, targets):
    return np.asarray(images)


def measure(module, explain=EXPLAIN, images=IMAGES, **options):
    model = load(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maps = explain(model, images, 0)
    return metrics.randomization(model, images, maps, 0, explain=explain, stages=4, **options)


# ---- What it is ----------------------------------------------------------------------------------


def shuffled(module, count, seed):
    """Return a copy of a module with the weights of its last layers in another order."""
    twin = Smooth().eval()
    twin.load_state_dict(module.state_dict())
    generator = torch.Generator().manual_seed(seed)
    layers = [twin.body[0], twin.body[2], twin.body[3], twin.body[7]]
    for layer in reversed(layers[-count:]):
        for weights in layer.parameters(recurse=False):
            order = torch.randperm(weights.numel(), generator=generator)
            weights.data = weights.data.flatten()[order].reshape(weights.shape)
    return twin


@pytest.mark.parametrize("reduce", ["abs", "sum"])
def test_correlations_are_those_of_networks_shuffled_from_the_top(module, reduce):
    found = measure(module, seed=3, reduce=reduce)
    original = np.float64(EXPLAIN(load(module), IMAGES, 0))
    for stage in range(4):
        maps = np.float64(EXPLAIN(load(shuffled(module, stage + 1, 3)), IMAGES, 0))
        for k in range(2):
            a, b = (abs(m[k]) if reduce == "abs" else m[k] for m in (original, maps))
            expected = scipy.stats.spearmanr(a.sum(axis=2).ravel(), b.sum(axis=2).ravel())[0]
            assert found.curves[k, stage] == pytest.approx(expected, abs=0.02)
    np.testing.assert_allclose(found.values, found.curves.mean(axis=1))
    np.testing.assert_allclose(found.fractions, [0.25, 0.5, 0.75, 1])
    assert not found.higher_is_better
    assert (np.abs(found.others["ssim"]) <= 1).all()


def test_the_mean_leaves_out_the_original(module):
    """Quantus 0.6's does not: it skips "orig", and the entry is called "original"."""
    found = measure(module)
    assert found.curves.shape == (2, 4)
    theirs = np.concatenate([np.ones((2, 1)), found.curves], axis=1).mean(axis=1)
    assert (theirs > found.values + 0.05).all()
    np.testing.assert_array_equal(found.values, found.curves.mean(axis=1))
    assert (found.curves < 0.999).all()


def test_a_map_that_ignores_the_model_correlates_at_1(module):
    found = measure(module, itself)
    np.testing.assert_allclose(found.curves, 1)
    np.testing.assert_allclose(found.others["ssim"], 1)
    ours = measure(module)
    assert ours.mean < 0.8


def test_as_few_stages_as_are_asked_for(module):
    model = load(module)
    maps = EXPLAIN(model, IMAGES, 0)
    whole = metrics.randomization(model, IMAGES, maps, 0, explain=EXPLAIN, stages=4)
    half = metrics.randomization(model, IMAGES, maps, 0, explain=EXPLAIN, stages=2)
    last = metrics.randomization(model, IMAGES, maps, 0, explain=EXPLAIN, stages=1)
    np.testing.assert_array_equal(half.curves, whole.curves[:, [1, 3]])
    np.testing.assert_array_equal(last.curves, whole.curves[:, [3]])
    with pytest.raises(ValueError, match="stages must be at most the 4 layers .* got 5"):
        metrics.randomization(model, IMAGES, maps, 0, explain=EXPLAIN, stages=5)


def test_seeds_repeat_and_one_image_is_that_of_many(module):
    found = [measure(module, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0].curves, found[1].curves)
    assert (found[0].curves != found[2].curves).all()
    alone = measure(module, images=IMAGES[1])
    np.testing.assert_allclose(alone.curves[0], found[0].curves[1], atol=1e-6)


def test_maps_without_channels(module):
    def explain(model, images, targets):
        return np.asarray(EXPLAIN(model, images, targets)).sum(axis=-1)

    found, expected = measure(module, explain), measure(module, reduce="sum")
    assert found.curves.shape == expected.curves.shape
    by_sum = measure(module, explain, reduce="sum")
    np.testing.assert_allclose(by_sum.curves, expected.curves, atol=1e-3)


class HeadFirst(nn.Module):
    """Defined in another order than it runs; of an attention parts are used that do not run."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 5)
        self.mix = nn.MultiheadAttention(6, 2, batch_first=True)
        self.stem = nn.Conv2d(3, 6, 5, stride=5)

    def forward(self, x):
        x = self.stem(x).flatten(2).movedim(1, 2)
        return self.head(self.mix(x, x, x)[0].mean(1))


def test_the_top_is_what_runs_last():
    module = HeadFirst().eval()
    module.head.weight.data.mul_(30)  # or scores pass for probabilities
    assert load(module)._layers.names == ["stem", "mix", "mix.out_proj", "head"]


def has_weights(layer):
    return any(True for _ in layer.parameters(recurse=False))


def test_a_graph_has_its_own_order(module):
    with quiet_jit():
        graph = torch.jit.load(io.BytesIO(archive(module)))
    names = load(graph)._layers.names
    assert len(names) == LAYERS
    assert names == [name for name, layer in graph.named_modules() if has_weights(layer)]


# ---- The user's module ---------------------------------------------------------------------------


def test_the_users_module_is_left_alone(module):
    before = {name: value.clone() for name, value in module.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    measure(module)
    assert torch.equal(torch.get_rng_state(), state)
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not module.training


def test_the_model_is_still_the_same(module):
    model = load(module)
    before = model.predict(IMAGES)
    maps = EXPLAIN(model, IMAGES, 0)
    metrics.randomization(model, IMAGES, maps, 0, explain=EXPLAIN, stages=4)
    np.testing.assert_array_equal(model.predict(IMAGES), before)


def test_a_module_that_is_gone():
    model = load(Smooth().eval())
    maps = EXPLAIN(model, IMAGES, 0)
    gc.collect()
    with pytest.raises(ReferenceError, match="the module .* is gone: keep a reference to it"):
        metrics.randomization(model, IMAGES, maps, 0, explain=EXPLAIN, stages=4)


def test_an_archive_has_no_layers(module):
    model = intgrad.load_model(archive(module, metadata=METADATA), device="cpu")
    maps = EXPLAIN(model, IMAGES, 0)
    with pytest.raises(TypeError, match=r"load_model\(module, \.\.\.\) instead of its archive"):
        metrics.randomization(model, IMAGES, maps, 0, explain=EXPLAIN, stages=4)


def test_a_callable_has_no_layers():
    model = intgrad.load_model(
        lambda batch, targets: (batch.sum(axis=(1, 2)), np.ones_like(batch)), output="logit"
    )
    with pytest.raises(TypeError, match="shuffles the weights of a torch module"):
        metrics.randomization(model, IMAGES, IMAGES, 0, explain=itself)


def test_who_explains_must_be_known(module):
    with pytest.raises(TypeError, match="has to know what made attributions"):
        metrics.randomization(load(module), IMAGES, IMAGES, 0, explain=None)


# ---- What means nothing --------------------------------------------------------------------------


def after_the_first(change):
    """Return what explains the model at hand by its image, and all others by `change` of it."""
    models = []

    def explain(model, images, targets):
        if not models:
            models.append(model)
        return np.asarray(images) if model is models[0] else change(np.array(images, np.float64))

    return explain


def test_a_map_of_a_randomised_network_that_is_0_is_nan_and_says_so(module):
    found = measure(module, after_the_first(lambda x: 0 * x))
    assert np.isnan(found.values).all()
    assert "a randomised network's map is 0 everywhere" in found.notes[0]
    assert found.curve is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_map_of_a_randomised_network_that_is_not_finite_is_no_number(module, bad):
    def spoil(maps):
        maps[:, 3, 4, 1] = bad
        return maps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = measure(module, after_the_first(spoil))
        except ValueError as error:
            assert "finite" in str(error)  # noqa: PT017
        else:
            assert np.isnan(found.values).all()
            assert found.notes


@pytest.mark.parametrize(
    "change", [lambda x: x[:1], lambda x: np.swapaxes(x, 1, 2)], ids=["one", "turned"]
)
def test_maps_of_another_shape_than_the_images(module, change):
    with pytest.raises(ValueError, match="shape"):
        measure(module, after_the_first(change))


def test_one_metric_for_images_that_come_some_at_a_time(module):
    """It must not give the second ones what it found for the first."""
    from intgrad.metrics.measuring import measure_all
    from intgrad.metrics.subjects import Subjects

    model = load(module)
    maps = EXPLAIN(model, IMAGES, 0)
    whole = metrics.randomization(model, IMAGES, maps, 0, explain=EXPLAIN, stages=4)
    metric = metrics.randomizing.Randomization(4, "abs", 0)
    found = []
    for k in range(2):
        some = slice(k, k + 1)
        subjects = Subjects(model, IMAGES[some], 0, {"a": maps[some]}, {"a": EXPLAIN})
        (row,) = measure_all([metric], subjects, None, False)
        found.append(row["a"][0].value)
    np.testing.assert_allclose(found, whole.values, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 10), (3, 4), (7, 7)])
def test_small_pictures_have_a_similarity(size):
    """Its window is smaller then; of fewer than 3 pixels a side there is none."""

    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Linear(size[0] * size[1] * 3, 4)

        def forward(self, x):
            return self.layer(x.flatten(1)).tanh()

    module, images = Tiny().eval(), pixels((2, *size, 3))
    model = intgrad.load_model(module, device="cpu", **{**FACTS, "input_size": size})
    maps = EXPLAIN(model, images, 0)
    found = metrics.randomization(model, images, maps, 0, explain=EXPLAIN, stages=1)
    assert np.isfinite(found.values).all()
    assert (np.isfinite(found.others["ssim"]) == (min(size) > 2)).all()
