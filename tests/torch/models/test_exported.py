"""torch.export: programs and .pt2 files in, out, folded, and what is wrong with some of them."""

import hashlib
import io
import json
import sys
import warnings
import zipfile

import demo_files
import numpy as np
import pytest
import torch
from small_models import FACTS, METADATA, SIZE, Smooth, quiet_jit
from torch import nn

import intgrad
from intgrad.command_line import main as cli
from intgrad.models.archive import check_archive
from intgrad.models.torch.copying import move
from intgrad.models.torch.folding import NORMS, Norm, fold_graph, fold_weights
from intgrad.models.torch.graphs import graph_modules, operator_name, read_program

IMAGE = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
BATCH = ({0: torch.export.Dim("batch", min=1)},)


def load(source, **options):
    return intgrad.load_model(source, **{"device": "cpu", **FACTS, **options})


def export(module, *, batch=2, shapes=BATCH, channels=3, train=False, dtype=torch.float32):
    example = torch.zeros(batch, channels, *SIZE, dtype=dtype)
    return torch.export.export(module.train(train), (example,), dynamic_shapes=shapes, strict=False)


def pack(program, metadata=None):
    buffer = io.BytesIO()
    extra = {} if metadata is None else {"intgrad.json": json.dumps(metadata)}
    torch.export.save(program, buffer, extra_files=extra)
    return buffer.getvalue()


def pack_as_torch_2_4(program, version=None, extra=None):
    """What torch.export.save wrote up to torch 2.7."""
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    artifact, buffer = serialize(program), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("serialized_exported_program.json", artifact.exported_program)
        zipped.writestr("serialized_state_dict.pt", artifact.state_dict)
        zipped.writestr("serialized_constants.pt", artifact.constants)
        zipped.writestr("serialized_example_inputs.pt", artifact.example_inputs)
        zipped.writestr("version", version or ".".join(map(str, SCHEMA_VERSION)))
        for name, content in (extra or {}).items():
            zipped.writestr(f"extra_files/{name}", content)
    return buffer.getvalue()


