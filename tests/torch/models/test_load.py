"""Loading: every form of source, every model that the probe must find, every damaged archive."""

import copy
import hashlib
import io
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
import torch
from resident import resident_bytes
from small_models import FACTS, METADATA, SIZE, Smooth, archive, quiet_jit
from torch import nn

import intgrad

pytestmark = pytest.mark.both_doors


@pytest.fixture
def kitchen(kitchens, door):
    return kitchens(door)


IMAGE = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
GOOD = archive(Smooth())
DESCRIBED = archive(Smooth(), metadata=METADATA)


def load(source, **options):
    return intgrad.load_model(source, **{"device": "cpu", **FACTS, **options})


def eager(module, image, target, output="logit"):
    """Return scores and the pixel gradient by plain autograd."""
    pixels = torch.tensor(image, requires_grad=True)
    scale, offset = FACTS["preprocess"]
    logits = module.eval()((pixels * scale + offset).permute(2, 0, 1)[None])
    f = {"logit": lambda x: x, "softmax": lambda x: x.softmax(1)}
    f["log_softmax"] = lambda x: x.log_softmax(1)
    scores = f[output](logits)
    scores[0, target].backward()
    return scores[0].detach().numpy(), pixels.grad.numpy()


@pytest.mark.parametrize("output", ["logit", "softmax", "log_softmax"])
@pytest.mark.parametrize("form", ["path", "bytes", "module", "traced", "scripted"])
def test_every_form_of_source(form, output, tmp_path):
    (tmp_path / "m.pt").write_bytes(GOOD)
    with quiet_jit():
        source = {
            "path": tmp_path / "m.pt",
            "bytes": GOOD,
            "module": Smooth(),
            "traced": torch.jit.load(io.BytesIO(GOOD)),
            "scripted": torch.jit.script(Smooth()),
        }[form]
    model = load(source)
    assert (model.input_size, model.num_classes, model.device) == (SIZE, 5, "cpu")
    assert repr(model) == "<intgrad.Model: 12 x 10 -> 5 classes, cpu, ieee>"
    scores, gradient = eager(Smooth(), IMAGE, 3, output)
    np.testing.assert_allclose(model.gradients(IMAGE, 3, output=output), gradient, atol=1e-7)
    np.testing.assert_allclose(
        model.predict(IMAGE), eager(Smooth(), IMAGE, 3, "softmax")[0], rtol=1e-4
    )
    _, info = intgrad.integrated_gradients(
        model, IMAGE, 3, output=output, steps=2, return_info=True
    )
    assert info.score == pytest.approx(scores[3], rel=1e-4)
    assert info.versions["torch"] == torch.__version__


