"""save_model: archives that say of themselves what load_model has to know."""

import numpy as np
import pytest
import torch
from small_models import FACTS, SIZE, Smooth, quiet_jit
from torch import nn

import intgrad

pytestmark = pytest.mark.both_doors

IMAGE = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3))


@pytest.mark.parametrize(
    "preprocess", ["xception", "imagenet", "none", ((0.01, 0.02, 0.01), (0, 1, 2))], ids=str
)
@pytest.mark.parametrize("scores", ["logits", "probabilities"])
def test_the_file_is_the_module(preprocess, scores, tmp_path):
    module = Smooth() if scores == "logits" else nn.Sequential(Smooth(), nn.Softmax(1))
    facts = {"input_size": SIZE, "preprocess": preprocess, "scores": scores}
    path = tmp_path / "model.pt"
    intgrad.save_model(module.train(), path, labels=list("abcde"), **facts)
    assert module.training
    saved = intgrad.load_model(path, device="cpu")
    assert (saved.labels, saved.input_size) == (tuple("abcde"), SIZE)
    live = intgrad.load_model(module, device="cpu", **facts)
    np.testing.assert_allclose(saved.predict(IMAGE), live.predict(IMAGE), rtol=1e-4)
    maps = [
        intgrad.integrated_gradients(each, IMAGE, "c" if each is saved else 2, steps=9)
        for each in (saved, live)
    ]
    np.testing.assert_allclose(*maps, rtol=1e-3, atol=1e-7)


def test_one_channel(tmp_path):
    intgrad.save_model(Smooth(channels=1), tmp_path / "grey.pt", **FACTS)
    model = intgrad.load_model(tmp_path / "grey.pt", device="cpu")
    assert model.predict(IMAGE[..., :1]).shape == (5,)


class Untraceable(nn.Module):
    def forward(self, x):
        raise RuntimeError("never")


@pytest.mark.parametrize(
    ("module", "options", "error", "text"),
    [
        (Smooth, {"labels": ["a"]}, ValueError, "one name for each"),
        (Smooth, {"scores": "probabilities"}, ValueError, "not probabilities"),
        (Smooth, {"scores": "wrong"}, ValueError, "makes no sense|scores must be"),
        (Smooth, {"input_size": (0, 5)}, ValueError, "must be positive"),
        (Smooth, {"preprocess": "wrong"}, ValueError, "preprocess must be"),
        (Untraceable, {}, intgrad.ModelError, "Untraceable does not run on an image.*never"),
        (lambda: 3, {}, TypeError, "must be a torch.nn.Module, got int"),
    ],
)
def test_nothing_is_written_of_what_cannot_be_loaded(module, options, error, text, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"as it was")
    with pytest.raises(error, match=text):
        intgrad.save_model(module(), path, **FACTS | options)
    assert path.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_a_graph_that_is_scripted(tmp_path):
    with quiet_jit():
        scripted = torch.jit.script(Smooth())
    intgrad.save_model(scripted, tmp_path / "model.pt", **FACTS)
    found = intgrad.load_model(tmp_path / "model.pt", device="cpu").predict(IMAGE)
    expected = intgrad.load_model(Smooth(), device="cpu", **FACTS).predict(IMAGE)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_where_nothing_can_be_written_is_said_before_any_work(tmp_path):
    calls = []
    module = Smooth()
    module.register_forward_hook(lambda *_: calls.append(1))
    facts = {"input_size": SIZE, "preprocess": "none", "scores": "logits"}
    with pytest.raises(NotADirectoryError, match="no such folder.*nowhere"):
        intgrad.save_model(module, tmp_path / "nowhere/x.pt2", **facts)
    with pytest.raises(IsADirectoryError, match="a folder"):
        intgrad.save_model(module, tmp_path, format="pt2", **facts)
    with pytest.raises(ValueError, match="save_model needs preprocess="):
        intgrad.save_model(module, tmp_path / "x.pt2", **{**facts, "preprocess": None})
    assert not calls
