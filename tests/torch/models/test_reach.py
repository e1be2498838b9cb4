"""What torch runs is explained: scores and gradients are the module's own, on whatever path."""

import collections
import contextlib
import copy
import dataclasses
import io
import threading
import types
import warnings

import numpy as np
import pytest
import torch
from small_models import quiet_jit
from torch import nn

import intgrad

SIZE = (16, 16)
KIND = {"input_size": SIZE, "preprocess": (1 / 25, 0.1), "scores": "logits", "device": "cpu"}
IMAGE = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
pytestmark = pytest.mark.both_doors


def expected(module, image, target=1, dtype=torch.float64, scale=1 / 25, offset=0.1):
    """Return logits and the gradient in pixels, by autograd on the module itself."""
    pixels = torch.tensor(image, dtype=dtype, requires_grad=True)
    module = module.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    scores = module.to(dtype)((pixels * scale + offset).permute(2, 0, 1)[None].contiguous())
    (gradient,) = torch.autograd.grad(scores[0, target], pixels)
    module.float().load_state_dict(before)
    return scores[0].detach().float().numpy(), gradient.float().numpy()


def check(
    module,
    image=IMAGE,
    *,
    source=None,
    tolerance=1e-4,
    score_tolerance=1e-3,
    dtype=torch.float64,
    offset=0.1,
    **options,
):
    """Compare scores and a gradient with the module's own."""
    with torch.random.fork_rng():
        scores, gradient = expected(module, image, dtype=dtype, offset=offset)
    model = source
    if not isinstance(source, intgrad.Model):
        model = intgrad.load_model(module if source is None else source, **KIND | options)
    _, info = intgrad.integrated_gradients(
        model, image, 1, output="logit", steps=1, baseline=image / 2, return_info=True
    )
    assert info.score == pytest.approx(float(scores[1]), rel=score_tolerance, abs=1e-5)
    found = model.gradients(image, 1, output="logit")
    assert np.linalg.norm(found - gradient) <= tolerance * np.linalg.norm(gradient) + 1e-9
    return model


def to_archive(module, channels=3, script=False, dtype=torch.float32, freeze=False):
    buffer = io.BytesIO()
    with quiet_jit():
        module = module.eval()
        if script:
            graph = torch.jit.script(module)
        else:
            graph = torch.jit.trace(module, torch.zeros(1, channels, *SIZE, dtype=dtype))
        if freeze:
            graph = torch.jit.freeze(graph)
        torch.jit.save(graph, buffer)
    return buffer.getvalue()


class Edited(nn.Module):
    """A network with something done to its pixels or activations."""

    def __init__(self, edit, classes=3, features=768):
        super().__init__()
        torch.manual_seed(0)
        self.edit = edit
        self.l = nn.Linear(features, classes)

    def forward(self, x):
        return self.edit(self, x)


def edited(edit, **options):
    return Edited(edit, **options)


# ---- Layouts -------------------------------------------------------------------------------------


class Flattened(nn.Module):
    def __init__(self, flatten):
        super().__init__()
        torch.manual_seed(0)
        self.c, self.n = nn.Conv2d(3, 6, 5), nn.BatchNorm2d(6)
        self.l, self.flatten = nn.Linear(6 * 12 * 12, 4), flatten

    def forward(self, x):
        return self.l(self.flatten(torch.relu(self.n(self.c(x)))))


FLATTENS = {
    "view": lambda y: y.view(y.size(0), -1),
    "flatten": lambda y: y.flatten(1),
    "view-twice": lambda y: y.view(-1, 3, 288).view(-1, 864),
    "as_strided": lambda y: torch.as_strided(y, (y.size(0), 864), (864, 1)),
    "unfold": lambda y: nn.functional.unfold(y, 12).squeeze(-1),
    "permuted": lambda y: y.permute(0, 2, 3, 1).reshape(y.size(0), -1),
}


@pytest.mark.parametrize("form", ["module", "archive"])
@pytest.mark.parametrize("flatten", FLATTENS, ids=str)
def test_flattened_activations(flatten, form):
    module = Flattened(FLATTENS[flatten])
    check(module, source=to_archive(module) if form == "archive" else None)


def test_view_in_a_script():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.c, self.l = nn.Conv2d(3, 6, 5), nn.Linear(864, 4)

        def forward(self, x):
            y = torch.relu(self.c(x))
            return self.l(y.view(y.size(0), -1))

    net = Net()
    check(net, source=to_archive(net, script=True))


class Tokens(nn.Module):
    """Batch norm before tokens: torch's own gradient is wrong for one contiguous picture."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.c, self.n, self.l = nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.Linear(8, 5)
        self.first = nn.BatchNorm2d(3)
        self.n.running_var.uniform_(0.5, 2)
        self.first.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.first(x.view(x.size(0), 3, 256).view(x.size(0), 3, 16, 16))
        y = torch.tanh(self.n(torch.tanh(self.c(x))))
        y = y.view(y.size(0), 8, 16).transpose(1, 2)
        return self.l(torch.tanh(y)).mean(1)


@pytest.mark.parametrize("form", ["module", "archive"])
def test_batch_norm_before_tokens(form):
    module = Tokens()
    check(module, source=to_archive(module) if form == "archive" else None)


class GlobalFilter(nn.Module):
    """A parameter of four dimensions that is no convolution's weight."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.w, self.l = nn.Parameter(torch.randn(3, 16, 9, 2)), nn.Linear(768, 3)

    def forward(self, x):
        w = torch.complex(self.w[..., 0], self.w[..., 1])
        return self.l(torch.fft.irfft2(torch.fft.rfft2(x) * w).flatten(1))


