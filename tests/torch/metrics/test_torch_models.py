"""Metrics of a torch model: those of the same model as a callable; and Captum's infidelity."""

import functools

import numpy as np
import pytest
import torch
from analytic import pixels
from small_models import FACTS, SIZE, Smooth

import intgrad
from intgrad import metrics

SHAPE = (*SIZE, 3)
IMAGES = pixels((2, *SHAPE)).round()
SCALE, OFFSET = FACTS["preprocess"]
BOX = (2, 3, 6, 7)


@pytest.fixture(scope="module")
def module():
    return Smooth().eval()


@pytest.fixture(scope="module")
def model(module):
    return intgrad.load_model(module, device="cpu", **FACTS)


@pytest.fixture(scope="module")
def maps(model):
    return intgrad.integrated_gradients(model, IMAGES, [0, 1], output="logit", steps=16)


def as_callable(module):
    """Return the module as a function of pixels, its logits and their gradients."""

    def function(batch, targets):
        x = torch.tensor(batch).permute(0, 3, 1, 2).requires_grad_()
        scores = module(x * SCALE + OFFSET)
        chosen = scores.gather(1, torch.tensor(targets)[:, None]).sum()
        (gradients,) = torch.autograd.grad(chosen, x)
        return scores.detach().numpy(), gradients.permute(0, 2, 3, 1).numpy()

    return intgrad.load_model(function, output="logit", input_size=SIZE)


METRICS = [
    metrics.deletion,
    metrics.insertion,
    metrics.aic,
    functools.partial(metrics.sic, least_probability=0),
    functools.partial(metrics.infidelity, output="logit", draws=40),
    functools.partial(metrics.road, fractions=[0.1, 0.5]),
    functools.partial(metrics.mu_fidelity, output="logit", draws=40, correlation="linear"),
    functools.partial(metrics.sensitivity_n, output="logit", draws=40),
    functools.partial(metrics.pointing_game, boxes=[BOX] * 2),
    functools.partial(metrics.energy_inside, boxes=[BOX] * 2),
]


@pytest.mark.parametrize("targets", [[0, 1], None])
def test_metrics_of_a_module_are_those_of_a_callable(module, model, maps, targets):
    ours = metrics.compare(model, IMAGES, {"a": maps}, METRICS, targets)
    other = metrics.compare(as_callable(module), IMAGES, {"a": maps}, METRICS, targets)
    for name, of_methods in ours.results.items():
        found, expected = of_methods["a"], other.results[name]["a"]
        np.testing.assert_allclose(found.values, expected.values, rtol=2e-3, atol=1e-5)
        assert found.notes.keys() == expected.notes.keys()


def test_tensors_are_taken(model, maps):
    found = metrics.deletion(model, torch.tensor(IMAGES), torch.tensor(maps), torch.tensor([0, 1]))
    expected = metrics.deletion(model, IMAGES, maps, [0, 1])
    np.testing.assert_array_equal(found.curves, expected.curves)


@pytest.mark.parametrize("output", ["softmax", "logit", "log_softmax"])
def test_outputs_of_a_module(module, model, maps, output):
    """Which of its scores attributions are of; the callable here has logits alone."""
    found = metrics.infidelity(model, IMAGES, maps, [0, 1], output=output, draws=20)
    with torch.no_grad():
        x = torch.tensor(IMAGES).permute(0, 3, 1, 2) * SCALE + OFFSET
        logits = module(x)
    assert logits.shape == (2, 5)
    assert np.isfinite(found.values).all()
    assert output in found.convention
    outputs = [
        metrics.infidelity(model, IMAGES, maps, [0, 1], output=other, draws=20).mean
        for other in ("softmax", "logit", "log_softmax")
        if other != output
    ]
    assert all(abs(other - found.mean) > 1e-9 for other in outputs)


class Seen:
    """A callable that keeps the pictures that it is asked for."""

    def __init__(self, module):
        self.model = as_callable(module)
        self.pictures = []

    def __call__(self, batch, targets):
        self.pictures.extend(batch.copy())
        return self.model.predict(batch), np.zeros_like(batch)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("perturbation", ["square", "gaussian"])
