"""preprocess= in other libraries' words, by stand-ins of what is recognised by its names alone."""

import functools
import json

import numpy as np
import pytest

from intgrad.images.transform import ImageTransform
from intgrad.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from intgrad.models.presets.recognising import read_preprocess

LINE = r"say what the deployed model sees, such as preprocess=\{'resize_size'"


def make(kind, **attributes):
    """Return an object of a class of this name, as if it were torchvision's."""
    text = f"{kind}({', '.join(f'{name}={value}' for name, value in attributes.items())})"
    made = type(kind, (), {"__repr__": lambda self: text, "__module__": "torchvision.stand_in"})()
    vars(made).update(attributes)
    return made


def compose(*steps):
    return make("Compose", transforms=list(steps))


RESIZE = make("Resize", size=[256], interpolation="bilinear", max_size=None, antialias=True)
CROP = make("CenterCrop", size=(224, 224))
TENSOR = make("ToTensor")
NORMALIZE = make("Normalize", mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])


@pytest.mark.parametrize("form", ["imagenet", "none", "xception", (0.1, 2), None], ids=str)
def test_what_says_nothing_of_photographs(form):
    read = read_preprocess(form)
    assert read.transform is None
    assert read.channels == (3 if form == "imagenet" else None)


def test_own():
    read = read_preprocess(
        {"resize_size": 256, "crop_size": 224, "mean": [0.1, 0.2, 0.3], "std": [0.5, 1, 2]}
    )
    assert read.transform == ImageTransform((224, 224), 256, "shortest_edge")
    np.testing.assert_allclose(read.scale, [2 / 255, 1 / 255, 1 / 510])
    np.testing.assert_allclose(read.offset, [-0.2, -0.2, -0.15])
    assert read.channels == 3
    plain = read_preprocess({"resize_size": [5, 6], "rescale_factor": 1, "interpolation": 3})
    assert (plain.scale, plain.offset) == ([1], [0])
    assert plain.transform.interpolation == "bicubic"


def test_bgr_is_that_of_the_network():
    """What Caffe's models take: BGR, a mean of 0..255 for each of the channels."""
    spec = {"mean": [104, 117, 124], "std": 1, "rescale_factor": 1, "channel_order": "BGR"}
    read = read_preprocess(spec)
    assert read.channel_order == "BGR"
    assert read.channels == 3
    assert read.transform is None
    assert read.offset == [-124, -117, -104]  # on RGB, before they are reversed


@pytest.mark.parametrize(
    "wrap", [dict, json.dumps, lambda c: {"pretrained_cfg": c}], ids=["dict", "json", "nested"]
)
def test_timm(wrap):
    config = {"input_size": [3, 224, 288], "interpolation": "bicubic", "crop_pct": 0.9}
    read = read_preprocess(wrap({**config, "crop_mode": None, "num_classes": 5}))
    assert read.transform == ImageTransform((224, 288), (248, 320), "cover", "bicubic")
    expected = 1 / (255 * np.array(IMAGENET_STD)), -np.divide(IMAGENET_MEAN, IMAGENET_STD)
    np.testing.assert_allclose(read.affine, expected)
    square = read_preprocess({"input_size": (1, 28, 28), "mean": (0.1,), "std": (0.3,)})
    assert square.transform == ImageTransform((28, 28), 32, "shortest_edge", "bicubic")
    assert square.channels == 1


def test_torchvision():
    read = read_preprocess(compose(compose(RESIZE, CROP), TENSOR, NORMALIZE))
    assert read.transform == ImageTransform((224, 224), 256, "shortest_edge")
    np.testing.assert_allclose(read.scale, 1 / (255 * np.array([0.2, 0.3, 0.4])))
    preset = make(
        "ImageClassification",
        crop_size=[224],
        resize_size=[256],
        mean=[0.5, 0.4, 0.3],
        std=[0.2, 0.3, 0.4],
        interpolation=make("InterpolationMode", value="bilinear"),
        antialias=True,
    )
    assert read_preprocess(preset) == read

    def _convert_image_to_rgb(picture):
        return picture.convert("RGB")

    assert read_preprocess(compose(RESIZE, CROP, _convert_image_to_rgb, TENSOR, NORMALIZE)) == read