def edit(archive, changes):
    """Rewrite members of an archive, whose checksums fit again; None leaves one out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.namelist():
            change = changes.get(member.partition("/")[2] or member, lambda text: text)
            if change is not None:
                new.writestr(member, change(old.read(member)))
    return buffer.getvalue()


def expected(module, image=IMAGE, target=3):
    """Return logits and the gradient by pixels, in float64."""
    pixels = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    scale, offset = FACTS["preprocess"]
    scores = module.eval().double()((pixels * scale + offset).permute(2, 0, 1)[None])
    scores[0, target].backward()
    module.float()
    return scores[0].detach().numpy(), pixels.grad.numpy()


def check(model, module, image=IMAGE):
    scores, gradient = expected(module, image)
    softmax = np.exp(scores - scores.max())
    np.testing.assert_allclose(model.predict(image), softmax / softmax.sum(), rtol=1e-4)
    found = model.gradients(image, 3, output="logit")
    np.testing.assert_allclose(found, gradient, atol=1e-5 * np.abs(gradient).max())


class Edited(nn.Module):
    def __init__(self, edit, **options):
        super().__init__()
        self.smooth, self.edit = Smooth(**options), edit

    def forward(self, x):
        return self.edit(self.smooth, x)


class Keyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.smooth = Smooth()

    def forward(self, pixel_values, scale=None):
        scores = self.smooth(pixel_values) + torch.tensor([1.0, 2, 3, 4, 5])
        return {"logits": scores if scale is None else scores * scale, "hidden": pixel_values}


PROGRAM = export(Smooth())
GOOD = pack(PROGRAM)
IS_OLD = "serialized_exported_program.json" in zipfile.ZipFile(io.BytesIO(GOOD)).namelist()
"""Whether torch writes the format of 2.7 and older."""
MODEL = "serialized_exported_program.json" if IS_OLD else "models/model.json"
WEIGHTS = "serialized_state_dict.pt" if IS_OLD else "data/weights/weight_0"


# ---- Loading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["program", "bytes", "path", "torch 2.4", "any name"])
def test_every_form_of_source(form, tmp_path):
    (tmp_path / "m.pt2").write_bytes(GOOD)
    (tmp_path / "m.pt").write_bytes(GOOD)
    source = {
        "program": PROGRAM,
        "bytes": GOOD,
        "path": tmp_path / "m.pt2",
        "any name": tmp_path / "m.pt",
        "torch 2.4": pack_as_torch_2_4(PROGRAM),
    }[form]
    model = load(source)
    assert (model.input_size, model.channels, model.num_classes) == (SIZE, 3, 5)
    check(model, Smooth())
    stack = np.stack([IMAGE, 255 - IMAGE, IMAGE[::-1]])
    maps, infos = intgrad.integrated_gradients(
        model, stack, 1, steps=6, batch_size=4, return_info=True
    )
    assert infos[0].batch_size == 4
    np.testing.assert_allclose(
        maps, intgrad.integrated_gradients(load(Smooth()), stack, 1, steps=6), atol=1e-6
    )


def test_torchs_own_module_for_it_is_not_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "intgrad._torch", None)
    check(load(GOOD), Smooth())


def test_the_users_program_is_not_touched():
    program = export(Smooth())
    weights = {name: tensor.clone() for name, tensor in program.state_dict.items()}
    wanted = [parameter.requires_grad for parameter in program.parameters()]
    intgrad.integrated_gradients(load(program), IMAGE, 0, steps=2)
    assert [parameter.requires_grad for parameter in program.parameters()] == wanted
    for name, tensor in program.state_dict.items():
        assert torch.equal(tensor, weights[name])
        assert tensor.stride() == weights[name].stride()


def test_a_program_that_describes_itself():
    old = pack_as_torch_2_4(PROGRAM, extra={"intgrad.json": json.dumps(METADATA)})
    for archive in (pack(PROGRAM, METADATA), old):
        model = intgrad.load_model(archive, device="cpu")
        assert (model.labels, model.input_size) == (tuple("abcde"), SIZE)
        with pytest.raises(ValueError, match="preprocesses in its graph"):
            intgrad.load_model(archive, device="cpu", preprocess="none")
    with pytest.raises(intgrad.ModelError, match="makes no sense"):
        load(pack(PROGRAM, {**METADATA, "scores": "marks"}))


@pytest.mark.parametrize("fact", ["preprocess", "input_size", "scores"])
@pytest.mark.parametrize("source", [GOOD, PROGRAM], ids=["file", "program"])
def test_facts_are_never_guessed(source, fact):
    with pytest.raises(ValueError, match=f"load_model needs {fact}="):
        load(source, **{fact: None})


def test_sha256_pins_the_file():
    digest = hashlib.sha256(GOOD).hexdigest()
    load(GOOD, sha256=digest)
    with pytest.raises(intgrad.ModelError, match=f"has the sha256 {digest}, expected 00ff"):
        load(GOOD, sha256="00ff")


def test_pictures_by_keyword_and_logits_in_a_dict():
    shapes = {"pixel_values": {0: torch.export.Dim("batch", min=1)}}
    example = {"pixel_values": torch.zeros(2, 3, *SIZE)}
    program = torch.export.export(Keyword().eval(), (), example, dynamic_shapes=shapes)
    module = Edited(lambda smooth, x: smooth(x) + torch.arange(1, 6))
    for source in (program, pack(program)):
        check(load(source), module)


def test_a_batch_with_a_limit_is_split():
    program = export(Smooth(), shapes=({0: torch.export.Dim("batch", max=3)},))
    stack = np.stack([IMAGE, 255 - IMAGE, IMAGE[::-1], IMAGE[:, ::-1]])
    model = load(pack(program))
    np.testing.assert_allclose(model.predict(stack), load(Smooth()).predict(stack), rtol=1e-4)
    found = intgrad.integrated_gradients(model, stack, 1, steps=6, batch_size=8)
    plain = intgrad.integrated_gradients(load(Smooth()), stack, 1, steps=6)
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_a_batch_of_one_is_run_one_at_a_time():
    program = export(Smooth(), batch=1, shapes=None)
    with pytest.warns(UserWarning, match="takes one image at a time") as caught:
        model = load(pack(program))
    assert caught[0].filename == __file__
    check(model, Smooth())
    assert model.predict(np.stack([IMAGE, IMAGE])).shape == (2, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_programs_of_other_types(dtype):
    program = export(Smooth().to(dtype), dtype=dtype)
    check(load(program), Smooth().to(dtype).float())


def test_what_the_graph_makes_and_what_it_holds_back():
    """Tensors of a given type and device, asserted; no_grad and detach, which a trace forgets."""

    def forward(smooth, x):
        x = x.to(torch.float32)
        with torch.no_grad():
            mean = x.mean((1, 2, 3))[:, None]
        scores = smooth(x) * mean + x.detach().amax((1, 2, 3))[:, None]
        return scores + torch.arange(5, device=x.device)

    def twin(smooth, x):
        mean = x.mean((1, 2, 3))[:, None].detach()
        return smooth(x) * mean + x.detach().amax((1, 2, 3))[:, None] + torch.arange(5)

    program = export(Edited(forward))
    check(load(program), Edited(twin))


def test_a_graph_moves_to_another_device_than_it_was_exported_on():
    """What it makes anew, its constants and its weights; "meta" is one that every machine has."""

    def forward(smooth, x):
        made = torch.arange(5, device=x.device) + torch.tensor([1, 2, 3, 4, 5]).to(x.device)
        return smooth(x) + made

    moved = move(read_program(export(Edited(forward))), "meta", None)
    assert moved(torch.empty(3, 3, *SIZE, device="meta")).device.type == "meta"


def test_bfloat16_is_close():
    rough = load(GOOD, precision="bfloat16")
    found, wanted = rough.gradients(IMAGE, 1), load(Smooth()).gradients(IMAGE, 1)
    assert 1e-4 < np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.1


def branch(smooth, x):
    return torch.cond(x.mean() > 0, lambda y: smooth(y) / 2, lambda y: smooth(y) / 3, (x,))


@pytest.mark.parametrize(
    ("edit", "twin"),
    [
        (branch, lambda smooth, x: smooth(x) / (2 if x.mean() > 0 else 3)),
        (lambda smooth, x: smooth(x) * x.mean().item(), None),
    ],
    ids=["cond", "item"],
)
def test_what_decides_by_a_batch_is_given_one_picture_at_a_time(edit, twin):
    module = Edited(edit)
    with pytest.warns(UserWarning, match="takes one image at a time"):
        model = load(export(module))
    for image in (IMAGE / 3, 255 - IMAGE / 3):
        check(model, Edited(twin or edit), image)


def test_threads_and_modes_of_the_caller_do_not_hold():
    plain = load(PROGRAM).gradients(IMAGE, 1)
    for mode in (torch.inference_mode(), torch.autocast("cpu"), torch.no_grad()):
        with mode:
            found = load(PROGRAM).gradients(IMAGE, 1)
        np.testing.assert_array_equal(found, plain)


# ---- What is wrong with a file -------------------------------------------------------------------


def test_damaged_files():
    with zipfile.ZipFile(io.BytesIO(GOOD)) as zipped:
        member = next(each for each in zipped.infolist() if each.filename.endswith(WEIGHTS))
    place = GOOD.find(member.filename.encode()) + len(member.filename) + 70
    flipped = bytearray(GOOD)
    flipped[place] ^= 1
    with pytest.raises(intgrad.ModelError, match=f"is damaged: the checksum of '.*{WEIGHTS}'"):
        load(bytes(flipped))
    for source in (GOOD[: len(GOOD) // 2], GOOD[:-30], GOOD[100:]):
        with pytest.raises(intgrad.ModelError, match="no TorchScript archive.*damaged|cut off"):
            load(source)


NEW_CHANGES = [
    {"data/weights/model_weights_config.json": None},
    {"data/weights/weight_3": lambda raw: raw[:-4]},
    {"data/sample_inputs/model.pt": lambda raw: b"no zip"},
    {"archive_version": lambda text: b"9"},
    {"byteorder": None, "archive_format": lambda text: b"pt3"},
]
OLD_CHANGES = [
    {"serialized_state_dict.pt": lambda raw: raw[:-4]},
    {"serialized_example_inputs.pt": lambda raw: b"no zip"},
    {"version": lambda text: b"99.1"},
]


@pytest.mark.parametrize(
    "changes",
    [
        {MODEL: lambda text: text[:-20]},
        {MODEL: lambda text: b"{}"},
        {MODEL: lambda text: text.replace(b"conv2d.default", b"conv9d.default")},
        *(OLD_CHANGES if IS_OLD else NEW_CHANGES),
    ],
    ids=lambda changes: str(next(iter(changes))),
)
def test_files_that_torch_cannot_read(changes, caplog):
    with pytest.raises(intgrad.ModelError, match=r"the archive .*cannot be read by torch"):
        load(edit(GOOD, changes))
    assert not caplog.records


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr("intgrad.models.archive.EXPANSION_BYTES", 2**20)
    buffer = io.BytesIO(GOOD)
    with zipfile.ZipFile(buffer, "a") as zipped:
        zipped.writestr("archive/extra/zeros", b"\0" * 2**21, zipfile.ZIP_DEFLATED)
    with pytest.raises(intgrad.ModelError, match="bytes would unpack to"):
        load(buffer.getvalue())


def test_a_file_of_another_torch(caplog):
    def age(text):
        program = json.loads(text)
        program["schema_version"], program["torch_version"] = {"major": 99, "minor": 1}, "9.9.0"
        return json.dumps(program).encode()

    says = r"was written by torch 9\.9\.0 \(schema 99\.1\) and cannot be read by torch .*again"
    with pytest.raises(intgrad.ModelError, match=says):
        load(edit(GOOD, {MODEL: age, "version": lambda text: b"99.1"}))
    with pytest.raises(intgrad.ModelError, match="cannot be read by torch"):
        load(pack_as_torch_2_4(PROGRAM, version="4.1"))
    assert not caplog.records


def test_files_that_hold_something_else(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("archive/archive_format", "pt2")
        zipped.writestr("archive/models/other.json", "{}")
    with pytest.raises(intgrad.ModelError, match="must hold one program.*got models/other.json"):
        load(buffer.getvalue())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("archive/archive_format", "pt2")
        zipped.writestr("archive/data/aotinductor/model/code.so", b"code")
    with pytest.raises(intgrad.ModelError, match="holds compiled code, which has no gradients"):
        load(buffer.getvalue())


# ---- What is wrong with a program ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "options", "text"),
    [
        (
            lambda: export(Smooth(), batch=3, shapes=None),
            {},
            r"for batches of 3 .*dynamic_shapes=\(\{0: torch.export.Dim\(\"batch\", min=1\)\},\)",
        ),
        (
            lambda: torch.export.export(
                Keyword().eval(), (torch.zeros(2, 3, *SIZE), torch.zeros(1))
            ),
            {},
            r"takes 2 inputs \(pixel_values, scale\).*\n.*OneInput",
        ),
        (
            lambda: torch.export.export(nn.Linear(4, 2), (torch.zeros(2, 4),)),
            {},
            r"takes a tensor of shape \(2, 4\)",
        ),
        (
            lambda: export(Edited(lambda m, x: m(x.float())), dtype=torch.uint8),
            {},
            "takes pictures of torch.uint8, which have no gradient",
        ),
        (lambda: PROGRAM, {"input_size": (8, 9)}, r"of 12 x 10 .*got input_size=\(8, 9\)"),
        (lambda: PROGRAM, {"channels": 1}, "takes 3 channels, got channels=1"),
        (
            lambda: torch.export.export(
                Edited(lambda m, x: m(x.permute(0, 3, 1, 2))).eval(),
                (torch.zeros(2, *SIZE, 3),),
                dynamic_shapes=BATCH,
            ),
            {},
            r"pictures of 10 x 3 .*x = x.permute\(0, 2, 3, 1\)",
        ),
        (lambda: export(Edited(lambda m, x: (m(x), m(x)))), {}, "must return one tensor of scores"),
        (lambda: export(Edited(lambda m, x: m(x).sum(1))), {}, "must return scores of shape"),
        (lambda: export(nn.Conv2d(3, 4, 3)), {}, "scores of every pixel, as of a segmentation"),
        (
            lambda: export(Edited(lambda m, x: m(x).argmax(1)[:, None].float())),
            {},
            "no gradient path",
        ),
        (lambda: export(Edited(lambda m, x: m(x) + m(x).mean(0))), {}, "mixes the images"),
        (lambda: export(nn.Sequential(nn.Dropout(), Smooth()), train=True), {}, "training mode"),
        (
            lambda: export(Edited(lambda m, x: m(x.mul_(2)))),
            {"preprocess": "none"},
            "changes its input in place",
        ),
    ],
)
def test_unfit_programs(make, options, text):
    with pytest.raises(intgrad.ModelError, match=text):
        load(make(), **options)


# ---- Folding -------------------------------------------------------------------------------------


def norms(graph):
    return [
        operator_name(node)
        for part in graph_modules(graph)
        for node in part.graph.nodes
        if operator_name(node) in NORMS
    ]


def settle(module):
    """Give batch normalisations statistics that are not 0 and 1."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                part.weight.data.uniform_(0.5, 2)
                part.bias.data.uniform_(-0.5, 0.5)
    return module.eval()


