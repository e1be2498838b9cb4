"""Numbers that are explained instead of classes: `load_model(score=)`."""

import numpy as np
import pytest
import torch
from small_models import SIZE, Smooth
from torch import nn

import intgrad

IMAGE = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
KIND = {"input_size": SIZE, "preprocess": (1 / 255, -0.5), "device": "cpu"}


class Segmenter(nn.Module):
    """Logits of 4 classes at every pixel, in a dict, as torchvision's segmenters return them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.c, self.n = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return {"out": self.n(self.c(x)).tanh(), "aux": x.mean()}


def area(returned):
    return returned["out"].softmax(1)[:, 2].mean((1, 2))


def truth(module, score, image=IMAGE):
    pixels = torch.tensor(image, requires_grad=True)
    points = (pixels / 255 - 0.5).permute(2, 0, 1)[None]
    value = score(module.eval()(points)).sum()
    (gradient,) = torch.autograd.grad(value, pixels)
    return float(value.detach()), gradient.numpy()


EMBEDDING = torch.linspace(-1, 1, 5)


def similarity(returned):
    return torch.cosine_similarity(returned, EMBEDDING[None])


SCORES = {
    "area": (Segmenter, area),
    "margin": (Smooth, lambda y: y[:, 3] - y[:, 1]),
    "similarity": (Smooth, similarity),
    "column": (Smooth, lambda y: y[:, 2:3] * 2),
}


@pytest.mark.parametrize("kind", SCORES)
def test_scores(kind):
    make, score = SCORES[kind]
    module = make()
    model = intgrad.load_model(module, score=score, **KIND)
    value, gradient = truth(make(), score)
    np.testing.assert_allclose(model.gradients(IMAGE), gradient, rtol=1e-3, atol=1e-8)
    assert float(model.predict(IMAGE)[0]) == pytest.approx(value, rel=1e-5)
    maps, info = intgrad.integrated_gradients(model, IMAGE, steps=64, return_info=True)
    black = truth(make(), score, IMAGE * 0)[0]
    assert (info.target, info.label, info.output) == (0, score.__name__, "logit")
    assert info.score - info.baseline_score == pytest.approx(value - black, rel=1e-4)
    assert maps.sum() == pytest.approx(value - black, rel=2e-2)
    assert score.__name__ in info.summary()
    assert model.labels == (score.__name__,)
    assert model.top(IMAGE, 1)[0][:2] == (score.__name__, 0)
    np.testing.assert_array_equal(
        intgrad.integrated_gradients(model, IMAGE, score.__name__, steps=64), maps
    )


def test_several_numbers():
    model = intgrad.load_model(Smooth(), score=lambda y: y[:, :2].exp(), labels=["a", "b"], **KIND)
    _, infos = intgrad.integrated_gradients(model, IMAGE, [["a", "b"]], return_info=True)
    assert [info.label for info in infos] == ["a", "b"]
    own = intgrad.load_model(Smooth(), score=lambda y: y[:, :1], labels=["age"], **KIND)
    assert own.labels == ("age",)
    assert model.top(IMAGE, 2)[0][2] == pytest.approx(float(model.predict(IMAGE).max()))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"score": 3}, TypeError, "score must be a function"),
        ({"score": area, "scores": "logits"}, ValueError, "leave out scores"),
        ({"score": area, "multilabel": True}, ValueError, "leave out multilabel"),
        ({"score": area, "backend": "libtorch"}, ValueError, "cannot run"),
        ({"score": lambda y: 1.0}, intgrad.ModelError, "must return a tensor, got float"),
        ({"score": lambda y: y["out"].sum()}, intgrad.ModelError, r"one number of each image"),
        ({"score": lambda y: y["out"].argmax(1)}, intgrad.ModelError, r"reduce over all axes"),
        (
            {"score": lambda y: y["out"].detach().mean((1, 2, 3))},
            intgrad.ModelError,
            "no gradient path",
        ),
        (
            {"score": lambda y: y["nothing"]},
            intgrad.ModelError,
            r"score=<lambda> failed on what .* a dict of 2 \(out: \(.*\), aux: \(\)\): KeyError:"
            " 'nothing'",
        ),
    ],
)
def test_what_is_no_score(options, error, text):
    with pytest.raises(error, match=text):
        intgrad.load_model(Segmenter(), **KIND, **options)


def test_other_outputs_are_for_classes():
    model = intgrad.load_model(Segmenter(), score=area, **KIND)
    with pytest.raises(ValueError, match="this model explains score=area: leave out output"):
        intgrad.integrated_gradients(model, IMAGE, output="log_softmax")
    with pytest.raises(ValueError, match="score cannot be given with a callable"):
        intgrad.load_model(lambda batch, targets: None, score=area, output="logit")


def test_numbers_that_add_up_to_one_may_be_scores():
    model = intgrad.load_model(Smooth(), score=lambda y: y.softmax(1), **KIND)
    assert model.num_classes == 5


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (lambda y: y.mean(), r"^score=<lambda> must return one number of each image"),
        (lambda y: y.argmax(1), r"^score=<lambda> must return real numbers.* torch.int64"),
        (lambda y: y["out"], r"^score=<lambda> failed on what the module returned, a Tensor of"),
    ],
)
def test_a_wrong_score_is_not_the_pictures_fault(score, text):
    with pytest.raises(intgrad.ModelError, match=text):
        intgrad.load_model(Smooth(), score=score, **KIND)