@pytest.mark.parametrize("meaning", ["contributions", "slopes"])
def test_infidelity_is_captums(module, model, maps, perturbation, meaning, normalize):
    """On the same pictures, with I / (x - baseline) where attributions are contributions."""
    captum = pytest.importorskip("captum.metrics")
    options = {"perturbation": perturbation, "meaning": meaning, "draws": 50, "baseline": 40.0}
    seen = Seen(module)
    watched = intgrad.load_model(seen, output="softmax", input_size=SIZE)
    watched.predict(IMAGES)
    seen.pictures.clear()
    metrics.infidelity(watched, IMAGES[0], maps[0], 0, output="softmax", **options)
    pictures = torch.tensor(np.array(seen.pictures[1:]), dtype=torch.float64)
    image = torch.tensor(IMAGES[0], dtype=torch.float64)
    moved = image - pictures
    if meaning == "contributions":
        moved = torch.where(image == 40, 0.0, moved / (image - 40))

    twin = Smooth().eval()
    twin.load_state_dict(module.state_dict())
    twin.double()

    expected = captum.infidelity(
        lambda x: twin(x.permute(0, 3, 1, 2) * SCALE + OFFSET),
        lambda inputs: (moved, pictures),
        image[None],
        torch.tensor(maps[:1], dtype=torch.float64),
        target=0,
        n_perturb_samples=50,
        normalize=normalize,
    )
    found = metrics.infidelity(
        model, IMAGES[0], maps[0], 0, output="logit", fit_scale=normalize, **options
    )
    assert found.values[0] == pytest.approx(float(expected[0]), rel=1e-3)


def test_max_sensitivity_is_captums(model):
    captum = pytest.importorskip("captum.metrics")
    seen = []

    def explain(model, images, targets):
        seen.extend(np.array(images))
        return np.float64(images) ** 2

    maps = np.float64(IMAGES[0]) ** 2
    found = metrics.max_sensitivity(model, IMAGES[0], maps, 0, explain=explain, draws=10)
    np.testing.assert_array_equal(seen[0], IMAGES[0])  # which is tried first
    moved = torch.tensor(np.array(seen[1:]), dtype=torch.float64)
    expected = captum.sensitivity_max(
        lambda x: (x[0] ** 2,) if isinstance(x, tuple) else x**2,
        torch.tensor(IMAGES[:1], dtype=torch.float64),
        perturb_func=lambda inputs: moved,
        n_perturb_samples=10,
    )
    assert found.values[0] == pytest.approx(float(expected[0]), rel=1e-5)


def test_integrated_gradients_are_more_faithful_than_noise(model):
    """Of compare on a module: the front door, with maps made on the way."""
    images = pixels((6, *SHAPE), 4)
    noise = np.random.default_rng(0).standard_normal(images.shape)
    made = functools.partial(intgrad.integrated_gradients, output="logit", steps=16)
    asked = [functools.partial(metrics.mu_fidelity, output="logit", draws=100, size=0.1)]
    asked += [functools.partial(metrics.infidelity, output="logit")]
    found = metrics.compare(model, images, {"IG": made, "noise": noise}, asked, 0)
    for pair in found.pairs:
        assert pair["better"] == "IG"


@pytest.mark.parametrize("name", ["deletion", "insertion", "road", "infidelity", "mu_fidelity"])
def test_a_score_of_ones_own_is_called_so(module, maps, name):
    def margin(logits):
        return logits[:, 0] - logits[:, 1]

    facts = {key: value for key, value in FACTS.items() if key != "scores"}
    model = intgrad.load_model(module, device="cpu", score=margin, **facts)
    found = getattr(metrics, name)(model, IMAGES, maps, 0)
    told = " ".join([found.convention, found.formula, *found.axes])
    assert "score" in told or name == "infidelity"
    assert not any(word in told for word in ("probability", "softmax", "P("))
    for metric in (metrics.aic, metrics.sic):
        with pytest.raises(TypeError, match="this model explains score=margin, which is no proba"):
            metric(model, IMAGES, maps, 0)


def test_the_output_that_was_meant_is_told(module, maps):
    """The softmax of independent labels is their sigmoid."""
    model = intgrad.load_model(module, device="cpu", multilabel=True, **FACTS)
    for metric in (metrics.infidelity, metrics.sensitivity_n):
        assert metric(model, IMAGES, maps, 0).convention.endswith("F is the sigmoid")


@pytest.mark.parametrize(
    "metric", [metrics.max_sensitivity, functools.partial(metrics.randomization, stages=2)]
)
def test_what_draws_without_a_seed_is_refused(model, metric):
    explain = functools.partial(intgrad.smoothgrad, draws=4)
    with pytest.raises(ValueError, match="does not give s again: .* with a seed"):
        metrics.compare(model, IMAGES, {"s": explain}, [metric], 0)
    metrics.compare(model, IMAGES, {"s": functools.partial(explain, seed=0)}, [metric], 0)


def test_channels_that_add_up_to_the_same_everywhere_rank_nothing(model):
    """But for the rounding of float32."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(*IMAGES.shape[:3], 2)).astype(np.float32)
    maps = np.concatenate([first, 1 - first.sum(axis=3, keepdims=True)], axis=3)
    for metric in (metrics.deletion, metrics.road):
        found = metric(model, IMAGES, maps, 0)
        assert np.isnan(found.values).all()
        assert "the same for every pixel" in found.notes[0]