class Layers(nn.Module):
    """Every layer that a normalisation is folded into, and some that it is not."""

    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(nn.Conv1d(3, 4, 3, bias=False), nn.BatchNorm1d(4))
        self.two = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding="same"),
            nn.BatchNorm2d(6, affine=False),
            nn.Conv2d(6, 6, 3, padding=1, groups=3, bias=False),
            nn.BatchNorm2d(6),
            nn.ConvTranspose2d(6, 4, 2, groups=2),
            nn.BatchNorm2d(4),
            nn.ConvTranspose2d(4, 4, 2, bias=False),
            nn.BatchNorm2d(4),
        )
        self.three = nn.Sequential(nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2))
        self.flat = nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5))
        self.shared, self.first, self.second = (
            nn.Conv2d(2, 2, 1),
            nn.BatchNorm2d(2),
            nn.BatchNorm2d(2),
        )
        self.before, self.rows = nn.BatchNorm2d(3), nn.BatchNorm1d(12)

    def forward(self, x):
        x = self.before(x)  # nothing is before it
        one = self.one(x.flatten(2)).mean(2)
        two = self.two(x)
        three = self.three(x[:, None]).mean((2, 3, 4))
        pair = two[:, :2]
        pair = self.first(self.shared(pair)) * self.second(self.shared(pair))
        rows = self.rows(x.mean(1))  # after no layer either
        pooled = torch.cat([one[:, :2], two.mean((2, 3)), three], 1)
        return self.flat(pooled) + pair.mean((1, 2, 3))[:, None] + rows.mean((1, 2))[:, None]


