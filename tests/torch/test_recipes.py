"""The blocks of docs/models.md, each run by itself, against the libraries' own autograd in float64.

The libraries are real, their networks small and random (`hubs.py`).
"""

import copy
import functools
import json
import re
from pathlib import Path

import hubs
import numpy as np
import pytest
import torch
from frameworks import timm
from PIL import Image

import intgrad
from intgrad.command_line import main as cli
from intgrad.models.torch import autograd_loading

PAGE = Path(__file__).parents[2] / "docs/models.md"
SECTIONS = dict(
    re.findall(
        r"^## (.*)\n(?:.|\n)*?```python\n((?:.|\n)*?)```", PAGE.read_text("utf-8"), re.MULTILINE
    )
)
STEPS = 4
PASSES = 12
"""Forward passes that it takes to load a module."""


class Run:
    """What a block did: its names, and what it asked of us."""

    def __init__(self, block, monkeypatch):
        self.facts, self.maps, self.infos = {}, None, []
        load, explain = intgrad.load_model, intgrad.integrated_gradients

        def load_model(source, **facts):
            self.network, self.facts = source, facts
            return load(source, device="cpu", **facts)

        def integrated_gradients(model, image, *targets, return_info=False, **options):
            self.model, self.image = model, image
            self.maps, infos = explain(
                model, image, *targets, steps=STEPS, return_info=True, **options
            )
            self.infos = infos if isinstance(infos, list) else [infos]
            return (self.maps, infos) if return_info else self.maps

        with monkeypatch.context() as patched:
            patched.setattr(intgrad, "load_model", load_model)
            patched.setattr(intgrad, "integrated_gradients", integrated_gradients)
            self.names = {}
            exec(compile(block, str(PAGE), "exec"), self.names)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a section's block beside the files that the page speaks of."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("elephant.jpg", "other.jpg")):
        noise = random.integers(0, 256, (12, 10, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((310 + number, 290)).save(tmp_path / name, quality=95)
    grey = random.integers(0, 2**16, (120, 110), dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "xray.png")
    np.save(tmp_path / "scene.npy", random.uniform(0, 1.1, (64, 64, 13)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    hubs.give_networks(monkeypatch)

    def start(section, name="resnet50"):
        return Run(SECTIONS[section].replace("resnet50", name), monkeypatch)

    return start


def integrate_by_hand(network, score, image, mean, std):
    """Return F at the image, and the trapezoid of the gradients on the path from black."""
    twin = copy.deepcopy(network).double().eval()
    alphas = np.linspace(0, 1, STEPS + 1).reshape(-1, 1, 1, 1)
    path = torch.tensor(alphas * np.float64(image), requires_grad=True)
    mean, std = (torch.tensor(part, dtype=torch.float64) for part in (mean, std))
    values = score(twin(((path / 255 - mean) / std).permute(0, 3, 1, 2)))
    (gradients,) = torch.autograd.grad(values.sum(), path)
    weights = np.full((STEPS + 1, 1, 1, 1), 1 / STEPS)
    weights[[0, -1]] /= 2
    return float(values[-1].detach()), (gradients.numpy() * weights).sum(0) * image


def check(run, scores, mean, std, tolerance=1e-5):
    """Compare maps with those of plain autograd of `scores`, one for each target."""
    maps = run.maps if len(scores) > 1 else [run.maps]
    for found, info, score in zip(maps, run.infos, scores, strict=True):
        value, expected = integrate_by_hand(run.network, score, run.image, mean, std)
        assert info.score == pytest.approx(value, rel=1e-4, abs=1e-6)
        assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)
        assert info.backend == run.model.backend == "autograd"


def check_pipeline(run, pixels, finish, logits=lambda returned: returned):
    """Compare predictions with those of the library's own pixels (1, C, H, W)."""
    with torch.no_grad():
        expected = finish(logits(copy.deepcopy(run.network).eval()(pixels)))[0]
    np.testing.assert_allclose(run.model.predict(run.image), expected, rtol=1e-4, atol=1e-7)


def check_files(run, tmp_path):
    """Save it in both formats and compare what each gives, by each way to torch."""
    for name, backend in (("m.pt2", "autograd"), ("m.pt", "autograd"), ("m.pt", "libtorch")):
        path = tmp_path / name
        if not path.exists():
            intgrad.save_model(run.network, path, **run.facts)
        model = intgrad.load_model(path, device="cpu", backend=backend)
        assert (model.backend, model.labels) == (backend, run.model.labels)
        assert model.transform == run.model.transform
        targets = [info.label for info in run.infos]
        options = {"output": run.infos[0].output, "steps": STEPS}
        maps = intgrad.integrated_gradients(model, run.image, [targets], **options)
        expected = run.maps if len(targets) > 1 else run.maps[None]
        assert np.linalg.norm(maps - expected) <= 1e-5 * np.linalg.norm(expected)


def softmax(logits):
    return logits.softmax(1)


def photograph():
    return Image.open("elephant.jpg")


def timm_pixels(run, name="elephant.jpg"):
    config = timm.data.resolve_model_data_config(run.network)
    return timm.data.create_transform(**config)(Image.open(name))[None]


def timm_numbers(run):
    return run.network.pretrained_cfg["mean"], run.network.pretrained_cfg["std"]


ELEPHANT = 386
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize("name", list(hubs.TIMM))
def test_timm(name, run, tmp_path, monkeypatch):
    folded, passes = [], []
    fold = autograd_loading.fold_modules
    monkeypatch.setattr(autograd_loading, "fold_modules", lambda *a: folded.append(fold(*a)))
    create = timm.create_model

    def count_passes(*arguments, **options):
        network = create(*arguments, **options)
        kind = type(network)
        forward = kind.forward

        @functools.wraps(forward)
        def counting(self, x):
            passes.append(len(x))
            return forward(self, x)

        patched.setattr(kind, "forward", counting)
        return network

    with monkeypatch.context() as patched:
        patched.setattr(timm, "create_model", count_passes)
        load = intgrad.load_model
        patched.setattr(intgrad, "load_model", lambda *a, **k: (load(*a, **k), passes.append(0))[0])
        found = run("timm", name)
    assert passes.index(0) <= PASSES
    norms = [m for m in found.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert folded == [len(norms)]
    assert found.network.training
    assert found.infos[0].target == ELEPHANT
    assert found.infos[0].label == "African elephant, Loxodonta africana"
    check(found, [lambda y: y[:, ELEPHANT]], *timm_numbers(found))
    check_pipeline(found, timm_pixels(found), softmax)
    check_files(found, tmp_path)


def test_transformers(run, tmp_path):
    found = run("transformers")
    assert found.infos[0].label == "African elephant, Loxodonta africana"
    check(found, [lambda y: y.logits[:, ELEPHANT]], 0.5, 0.5)
    processor = found.facts["preprocess"]
    pixels = processor(photograph(), return_tensors="pt")["pixel_values"]
    check_pipeline(found, pixels, softmax, lambda y: y.logits)
    check_files(found, tmp_path)


def test_torchvision(run):
    found = run("torchvision")
    assert (found.infos[0].target, found.infos[0].label) == (ELEPHANT, "African elephant")
    check(found, [lambda y: y[:, ELEPHANT]], *IMAGENET)
    check_pipeline(found, found.names["weights"].transforms()(photograph())[None], softmax)


def test_binary(run, tmp_path):
    found = run("Two classes, one logit")
    assert (found.infos[0].label, found.infos[0].output) == ("malignant", "sigmoid")
    check(found, [lambda y: torch.sigmoid(y[:, 0])], *timm_numbers(found))
    check_pipeline(found, timm_pixels(found), torch.sigmoid)
    check_files(found, tmp_path)
    with pytest.raises(
        ValueError, match="1 classes, got 2: 'benign', .*: one number is the score of one class"
    ):
        intgrad.load_model(found.network, **{**found.facts, "labels": ["benign", "malignant"]})


def test_multilabel(run, tmp_path):
    found = run("Labels that do not exclude each other")
    assert found.maps.shape == (2, hubs.SIZE, hubs.SIZE, 3)
    assert [info.label for info in found.infos] == ["elephant", "water"]
    scores = [lambda y, k=k: torch.sigmoid(y[:, k]) for k in (0, 2)]
    check(found, scores, *timm_numbers(found))
    check_pipeline(found, timm_pixels(found), torch.sigmoid)
    check_files(found, tmp_path)


def assert_same(maps, expected):
    """But for rounding, which is another where torch's buffers lie at other addresses."""
    assert np.linalg.norm(maps - expected) <= 1e-5 * np.linalg.norm(expected)


def test_regression(run, tmp_path, capsys):
    found = run("A regression")
    assert capsys.readouterr().out.startswith(f"age: {found.infos[0].score:.2f} here, ")
    check(found, [lambda y: y[:, 0]], *timm_numbers(found))
    check_files(found, tmp_path)
    flat = torch.nn.Sequential(found.network, torch.nn.Flatten(0))
    config = found.facts["preprocess"]
    model = intgrad.load_model(flat, preprocess=config, score=lambda numbers: numbers, device="cpu")
    assert_same(intgrad.integrated_gradients(model, found.image, steps=STEPS), found.maps)


def test_segmentation(run):
    found = run("The area of a segmentation's class")
    assert found.infos[0].label == "dog_area"
    check(found, [lambda y: y["out"].softmax(1)[:, 12].mean((1, 2))], *IMAGENET)
    by_name = intgrad.integrated_gradients(found.model, found.image, "dog_area", steps=STEPS)
    assert_same(by_name, found.maps)
    assert found.model.top(found.image, 1)[0][0] == "dog_area"


def test_margin(run, tmp_path):
    found = run("The margin between two classes")
    assert found.infos[0].label == "african_less_indian"
    check(found, [lambda y: y[:, 386] - y[:, 385]], *IMAGENET)
    score = found.facts.pop("score")
    labels = found.names["weights"].meta["categories"]
    intgrad.save_model(
        found.network, tmp_path / "m.pt2", scores="logits", labels=labels, **found.facts
    )
    model = intgrad.load_model(tmp_path / "m.pt2", score=score, device="cpu")
    assert model.labels == ("african_less_indian",)
    maps = intgrad.integrated_gradients(model, found.image, steps=STEPS)
    assert np.linalg.norm(maps - found.maps) <= 1e-5 * np.linalg.norm(found.maps)


def test_similarity(run):
    found = run("The similarity of two pictures")
    assert found.infos[0].label == "similarity"
    other = found.network(timm_pixels(found, "other.jpg")).detach()
    check(found, [lambda y: torch.cosine_similarity(y, other.double())], *timm_numbers(found))
    check_pipeline(found, timm_pixels(found), lambda y: torch.cosine_similarity(y, other)[:, None])


def test_thirteen_channels(run, tmp_path):
    found = run("Thirteen channels")
    assert found.infos[0].label == "river"
    assert (tmp_path / "river.png").stat().st_size > 1000
    check(found, [lambda y: y[:, 2]], [0.1] * 13, [0.05] * 13)
    points = (torch.from_numpy(np.load("scene.npy")).clip(0, 1) - 0.1) / 0.05
    check_pipeline(found, points.permute(2, 0, 1)[None], softmax)
    check_files(found, tmp_path)


def test_sixteen_bits(run, tmp_path):
    found = run("Grey of 16 bits")
    assert (found.image.shape, found.infos[0].label) == ((96, 96, 1), "nodule")
    check(found, [lambda y: torch.sigmoid(y[:, 1])], 0.5, 0.25)
    floats = np.asarray(Image.open("xray.png"), np.float32) / 65535
    points = (np.asarray(Image.fromarray(floats).resize((96, 96), 2)) - 0.5) / 0.25
    check_pipeline(found, torch.from_numpy(points)[None, None], torch.sigmoid)
    check_files(found, tmp_path)
    words = ["explain", "xray.png", "--model", "m.pt", "--target", "nodule", "--steps", str(STEPS)]
    assert cli.main([*words, "--device", "cpu", "--arrays", "full", "--out", "out"]) == 0
    with np.load("out/xray.npz") as arrays:
        np.testing.assert_allclose(arrays["attributions"], found.maps, atol=1e-5 * found.maps.max())


def test_files(run, tmp_path, capsys):
    found = run("As a file")
    block = re.search(r"```sh\n(.*)\n```", PAGE.read_text("utf-8"))[1]
    assert "'African elephant, Loxodonta africana'" in block
    words = ["explain", "elephant.jpg", "--model", "resnet50.pt2", "--score", "logit"]
    words += ["--steps", str(STEPS), "--device", "cpu", "--arrays", "full", "--out", "out"]
    words += ["--target"]
    assert cli.main([*words, "African elefant"]) == 1
    assert "did you mean 'African elephant, Loxodonta africana'" in capsys.readouterr().err
    assert cli.main([*words, "African elephant, Loxodonta africana"]) == 0
    (record,) = map(json.loads, (tmp_path / "out/explained.jsonl").read_text().splitlines())
    assert record["target"] == ELEPHANT
    image = found.model.load_image("elephant.jpg")
    maps = intgrad.integrated_gradients(found.model, image, ELEPHANT, output="logit", steps=STEPS)
    with np.load("out/elephant.npz") as arrays:
        np.testing.assert_allclose(arrays["attributions"], maps, atol=1e-5 * abs(maps).max())


def test_every_block_is_tested():
    text = PAGE.read_text("utf-8")
    assert len(SECTIONS) == text.count("```python") == text.count("\n## ") == 12
    tested = Path(__file__).read_text("utf-8")
    assert all(f'run("{section}"' in tested for section in SECTIONS)
