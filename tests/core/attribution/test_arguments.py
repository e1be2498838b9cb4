"""What is wrong is answered before any work, with the value and what was expected; what is merely
unusual works."""

import json
import re
import warnings

import numpy as np
import pytest
from analytic import Polynomial, Wave, pixels

import intgrad
from intgrad.models.targets import resolve_targets

SHAPE = (6, 5, 3)


class SentinelError(Exception):
    """Raised by a model that must not be reached."""


def unreachable(batch, targets):
    raise SentinelError


def load(function=unreachable, **options):
    return intgrad.load_model(function, **{"output": "logit", **options})


def explain(images, targets=0, model=None, **options):
    return intgrad.integrated_gradients(
        model or load(), images, targets, **{"output": "logit", **options}
    )


IMAGE = pixels(SHAPE)


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        (np.zeros((6, 5)), ValueError, r"channel axis, got shape \(6, 5\): np.repeat"),
        (np.zeros((2, 3, 6, 5, 3)), ValueError, r"got \(2, 3, 6, 5, 3\)"),
        (np.zeros(7), ValueError, r"\(7,\)"),
        (3.0, ValueError, r"\(\)"),
        (np.zeros((0, 6, 5, 3)), ValueError, "must not be empty"),
        (np.zeros((6, 0, 3)), ValueError, "must not be empty"),
        (np.zeros((3, 60, 50)), ValueError, r"np.moveaxis\(images, 0, -1\)"),
        (np.zeros((2, 3, 60, 50)), ValueError, r"np.moveaxis\(images, 1, -1\)"),
        (IMAGE.astype(complex), TypeError, "complex128"),
        (IMAGE.astype(object), TypeError, "object"),
        (IMAGE > 9, TypeError, "bool"),
        ("image.jpg", TypeError, "dtype <U9"),
        (None, TypeError, "object"),
        ([np.zeros((6, 5, 3)), np.zeros((5, 5, 3))], ValueError, "all of one shape"),
    ],
)
def test_images(images, error, text):
    with pytest.raises(error, match=text):
        explain(images)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_pixels_must_be_finite_in_float32(bad):
    stack = np.float64([IMAGE, IMAGE])
    stack[1, 4, 2, 1] = bad
    shown = "nan" if np.isnan(bad) else "-inf" if bad < 0 else "inf"
    with pytest.raises(ValueError, match=rf"picture 1 has {shown} at row 4, column 2, channel 1"):
        explain(stack)
    with pytest.raises(ValueError, match=r"baseline .* has .* at row 4, column 2, channel 1"):
        explain(IMAGE, baseline=stack[1])


@pytest.mark.parametrize(
    ("targets", "error", "text"),
    [
        (-1, IndexError, "target -1 is out of range"),
        (10**12, IndexError, "1000000000000 is out of range: the model has 3 classes, 0 to 2"),
        (3, IndexError, "3 is out of range"),
        (1.0, TypeError, "int or a label, got 1.0"),
        (True, TypeError, "got True"),
        (None, SentinelError, "^$"),  # needs the model's scores
        ({0}, TypeError, "got {0}"),
        ([0, 1], ValueError, "each of the 1 image, got 2 entries"),
        ([], ValueError, "got 0 entries"),
        ([[]], ValueError, "at least one"),
        ([[0, 1], [2]], ValueError, "got 2 entries"),
        (np.zeros((1, 1, 1), int), TypeError, "int or a label"),
        ("cat", ValueError, r"no label 'cat'; did you mean 'car' or 'cap'\?"),
        ("bus", ValueError, "no label 'bus'; there are 'car', 'cap'$"),
        ("2", ValueError, "no label '2'; class 2 is 'car'$"),
        ("-1", ValueError, "no label '-1'; there are"),
        (np.array("cat"), ValueError, "no label 'cat'; did you mean"),
        (np.array(["cat"]), ValueError, "no label 'cat'; did you mean"),
        ([["cap", "cat"]], ValueError, "no label 'cat'; did you mean"),
        (np.array(1.0), TypeError, "int or a label, got 1.0"),
        ("car", ValueError, r"that of classes \[0, 2\]"),
    ],
)
def test_targets(targets, error, text):
    model = load(labels=["car", "cap", "car"])
    model.num_classes = 3
    with pytest.raises(error, match=text):
        explain(IMAGE, targets, model)