@pytest.mark.parametrize("form", ["export", "decomposed"])
def test_folding_changes_nothing(form):
    module = settle(Layers())
    program = export(module)
    if form == "decomposed":  # what torch 2.4 gives: aten.convolution and norms that give three
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*treespec", FutureWarning)  # of its own
            program = program.run_decompositions()
    plain, folded = read_program(program).double(), fold_graph(read_program(program).double())
    assert len(norms(plain)) == 11
    assert len(norms(folded)) == (4 if form == "export" else 5)  # a linear layer is three operators
    x = torch.rand(2, 3, *SIZE, dtype=torch.float64)
    scores = []
    for each in (module.double(), plain, folded):
        points = x.clone().requires_grad_()
        result = each(points)
        (gradient,) = torch.autograd.grad(result[:, 1].sum(), points)
        scores.append((result.detach(), gradient))
    for found in scores[1:]:
        for mine, theirs in zip(found, scores[0], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
    weights = [p for p in folded.parameters() if p.dim() == 4 and p.shape[1] > 1 < p.shape[2]]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_a_weight_that_two_names_share_is_not_folded_twice():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1, bias=False)
            self.b.weight = self.a.weight
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            return self.b(self.norm(self.a(x))).mean((2, 3))

    module = settle(Tied())
    folded = fold_graph(read_program(torch.export.export(module, (torch.rand(1, 3, 5, 5),))))
    x = torch.rand(1, 3, 5, 5)
    torch.testing.assert_close(folded(x), module(x))


