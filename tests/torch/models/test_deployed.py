"""The pixels of deployed pipelines: Model.load_image against timm, torchvision and transformers.

What they make of a photograph is compared before it is normalised, to the last bit where they
resize Pillow images.
"""

import functools
import json

import demo_files
import numpy as np
import pytest
import torch
from frameworks import timm, torchvision, transformers
from PIL import Image
from small_models import Smooth, archive
from torch import nn
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms._presets import ImageClassification

import intgrad
from intgrad.models.presets.recognising import read_preprocess
from intgrad.models.presets.transformers_processor import KINDS

v1 = torchvision.transforms
SIZES = {
    "as it is": None,
    "landscape": (400, 301),
    "odd": (299, 227),
    "square": (224, 224),
    "tiny": (5, 7),
    "panorama": (900, 97),
    "a pixel high": (300, 1),
    "a pixel": (1, 1),
}
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


@pytest.fixture(scope="module")
def photographs(demo_wheel, tmp_path_factory):
    """Files of all shapes, by name."""
    folder = tmp_path_factory.mktemp("photographs")
    with Image.open(demo_wheel / demo_files.PHOTOGRAPHS / "0412.jpg") as picture:
        for name, size in SIZES.items():
            (picture if size is None else picture.resize(size)).save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in SIZES}