class ViewedAsComplex(GlobalFilter):
    def forward(self, x):
        w = torch.view_as_complex(self.w)
        return self.l(torch.fft.irfft2(torch.fft.rfft2(x) * w).flatten(1))


class Standardised(nn.Conv2d):
    def forward(self, x):
        w = self.weight.view(self.out_channels, -1)
        w = (w - w.mean(1, keepdim=True)) / w.std(1, keepdim=True)
        return nn.functional.conv2d(x, w.view_as(self.weight), self.bias)


class Strided(nn.Conv2d):
    """Reads its weight's memory."""

    def forward(self, x):
        w = torch.as_strided(self.weight, (4, 27), (27, 1)).view_as(self.weight)
        return nn.functional.conv2d(x, w, self.bias)


def head(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*[make() for make in layers], nn.Flatten(), nn.Linear(784, 3))


@pytest.mark.parametrize("form", ["module", "archive"])
@pytest.mark.parametrize(
    "make",
    [
        GlobalFilter,
        ViewedAsComplex,
        lambda: head(lambda: Standardised(3, 4, 3)),
        lambda: head(lambda: Strided(3, 4, 3)),
    ],
)
def test_parameters_of_four_dimensions(make, form):
    module = make()
    check(module, source=to_archive(module) if form == "archive" else None)


# ---- Attention -----------------------------------------------------------------------------------


class ViT(nn.Module):
    def __init__(self, norm_first=False):
        super().__init__()
        torch.manual_seed(0)
        self.p, self.head = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 5)
        layer = nn.TransformerEncoderLayer(
            16, 4, 32, batch_first=True, norm_first=norm_first, activation="gelu"
        )
        self.e = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        return self.head(self.e(self.p(x).flatten(2).transpose(1, 2)).mean(1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.p, self.l = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 5)
        self.a = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x):
        y = self.p(x).flatten(2).transpose(1, 2)
        return self.l(self.a(y, y, y, need_weights=False)[0].mean(1))


@pytest.mark.parametrize("make", [ViT, lambda: ViT(norm_first=True), Attention])
def test_attention(make, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(make())
        intgrad.save_model(
            make(), tmp_path / "vit.pt", **{k: v for k, v in KIND.items() if k != "device"}
        )
    check(make(), source=tmp_path / "vit.pt", input_size=None, preprocess=None, scores=None)


def test_an_archive_with_fused_attention_says_how_to_trace():
    buffer = io.BytesIO()
    module = Attention().eval().requires_grad_(False)
    with quiet_jit(), torch.no_grad():
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 3, *SIZE)), buffer)
    with pytest.raises(intgrad.ModelError, match=r"set_fastpath_enabled\(False\)"):
        intgrad.load_model(buffer.getvalue(), **KIND)


# ---- What a trace would freeze -------------------------------------------------------------------


class Bright(nn.Module):
    """A branch by the picture, which a script keeps."""

    def forward(self, x):
        if bool(x.mean() > 3):
            return x * 2
        return x


class Beside(nn.Module):
    def __init__(self, edit):
        super().__init__()
        torch.manual_seed(0)
        self.l, self.edit = nn.Linear(768, 3), edit
        with quiet_jit():
            self.script = torch.jit.script(Bright())

    def forward(self, x):
        return self.l(self.edit(self.script(x)).flatten(1))