def test_targets_of_a_batch():
    model = load(Polynomial(2, SHAPE))
    stack = pixels((2, *SHAPE))
    one = explain(stack, 1, model)
    np.testing.assert_array_equal(explain(stack, [1, 1], model), one)
    np.testing.assert_array_equal(explain(stack, np.uint8([1, 1]), model), one)
    many = explain(stack, [[0, 1], [1, 2]], model)
    assert many.shape == (2, 2, *SHAPE)
    np.testing.assert_array_equal(many[0, 1], one[0])
    np.testing.assert_array_equal(many[1, 0], one[1])
    assert explain(stack[0], [[0, 1]], model).shape == (2, *SHAPE)
    assert explain(stack[0], [1], model).shape == SHAPE
    labelled = load(Polynomial(2, SHAPE), labels=["a", "b", "c"])
    np.testing.assert_array_equal(explain(stack, "b", labelled), one)
    np.testing.assert_array_equal(explain(stack, [["a", "b"], ["b", "c"]], labelled), many)
    with pytest.raises(ValueError, match="equally many classes"):
        explain(stack, [[0, 1], [2]], model)
    with pytest.raises(ValueError, match="equally many classes"):
        explain(stack, [[0], 1], model)


@pytest.mark.parametrize(
    ("label", "nearest"),
    [
        ("tabby", "'tabby, tabby cat'"),
        ("Tabby Cat", "'tabby, tabby cat'"),
        ("tabi cat", "'tabby, tabby cat' or 'Egyptian cat'"),
        ("EGYPTIAN CAT", "'Egyptian cat'"),
        ("Egyptian_cat ", "'Egyptian cat'"),
        ("elephant", "'African elephant, Loxodonta africana'"),
        ("cat", "'tabby, tabby cat' or 'Egyptian cat'"),
    ],
)
def test_names_that_are_nearest(label, nearest):
    labels = ["tench", "tabby, tabby cat", "Egyptian cat", "African elephant, Loxodonta africana"]
    with pytest.raises(ValueError, match=f"; did you mean {re.escape(nearest)}\\?$"):
        resolve_targets(label, 1, labels, 4)


@pytest.mark.parametrize("label", ["", " ", "zzz"])
def test_some_names_where_none_is_near(label):
    labels = [f"class {k}" for k in range(1000)]
    with pytest.raises(ValueError, match=r"there are 'class 0', .*'class 9' \.\.\. \(1000\)$"):
        resolve_targets(label, 1, labels, 1000)


@pytest.mark.parametrize(
    ("target", "labels", "index"),
    [
        ("3", ["0", "3", "1", "2"], 1),
        (3, ["0", "3", "1", "2"], 3),
        ("3", None, 3),  # as `Model.top` calls it
        (np.str_("b"), ["a", "b"], 1),
        (np.array("b"), ["a", "b"], 1),
        (np.array(1), ["a", "b"], 1),
        ("-1", ["a", "-1"], 1),
    ],
    ids=repr,
)
def test_names_that_are_numbers(target, labels, index):
    assert resolve_targets(target, 1, labels, 4)[0].tolist() == [[index]]
    assert resolve_targets([[target, target]], 1, labels, 4)[0].tolist() == [[index, index]]


def test_names_that_are_numbers_and_none_of_them():
    with pytest.raises(ValueError, match="no label '0'; class 0 is '1'"):
        resolve_targets("0", 1, ["1", "2"], 2)
    with pytest.raises(IndexError, match="target 4 is out of range"):
        resolve_targets("4", 1, None, 4)