def test_what_is_not_by_constants_is_left_alone():
    """Statistics of the batch; an output that something else uses too; numbers that overflow."""

    class Used(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            x = self.conv(x)
            return (x + self.norm(x)).mean((2, 3))

    by_batch = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    huge = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    for part in huge:
        part.weight.data.fill_(1e30)
    for module in (Used(), by_batch, huge):
        program = torch.export.export(module.eval(), (torch.rand(2, 3, 5, 5),))
        assert len(norms(fold_graph(read_program(program)))) == 1


@pytest.mark.parametrize("transposed", [False, True])
def test_folded_weights_are_torchs(transposed):
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    torch.manual_seed(0)
    weight, bias = torch.randn(4, 4, 3, 3), torch.randn(4)
    mean, variance, scale, shift = torch.randn(4), torch.rand(4) + 0.5, torch.randn(4), None
    theirs = fuse_conv_bn_weights(weight, bias, mean, variance, 1e-3, scale, shift, transposed)
    mine = fold_weights(weight, bias, Norm(mean, variance, scale, shift, 1e-3), transposed)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b.data)


def test_folding_efficientnet():
    networks = pytest.importorskip("efficientnet_lite_pytorch")
    module = settle(networks.EfficientNet.from_name("efficientnet-lite0"))
    example = torch.rand(2, 3, 64, 64)
    program = torch.export.export(module, (example,), dynamic_shapes=BATCH, strict=False)
    plain, folded = read_program(program), fold_graph(read_program(program))
    assert (len(norms(plain)), len(norms(folded))) == (49, 0)
    torch.testing.assert_close(folded(example), module(example), rtol=1e-4, atol=1e-4)