def test_the_users_module_is_not_touched():
    module = Smooth().train()
    module.body[0].weight.requires_grad_(False)
    module.body[3].weight.grad = torch.ones_like(module.body[3].weight)
    module.body[0].to(memory_format=torch.channels_last)
    before = copy.deepcopy(module)
    gradients = [None if p.grad is None else p.grad.clone() for p in module.parameters()]
    strides = [p.stride() for p in module.parameters()]
    model = load(module)
    intgrad.integrated_gradients(model, IMAGE, 0, steps=2)
    assert all(
        a.training == b.training for a, b in zip(module.modules(), before.modules(), strict=True)
    )
    for mine, theirs in zip(module.parameters(), before.parameters(), strict=True):
        assert mine.requires_grad == theirs.requires_grad
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    for parameter, gradient in zip(module.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    assert [p.stride() for p in module.parameters()] == strides
    for mine, theirs in zip(module.buffers(), before.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("preprocess", "scale", "offset"),
    [
        ("xception", 1 / 127.5, -1),
        ("none", 1, 0),
        (
            "imagenet",
            1 / (255 * np.array([0.229, 0.224, 0.225])),
            -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
        ),
        ((0.5, 3), 0.5, 3),
        ((np.array([0.1, 0.2, 0.3]), 1), np.array([0.1, 0.2, 0.3]), 1),
    ],
)
def test_preprocessing(preprocess, scale, offset):
    class Dot(nn.Module):
        def forward(self, x):
            return (x * torch.linspace(-1, 1, 12)[:, None]).sum((2, 3))

    model = load(archive(Dot()), preprocess=preprocess)
    x = np.float64(IMAGE) * scale + offset
    weights = np.linspace(-1, 1, 12)[:, None]
    logits = (x * weights[..., None]).sum((0, 1))
    _, info = intgrad.integrated_gradients(
        model, IMAGE, 1, output="logit", steps=1, return_info=True
    )
    assert info.score == pytest.approx(logits[1], rel=1e-4, abs=1e-2)
    expected = np.zeros(IMAGE.shape)
    expected[..., 1] = np.broadcast_to(weights * np.broadcast_to(scale, 3)[1], SIZE)
    np.testing.assert_allclose(
        model.gradients(IMAGE, 1, output="logit"), expected, rtol=1e-6, atol=1e-9
    )


def test_an_archive_that_describes_itself():
    model = intgrad.load_model(DESCRIBED, device="cpu")
    assert model.labels == tuple("abcde")
    assert model.input_size == SIZE
    renamed = intgrad.load_model(DESCRIBED, device="cpu", labels=list("vwxyz"))
    assert renamed.labels == tuple("vwxyz")
    for options, text in (
        ({"preprocess": "xception"}, "preprocesses in its graph"),
        ({"preprocess": "none"}, "preprocesses in its graph"),
        ({"input_size": (9, 9)}, r"takes input_size=\(12, 10\), got \(9, 9\)"),
        ({"scores": "probabilities"}, "gives scores='logits', got 'probabilities'"),
        ({"labels": ["a"]}, "each of the model's 5 classes, got 1"),
    ):
        with pytest.raises(ValueError, match=text):
            intgrad.load_model(DESCRIBED, device="cpu", **options)


@pytest.mark.parametrize("fact", ["preprocess", "input_size", "scores"])
@pytest.mark.parametrize("source", [GOOD, Smooth()], ids=["archive", "module"])
def test_facts_are_never_guessed(source, fact):
    with pytest.raises(ValueError, match=f"load_model needs {fact}="):
        load(source, **{fact: None})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 2}, "newer intgrad"),
        ({"input_size": [12]}, "unreadable"),
        ({"input_size": [12, -10]}, "makes no sense"),
        ({"input_size": [12, "10"]}, "makes no sense"),
        ({"scores": "marks"}, "makes no sense"),
        ({"labels": [1, 2]}, "makes no sense"),
        ({"labels": 7}, "unreadable"),
        ({"channels": "3"}, "makes no sense"),
        ({"channels": 0}, "makes no sense"),
        ({"multilabel": "yes"}, "makes no sense"),
    ],
)
def test_nonsense_in_the_description(change, text):
    with pytest.raises(intgrad.ModelError, match=text):
        intgrad.load_model(archive(Smooth(), metadata={**METADATA, **change}), device="cpu")


def test_probabilities_and_logits_are_told_apart():
    module = nn.Sequential(Smooth(), nn.Softmax(1))
    model = load(archive(module), scores="probabilities")
    scores, gradient = eager(Smooth(), IMAGE, 2, "softmax")
    np.testing.assert_allclose(model.predict(IMAGE), scores, rtol=1e-4)
    np.testing.assert_allclose(model.gradients(IMAGE, 2), gradient, atol=1e-7)
    _logs, log_gradient = eager(Smooth(), IMAGE, 2, "log_softmax")
    np.testing.assert_allclose(
        model.gradients(IMAGE, 2, output="log_softmax"), log_gradient, atol=1e-6
    )
    with pytest.raises(
        ValueError, match="output='logit' was asked of a model whose scores are prob"
    ):
        model.gradients(IMAGE, 2, output="logit")
    with pytest.raises(ValueError, match="scores='logits', but its scores are probabilities"):
        load(archive(module))
    with pytest.raises(ValueError, match="scores='probabilities', but its scores are not prob"):
        load(GOOD, scores="probabilities")


# ---- What the probe finds ------------------------------------------------------------------------


class Dropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.smooth, self.drop = Smooth(), nn.Dropout(0.5)

    def forward(self, x):
        return self.smooth(self.drop(x))


class Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.smooth = Smooth()

    def forward(self, x):
        return self.smooth(x) + self.smooth(x).mean(0)


class OneAtATime(nn.Module):
    def __init__(self):
        super().__init__()
        self.smooth = Smooth()

    def forward(self, x):
        return self.smooth(x.reshape(1, 3, *SIZE))


class Edited(nn.Module):
    def __init__(self, edit):
        super().__init__()
        self.smooth, self.edit = Smooth(), edit

    def forward(self, x):
        return self.edit(self.smooth, x)


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.smooth = Smooth()

    def forward(self, x):
        return self.smooth(x.mul_(2))


def edited(edit, **options):
    return archive(Edited(edit), **options)


