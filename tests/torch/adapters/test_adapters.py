"""Models of other frameworks against the same weights in torch."""

import importlib.util
import json
import textwrap
import warnings

import apart
import numpy as np
import pytest
import torch
from torch import nn

import intgrad
from intgrad import adapters

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(0, 0.05, (8 * 6 * 3, 4)).astype(np.float32)
IMAGES = RNG.uniform(0, 255, (3, 8, 6, 3)).astype(np.float32)
SIZE = (8, 6)
AFFINE = ((0.5, 1.0, 2.0), (-0.1, 0.0, 0.1))
OUTPUTS = ("softmax", "log_softmax", "logit")


class Reference(nn.Module):
    """The same in torch: a layer on (n, C, H, W), curved so that the path matters."""

    def __init__(self, probabilities=False):
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(WEIGHTS))
        self.probabilities = probabilities

    def forward(self, x):
        logits = torch.sin(x.permute(0, 2, 3, 1).flatten(1) / 100) @ self.weights
        return logits.softmax(1) if self.probabilities else logits


def expected(output, probabilities, **options):
    model = intgrad.load_model(
        Reference(probabilities),
        input_size=SIZE,
        preprocess=AFFINE,
        scores="probabilities" if probabilities else "logits",
        device="cpu",
    )
    return intgrad.integrated_gradients(model, IMAGES, output=output, steps=7, **options)


def check(adapter, output, probabilities):
    model = intgrad.load_model(adapter, input_size=SIZE)
    found = intgrad.integrated_gradients(model, IMAGES, output=output, steps=7)
    np.testing.assert_allclose(found, expected(output, probabilities), rtol=1e-3, atol=1e-6)


def require(name):
    """Skip where a framework is not installed, as on machines that it has no wheels for."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


CASES = [(o, p) for o in OUTPUTS for p in (False, True) if not (p and o == "logit")]


def kind(probabilities):
    return "probabilities" if probabilities else "logits"


@pytest.mark.parametrize(("output", "probabilities"), CASES)
def test_torch(output, probabilities):
    weights = torch.from_numpy(WEIGHTS)

    def function(batch):
        logits = torch.sin(batch.flatten(1) / 100) @ weights
        return logits.softmax(1) if probabilities else logits

    adapter = adapters.from_torch(
        function, scores=kind(probabilities), preprocess=AFFINE, output=output
    )
    assert adapter.output == output
    check(adapter, output, probabilities)


@pytest.mark.parametrize(("output", "probabilities"), CASES)
def test_jax(output, probabilities):
    require("jax")
    import jax
    import jax.numpy as jnp

    def function(batch):
        logits = jnp.sin(batch.reshape(len(batch), -1) / 100) @ WEIGHTS
        return jax.nn.softmax(logits) if probabilities else logits

    check(
        adapters.from_jax(function, scores=kind(probabilities), preprocess=AFFINE, output=output),
        output,
        probabilities,
    )


def check_apart(adapter, tmp_path, cases, **environment):
    """Run code that makes an adapter in a process of its own, and compare what it explains.

    Keras takes its backend when it is imported, and TensorFlow brings its own copies of what torch
    has too.
    """
    file = tmp_path / "found.npy"
    script = APART.format(adapter=textwrap.indent(adapter, "    "))
    apart.run_script(script, json.dumps(cases), file, TF_CPP_MIN_LOG_LEVEL="2", **environment)
    for found, (output, probabilities) in zip(np.load(file), cases, strict=True):
        np.testing.assert_allclose(found, expected(output, probabilities), rtol=1e-3, atol=1e-6)


APART = """
import json, sys
import numpy as np
import intgrad
from test_adapters import AFFINE, IMAGES, SIZE, WEIGHTS, kind

found = []
for output, probabilities in json.loads(sys.argv[1]):
    options = {{"scores": kind(probabilities), "preprocess": AFFINE, "output": output}}
{adapter}
    model = intgrad.load_model(adapter, input_size=SIZE)
    found.append(intgrad.integrated_gradients(model, IMAGES, output=output, steps=7))