# ---- Saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("preprocess", ["imagenet", "none"])
def test_the_file_is_the_module(preprocess, tmp_path):
    module, path = Smooth().train(), tmp_path / "model.pt2"
    facts = {"input_size": SIZE, "preprocess": preprocess, "scores": "logits"}
    intgrad.save_model(module, path, labels=list("abcde"), **facts)
    assert module.training
    saved = intgrad.load_model(path, device="cpu")
    assert (saved.labels, saved.input_size) == (tuple("abcde"), SIZE)
    live, stack = intgrad.load_model(module, device="cpu", **facts), np.stack([IMAGE] * 5)
    np.testing.assert_allclose(saved.predict(stack), live.predict(stack), rtol=1e-4)
    found, infos = intgrad.integrated_gradients(saved, stack, "c", steps=9, return_info=True)
    assert infos[0].batch_size > 1
    np.testing.assert_allclose(
        found, intgrad.integrated_gradients(live, stack, 2, steps=9), rtol=1e-3, atol=1e-7
    )


def test_the_format_goes_by_the_suffix_or_is_told(tmp_path):
    def written(name, **options):
        intgrad.save_model(Smooth(), tmp_path / name, **FACTS, **options)
        return check_archive((tmp_path / name).read_bytes(), name, None).format

    assert written("a.PT2") == "pt2"
    assert written("b.pt", format="pt2") == "pt2"
    assert written("c.pt") == "torchscript"
    assert written("d.pt2", format="torchscript") == "torchscript"
    with pytest.raises(ValueError, match="format must be 'torchscript', 'pt2' or None, got 'onnx'"):
        written("e.pt2", format="onnx")


def test_a_program_is_saved_with_what_it_did_not_say(tmp_path):
    if IS_OLD:  # torch 2.4 flattens by sizes, of which a trace keeps the number
        warnings.filterwarnings("ignore", ".*takes one image at a time")
    for name in ("m.pt2", "m.pt"):
        intgrad.save_model(PROGRAM, tmp_path / name, labels=list("abcde"), **FACTS)
        model = intgrad.load_model(tmp_path / name, device="cpu")
        assert model.labels == tuple("abcde")
        check(model, Smooth())