class Mean(nn.Module):
    """Any size will do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        return self.head((x * torch.linspace(-1, 1, x.shape[-1])).mean((2, 3)))


def load(preprocess, module=None, **options):
    options = {"scores": "logits", "device": "cpu", **options}
    return intgrad.load_model(module or Mean(), preprocess=preprocess, **options)


def compare(model, photographs, pipeline, most=0.0, share=0.0, fails=()):
    """Compare with `pipeline(picture)`, (C, H, W) in 0..255.

    Pixels may be `most` levels apart, and a share of them more than the hundredth of a level.
    The pipeline itself `fails` for some.
    """
    for name, path in photographs.items():
        with Image.open(path) as picture:
            if name in fails:
                with pytest.raises(ValueError, match="must be > 0"):
                    pipeline(picture)
                model.load_image(path)
                continue
            expected = np.moveaxis(np.asarray(pipeline(picture), np.float32), 0, -1)
        found = model.load_image(path)
        distance = np.abs(found - expected)
        assert distance.max() <= most, name
        assert (distance > 0.01).mean() <= share, name
        with Image.open(path) as picture:
            np.testing.assert_array_equal(model.load_image(picture), found)
            np.testing.assert_array_equal(model.load_image(np.asarray(picture)), found)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"crop_pct": 0.95, "interpolation": "bilinear"},
        {"crop_pct": 1.0, "interpolation": "nearest"},
        {"interpolation": "lanczos", "input_size": (3, 65, 65)},
        {"crop_mode": "squash"},
        {"crop_mode": "border"},
        {"crop_mode": "border", "input_size": (3, 64, 101), "crop_pct": 1.0},
        {"input_size": (3, 192, 257)},
    ],
    ids=str,
)
def test_timm(config, photographs):
    config = {
        "input_size": (3, 224, 224),
        "interpolation": "bicubic",
        "mean": MEAN,
        "std": STD,
        "crop_pct": 0.875,
        "crop_mode": "center",
        **config,
    }
    pipeline = timm.data.create_transform(**config, normalize=False)
    by_config, by_transforms = load(config), load(timm.data.create_transform(**config))
    assert by_config.transform == by_transforms.transform
    assert by_config.input_size == config["input_size"][1:]
    # What is 300 times as wide as high would become 0 pixels high.
    fails = ["a pixel high"] if config["input_size"] == (3, 64, 101) else []
    compare(by_config, photographs, pipeline, fails=fails)


def test_timms_models(photographs, tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("test_resnet.r160_in1k", pretrained=False).eval()
    config = timm.data.resolve_model_data_config(network)
    model = load(config, network)
    assert read_preprocess(network.pretrained_cfg) == read_preprocess(config)
    assert model.input_size == config["input_size"][1:]
    compare(model, photographs, timm.data.create_transform(**config, normalize=False))
    with Image.open(photographs["as it is"]) as picture, torch.no_grad():
        logits = network(timm.data.create_transform(**config)(picture)[None])
    found = model.predict(model.load_image(photographs["as it is"]))
    np.testing.assert_allclose(found, logits.softmax(1)[0], rtol=1e-4)


@pytest.mark.parametrize("antialias", [True, None])
@pytest.mark.parametrize(
    ("crop", "resize", "interpolation"),
    [(224, 256, "bilinear"), (224, 232, "bicubic"), (223, 256, "bilinear"), (64, 48, "nearest")],
)
@pytest.mark.filterwarnings("ignore:Anti-alias option is always applied")
def test_torchvisions_presets(crop, resize, interpolation, antialias, photographs):
    """Pillow images are antialiased whatever a preset says, and what is too small is padded."""
    mode = InterpolationMode(interpolation)
    preset = ImageClassification(
        crop_size=crop, resize_size=resize, interpolation=mode, antialias=antialias
    )
    steps = [v1.Resize(resize, mode, antialias=antialias), v1.CenterCrop(crop), v1.PILToTensor()]
    compare(load(preset), photographs, v1.Compose(steps))


FLOATS = v2.ToDtype(torch.float32, scale=True)
CUBIC = InterpolationMode.BICUBIC


@pytest.mark.parametrize(
    "steps",
    [
        [v2.RGB(), v2.Resize((100, 90)), v2.ToImage(), FLOATS, v2.Normalize(MEAN, STD)],
        [v2.Resize(100, 3), v2.CenterCrop((99, 80)), v2.PILToTensor(), v2.ConvertImageDtype()],
        [v1.Resize(100, 1), v1.CenterCrop(100), v1.ToTensor(), v1.Normalize(MEAN, STD)],
        [v1.CenterCrop(301), v1.PILToTensor(), v1.ConvertImageDtype(torch.float32)],
    ],
    ids=lambda steps: ", ".join(type(step).__name__ for step in steps),
)
def test_pipelines(steps, photographs):
    kind = v2.Compose if type(steps[0]).__module__.endswith(("_geometry", "_color")) else v1.Compose
    geometry = [s for s in steps if type(s).__name__ in ("RGB", "Resize", "CenterCrop")]
    model = load(kind(steps))
    compare(model, photographs, kind([*geometry, v1.PILToTensor()]))
    with Image.open(photographs["odd"]) as picture, torch.no_grad():
        expected = Mean()(kind(steps)(picture)[None]).softmax(1)[0]
    found = model.predict(model.load_image(photographs["odd"]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("steps", "scale", "most", "share"),
    [
        ([v2.ToImage(), v2.Resize(100), v2.CenterCrop(90)], 1, 1, 0.02),
        ([v2.ToImage(), v2.Resize((100, 90), CUBIC)], 1, 2, 0.3),
        ([v2.ToImage(), v2.Resize((100, 90), antialias=False)], 1, 2, 0.3),
        ([v2.ToImage(), v2.Resize((100, 90), CUBIC, antialias=False)], 1, 2, 0.3),
        ([v1.ToTensor(), v1.Resize((100, 90))], 255, 0.05, 0.02),
        ([v1.ToTensor(), v1.Resize((100, 90), antialias=False)], 255, 0.05, 0.02),
        ([v1.ToTensor(), v1.Resize((100, 90), CUBIC)], 255, 0.05, 0.02),
        ([v1.ToTensor(), v1.Resize((100, 90), CUBIC, antialias=False)], 255, 0.05, 0.02),
    ],
    ids=lambda value: ", ".join(map(str, value)) if isinstance(value, list) else str(value),
)
def test_tensors_are_resized_by_torch(steps, scale, most, share, photographs):
    """The geometry is the same, and antialiasing as it was asked for; roundings differ."""
    kind = v2.Compose if scale == 1 else v1.Compose
    model = load(kind([*steps, FLOATS] if scale == 1 else steps))

    def pipeline(picture):
        return np.clip(np.float64(kind(steps)(picture)) * scale, 0, 255)

    compare(model, photographs, pipeline, most, share)


PROCESSORS = [name for name in KINDS if hasattr(transformers, f"{name}ImageProcessor")]


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("backend", ["Pil", ""])
def test_transformers(name, backend, photographs):
    """Whose pixels are normalised already, so that these are as well."""
    kind = getattr(transformers, f"{name}ImageProcessor{backend}", None)
    if kind is None:
        assert (name, backend) == ("DINOv3ViT", "Pil")  # there is none
        return
    processor = kind()
    read = read_preprocess(processor)
    assert read_preprocess(json.dumps(processor.to_dict())) == read
    model = load(processor)
    scale, offset = (np.float32(part).reshape(-1, 1, 1) for part in read.affine)

    def pipeline(picture):
        pixels = np.asarray(processor(picture, return_tensors="np")["pixel_values"][0], np.float64)
        pixels = pixels[::-1] if read.channel_order == "BGR" else pixels
        found = (pixels - offset) / scale
        return np.rint(found) if backend == "Pil" else found

    compare(model, photographs, pipeline, *((0.0, 0.0) if backend == "Pil" else (3.0, 0.35)))


@pytest.mark.parametrize(
    "options",
    [
        {"size": {"shortest_edge": 224}},
        {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 225, "width": 226}},
        {"do_rescale": False, "do_normalize": False},
        {"do_normalize": False, "resample": 0},
        {"do_center_crop": True, "size": {"height": 99, "width": 50}, "crop_size": 120},
    ],
    ids=str,
)
def test_what_processors_are_told(options, photographs):
    kind = (
        transformers.ConvNextImageProcessorPil
        if "shortest_edge" in options.get("size", ())
        else transformers.ViTImageProcessorPil
    )
    processor = kind(**options)
    model, read = load(processor), read_preprocess(processor)
    scale, offset = (np.float64(part).reshape(-1, 1, 1) for part in read.affine)

    def pipeline(picture):
        pixels = np.asarray(processor(picture, return_tensors="np")["pixel_values"][0], np.float64)
        return np.rint((pixels - offset) / scale)

    compare(model, photographs, pipeline)


def test_a_vision_transformer_and_its_processor(photographs, tmp_path):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        image_size=64, num_labels=5,
    )  # fmt: skip
    network = transformers.ViTForImageClassification(config).eval()
    processor = transformers.ViTImageProcessorPil(size={"height": 64, "width": 64})
    processor.save_pretrained(tmp_path)
    with Image.open(photographs["odd"]) as picture, torch.no_grad():
        expected = network(**processor(picture, return_tensors="pt")).logits.softmax(1)[0]
    for form in (processor, tmp_path, tmp_path / "preprocessor_config.json"):
        model = load(form, network)
        found = model.predict(model.load_image(photographs["odd"]))
        np.testing.assert_allclose(found, expected, rtol=1e-4)


BGR = {"resize_size": 14, "crop_size": (12, 10), "channel_order": "BGR", "mean": MEAN, "std": STD}


@pytest.fixture
def reversed_logits():
    """The logits of Smooth() for pixels (H, W, 3), which it takes as BGR."""

    def run(pixels):
        points = torch.from_numpy(np.float32(pixels) / 255).permute(2, 0, 1).flip(0)[None]
        mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (MEAN, STD))
        return Smooth().eval()((points - mean) / std)[0].detach().numpy()

    return run


@pytest.mark.parametrize("form", ["module", "saved", "archive"])
def test_bgr(form, reversed_logits, photographs, tmp_path):
    """Pictures and attributions are RGB; only the network is given BGR."""
    if form == "saved":
        intgrad.save_model(Smooth(), tmp_path / "m.pt", preprocess=BGR, scores="logits")
        model = intgrad.load_model(tmp_path / "m.pt", device="cpu")
    else:
        model = load(BGR, Smooth() if form == "module" else archive(Smooth()))
    image = model.load_image(photographs["odd"])
    logits = reversed_logits(image)
    np.testing.assert_allclose(
        model.predict(image), np.exp(logits) / np.exp(logits).sum(), rtol=1e-4
    )
    gradient = model.gradients(image, 2, output="logit")
    step = np.zeros_like(image)
    step[5, 4, 0] = 1
    slope = (reversed_logits(image + step) - reversed_logits(image - step))[2] / 2
    np.testing.assert_allclose(gradient[5, 4, 0], slope, rtol=0.02)


def test_archives_keep_it(photographs, tmp_path):
    config = {"input_size": (3, 12, 10), "crop_mode": "border", "mean": MEAN, "std": STD}
    intgrad.save_model(Smooth(), tmp_path / "m.pt", preprocess=config, scores="logits")
    saved = intgrad.load_model(tmp_path / "m.pt", device="cpu")
    live = load(config, Smooth())
    assert saved.transform == live.transform != None  # noqa: E711
    assert saved.input_size == (12, 10)
    for path in photographs.values():
        image = saved.load_image(path)
        np.testing.assert_array_equal(image, live.load_image(path))
        np.testing.assert_allclose(saved.predict(image), live.predict(image), rtol=1e-5)


METADATA = {"format": 1, "input_size": [12, 10], "scores": "logits", "channels": 3}


def test_archives_that_say_nothing_of_it():
    model = intgrad.load_model(archive(Smooth(), metadata=METADATA), device="cpu")
    assert model.transform is None


@pytest.mark.parametrize(
    "transform",
    [
        5,
        [],
        {},
        "squash",
        {"crop_size": [10, 12]},
        {"crop_size": [12, 10], "resize_size": 1e9},
        {"crop_size": [12, 10], "new": 1},
        {"crop_size": [12, 10], "interpolation": None},
    ],
    ids=str,
)
def test_archives_that_are_damaged(transform):
    damaged = archive(Smooth(), metadata={**METADATA, "transform": transform})
    with pytest.raises(intgrad.ModelError, match="intgrad.json"):
        intgrad.load_model(damaged, device="cpu")


@pytest.mark.parametrize("save", [True, False])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"preprocess": BGR, "input_size": (224, 224)}, r"makes pictures of \(12, 10\)"),
        ({"preprocess": BGR, "channels": 1}, "for 3 channels, got channels=1"),
        ({"preprocess": {"mean": 0.5, "std": 0.5}}, r"input_size=\(height, width\)"),
        ({"preprocess": v1.Compose([v1.RandomResizedCrop(224)])}, "RandomResizedCrop.*at random"),
    ],
    ids=str,
)
def test_contradictions(save, options, text, tmp_path):
    options["scores"] = "logits"
    call = functools.partial(intgrad.load_model, Smooth(), **options)
    if save:
        call = functools.partial(intgrad.save_model, Smooth(), tmp_path / "m.pt", **options)
    with pytest.raises(ValueError, match=text):
        call()
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_size_are_told_what_makes_them():
    model = load(BGR, Smooth())
    with pytest.raises(ValueError, match="model.load_image makes such"):
        model.predict(np.zeros((50, 50, 3)))


def test_grey(photographs):
    config = {
        "input_size": (1, 28, 28),
        "mean": (0.13,),
        "std": (0.3,),
        "interpolation": "bilinear",
    }
    module = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 3))
    model = load(config, module)
    steps = [v1.Grayscale(), v1.Resize(32), v1.CenterCrop(28)]
    with Image.open(photographs["odd"]) as picture:
        expected = v1.Compose([*steps, v1.PILToTensor()])(picture)[0]
        found = model.load_image(picture), model.load_image(np.asarray(picture.convert("L")))
    for image in (*found, model.load_image(photographs["odd"])):
        np.testing.assert_array_equal(image[..., 0], expected)
    assert load(v1.Compose([*steps, v1.ToTensor()]), module).transform == model.transform