@pytest.mark.parametrize("suffix", ["ImageProcessor", "ImageProcessorFast", "FeatureExtractor"])
@pytest.mark.parametrize("how", ["dict", "text", "path", "folder", "object", "processor"])
def test_transformers(suffix, how, tmp_path):
    config = {
        "image_processor_type": f"CLIP{suffix}",
        "size": 224,
        "crop_size": 200,
        "resample": 3,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.5, 1],
    }
    if how == "text":
        form = json.dumps(config)
    elif how in ("path", "folder"):
        form = tmp_path / "preprocessor_config.json"
        form.write_text(json.dumps(config))
        form = tmp_path if how == "folder" else str(form)
    else:
        form = config
        if how != "dict":
            form = make("CLIPImageProcessor", to_dict=lambda: config)
        if how == "processor":
            form = make("CLIPProcessor", image_processor=form, tokenizer=None)
    read = read_preprocess(form)
    assert read.transform == ImageTransform(
        (200, 200), 224, "shortest_edge", "bicubic", centering="transformers"
    )
    np.testing.assert_allclose(read.affine, [[4 / 255, 2 / 255, 1 / 255], [-2, -1, -0.5]])


def test_transformers_that_leave_out_steps():
    config = {"do_resize": False, "do_rescale": False, "do_normalize": False}
    read = read_preprocess(config)
    assert read.transform is None
    assert read.affine == ([1], [0])
    read = read_preprocess({**config, "do_rescale": True, "rescale_factor": 1 / 127.5})
    assert read.affine == ([1 / 127.5], [0])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (compose(make("RandomResizedCrop", size=224)), "step 1, RandomResizedCrop.*at random"),
        (compose(RESIZE, make("AutoAugment")), "step 2, AutoAugment.*at random"),
        (compose(RESIZE, make("TrivialAugmentWide")), "at random"),
        (compose(RESIZE, make("Lambda", lambd=None)), "nobody can know what step 2, Lambda"),
        (compose(RESIZE, lambda x: x), "nobody can know what step 2, <function"),
        (compose(make("FiveCrop", size=5)), "several pictures"),
        (compose(make("Pad", padding=5)), "nobody can know what step 1, Pad"),
        (make("RandomCrop", size=5), "step 1, RandomCrop"),
        (compose(RESIZE, TENSOR), "crop_size is missing.*256"),
        (compose(CROP, RESIZE, TENSOR), "step 2, Resize.*comes after"),
        (compose(RESIZE, RESIZE, TENSOR), "step 2, Resize.*comes after"),
        (compose(RESIZE, CROP, CROP, TENSOR), "step 3, CenterCrop.*comes after"),
        (compose(TENSOR, NORMALIZE, CROP), "comes after another crop or Normalize"),
        (compose(RESIZE, CROP), "makes a tensor"),
        (compose(RESIZE, CROP, NORMALIZE), "comes before a step that makes a tensor"),
        (compose(TENSOR, NORMALIZE, NORMALIZE), "second normalisation"),
        (compose(make("Resize", height=5, width=5)), "nobody can know what step 1"),
        (
            compose(make("Resize", size=5, max_size=9, interpolation="bilinear", antialias=True)),
            "max_size",
        ),
        (
            compose(TENSOR, make("Resize", size=5, interpolation="nearest", antialias=True)),
            "nearest is another",
        ),
        (compose(TENSOR, make("ToDtype", dtype="torch.uint8", scale=True)), "float32"),
        (compose(make("Grayscale", num_output_channels=3)), "with one channel"),
        (make("SemanticSegmentation", resize_size=[520], mean=[0], std=[1]), "many sizes"),
        (lambda x: x, "nobody can know what preprocess=<function"),
        ({"image_processor_type": "PixtralImageProcessor"}, "what transformers' PixtralImage"),
        ({"image_processor_type": "PerceiverImageProcessor"}, "PerceiverImageProcessor"),
        ({"do_pad": True, "image_mean": 0.5}, "do_pad=True"),
        (
            {"size": {"shortest_edge": 5}, "resample": 2, "do_normalize": False},
            "without a crop makes pictures of many sizes",
        ),
        ({"size": {"longest_edge": 5}, "do_normalize": False}, "size=.* of many sizes"),
        ({"input_size": (3, 5, 5), "interpolation": "random"}, "random"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_known(form, text):
    with pytest.raises(ValueError, match=f"{text}.*{LINE}"):
        read_preprocess(form)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        pytest.param(
            functools.partial(make, "ImageClassification"), "pass weights.transforms", id="partial"
        ),
        pytest.param(
            make("Weights", transforms=functools.partial(make)), "weights.transforms", id="weights"
        ),
        ({"size": 5, "do_resize": True, "image_mean": 0.5}, "image_std"),
        ({"size": 5, "do_normalize": False}, "does not say resample.*AutoImageProcessor"),
        ({"input_size": 224, "crop_pct": 1}, "input_size=.channels, height, width.*224"),
        ({"input_size": (3, 224, 224), "crop_pct": 0}, "crop_pct"),
        ({"input_size": (3, 224, 224), "crop_mode": "left"}, "crop_mode"),
        ({"input_size": (3, 224, 224), "mean": (127, 127, 127)}, "units of 0..1"),
        ({"input_size": (1, 224, 224), "mean": (0.1, 0.2, 0.3)}, "not those of 1 channels"),
        ({"mean": 0.5}, "go together"),
        ({"mean": 127.5, "std": 127.5, "crop_size": 5}, "units of 0..1"),
        ({"mean": 0.5, "std": 0, "crop_size": 5}, "std is positive"),
        ({"mean": "a", "std": 1, "crop_size": 5}, "finite numbers"),
        ({"crop_size": 5, "rescale_factor": 0}, "must not be 0"),
        ({"crop_size": 5, "rescale_factor": "1/255"}, "such as 1 / 255, got '1/255'"),
        ({"crop_size": 5, "channel_order": "GBR"}, "'RGB' or 'BGR', got 'GBR'"),
        ({"crop_size": 5, "channel_order": "BGR", "channels": 1}, "for 3 channels, got 1"),
        ({"crop_size": 5, "means": 5}, "no 'means'"),
        ('{"crop_size": 5', "no JSON"),
        ("{5}", "no JSON"),
        ("imagnet", "preprocess must be 'xception' |"),
        (5, "preprocess must be"),
    ],
    ids=str,
)
def test_what_makes_no_sense(form, text):
    with pytest.raises(ValueError, match=text):
        read_preprocess(form)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_preprocess("none.json")
    with pytest.raises(FileNotFoundError):
        read_preprocess(tmp_path)
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(ValueError, match="JSON object"):
        read_preprocess(tmp_path / "x.json")