def test_names_wherever_a_class_is_taken():
    model = load(Polynomial(2, SHAPE), labels=["a", "b", "c"])
    options = {"output": "logit", "steps": 2}
    for explain_by in (
        lambda target: intgrad.integrated_gradients(model, IMAGE, target, **options),
        lambda target: model.gradients(IMAGE, target, output="logit"),
        lambda target: intgrad.random_baseline_integrated_gradients(
            model, IMAGE, target, seed=0, **options
        ),
        lambda target: next(
            intgrad.iter_integrated_gradients(
                model, [IMAGE], target if isinstance(target, str | int) else iter(target), **options
            )
        )[0],
    ):
        np.testing.assert_array_equal(explain_by("b"), explain_by(1))
        np.testing.assert_array_equal(explain_by([["c", 0]]), explain_by([[2, "a"]]))
        with pytest.raises(ValueError, match=r"no label 'B'; did you mean 'b'\?"):
            explain_by("B")


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (7, "labels must be a sequence of str, got 7"),
        ("abc", "got 'abc'"),
        (["a", 1, "c"], r"got \['a', 1, 'c'\]"),
        ({0: "a", 1: "b"}, r"got a dict: .*\[labels\[k\] for k in sorted\(labels\)\]"),
    ],
    ids=repr,
)
def test_what_are_no_labels(labels, text):
    with pytest.raises(TypeError, match=text):
        load(labels=labels)


def test_labels_may_come_one_by_one():
    assert load(labels=(name for name in "abc")).labels == ("a", "b", "c")
    model = load(Polynomial(2, SHAPE), labels=[])
    with pytest.raises(ValueError, match="one name for each of the model's 3 classes, got 0"):
        model.predict(IMAGE)


def test_target_that_only_the_call_can_judge():
    """A callable's number of classes is unknown until it has run."""

    def function(batch, targets):
        return np.zeros((len(batch), 3)), np.zeros_like(batch)

    for rule in ("trapezoid", "midpoint"):
        with pytest.raises(IndexError, match="target 7 is out of range: the model has 3 classes"):
            explain(IMAGE, 7, load(function), rule=rule)
    with pytest.raises(IndexError, match="9223372036854775808"):
        explain(IMAGE, 2**63)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 2.0}, TypeError, "steps must be an int, got 2.0"),
        ({"steps": True}, TypeError, "got True"),
        ({"steps": 10**12}, ValueError, "at most 100000, got 1000000000000"),
        ({"rule": "simpson"}, ValueError, "got 'simpson'"),
        ({"output": "probability"}, ValueError, "got 'probability'"),
        ({"output": "softmax"}, ValueError, "differentiates output='logit'"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": "4"}, TypeError, "got '4'"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": 0.5}, TypeError, "seed must be an int"),
        ({"tolerance": 0}, ValueError, "positive number.* got 0"),
        ({"tolerance": -0.1}, ValueError, "got -0.1"),
        ({"tolerance": np.nan}, ValueError, "got nan"),
        ({"tolerance": np.inf}, ValueError, "got inf"),
        ({"tolerance": True}, TypeError, "got True"),
        ({"tolerance": "5 %"}, TypeError, "got '5 %'"),
        ({"tolerance": [0.1, 0.2]}, TypeError, "must be a number"),
        ({"tolerance": 0.05, "rule": "midpoint"}, ValueError, "tolerance=0.05.*rule='midpoint'"),
        ({"tolerance": 0.05, "max_evaluations": 8}, ValueError, "max_evaluations=8 is too few"),
        ({"max_evaluations": 0}, ValueError, "max_evaluations must be at least 1, got 0"),
        ({"max_evaluations": 10**6}, ValueError, "at most 100000, got 1000000"),
        ({"gradient": True}, ValueError, "gradient=True .* return_info=True"),
        ({"gradient": True, "return_info": True, "rule": "left"}, ValueError, "rule='left'"),
        ({"error_map": True}, ValueError, "return_info=True"),
        ({"error_map": True, "return_info": True, "rule": "left"}, ValueError, "rule='left'"),
        ({"error_map": True, "return_info": True, "steps": 1}, ValueError, "steps=1"),
        ({"baseline": "grey"}, ValueError, "'black', 'white', 'gray'.*got 'grey'"),
        ({"baseline": np.zeros((5, 6, 3))}, ValueError, r"shape \(5, 6, 3\)"),
        ({"baseline": np.zeros((0, 6, 5, 3))}, ValueError, r"\(0, 6, 5, 3\)"),
        ({"baseline": None}, TypeError, "baseline must be real numbers"),
        ({"baseline": np.nan}, ValueError, "baseline must be finite"),
        ({"baseline": 1 + 2j}, TypeError, "complex"),
        ({"progress": True, "no_such": 1}, TypeError, "no_such"),
    ],
)
def test_options(options, error, text):
    with pytest.raises(error, match=text):
        explain(IMAGE, **options)