FROZEN = {
    "branch": lambda s, z: s.l((z * 3 if z.mean() > 3 else z).flatten(1)),
    "dark-branch": lambda s, z: s.l(z.flatten(1)) if z.mean() > 1 else s.l(z.flatten(1) * 0),
    "float": lambda s, z: s.l((z / max(float(z.max()), 1.0)).flatten(1)),
    "item": lambda s, z: s.l((z * z.std().item()).flatten(1)),
    "loop": lambda s, z: s.l(sum(z / (k + 1) for k in range(int(z.mean()) + 1)).flatten(1)),
    "numpy": lambda s, z: s.l(
        (z + torch.from_numpy(z.detach().numpy().mean((1, 2, 3), keepdims=True))).flatten(1)
    ),
    "tolist": lambda s, z: s.l((z + z.amax((1, 2, 3)).tolist()[0]).flatten(1)),
    "equal": lambda s, z: s.l((z if torch.equal(z, z * 0) else z * 2).flatten(1)),
    "any": lambda s, z: s.l((z * 2 if torch.any(z > 5) else z).flatten(1)),
    "size": lambda s, z: s.l((z * len(torch.unique(z.round()))).flatten(1)),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor")  # torch's, of our own autograd here
@pytest.mark.parametrize("edit", FROZEN, ids=str)
def test_what_a_trace_would_freeze(edit):
    module = edited(FROZEN[edit])
    expected(module, IMAGE, dtype=torch.float32)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = intgrad.load_model(module, **KIND)
    (single,) = (str(each.message) for each in said)
    assert "one image at a time" in single
    assert model.backend == "autograd"
    check(module, source=model, dtype=torch.float32)
    # The path from black passes both sides of a branch.
    maps = intgrad.integrated_gradients(model, IMAGE, 1, output="logit", steps=8, rule="midpoint")
    total = 0
    for alpha in (np.arange(8) + 0.5) / 8:
        total = total + expected(module, np.float32(alpha * IMAGE), dtype=torch.float32)[1]
    truth = IMAGE * total / 8
    assert np.linalg.norm(maps - truth) < 1e-3 * np.linalg.norm(truth)


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize(
    ("edit", "is_traced"), [(torch.tanh, True), (lambda x: x / float(x.max() + 1), False)]
)
def test_python_beside_a_script(edit, is_traced, door):
    """What a script reads of its pixels is kept; what is read beside it would not be."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = intgrad.load_model(Beside(edit), **KIND)
    texts = [str(each.message) for each in said]
    assert "one image at a time" in texts[-1]
    assert len(texts) == 1
    assert model.backend == (door if is_traced else "autograd")
    for scale in (1, 0.1):
        check(Beside(edit), np.float32(scale * IMAGE), source=model, dtype=torch.float32)


def test_branches_of_a_script_do_not_see_a_batch():
    """A path crosses a branch at one place, however many points are run together."""
    module = nn.Sequential(Bright(), nn.Flatten(), nn.Linear(768, 3))
    with pytest.warns(UserWarning, match="one image at a time"):
        model = intgrad.load_model(to_archive(module, script=True), **KIND)
    maps = intgrad.integrated_gradients(model, IMAGE, 1, output="logit", steps=8, rule="midpoint")
    points = [np.float32(alpha * IMAGE) for alpha in (np.arange(8) + 0.5) / 8]
    truth = IMAGE * np.mean([expected(module, x, dtype=torch.float32)[1] for x in points], axis=0)
    assert np.linalg.norm(maps - truth) < 1e-4 * np.linalg.norm(truth)


NUMBERS = {
    "item": lambda s, z: s.l((z * s.scale.item()).flatten(1)),
    "branch": lambda s, z: s.l((z * 2 if s.scale > 0 else z).flatten(1)),
    "derived": lambda s, z: s.l((z * float(torch.sqrt(s.scale + 1)[None].max())).flatten(1)),
    "count": lambda s, z: s.l((z * len(torch.unique(s.order))).flatten(1)),
}


@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_numbers_of_parameters_are_traced(number, door):
    """They are no pixels, and the same for every picture."""
    module = edited(NUMBERS[number])
    module.scale = nn.Parameter(torch.tensor(2.0))
    module.register_buffer("order", torch.arange(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = intgrad.load_model(module, **KIND)
    assert model.backend == door
    check(module, source=model, dtype=torch.float32)


@pytest.mark.filterwarnings("ignore:Converting a tensor", "ignore:.*one image at a time")
def test_numbers_of_buffers_that_hold_pixels():
    def forward(s, x):
        s.last[:] = x.detach().amax((2, 3))[0]
        return s.l((x / float(s.last.max())).flatten(1))

    module = edited(forward)
    module.register_buffer("last", torch.zeros(3))
    assert check(module, dtype=torch.float32).backend == "autograd"


SELECTIONS = {
    "mask": lambda s, z: s.l(torch.zeros_like(z).masked_scatter(z > 5, z[z > 5]).flatten(1)),
    "indices": lambda s, z: s.l(z.flatten(1)[:, s.order]),
    "where": lambda s, z: s.l(torch.where(z > 5, z, -z).flatten(1)),
}


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_selections_are_traced(selection, door):
    """Sizes that depend on pixels, but that stay in the graph."""
    module = edited(SELECTIONS[selection])
    module.register_buffer("order", torch.randperm(768, generator=torch.manual_seed(1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = check(module)
    assert model.backend == door


@pytest.mark.parametrize("edit", ["branch", "float", "numpy"])
def test_what_a_trace_would_freeze_is_not_saved(edit, tmp_path):
    path = tmp_path / "m.pt"
    text = r"Python numbers, branches or NumPy.*load_model\(module\) explains it"
    with pytest.raises(intgrad.ModelError, match=text):
        intgrad.save_model(
            edited(FROZEN[edit]), path, **{k: v for k, v in KIND.items() if k != "device"}
        )
    assert not path.exists()


def test_sound_models_are_traced_without_a_word():
    """InstanceNorm and attention make torch warn of traces that are right."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(784, 3)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(module)


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return g * s * (1 + x * (1 - s))


class Guided(torch.autograd.Function):
    """Whose gradient is not that of its forward pass."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g.clamp(min=0) * (x > 0)


@pytest.mark.parametrize("function", [Swish, Guided])
def test_autograd_functions(function):
    model = check(edited(lambda s, x: s.l(function.apply(x).flatten(1))))
    assert model.backend == "autograd"


# ---- Stop-gradients and hooks --------------------------------------------------------------------

STOPS = {
    "straight-through": lambda s, x: s.l(torch.relu(x + (torch.round(x) - x).detach()).flatten(1)),
    "normalised": lambda s, x: s.l((x / x.amax((1, 2, 3), keepdim=True).detach()).flatten(1)),
    "gate": lambda s, x: s.l((x * torch.sigmoid(x).detach()).flatten(1)),
    "no_grad": lambda s, x: s.l((x * _without_grad(x)).flatten(1)),
    "data": lambda s, x: s.l((x * torch.sigmoid(x).data).flatten(1)),
}


def _without_grad(x):
    with torch.no_grad():
        return torch.tanh(x)


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_stop_gradients(stop):
    module = edited(STOPS[stop])
    fast = check(module)
    module.l.register_full_backward_hook(lambda *_: None)  # changes nothing but intgrad's path
    slow = check(module)
    np.testing.assert_allclose(
        fast.gradients(IMAGE, 1, output="logit"),
        slow.gradients(IMAGE, 1, output="logit"),
        rtol=1e-4,
        atol=1e-7,
    )


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_stop_gradients_are_traced_and_saved(stop, tmp_path, door):
    """Tracing forgets `torch.no_grad()` and `.data` unless they are made what it records."""
    module, facts = edited(STOPS[stop]), {k: v for k, v in KIND.items() if k != "device"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(module).backend == door
        intgrad.save_model(module, tmp_path / "m.pt", **facts)
    check(module, source=intgrad.load_model(tmp_path / "m.pt", device="cpu"))


def test_a_stop_gradient_of_one_class():
    """Which a look at the gradient of another does not show."""
    check(edited(lambda s, x: _halve_all_but_the_first(s.l(x.flatten(1)))))


def _halve_all_but_the_first(y):
    with torch.no_grad():
        half = y[:, 1:] / 2
    return torch.cat([y[:, :1], y[:, 1:] / 2 + half], 1)


@pytest.mark.parametrize("stop", ["straight-through", "normalised", "gate"])
def test_stop_gradients_in_archives(stop):
    module = edited(STOPS[stop])
    check(module, source=to_archive(module))


def test_tensor_hooks():
    def hook(module, inputs, output):
        output.register_hook(lambda g: g.clamp(min=0))

    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 3))
    module[1].register_forward_hook(hook)
    assert check(module).backend == "autograd"


HOOKS = {
    "forward": lambda m: m.register_forward_hook(lambda _, i, o: o * 2),
    "forward-kwargs": lambda m: m.register_forward_hook(lambda _, i, k, o: o * 2, with_kwargs=True),
    "forward-pre": lambda m: m.register_forward_pre_hook(lambda _, i: (i[0] * 2,)),
    "backward": lambda m: m.register_full_backward_hook(lambda _, i, o: (i[0].clamp(min=0),)),
    "backward-pre": lambda m: m.register_full_backward_pre_hook(lambda _, o: (o[0].clamp(min=0),)),
    "numpy": lambda m: m.register_forward_hook(lambda _, i, o: o * float(o.detach().numpy().max())),
    "global-forward": lambda m: nn.modules.module.register_module_forward_hook(
        lambda part, i, o: o * 2 if isinstance(part, nn.ReLU) else None
    ),
    "global-backward": lambda m: nn.modules.module.register_module_full_backward_hook(
        lambda part, i, o: (i[0].clamp(min=0),) if isinstance(part, nn.ReLU) else None
    ),
}


@pytest.mark.filterwarnings("ignore:.*one image at a time:UserWarning")
@pytest.mark.parametrize("hook", HOOKS, ids=str)
def test_hooks(hook):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 3))
    handle = HOOKS[hook](module[1])
    try:
        check(module, dtype=torch.float32)
    finally:
        handle.remove()


# ---- Numbers -------------------------------------------------------------------------------------


class Fourier(nn.Module):
    """Complex parameters and buffers."""

    def __init__(self, dtype=torch.complex64):
        super().__init__()
        torch.manual_seed(0)
        self.w = nn.Parameter(torch.randn(3, 16, 9, dtype=dtype))
        self.register_buffer("b", torch.randn(3, 16, 9, dtype=dtype))
        self.l = nn.Linear(768, 3)

    def forward(self, x):
        return self.l(torch.fft.irfft2(torch.fft.rfft2(x) * self.w + self.b).flatten(1))


@pytest.mark.parametrize(
    ("form", "dtype"),
    [
        ("module", torch.complex64),
        ("archive", torch.complex64),
        ("module", torch.complex128),  # which a float32 network cannot be traced with
    ],
)
def test_complex_parameters(dtype, form):
    module = Fourier(dtype)
    scores, gradient = _complex_truth(module)
    source = to_archive(module) if form == "archive" else module
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = intgrad.load_model(source, **KIND)
    found = model.gradients(IMAGE, 1, output="logit")
    assert np.linalg.norm(found - gradient) < 1e-4 * np.linalg.norm(gradient)
    np.testing.assert_allclose(model.predict(IMAGE), scores, rtol=1e-3)


def _complex_truth(module):
    pixels = torch.tensor(IMAGE, requires_grad=True)
    x = (pixels / 25 + 0.1).permute(2, 0, 1)[None]
    w, b = module.w.to(torch.complex64), module.b.to(torch.complex64)
    scores = module.l(torch.fft.irfft2(torch.fft.rfft2(x) * w + b).flatten(1))
    (gradient,) = torch.autograd.grad(scores[0, 1], pixels)
    return scores[0].softmax(0).detach().numpy(), gradient.numpy()


@pytest.mark.parametrize("form", ["module", "traced", "scripted", "frozen"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype, form, door):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(784, 3)).to(dtype)
    source = module
    if form != "module":
        frozen = form == "frozen"  # its weights are constants of its graph
        source = to_archive(module, script=form == "scripted", dtype=dtype, freeze=frozen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = check(module.float(), source=source)
    assert model.backend == door


class Tokenised(nn.Module):
    """Operators that may be given a dtype, and are given none."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.p, self.l = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 3)

    def forward(self, x):
        tokens = torch.tanh(self.p(x).flatten(2))
        return self.l(tokens.mean(2) + tokens.cumsum(1).sum(2) / 16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_operators_without_a_dtype_in_archives_of_other_dtypes(dtype):
    module = Tokenised().to(dtype)
    archive = to_archive(module, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(module.float(), source=archive)


class Mixed(nn.Module):
    """Whose layers are of different types, so that it runs in no other ones."""

    def __init__(self, dtype, head_first=False):
        super().__init__()
        torch.manual_seed(0)
        self.dtype = dtype
        if head_first:
            self.l = nn.Linear(768, 3, dtype=dtype)
        self.c = nn.Conv2d(3, 3, 1)
        if not head_first:
            self.l = nn.Linear(768, 3, dtype=dtype)

    def forward(self, x):
        return self.l(self.c(x).to(self.dtype).flatten(1))


@pytest.mark.parametrize("form", ["module", "traced", "frozen", "saved"])
@pytest.mark.parametrize("head_first", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_mixed_dtypes(dtype, head_first, form, tmp_path, door):
    module = Mixed(dtype, head_first)
    source = module
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if form == "saved":
            facts = {k: v for k, v in KIND.items() if k != "device"}
            intgrad.save_model(module, tmp_path / "m.pt", **facts)
            source = intgrad.load_model(tmp_path / "m.pt", device="cpu")
        elif form != "module":
            source = to_archive(module, freeze=form == "frozen")
        exact = copy.deepcopy(module).double()
        exact.dtype = torch.float64
        tolerances = {}
        if form == "module" and door == "autograd":  # which runs it in the types that it came in
            eps = torch.finfo(dtype).eps
            tolerances = {"tolerance": max(1e-4, eps), "score_tolerance": max(1e-3, 4 * eps)}
        check(exact, source=source, **tolerances)


def test_frozen_archives_in_bfloat16():
    module = head(lambda: nn.Conv2d(3, 4, 3))
    module.eval()
    plain, frozen = (
        intgrad.load_model(to_archive(module, freeze=freeze), **KIND, precision="bfloat16")
        for freeze in (False, True)
    )
    np.testing.assert_array_equal(
        plain.gradients(IMAGE, 1, output="logit"), frozen.gradients(IMAGE, 1, output="logit")
    )


def test_casts_in_an_archive_of_halves():
    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.l = nn.Linear(768, 3)
            self.mean = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float16)

        def forward(self, x):
            return self.l((x.half() - self.mean).flatten(1)).float()

    module = Cast().half()
    archive = to_archive(module)
    model = intgrad.load_model(archive, **KIND)
    truth = nn.Linear(768, 3)
    truth.load_state_dict({k: v.float() for k, v in module.l.state_dict().items()})
    expected_gradient = truth.weight[1].detach().view(3, 16, 16).permute(1, 2, 0) / 25
    np.testing.assert_allclose(
        model.gradients(IMAGE, 1, output="logit"), expected_gradient, rtol=2e-3, atol=1e-6
    )


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_another_default_dtype(dtype, tmp_path):
    module = Flattened(FLATTENS["flatten"])
    with default_dtype(dtype), warnings.catch_warnings():
        warnings.simplefilter("error")
        check(module)
        intgrad.save_model(
            module, tmp_path / "m.pt", **{k: v for k, v in KIND.items() if k != "device"}
        )


def test_a_network_made_under_another_default_dtype():
    with default_dtype(torch.float64):
        module = edited(lambda s, x: s.l((x * torch.linspace(0, 1, 16)).flatten(1)))
        model = intgrad.load_model(module, **KIND)
        assert model.backend == "autograd"
        found = model.gradients(IMAGE, 1, output="logit")
        np.testing.assert_allclose(found, expected(module, IMAGE)[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_another_default_device(device):
    module = edited(lambda s, x: s.l((x * torch.ones(16)).flatten(1)))
    before = torch.get_default_device()
    torch.set_default_device(device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = intgrad.load_model(module, **KIND)
    finally:
        torch.set_default_device(before)
    np.testing.assert_allclose(
        model.gradients(IMAGE, 1, output="logit"), expected(module, IMAGE)[1], rtol=1e-4, atol=1e-7
    )


# ---- Copies --------------------------------------------------------------------------------------


def weight_normed():
    module = head(lambda: nn.Conv2d(3, 4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(module[0])
    module(torch.zeros(1, 3, *SIZE))
    return module


def spectral_normed():
    module = head(lambda: nn.Conv2d(3, 4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.spectral_norm(module[0])
    module.train()(torch.zeros(1, 3, *SIZE)).sum().backward()
    return module


def pruned():
    from torch.nn.utils import prune

    module = head(lambda: nn.Conv2d(3, 4, 3))
    prune.l1_unstructured(module[0], "weight", 0.5)
    module(torch.zeros(1, 3, *SIZE))
    return module


def locked():
    module = head(lambda: nn.Conv2d(3, 4, 3))
    module[0].lock = threading.Lock()
    module.jobs = {"lock": threading.RLock(), "frames": (frame for frame in ())}
    return module


def cached():
    module = edited(lambda s, x: s.l(x.flatten(1)))
    module.last = [module.l(torch.ones(768))]
    return module


def locked_within():
    module = edited(lambda s, x: s.state["layer"](x.flatten(1)))
    module.state = {"layer": module.l, "guards": [threading.Lock()]}
    return module


@pytest.mark.parametrize(
    "make", [weight_normed, spectral_normed, pruned, locked, cached, locked_within]
)
def test_modules_that_deepcopy_does_not_copy(make):
    module = make().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    pixels = torch.tensor(IMAGE, requires_grad=True)
    scores = module((pixels / 25 + 0.1).permute(2, 0, 1)[None])
    (gradient,) = torch.autograd.grad(scores[0, 1], pixels)
    module.train()
    model = intgrad.load_model(module, **KIND)
    found = model.gradients(IMAGE, 1, output="logit")
    assert np.linalg.norm(found - gradient.numpy()) < 1e-4 * np.linalg.norm(gradient.numpy())
    assert module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_lists_that_hold_what_cannot_be_copied_are_the_copys_own():
    def forward(s, x):
        s.seen.append(x.shape)
        return s.l(x.flatten(1))

    module = edited(forward)
    module.seen = [threading.Lock()]
    check(module)
    assert len(module.seen) == 2  # `check` calls it once


def test_lazy_layers_say_what_to_do():
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(intgrad.ModelError, match="lazy layers: run it once"):
        intgrad.load_model(lazy, **KIND)
    lazy(torch.zeros(1, 3, *SIZE))
    check(lazy)


def test_compiled_modules_are_explained_without_compiling():
    module = head(lambda: nn.Conv2d(3, 4, 3))

    def refuse(*_):
        raise AssertionError("compiled")

    check(module, source=torch.compile(module, backend=refuse))
    inner = head(lambda: nn.Conv2d(3, 4, 3))
    inner[0] = torch.compile(inner[0], backend=refuse)
    check(module, source=inner)
    own = head(lambda: nn.Conv2d(3, 4, 3))
    own.compile(backend=refuse)
    check(module, source=own)


def test_data_parallel():
    module = head(lambda: nn.Conv2d(3, 4, 3))
    check(module, source=nn.DataParallel(module))


# ---- Channels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["module", "archive"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 13, 40])
def test_channels(channels, form, tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Flatten(), nn.Linear(784, 3))
    image = np.random.default_rng(0).uniform(0, 255, (*SIZE, channels)).astype(np.float32)
    source = module if form == "module" else to_archive(module, channels)
    assert check(module, image, source=source).channels == channels
    each = ([1 / 25] * channels, [0.1] * channels)
    assert check(module, image, source=source, preprocess=each).channels == channels
    path = tmp_path / "m.pt"
    intgrad.save_model(module, path, input_size=SIZE, preprocess=each, scores="logits")
    assert intgrad.load_model(path, device="cpu").channels == channels


def test_channels_of_dense_layers_and_any():
    module = edited(lambda s, x: s.l(x.flatten(1)), features=5 * 256)
    assert intgrad.load_model(module, **KIND, channels=5).channels == 5
    with pytest.raises(intgrad.ModelError, match="tried with channels=3, 1, 4"):
        intgrad.load_model(module, **KIND)
    anything = edited(lambda s, x: s.l(x.mean(1).flatten(1)), features=256)
    assert intgrad.load_model(anything, **KIND).channels == 3
    assert intgrad.load_model(anything, **KIND, channels=7).channels == 7
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        intgrad.load_model(anything, **KIND, channels=0)


def test_five_scales_for_three_channels(tmp_path):
    facts = {"input_size": SIZE, "scores": "logits", "preprocess": ([0.1] * 5, [0.0] * 5)}
    module = head(lambda: nn.Conv2d(1, 4, 3))
    with pytest.raises(intgrad.ModelError, match="preprocess is for 5 channels|5 channels"):
        intgrad.save_model(module, tmp_path / "m.pt", **facts)
    assert not (tmp_path / "m.pt").exists()


# ---- Containers ----------------------------------------------------------------------------------


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


class ModelOutput(collections.OrderedDict):
    """As transformers has it: a dict with attributes."""


Named = collections.namedtuple("Named", ["features", "logits"])

CONTAINERS = {
    "dict": lambda z: {"logits": z},
    "dict-of-more": lambda z: {"logits": z, "hidden": z.sum(1)},
    "dict-other-key": lambda z: {"scores": z},
    "dataclass": lambda z: Output(z, z * 2),
    "model-output": lambda z: ModelOutput(logits=z, hidden_states=(z, z)),
    "tuple-of-one": lambda z: (z,),
    "list-of-one": lambda z: [z],
    "with-attention": lambda z: (z, z[:, :, None, None]),
    "named": lambda z: Named(z * 2, z),
    "object": lambda z: types.SimpleNamespace(logits=z, loss=None),
}


class Wrapped(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        torch.manual_seed(0)
        self.l, self.wrap = nn.Linear(768, 3), wrap

    def forward(self, x):
        return self.wrap(self.l(x.flatten(1)))


@pytest.mark.parametrize("wrap", CONTAINERS, ids=str)
def test_outputs_in_containers(wrap, tmp_path):
    plain, module = Wrapped(lambda z: z), Wrapped(CONTAINERS[wrap])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(plain, source=module)
        facts = {k: v for k, v in KIND.items() if k != "device"}
        intgrad.save_model(module, tmp_path / "m.pt", **facts)
    check(plain, source=tmp_path / "m.pt", input_size=None, preprocess=None, scores=None)


@pytest.mark.parametrize("wrap", ["dict", "tuple-of-one", "list-of-one", "with-attention"])
def test_archives_with_outputs_in_containers(wrap):
    module = Wrapped(CONTAINERS[wrap])
    buffer = io.BytesIO()
    with quiet_jit():
        traced = torch.jit.trace(module, torch.zeros(1, 3, *SIZE), strict=False)
        torch.jit.save(traced, buffer)
    check(Wrapped(lambda z: z), source=buffer.getvalue())


@pytest.mark.parametrize(
    ("wrap", "text"),
    [
        (lambda z: (z, z), r"self\.model\(x\)\[0\]"),
        (lambda z: {"a": z, "b": z}, r"self\.model\(x\)\['a'\]"),
        (lambda z: z[:, 0], r"unsqueeze\(1\)"),
        (lambda z: z[:, :, None, None], r"sum\(\(2, 3\)\)"),
        (lambda z: {"out": {"a": z, "b": z}}, r"self\.model\(x\)\['out'\]\['a'\]"),
        (lambda z: ([z],), r"self\.model\(x\)\[0\]\[0\]"),
        (lambda z: Output(None, (z, z)), r"self\.model\(x\)\.hidden\[0\]"),
        (lambda z: "text", "one tensor of scores, got str: return what its last layer gave"),
        (lambda z: None, "one tensor of scores, got NoneType"),
    ],
)
def test_what_is_ambiguous_says_the_line_to_write(wrap, text):
    with pytest.raises(intgrad.ModelError, match=text) as caught:
        intgrad.load_model(Wrapped(wrap), **KIND)
    assert "input_size" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*torch.cpu.amp.autocast:FutureWarning")  # of torch 2.4
def test_reentrant_checkpoints():
    from torch.utils.checkpoint import checkpoint

    def make(reentrant):
        return edited(
            lambda s, x: s.l(checkpoint(torch.tanh, x, use_reentrant=reentrant).flatten(1))
        )

    check(make(False))
    with pytest.raises(intgrad.ModelError, match="use_reentrant=False") as caught:
        intgrad.load_model(make(True), **KIND)
    assert "input_size" not in str(caught.value)


def test_black_may_have_no_scores(door):
    """As of what divides by the norm of a picture."""
    module = edited(lambda s, x: s.l(x.flatten(1) / x.flatten(1).norm(dim=1, keepdim=True)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = check(module, preprocess=(1 / 25, 0), offset=0)
    assert model.backend == door


def test_scores_that_are_no_numbers_are_told():
    with pytest.raises(
        intgrad.ModelError, match="score of class 0 is .* for a random picture: is preprocess="
    ):
        intgrad.load_model(edited(lambda s, x: s.l(x.flatten(1)) * torch.inf), **KIND)


def test_several_inputs_say_what_to_do():
    class Pair(nn.Module):
        def forward(self, x, y):
            return x + y

    with pytest.raises(intgrad.ModelError, match="given one tensor.*wrap it") as caught:
        intgrad.load_model(Pair(), **KIND)
    assert "input_size" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"scores": "probs"}, ValueError, "'probs': .* is explained by score="),
        ({"multilabel": "yes"}, TypeError, "multilabel must be True, False or None, got 'yes'"),
        ({"channels": "3"}, TypeError, "channels must be an int, got '3'"),
        ({"labels": "abc"}, TypeError, "labels must be a sequence of str, got 'abc'"),
        ({"labels": [1, 2, 3]}, TypeError, "labels must be a sequence of str"),
    ],
)
def test_wrong_arguments_of_saving_and_loading(wrong, error, text, tmp_path):
    facts = {k: v for k, v in KIND.items() if k != "device"} | wrong
    for call in (intgrad.load_model, lambda m, **k: intgrad.save_model(m, tmp_path / "m.pt", **k)):
        with pytest.raises(error, match=text):
            call(Wrapped(lambda z: z), **facts)
    assert not any(tmp_path.iterdir())


def test_scales_of_three_channels_are_not_those_of_one(tmp_path):
    facts = KIND | {"preprocess": ([0.1] * 3, [0.0] * 3), "channels": 1}
    del facts["device"]
    with pytest.raises(ValueError, match="preprocess is for 3 channels, got channels=1"):
        intgrad.save_model(head(lambda: nn.Conv2d(3, 4, 3)), tmp_path / "m.pt", **facts)
    with pytest.raises(intgrad.ModelError, match="preprocess is for 3 channels"):
        intgrad.load_model(head(lambda: nn.Conv2d(3, 4, 3)), **facts)


def test_a_class_is_no_model():
    with pytest.raises(TypeError, match="source is a class, ViT: pass an instance"):
        intgrad.load_model(ViT, **KIND)


def test_input_size_is_doubted_where_it_may_be_wrong():
    with pytest.raises(intgrad.ModelError, match=r"is input_size right\?"):
        intgrad.load_model(Wrapped(lambda z: z), **KIND | {"input_size": (8, 8)})


# ---- One logit, many labels ----------------------------------------------------------------------


def one_logit():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(784, 1))


def sigmoid_truth(module, image, target=0):
    pixels = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    twin = module.double()
    value = torch.sigmoid(twin((pixels / 25 + 0.1).permute(2, 0, 1)[None]))[0]
    (gradient,) = torch.autograd.grad(value[target], pixels)
    module.float()
    return value.detach().numpy(), gradient.numpy()


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("form", ["module", "archive"])
def test_one_logit_means_a_sigmoid(form, output):
    module = one_logit()
    value, gradient = sigmoid_truth(module, IMAGE)
    model = intgrad.load_model(module if form == "module" else to_archive(module), **KIND)
    assert model.multilabel
    np.testing.assert_allclose(model.predict(IMAGE), value, rtol=1e-4)
    assert model.top(IMAGE, 1)[0][2] == pytest.approx(value[0], rel=1e-4)
    np.testing.assert_allclose(
        model.gradients(IMAGE, output=output), gradient, rtol=1e-3, atol=1e-8
    )
    attributions, info = intgrad.integrated_gradients(
        model, IMAGE, tolerance=0.05, output=output, return_info=True
    )
    assert info.output == "sigmoid"
    assert info.score == pytest.approx(value[0], rel=1e-4)
    assert abs(attributions).max() > 0
    assert 0 < info.error <= 0.05
    with pytest.raises(ValueError, match="use 'sigmoid' or 'logit'"):
        model.gradients(IMAGE, output="log_softmax")


LABELS = {
    "declared": (lambda: edited(lambda s, x: s.l(x.flatten(1))), "logits", {"multilabel": True}),
    "sigmoids": (
        lambda: edited(lambda s, x: torch.sigmoid(s.l(x.flatten(1)))),
        "probabilities",
        {},
    ),
}


@pytest.mark.parametrize("kind", LABELS, ids=str)
@pytest.mark.parametrize("form", ["module", "archive", "saved"])
def test_many_labels(kind, form, tmp_path):
    make, scores, options = LABELS[kind]
    logits = edited(lambda s, x: s.l(x.flatten(1)))
    value, gradient = sigmoid_truth(logits, IMAGE, 2)
    module = make()
    if form == "saved":
        facts = {"input_size": SIZE, "preprocess": KIND["preprocess"], "scores": scores}
        intgrad.save_model(module, tmp_path / "m.pt", **facts, **options)
        model = intgrad.load_model(tmp_path / "m.pt", device="cpu")
    else:
        source = module if form == "module" else to_archive(module)
        model = intgrad.load_model(source, **KIND | {"scores": scores}, **options)
    assert model.multilabel
    np.testing.assert_allclose(model.predict(IMAGE), value, rtol=1e-3)
    for output in ("sigmoid", "softmax"):
        np.testing.assert_allclose(
            model.gradients(IMAGE, 2, output=output), gradient, rtol=1e-3, atol=1e-7
        )


def test_a_sigmoid_of_classes_that_exclude_each_other():
    logits = edited(lambda s, x: s.l(x.flatten(1)))
    value, gradient = sigmoid_truth(logits, IMAGE, 1)
    model = intgrad.load_model(logits, **KIND)
    assert not model.multilabel
    _, info = intgrad.integrated_gradients(
        model, IMAGE, 1, output="sigmoid", steps=2, return_info=True
    )
    assert (info.output, info.score) == ("sigmoid", pytest.approx(value[1], rel=1e-3))
    np.testing.assert_allclose(
        model.gradients(IMAGE, 1, output="sigmoid"), gradient, rtol=1e-3, atol=1e-7
    )
    exclusive = edited(lambda s, x: s.l(x.flatten(1)).softmax(1))
    model = intgrad.load_model(exclusive, **KIND | {"scores": "probabilities"})
    with pytest.raises(ValueError, match="exclude each other"):
        model.gradients(IMAGE, 1, output="sigmoid")


def test_sigmoids_loaded_as_logits_are_warned_of():
    sigmoids = LABELS["sigmoids"][0]()
    with pytest.warns(UserWarning, match="if it ends in a sigmoid, pass scores='probabilities'"):
        intgrad.load_model(sigmoids, **KIND)
    with pytest.raises(ValueError, match="pass multilabel=True"):
        intgrad.load_model(sigmoids, **KIND | {"scores": "probabilities"}, multilabel=False)


# ---- Preprocessing -------------------------------------------------------------------------------


def test_mean_and_std():
    module = Flattened(FLATTENS["flatten"])
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    named, told = (
        intgrad.load_model(module, **KIND | {"preprocess": preprocess}).predict(IMAGE)
        for preprocess in ("imagenet", {"mean": mean, "std": np.array(std)})
    )
    np.testing.assert_array_equal(named, told)
    with pytest.warns(UserWarning, match=r"if it is \(mean, std\), pass preprocess=\{'mean'"):
        intgrad.load_model(module, **KIND | {"preprocess": (mean, std)})
    for wrong in ({"mean": mean}, {"mean": 0.5, "std": 0.0}, {"mean": 104.0, "std": 1.0}):
        with pytest.raises(ValueError, match="preprocess"):
            intgrad.load_model(module, **KIND | {"preprocess": wrong})


def deprecated(function, category):
    def warn(*args, **options):
        warnings.warn(f"`torch.jit.{function.__name__}` is deprecated.", category, stacklevel=2)
        return function(*args, **options)

    return warn


@pytest.mark.parametrize("category", [DeprecationWarning, FutureWarning])
def test_what_torch_says_of_its_own_jit_is_not_the_users_business(category, monkeypatch, tmp_path):
    """torch 2.13 deprecates TorchScript, 2.14 and 2.15 do so in FutureWarnings."""
    for name in ("trace", "save", "load", "freeze", "optimized_execution"):
        monkeypatch.setattr(torch.jit, name, deprecated(getattr(torch.jit, name), category))
    module = Flattened(FLATTENS["flatten"])
    facts = {k: v for k, v in KIND.items() if k != "device"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        intgrad.save_model(module, tmp_path / "m.pt", **facts)
        for source in (module, tmp_path / "m.pt"):
            options = facts if source is module else {}
            model = intgrad.load_model(source, **options)
            intgrad.integrated_gradients(model, IMAGE, 1, steps=2)


@pytest.mark.filterwarnings("ignore")
def test_quantised_modules_say_why():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(784, 3)).eval()
    quantised = torch.ao.quantization.quantize_dynamic(module, {nn.Linear})
    with pytest.raises(intgrad.ModelError, match="no gradient path.*quantised"):
        intgrad.load_model(quantised, **KIND)


def test_exported_programs_are_explained_as_modules():
    module = head(lambda: nn.Conv2d(3, 4, 3))
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        module.eval(), (torch.zeros(2, 3, *SIZE),), dynamic_shapes=({0: batch},)
    )
    check(module, source=program.module())