def test_what_takes_one_picture_is_saved_for_one(tmp_path):
    module = Edited(lambda smooth, x: smooth(x.reshape(1, 3, *SIZE)))
    with pytest.warns(UserWarning, match="one image at a time"):
        intgrad.save_model(module, tmp_path / "m.pt2", **FACTS)
    with pytest.warns(UserWarning, match="one image at a time"):
        check(intgrad.load_model(tmp_path / "m.pt2", device="cpu"), Smooth())


def test_scores_in_a_container_are_saved_alone(tmp_path):
    intgrad.save_model(Keyword(), tmp_path / "m.pt2", **FACTS)
    module = Edited(lambda smooth, x: smooth(x) + torch.arange(1, 6))
    check(intgrad.load_model(tmp_path / "m.pt2", device="cpu"), module)


class Straight(torch.autograd.Function):
    """A gradient that is not that of what is computed."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def scripted():
    with quiet_jit():
        return torch.jit.script(Smooth())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: Edited(lambda m, x: m(x) if float(x.sum()) > 0 else m(-x)),
            r"Edited cannot be exported: .*data-dependent.*load_model\(module\) explains it",
        ),
        (
            lambda: Edited(lambda m, x: torch.stack([m(picture[None])[0] for picture in x])),
            "Constraints violated.*fixes how many pictures",
        ),
        (lambda: nn.Sequential(scripted()), "holds TorchScript.*format='torchscript'"),
        (lambda: Edited(lambda m, x: m(Straight.apply(x * 9))), "other scores or gradients"),
        (lambda: Edited(lambda m, x: m(x)[:, 0]), "must return scores of shape"),
    ],
)
def test_nothing_is_written_of_what_cannot_be_exported(make, text, tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"as it was")
    with pytest.raises(intgrad.ModelError, match=text):
        intgrad.save_model(make(), path, **FACTS)
    assert path.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [path]


# ---- The command line ----------------------------------------------------------------------------


def test_convert(demo_wheel, tmp_path):
    source, size = str(demo_wheel / demo_files.MODEL), ["--size", "75", "80"]
    models = []
    for name in ("m.pt2", "m.pt"):
        assert cli.main(["convert", source, str(tmp_path / name), *size]) == 0
        models.append(intgrad.load_model(tmp_path / name, device="cpu"))
    image = np.random.default_rng(0).uniform(0, 255, (75, 80, 3))
    np.testing.assert_allclose(*(model.predict(image) for model in models), rtol=1e-3)


def test_info_and_explain(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    path, photograph = tmp_path / "m.pt2", tmp_path / "p.png"
    image.fromarray(IMAGE.astype(np.uint8)).save(photograph)
    path.write_bytes(GOOD)
    assert cli.main(["info", str(path)]) == 0
    assert "a .pt2 without intgrad.json" in capsys.readouterr().out
    explain = ["explain", str(photograph), f"--model={path}", f"--out={tmp_path / 'out'}"]
    assert cli.main([*explain, "--steps=2"]) == 1
    assert "give --preprocess and --size and --scores" in capsys.readouterr().err
    path.write_bytes(pack(PROGRAM, METADATA))
    assert cli.main(["info", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["input_size"] == list(SIZE)
    assert cli.main([*explain, "--steps=2"]) == 0
    assert list((tmp_path / "out").glob("*.png"))


@pytest.mark.parametrize(("least", "most"), [(1, None), (2, 8), (3, 8)])
def test_programs_for_a_least_number_of_pictures(least, most):
    batch = torch.export.Dim("batch", min=least, max=most)
    example = torch.zeros(4, 3, *SIZE)
    program = torch.export.export(Smooth().eval(), (example,), dynamic_shapes=({0: batch},))
    if least == 3:
        with pytest.raises(intgrad.ModelError, match="batches of 3 at least: export it for any"):
            intgrad.load_model(program, device="cpu", **FACTS)
    else:
        assert intgrad.load_model(program, device="cpu", **FACTS).num_classes == 5