def test_random_baselines_take_no_baseline():
    with pytest.raises(TypeError, match="draws its own baselines"):
        intgrad.random_baseline_integrated_gradients(load(), IMAGE, 0, baseline="black")
    with pytest.raises(ValueError, match="runs must be at least 1, got 0"):
        intgrad.random_baseline_integrated_gradients(load(), IMAGE, 0, runs=0, output="logit")


def test_the_model_must_be_one():
    with pytest.raises(TypeError, match="got function: intgrad.load_model"):
        intgrad.integrated_gradients(unreachable, IMAGE)


@pytest.mark.parametrize(
    ("source", "options", "error", "text"),
    [
        (7, {}, TypeError, "got int"),
        (unreachable, {}, ValueError, "must say what it returns"),
        (unreachable, {"output": "score"}, ValueError, "got 'score'"),
        (unreachable, {"output": "logit", "device": "cpu"}, ValueError, "device cannot be given"),
        (unreachable, {"output": "logit", "precision": "tf32"}, ValueError, "precision cannot"),
        (unreachable, {"output": "logit", "sha256": "00"}, ValueError, "sha256 cannot"),
        (unreachable, {"output": "logit", "input_size": 299}, ValueError, r"\(299, 299\) for a"),
        (unreachable, {"output": "logit", "input_size": (0, 9)}, ValueError, "positive"),
        (unreachable, {"output": "logit", "input_size": (9.0, 9)}, ValueError, "two ints"),
        (unreachable, {"output": "logit", "labels": "cat"}, TypeError, "sequence of str"),
        (unreachable, {"output": "logit", "labels": [1]}, TypeError, "sequence of str"),
        ("m.pt", {"precision": "half"}, ValueError, "got 'half'"),
        ("m.pt", {"scores": "softmax"}, ValueError, "got 'softmax'"),
        ("m.pt", {"output": "logit"}, ValueError, "give it to integrated_gradients"),
        ("m.pt", {"preprocess": "vgg"}, ValueError, "got 'vgg'"),
        ("m.pt", {"preprocess": (1, 2, 3)}, ValueError, r"got \(1, 2, 3\)"),
        ("m.pt", {"preprocess": (np.nan, 0)}, ValueError, "finite"),
        ("no/such/model.pt", {}, FileNotFoundError, "no/such/model.pt"),
    ],
)
def test_loading(source, options, error, text):
    with pytest.raises(error, match=text):
        intgrad.load_model(source, **options)


def test_labels_of_a_callable_are_counted_at_its_first_call():
    model = load(Polynomial(2, SHAPE), labels=["a", "b"])
    with pytest.raises(ValueError, match="each of the model's 3 classes, got 2"):
        model.predict(IMAGE)


def test_the_size_a_callable_was_declared_for():
    model = load(Polynomial(2, SHAPE), input_size=(6, 5))
    model.predict(IMAGE)
    with pytest.raises(ValueError, match=r"load_image\(path, size=\(6, 5\)\).*resize\(\(5, 6\)\)"):
        model.predict(np.zeros((5, 6, 3)))