def test_names_are_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").write_text("{}")
    assert read_preprocess("imagenet").transform is None


class ToTensor:
    """Of the user's own: it does not divide by 255."""


def convert_rgb_to_hsv(picture):
    return picture.convert("HSV")


@pytest.mark.parametrize("step", [ToTensor(), convert_rgb_to_hsv])
def test_a_name_alone_says_nothing(step):
    with pytest.raises(ValueError, match=f"nobody can know what step 3.*{LINE}"):
        read_preprocess(compose(RESIZE, CROP, step, TENSOR, NORMALIZE))


def test_a_config_in_a_processors_dict():
    config = {"input_size": (3, 96, 96), "crop_pct": 0.9, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    wrapped = {"image_processor_type": "TimmWrapperImageProcessor", "data_config": config}
    assert read_preprocess(wrapped) == read_preprocess(config)


VIT = {"image_processor_type": "ViTImageProcessor", "image_mean": [0.5], "image_std": [0.5]}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({**VIT, "resample": 2, "size": {"height": "a", "width": 8}}, "size must be .*'a'"),
        ({**VIT, "resample": 2, "size": [16, "x"]}, "size must be .*'x'"),
        ({**VIT, "rescale_factor": "abc", "size": 8}, "rescale_factor .* number, got 'abc'"),
        ({"input_size": (3, 8, 8), "crop_mode": ["center"]}, r"crop_mode .* got \['center'\]"),
        ({"input_size": (3, 8, 8), "crop_pct": -1}, "crop_pct must be a share.*-1"),
        ({"input_size": (3, 8, 8), "crop_pct": float("inf")}, "crop_pct must be a share.*inf"),
        ({"input_size": (3, 8, 8), "crop_pct": 100}, "crop_pct must be a share.*100"),
        ({"model_type": "vit", "id2label": dict.fromkeys(range(999), "x")}, "of a model: that of"),
    ],
)
def test_values_that_make_no_sense_are_named(form, text):
    with pytest.raises(ValueError, match=text) as raised:
        read_preprocess(form)
    assert len(str(raised.value)) < 600


def test_json_that_is_no_text(tmp_path):
    (tmp_path / "latin.json").write_bytes(b'{"mean": "\xff"}')
    with pytest.raises(ValueError, match=r"latin\.json' is no JSON, which is UTF-8"):
        read_preprocess(tmp_path / "latin.json")
