"""Models of other frameworks against the same weights in torch."""

import importlib.util
import textwrap
import types
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
OUTPUTS = ("softmax", "log_softmax", "logit", "sigmoid")


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


CASES = [(o, p) for o in OUTPUTS for p in (False, True) if not (p and o in ("logit", "sigmoid"))]


def kind(probabilities):
    return "probabilities" if probabilities else "logits"


# What an adapter itself answers: one logit too, which stands for a class and its absence, and
# labels that do not exclude each other.
ANSWERS = [
    (output, probabilities, classes)
    for output in OUTPUTS
    for probabilities in (False, True)
    for classes in (4, 1)
    if not (probabilities and output == "logit")
]
TARGETS = np.array([1, 0, 3])


def check_answer(answer, output, probabilities, classes):
    """Compare scores and gradients with autograd in float64."""
    pixels = torch.from_numpy(IMAGES).double().requires_grad_()
    scale, offset = map(torch.tensor, AFFINE)
    logits = torch.sin((pixels * scale + offset).flatten(1) / 100)
    logits = logits @ torch.from_numpy(WEIGHTS[:, :classes]).double()
    either = output == "sigmoid" or classes == 1
    values = {
        "softmax": logits.sigmoid() if either else logits.softmax(1),
        "log_softmax": logits.sigmoid().log() if either else logits.log_softmax(1),
        "logit": logits,
        "sigmoid": logits.sigmoid(),
    }[output]
    picked = values[np.arange(3), TARGETS % classes]
    (gradients,) = torch.autograd.grad(picked.sum(), pixels)
    np.testing.assert_allclose(answer[0], values.detach(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(answer[1], gradients, rtol=1e-3, atol=1e-8)


def squash(functions, logits, output, probabilities):
    """Return what a network of this kind returns."""
    if not probabilities:
        return logits
    either = output == "sigmoid" or logits.shape[1] == 1
    return functions.sigmoid(logits) if either else functions.softmax(logits)


@pytest.mark.parametrize(("output", "probabilities", "classes"), ANSWERS)
def test_torch_answers(output, probabilities, classes):
    weights = torch.from_numpy(WEIGHTS[:, :classes])

    def function(batch):
        logits = torch.sin(batch.flatten(1) / 100) @ weights
        functions = types.SimpleNamespace(sigmoid=torch.sigmoid, softmax=lambda z: z.softmax(1))
        return squash(functions, logits, output, probabilities)

    adapter = adapters.from_torch(
        function, scores=kind(probabilities), preprocess=AFFINE, output=output
    )
    check_answer(adapter(IMAGES, TARGETS % classes), output, probabilities, classes)


@pytest.mark.parametrize(("output", "probabilities", "classes"), ANSWERS)
def test_jax_answers(output, probabilities, classes):
    require("jax")
    import jax
    import jax.numpy as jnp

    def function(batch):
        logits = jnp.sin(batch.reshape(len(batch), -1) / 100) @ WEIGHTS[:, :classes]
        return squash(jax.nn, logits, output, probabilities)

    adapter = adapters.from_jax(
        function, scores=kind(probabilities), preprocess=AFFINE, output=output
    )
    check_answer(adapter(IMAGES, TARGETS % classes), output, probabilities, classes)


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


def check_apart(adapter, tmp_path, **environment):
    """Run code that makes an adapter in a process of its own, and compare what it explains.

    Keras takes its backend when it is imported, and TensorFlow brings its own copies of what torch
    has too.
    """
    file = tmp_path / "found.npz"
    script = APART.format(adapter=textwrap.indent(adapter, "    "))
    apart.run_script(script, file, TF_CPP_MIN_LOG_LEVEL="2", **environment)
    with np.load(file) as found:
        for number, (output, probabilities) in enumerate(CASES):
            wanted = expected(output, probabilities)
            np.testing.assert_allclose(found[f"explained {number}"], wanted, rtol=1e-3, atol=1e-6)
        for number, case in enumerate(ANSWERS):
            check_answer((found[f"scores {number}"], found[f"gradients {number}"]), *case)


APART = """
import sys
import numpy as np
import intgrad
from test_adapters import AFFINE, ANSWERS, CASES, IMAGES, SIZE, TARGETS, WEIGHTS, kind

def make(output, probabilities, classes):
    options = {{"scores": kind(probabilities), "preprocess": AFFINE, "output": output}}
    squash = {{False: None, True: "sigmoid" if output == "sigmoid" or classes == 1 else "softmax"}}
    squash, weights = squash[probabilities], WEIGHTS[:, :classes]
{adapter}
    return adapter

found = {{}}
for number, (output, probabilities) in enumerate(CASES):
    model = intgrad.load_model(make(output, probabilities, 4), input_size=SIZE)
    found[f"explained {{number}}"] = intgrad.integrated_gradients(
        model, IMAGES, output=output, steps=7
    )
for number, case in enumerate(ANSWERS):
    found[f"scores {{number}}"], found[f"gradients {{number}}"] = make(*case)(
        IMAGES, TARGETS % case[2]
    )
np.savez(sys.argv[1], **found)
"""
KERAS = """
import keras
inputs = keras.Input((*SIZE, 3))
curved = keras.ops.sin(keras.layers.Flatten()(inputs) / 100)
dense = keras.layers.Dense(classes, activation=squash, use_bias=False)
network = keras.Model(inputs, dense(curved))
dense.set_weights([weights])
adapter = intgrad.adapters.from_keras(network, **options)
"""
TENSORFLOW = """
import tensorflow as tf
def function(batch):
    logits = tf.sin(tf.reshape(batch, (-1, len(WEIGHTS))) / 100) @ weights
    return getattr(tf.nn, squash)(logits) if squash else logits
adapter = intgrad.adapters.from_tensorflow(function, **options)
"""


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_keras(backend, tmp_path):
    require(backend)
    check_apart(KERAS, tmp_path, KERAS_BACKEND=backend)


def test_tensorflow(tmp_path):
    require("tensorflow")
    check_apart(TENSORFLOW, tmp_path)


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


ROWS = torch.zeros(len(IMAGES), 4)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: {"logits": x.flatten(1)}, r"dict of 'logits'.*network\(pixels\)\['logits'\]"),
        (lambda x: (x.flatten(1), x), r"tuple of 2: return its logits, as network\(pixels\)\[0\]"),
        (lambda x: [x.flatten(1)], r"list of 1: .*network\(pixels\)\[0\]"),
        (lambda x: types.SimpleNamespace(logits=x), r"SimpleNamespace.*network\(pixels\).logits"),
        (lambda x: None, "it returned NoneType"),
        (
            lambda x: x.sum(dim=(1, 2, 3)),
            r"shape \(3,\) for 3 images: return \(n, 1\).*reshape\(-1, 1\)",
        ),
        (lambda x: x, r"shape \(3, 8, 6, 3\) for 3 images: .*sum or the mean over the pixels"),
        (lambda x: x.flatten(1)[:1], r"shape \(1, 144\) for 3 images"),
        (lambda x: x.flatten(1).long(), "Tensor of torch.int64, without a gradient"),
        (lambda x: x.flatten(1).detach(), "no gradient with respect to the pixels.*detach"),
        (lambda x: x.flatten(1).detach().numpy(), "ndarray of float32, without a gradient"),
        (lambda x: (ROWS + 1).requires_grad_(), "no gradient with respect to the pixels"),
    ],
)
def test_functions_that_return_something_else(function, text):
    adapter = adapters.from_torch(function, scores="logits")
    with pytest.raises(intgrad.ModelError, match=text):
        adapter(IMAGES, TARGETS)