def nasty(image):
    """The same pixels in every layout and dtype that holds them."""
    reversed_image = np.ascontiguousarray(image[::-1, ::-1, ::-1])
    read_only = image.copy()
    read_only.setflags(write=False)
    padded = np.zeros((2 * image.shape[0], image.shape[1] + 3, image.shape[2]), image.dtype)
    padded[::2, 3:] = image
    yield "list", image.tolist()
    yield "read-only", read_only
    yield "strided", padded[::2, 3:]
    yield "reversed", reversed_image[::-1, ::-1, ::-1]
    yield "transposed", np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    yield "fortran", np.asfortranarray(image)
    for dtype in ("u1", "i2", ">i4", "<u8", "f2", ">f4", "f8", ">f8", "g"):
        yield dtype, image.astype(dtype)


WHOLE = np.random.default_rng(4).integers(0, 256, SHAPE).astype(np.float32)


@pytest.mark.parametrize(("name", "image"), list(nasty(WHOLE)))
def test_layouts_and_dtypes_simply_work(name, image):
    model = load(Wave(SHAPE))
    before = np.array(image)
    with pytest.warns(UserWarning, match="nothing to attribute"):
        assert not explain(image, 1, model, baseline=image).any()
    np.testing.assert_array_equal(
        explain(WHOLE[::-1], 1, model, baseline=image),
        explain(WHOLE[::-1], 1, model, baseline=WHOLE),
    )
    np.testing.assert_array_equal(explain(image, 1, model), explain(WHOLE, 1, model))
    np.testing.assert_array_equal(model.predict(image), model.predict(WHOLE))
    np.testing.assert_array_equal(
        model.gradients(image, 1, output="logit"), model.gradients(WHOLE, 1, output="logit")
    )
    np.testing.assert_array_equal(before, np.array(image))


def test_a_range_of_0_to_1_warns():
    model = load(Polynomial(2, SHAPE))
    with pytest.warns(UserWarning, match=r"largest value is 0.7, .* pass 255 \* image") as caught:
        model.predict(np.full(SHAPE, 0.7))
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="255") as caught:
        explain(np.full(SHAPE, 1.0), 0, model)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(np.ones(SHAPE, np.uint8), 0, model)
        explain(np.zeros(SHAPE), 0, model, baseline="gray")


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("black", 0),
        ("white", 255),
        ("gray", 127.5),
        (7, 7),
        (np.float64(7.5), 7.5),
        ("mean", WHOLE.mean(axis=(0, 1))),
        (WHOLE[::-1], WHOLE[::-1]),
    ],
)
def test_baselines_are_in_pixel_space(baseline, expected):
    seen = []

    def function(batch, targets):
        seen.append(batch)
        return np.zeros((len(batch), 2)), np.ones_like(batch)

    explain(WHOLE, 0, load(function), baseline=baseline, steps=2)
    np.testing.assert_allclose(seen[0][0], np.broadcast_to(expected, SHAPE), rtol=1e-6)


def test_blur_is_a_gaussian():
    from scipy import ndimage

    from intgrad.attribution.baselines import make_baselines
    from intgrad.attribution.remarks import Remarks

    image = pixels((45, 60, 3))
    made = make_baselines("blur", image[None], None, Remarks()).pixels[0, 0]
    # Renormalised at the border: a blur of the image over a blur of ones.
    options = {"sigma": (4, 4, 0), "mode": "constant", "truncate": 20}
    expected = ndimage.gaussian_filter(np.float64(image), **options)
    expected /= ndimage.gaussian_filter(np.ones(image.shape), **options)
    np.testing.assert_allclose(made, expected, rtol=1e-5)