@pytest.mark.parametrize(
    ("source", "options", "text"),
    [
        (archive(Dropout(), train=True), {}, "training mode"),
        (archive(Smooth(), train=True, batch=2), {}, "mixes the images of a batch"),
        (archive(Mixing()), {}, "mixes the images of a batch"),
        (archive(InPlace()), {"preprocess": "none"}, "changes its input in place"),
        (edited(lambda m, x: m(x).argmax(1)[:, None].float()), {}, "no gradient path"),
        (edited(lambda m, x: m(x)[:, :, None]), {}, r"must return scores of shape \(1, number"),
        (edited(lambda m, x: m(x).sum(1)), {}, r"must return scores of shape"),
        (edited(lambda m, x: m(x).argmax(1)[:, None]), {}, "must return real scores"),
        (edited(lambda m, x: (m(x), m(x))), {}, "must return one tensor of scores"),
        (edited(lambda m, x: m(x) * float("nan")), {}, "score of class 0 is nan"),
        (
            edited(lambda m, x: m(x.flatten(1)[:, :360].view(-1, 3, 12, 10))),
            {"input_size": (8, 8)},
            r"does not run on an image of 8 x 8 .*is input_size right\?",
        ),
    ],
)
def test_unfit_models(source, options, text):
    with pytest.raises(intgrad.ModelError, match=text):
        load(source, **options)


def test_what_is_detached_stays_detached():
    """Freezing drops detach(), which would be another gradient than the module's own."""

    def edit(m, x):
        return m(x) * x.mean((1, 2, 3), keepdim=True)[..., 0, 0].detach()

    for source in (edited(edit), Edited(edit)):
        np.testing.assert_allclose(
            load(source).gradients(IMAGE, 3, output="logit"),
            eager(Edited(edit), IMAGE, 3)[1],
            atol=1e-7,
        )
    with pytest.raises(intgrad.ModelError, match="no gradient path"):
        load(edited(lambda m, x: m(x.detach())))


@pytest.mark.parametrize("module", [Dropout(), Smooth()])
def test_a_module_in_training_mode_is_explained_in_evaluation_mode(module):
    load(module.train())
    assert module.training


def test_a_scripted_module_in_training_mode_is_evaluated():
    load(archive(Dropout(), train=True, script=True))


def test_a_model_that_takes_one_image_at_a_time():
    with pytest.warns(UserWarning, match="takes one image at a time") as caught:
        model = load(archive(OneAtATime()))
    assert caught[0].filename == __file__
    stack = np.stack([IMAGE, 255 - IMAGE])
    maps, infos = intgrad.integrated_gradients(
        model, stack, 1, steps=6, batch_size=4, return_info=True
    )
    assert infos[0].batch_size == 1
    expected = intgrad.integrated_gradients(load(GOOD), stack, 1, steps=6)
    np.testing.assert_allclose(maps, expected, atol=1e-6)
    assert model.predict(stack).shape == (2, 5)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 13])
def test_other_channel_counts(channels):
    for source in (
        archive(Smooth(channels=channels), channels=channels),
        Smooth(channels=channels),
    ):
        model = load(source)
        image = np.full((*SIZE, channels), 100, np.uint8)
        assert intgrad.integrated_gradients(model, image, 0, steps=2).shape == image.shape
        with pytest.raises(ValueError, match=f"takes {channels} channels?, got images of shape"):
            model.predict(IMAGE)


# ---- Archives ------------------------------------------------------------------------------------