np.save(sys.argv[2], found)
"""
KERAS = """
import keras
inputs = keras.Input((*SIZE, 3))
curved = keras.ops.sin(keras.layers.Flatten()(inputs) / 100)
dense = keras.layers.Dense(4, activation="softmax" if probabilities else None, use_bias=False)
network = keras.Model(inputs, dense(curved))
dense.set_weights([WEIGHTS])
adapter = intgrad.adapters.from_keras(network, **options)
"""
TENSORFLOW = """
import tensorflow as tf
def function(batch, probabilities=probabilities):
    logits = tf.sin(tf.reshape(batch, (-1, len(WEIGHTS))) / 100) @ WEIGHTS
    return tf.nn.softmax(logits) if probabilities else logits
adapter = intgrad.adapters.from_tensorflow(function, **options)
"""


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_keras(backend, tmp_path):
    require(backend)
    check_apart(KERAS, tmp_path, CASES, KERAS_BACKEND=backend)


def test_tensorflow(tmp_path):
    require("tensorflow")
    check_apart(TENSORFLOW, tmp_path, CASES)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scores": "wrong"}, "scores must be"),
        ({"scores": "logits", "output": "wrong"}, "output must be"),
        ({"scores": "probabilities", "output": "logit"}, "without its last softmax"),
        ({"scores": "logits", "preprocess": "wrong"}, "preprocess must be"),
    ],
    ids=str,
)
def test_wrong_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        adapters.from_torch(lambda batch: batch.flatten(1), **options)


def test_the_output_is_the_adapters_own():
    adapter = adapters.from_torch(lambda batch: batch.flatten(1), scores="logits", output="logit")
    assert intgrad.load_model(adapter, output="logit")
    with pytest.raises(ValueError, match="says output='logit'"):
        intgrad.load_model(adapter, output="softmax")


# ---- Modules that cannot be traced ---------------------------------------------------------------


class Untraceable(nn.Module):
    """Its forward reads a number out of a tensor in a way that tracing refuses."""

    def __init__(self):
        super().__init__()
        self.reference = Reference()

    def forward(self, x):
        if torch.jit.is_tracing():
            raise RuntimeError("not while tracing")
        return self.reference(x)


FACTS = {"input_size": SIZE, "preprocess": AFFINE, "scores": "logits", "device": "cpu"}


def load_untraceable(module=None, **options):
    with pytest.warns(UserWarning, match="Untraceable cannot be traced.*eager autograd"):
        return intgrad.load_model(module or Untraceable(), **FACTS | options)


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_module_that_cannot_be_traced(output):
    model = load_untraceable(labels=list("abcd"))
    assert (model.device, model.num_classes) == ("cpu", 4)
    found, infos = intgrad.integrated_gradients(
        model, IMAGES, output=output, steps=7, return_info=True
    )
    np.testing.assert_allclose(found, expected(output, False), rtol=1e-3, atol=1e-6)
    assert "torch" in infos[0].versions
    together = [[0, 2]] * 3
    many = intgrad.integrated_gradients(model, IMAGES, together, output=output, steps=7)
    np.testing.assert_allclose(
        many, expected(output, False, targets=together), rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(model.predict(IMAGES).sum(axis=1), 1, rtol=1e-5)


def test_the_module_is_left_as_it_is():
    module = Untraceable().train()
    model = load_untraceable(module)
    intgrad.integrated_gradients(model, IMAGES, 1, steps=3)
    assert module.training
    assert module.reference.weights.requires_grad
    assert module.reference.weights.grad is None


def test_low_precision_of_a_module_that_cannot_be_traced():
    model = load_untraceable(precision="bfloat16")
    found = intgrad.integrated_gradients(model, IMAGES, 1, output="logit", steps=7)
    truth = expected("logit", False, targets=1)
    assert 0 < np.linalg.norm(found - truth) < 0.1 * np.linalg.norm(truth)


def test_a_module_that_does_not_run_at_all():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("never")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(intgrad.ModelError, match="does not run on an image of 8 x 6.*never"):
            intgrad.load_model(Broken(), **FACTS)