def test_every_baseline_of_a_batch_belongs_to_its_image():
    model = load(Wave(SHAPE))
    stack = pixels((3, *SHAPE))
    for baseline in ("mean", "blur"):
        together = explain(stack, 1, model, baseline=baseline)
        alone = [explain(image, 1, model, baseline=baseline) for image in stack]
        np.testing.assert_array_equal(together, alone)


def test_info():
    model = load(Wave(SHAPE))
    maps, infos = explain(
        pixels((2, *SHAPE)), [[0, 1], [2, 3]], model, steps=4, return_info=True, error_map=True
    )
    assert [[info.target for info in row] for row in infos] == [[0, 1], [2, 3]]
    info = infos[1][0]
    assert info.error_map.shape == SHAPE
    assert info.pixel_error_map.shape == SHAPE[:2]
    assert info.alphas.tolist() == [0, 0.25, 0.5, 0.75, 1]
    with pytest.raises(ValueError, match="read-only"):
        info.alphas[0] = 1
    with pytest.raises(AttributeError):
        info.error = 0
    record = json.loads(json.dumps(info.to_dict(), allow_nan=False))
    assert record["baseline_error"] is None
    assert record["error"] == info.error
    assert record["baseline"] == "black"
    fields = set(intgrad.AttributionInfo.__dataclass_fields__)
    assert set(record) == fields - {"error_map", "pixel_error_map", "gradient"}
    assert maps.dtype == np.float32


@pytest.mark.parametrize(("rule", "steps"), [("midpoint", 8), ("trapezoid", 1)])
def test_error_is_nan_where_it_is_unknown(rule, steps):
    _, info = explain(IMAGE, 0, load(Wave(SHAPE)), rule=rule, steps=steps, return_info=True)
    assert np.isnan(info.error)
    assert np.isnan(info.quadrature_error)


@pytest.mark.parametrize("output", ["softmax", "log_softmax", "logit"])
def test_predictions_of_a_callable_are_probabilities(output):
    logits = np.array([[1.0, 3.0, -2.0]])
    softmax = np.exp(logits) / np.exp(logits).sum()
    scores = {"softmax": softmax, "log_softmax": np.log(softmax), "logit": logits}[output]

    def function(batch, targets):
        return np.repeat(scores, len(batch), axis=0), np.ones_like(batch)

    model = intgrad.load_model(function, output=output, labels=["a", "b", "c"])
    np.testing.assert_allclose(model.predict(IMAGE), softmax[0], rtol=1e-6)
    assert [(label, index) for label, index, _ in model.top(IMAGE, 2)] == [("b", 1), ("a", 0)]
    assert [len(row) for row in model.top(np.stack([IMAGE, IMAGE]))] == [3, 3]
    assert explain(IMAGE, None, model, output=output, return_info=True)[1].target == 1
    with pytest.raises(ValueError, match="k must be at least 1"):
        model.top(IMAGE, 0)


def test_plain_gradients():
    function = Wave(SHAPE)
    stack = pixels((3, *SHAPE))
    model = load(function)
    expected = function(stack, np.array([2, 0, 1]))[1]
    found = model.gradients(stack, [2, 0, 1], output="logit")
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(model.gradients(stack[0], 2, output="logit"), found[0])
    assert model.gradients(stack, [[2, 0]] * 3, output="logit").shape == (3, 2, *SHAPE)


def test_info_is_told_in_a_line():
    model = intgrad.load_model(Polynomial(2, SHAPE), output="logit")
    _, info = intgrad.integrated_gradients(
        model, pixels(SHAPE), 1, output="logit", error_map=True, return_info=True
    )
    text = repr(info)
    assert text.startswith("AttributionInfo(target=1, score=")
    assert f"error_map=array{SHAPE}" in text
    assert len(text) < 400


def test_a_keras_model_is_told_from_a_callable():
    network = type("Sequential", (), {"__module__": "keras.src.models.sequential"})()
    with pytest.raises(TypeError, match=r"is a Keras model, Sequential: .*from_keras\("):
        intgrad.load_model(network, output="logit")