def test_what_is_wrong_reaches_whoever_explains():
    adapter = adapters.from_torch(lambda x: {"logits": x.flatten(1)}, scores="logits")
    model = intgrad.load_model(adapter)
    with pytest.raises(intgrad.ModelError, match="dict of 'logits'"):
        intgrad.integrated_gradients(model, IMAGES, steps=2)


def test_jax_functions_that_return_something_else():
    require("jax")
    adapter = adapters.from_jax(lambda x: {"logits": x}, scores="logits")
    with pytest.raises(intgrad.ModelError, match="dict of 'logits'"):
        adapter(IMAGES, TARGETS)


TENSORFLOW_FAULTS = """
import numpy as np
import tensorflow as tf
import intgrad

def complain(function, text):
    adapter = intgrad.adapters.from_tensorflow(function, scores="logits")
    try:
        adapter(np.zeros((3, 8, 6, 3), np.float32), np.zeros(3, np.int64))
    except intgrad.ModelError as error:
        assert text in str(error), error
    else:
        raise AssertionError(text)

flatten = tf.keras.layers.Flatten()
complain(lambda x: {"logits": flatten(x)}, "dict of 'logits'")
complain(lambda x: x, "shape (3, 8, 6, 3) for 3 images")
complain(lambda x: tf.stop_gradient(flatten(x)), "no gradient")
print("all complained")
"""