def test_damaged_archives():
    """libtorch itself would load most of these."""
    with zipfile.ZipFile(io.BytesIO(GOOD)) as zipped:
        weights = next(i for i in zipped.infolist() if i.filename.endswith("data/0"))
    place = GOOD.find(weights.filename.encode()) + len(weights.filename) + 70
    flipped = bytearray(GOOD)
    flipped[place] ^= 1
    with pytest.raises(intgrad.ModelError, match="is damaged: the checksum of '.*data/0'"):
        load(bytes(flipped))
    for source in (GOOD[: len(GOOD) // 2], GOOD[:-30], GOOD[100:], b"", b"not a zip at all"):
        with pytest.raises(intgrad.ModelError, match="no TorchScript archive, or is damaged"):
            load(source)


@pytest.mark.parametrize("way", ["deflated", "overlapping"])
def test_a_bomb_is_refused_before_it_is_unpacked(way, monkeypatch):
    monkeypatch.setattr("intgrad.models.archive.EXPANSION_BYTES", 2**20)
    buffer = io.BytesIO(GOOD)
    with zipfile.ZipFile(buffer, "a") as zipped:
        zipped.writestr("archive/extra/zeros", b"\0" * 2**21, zipfile.ZIP_DEFLATED)
        if way == "overlapping":  # one member that the directory names again and again
            (zeros,) = (m for m in zipped.infolist() if m.filename.endswith("zeros"))
            zipped.infolist().extend([zeros] * 100)
    with pytest.raises(intgrad.ModelError, match="bytes would unpack to"):
        load(buffer.getvalue())


def test_weights_without_a_graph(tmp_path):
    torch.save(Smooth().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(intgrad.ModelError, match="torch.save was perhaps used"):
        load(tmp_path / "weights.pt")


def test_an_archive_whose_graph_is_gone():
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(GOOD)) as old, zipfile.ZipFile(buffer, "w") as new:
        for item in old.infolist():
            if "/code/" not in item.filename:
                new.writestr(item, old.read(item))
    with pytest.raises(intgrad.ModelError, match="cannot be read by torch"):
        load(buffer.getvalue())


def test_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.pt"):
        load(tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_sha256_pins_the_file():
    digest = hashlib.sha256(GOOD).hexdigest()
    load(GOOD, sha256=digest)
    load(GOOD, sha256=digest.upper())
    with pytest.raises(intgrad.ModelError, match=f"has the sha256 {digest}, expected 00ff"):
        load(GOOD, sha256="00ff")


@pytest.mark.parametrize(
    ("device", "text"),
    [
        ("cuda:99", "sees"),
        ("mps", "must be 'cpu', 'cuda' or 'cuda:N', got 'mps'"),
        ("gpu", "got 'gpu'"),
        (["cpu", "gpu"], "got 'gpu'"),
        ([], r"at least one device, got \[\]"),
    ],
)
def test_devices(device, text):
    with pytest.raises(ValueError, match=text):
        load(GOOD, device=device)


def test_a_batch_on_two_devices_is_that_on_one():
    images = np.random.default_rng(0).uniform(0, 255, (5, *SIZE, 3))
    one, two = load(GOOD), load(GOOD, device=["cpu", "cpu"])
    assert two.device == "cpu, cpu"
    for options in ({}, {"tolerance": 0.01}, {"targets": [[0, 1]] * 5, "steps": 3}):
        expected = intgrad.integrated_gradients(one, images, output="logit", **options)
        found = intgrad.integrated_gradients(two, images, output="logit", **options)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(two.predict(images), one.predict(images))


def test_bfloat16_is_close_and_tf32_is_for_cuda():
    exact = load(GOOD)
    rough = load(GOOD, precision="bfloat16")
    a = intgrad.integrated_gradients(exact, IMAGE, 1, output="logit", steps=8)
    b, info = intgrad.integrated_gradients(
        rough, IMAGE, 1, output="logit", steps=8, return_info=True
    )
    assert info.precision == "bfloat16"
    assert b.dtype == np.float32
    assert 1e-4 < np.linalg.norm(a - b) / np.linalg.norm(a) < 0.1
    with pytest.raises(ValueError, match="tf32' needs a CUDA device"):
        load(GOOD, precision="tf32")


# ---- Running -------------------------------------------------------------------------------------


def test_inputs_are_never_modified_and_the_layout_does_not_matter():
    model = load(archive(Smooth()), preprocess="none")
    before = IMAGE.copy()
    expected = intgrad.integrated_gradients(model, IMAGE, 1, steps=3)
    np.testing.assert_array_equal(IMAGE, before)
    backwards = np.ascontiguousarray(IMAGE[::-1, ::-1])[::-1, ::-1]
    np.testing.assert_array_equal(
        intgrad.integrated_gradients(model, backwards, 1, steps=3), expected
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_tensors_in(dtype):
    """Of any dtype, with a graph or without, as image, baseline and targets."""
    model = load(archive(Smooth()), preprocess="none")
    image, baseline = torch.full((*SIZE, 3), 100.0), torch.full((*SIZE, 3), 20.0)
    image[3:, 2:] = 150  # exact in every dtype
    arguments = {"steps": 3, "baseline": baseline.numpy()}
    expected = intgrad.integrated_gradients(model, image.numpy(), [2], **arguments)
    image = image.to(dtype).requires_grad_()
    for moved in (image, image * 1, image.movedim(0, 1).contiguous().movedim(0, 1)):
        np.testing.assert_array_equal(
            intgrad.integrated_gradients(
                model, moved, torch.tensor([2]), steps=3, baseline=baseline.to(dtype)
            ),
            expected,
        )
    with pytest.raises(ValueError, match=r"images\.movedim\(0, -1\) moves them there"):
        model.predict(image.movedim(-1, 0))
    streamed = intgrad.iter_integrated_gradients(model, image[None], torch.tensor([2]), **arguments)
    np.testing.assert_allclose(next(streamed)[0], expected, rtol=1e-5, atol=1e-9)


def test_tensors_out_are_the_same_memory():
    model = load(archive(Smooth()), preprocess="none")
    attributions = intgrad.integrated_gradients(model, IMAGE, 1, steps=3)
    tensor = torch.from_dlpack(attributions)
    assert tensor.data_ptr() == attributions.ctypes.data
    assert (tensor.dtype, tuple(tensor.shape)) == (torch.float32, attributions.shape)


@pytest.mark.cuda
def test_tensors_on_a_device_in():
    model = load(archive(Smooth()), preprocess="none")
    expected = intgrad.integrated_gradients(model, IMAGE, 1, baseline=IMAGE / 2, steps=3)
    image = torch.from_numpy(IMAGE.copy()).cuda()
    found = intgrad.integrated_gradients(model, image, 1, baseline=image / 2, steps=3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_threads_get_the_serial_results_bit_for_bit():
    model = load(GOOD)
    images = [np.roll(IMAGE, k, axis=0) for k in range(6)]
    expected = [intgrad.integrated_gradients(model, x, 1, steps=9) for x in images]
    found = [None] * len(images)

    def work(k):
        for _ in range(5):
            found[k] = intgrad.integrated_gradients(model, images[k], 1, steps=9)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, expected)


def test_the_gil_is_free_during_the_work(kitchen, fork):
    """Another thread counts while C computes: it would not if the GIL were held."""
    counted, stop = 0, threading.Event()

    def count():
        nonlocal counted
        while not stop.wait(0.01):
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    intgrad.integrated_gradients(kitchen, fork, 1, steps=7, batch_size=8)
    stop.set()
    thread.join()
    assert counted > 20  # about a second in one batch


def test_without_torch_the_error_says_what_to_do():
    code = (
        "import sys; sys.modules['torch'] = None; import intgrad\n"
        "facts = {'preprocess': 'none', 'input_size': (1, 1), 'scores': 'logits'}\n"
        "try: intgrad.load_model('/dev/stdin', **facts)\n"
        "except intgrad.BackendError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=GOOD, capture_output=True, check=True)
    assert b"pip install torch" in done.stdout


def test_loading_and_failing_leaks_no_memory():
    def work():
        model = load(GOOD)
        intgrad.integrated_gradients(model, IMAGE, 1, steps=3, return_info=True)
        with pytest.raises(IndexError):
            intgrad.integrated_gradients(model, IMAGE, 9)
        with pytest.raises(intgrad.ModelError):
            load(GOOD[:-30])

    for _ in range(30):
        work()
    before = resident_bytes()
    for _ in range(100):
        work()
    assert resident_bytes() - before < 8 * 2**20


# ---- What once went wrong ------------------------------------------------------------------------


def test_a_scale_for_each_of_four_channels():
    """One channel was spread over four, and four gradients were written where one has room."""
    source = archive(Smooth(channels=4), channels=4)
    image = np.random.default_rng(0).uniform(0, 255, (*SIZE, 4)).astype(np.float32)
    each, one = (
        load(source, preprocess=preprocess)
        for preprocess in (([0.01] * 4, [-0.5] * 4), (0.01, -0.5))
    )
    np.testing.assert_array_equal(
        intgrad.integrated_gradients(each, image, 1, steps=3),
        intgrad.integrated_gradients(one, image, 1, steps=3),
    )


def test_a_scale_for_other_channels_than_the_model_has():
    with pytest.raises(intgrad.ModelError, match="does not run on an image"):
        load(GOOD, preprocess=([0.01] * 4, [-0.5] * 4))


@pytest.mark.parametrize("make", [archive, lambda module: module], ids=["archive", "module"])
def test_modes_of_the_callers_thread_do_not_hold(make):
    """Inference mode would record no gradients, autocast would compute in bfloat16."""
    source = make(Smooth())
    expected = intgrad.integrated_gradients(load(source), IMAGE, 1, steps=3)
    for mode in (torch.inference_mode(), torch.autocast("cpu"), torch.no_grad()):
        with mode:
            found = intgrad.integrated_gradients(load(source), IMAGE, 1, steps=3)
        np.testing.assert_array_equal(found, expected)


def test_a_message_that_is_cut_within_a_character():
    class Loud(nn.Module):
        def __init__(self):
            super().__init__()
            self.text = "é" * 600

        def forward(self, x):
            if float(x.sum()) >= 0:
                raise RuntimeError(self.text)
            return x.mean((2, 3))

    with quiet_jit():
        loud = torch.jit.script(Loud())
    with pytest.raises(intgrad.ModelError, match="é" * 400):
        load(loud)