def test_tensorflow_functions_that_return_something_else():
    require("tensorflow")
    printed = apart.run_script(
        TENSORFLOW_FAULTS, TF_CPP_MIN_LOG_LEVEL="2", KERAS_BACKEND="tensorflow"
    )
    assert "all complained" in printed


def test_a_keras_model_of_several_outputs():
    keras = pytest.importorskip("keras")
    image = keras.Input((8, 6, 3))
    flat = keras.layers.Flatten()(image)
    network = keras.Model(image, [keras.layers.Dense(4)(flat), keras.layers.Dense(2)(flat)])
    with pytest.raises(ValueError, match=r"2 outputs: keras.Model\(network.inputs"):
        adapters.from_keras(network, scores="logits")


@pytest.mark.parametrize(
    ("framework", "dtype"),  # JAX has float64 only if it is told so when it starts
    [
        ("torch", "bfloat16"),
        ("torch", "float16"),
        ("torch", "float64"),
        ("jax", "bfloat16"),
        ("jax", "float16"),
    ],
)
def test_networks_of_another_precision(framework, dtype):
    """Their scores become what NumPy and the core can hold; a softmax is not taken in 8 bits."""
    if framework == "torch":
        weights = torch.from_numpy(WEIGHTS).to(getattr(torch, dtype))

        def function(batch):
            return torch.sin(batch.flatten(1) / 100).to(weights.dtype) @ weights

        adapter = adapters.from_torch(function, scores="logits", preprocess=AFFINE)
    else:
        require("jax")
        import jax.numpy as jnp

        def function(batch):
            curved = jnp.sin(batch.reshape(len(batch), -1) / 100)
            return curved.astype(dtype) @ jnp.asarray(WEIGHTS, dtype)

        adapter = adapters.from_jax(function, scores="logits", preprocess=AFFINE)
    scores, gradients = adapter(IMAGES, TARGETS)
    assert scores.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert gradients.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)  # bfloat16 would be 1e-3 off
    wanted = adapters.from_torch(
        lambda x: torch.sin(x.flatten(1) / 100) @ torch.from_numpy(WEIGHTS),
        scores="logits",
        preprocess=AFFINE,
    )(IMAGES, TARGETS)
    precision = {"bfloat16": 0.05, "float16": 0.01, "float64": 1e-5}[dtype]
    for found, truth in zip((scores, gradients), wanted, strict=True):
        assert np.linalg.norm(found - truth) < precision * np.linalg.norm(truth)
    model = intgrad.load_model(adapter)
    assert np.isfinite(intgrad.integrated_gradients(model, IMAGES, steps=2)).all()


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_preprocessing_of_other_channels(channels):
    images = np.ones((2, 8, 6, channels), np.float32)
    targets = np.zeros(2, np.int64)
    common = {"scores": "logits", "output": "logit"}
    adapter = adapters.from_torch(lambda x: x.flatten(1), preprocess="imagenet", **common)
    with pytest.raises(ValueError, match=f"of 3 channels, and the images have {channels}"):
        adapter(images, targets)
    adapter = adapters.from_torch(lambda x: x.flatten(1), preprocess="xception", **common)
    assert adapter(images, targets)[1].shape == images.shape


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
    model = intgrad.load_model(module or Untraceable(), **FACTS | options)
    assert model.backend == "autograd"
    return model


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
