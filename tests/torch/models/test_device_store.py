"""The path store on the model's device gives what the one in host memory gives.

Sums stay on the device where it is CUDA; here both stores are run on the CPU too, which
`intgrad.models.torch.libtorch_loading._keeps_paths_on_device` decides.
"""

import contextlib
import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from resident import resident_bytes
from small_models import FACTS, METADATA, SIZE, Smooth, archive
from torch import nn

import intgrad
from intgrad import _core

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(0, 255, (3, *SIZE, 3)).astype(np.float32)
STACK = RANDOM.uniform(0, 255, (4, *SIZE, 3)).astype(np.float32)
GOOD = archive(Smooth())
DESCRIBED = archive(Smooth(), metadata=METADATA)

cuda = pytest.mark.cuda
DEVICES = ["cpu", pytest.param("cuda", marks=cuda)]


class Probabilities(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Smooth()

    def forward(self, x):
        return self.body(x).softmax(1)


@pytest.fixture
def load(monkeypatch):
    """Return a loader that says which store is used."""

    def load(source, store, device="cpu", **options):
        from intgrad.models.torch import libtorch_loading

        monkeypatch.setattr(libtorch_loading, "_keeps_paths_on_device", lambda _: store == "device")
        return intgrad.load_model(source, device=device, **{**FACTS, **options})

    return load


def explain(model, images=IMAGES, targets=1, **options):
    options = {"steps": 8, "output": "logit", **options}
    return intgrad.integrated_gradients(model, images, targets, return_info=True, **options)


def flatten(infos):
    """Return the infos as one list, whatever they were for."""
    if not isinstance(infos, list):
        return [infos]
    return [info for each in infos for info in flatten(each)]


def same(found, expected, rtol):
    return np.linalg.norm(found - expected) <= rtol * np.linalg.norm(expected)


def assert_same(found, expected, rtol=1e-6):
    """Compare (attributions, infos), everything that both stores have a hand in."""
    assert found[0].shape == expected[0].shape
    assert same(found[0], expected[0], rtol)
    for one, other in zip(flatten(found[1]), flatten(expected[1]), strict=True):
        assert one.evaluations == other.evaluations
        assert one.batch_size == other.batch_size
        np.testing.assert_array_equal(np.hstack(one.alphas), np.hstack(other.alphas))
        for name in ("score", "baseline_score", "error", "quadrature_error", "baseline_error"):
            a, b = getattr(one, name), getattr(other, name)
            np.testing.assert_allclose(a, b, rtol=max(rtol, 1e-6), atol=1e-9, err_msg=name)
        for name in ("error_map", "pixel_error_map", "gradient"):
            a, b = getattr(one, name), getattr(other, name)
            assert (a is None) == (b is None), name
            assert a is None or same(a, b, 10 * rtol), name
        assert (one.regions is None) == (other.regions is None)
        if one.regions is not None:
            assert same(one.regions.attributions, other.regions.attributions, 10 * rtol)
            known = np.isfinite(other.regions.deviations)
            np.testing.assert_array_equal(np.isfinite(one.regions.deviations), known)
            assert same(one.regions.deviations[known], other.regions.deviations[known], 100 * rtol)
            np.testing.assert_allclose(one.regions.error, other.regions.error, rtol=100 * rtol)


def assert_stores_agree(load, source=GOOD, device="cpu", rtol=1e-6, model_options=None, **options):
    model_options = model_options or {}
    expected = explain(load(source, "host", device, **model_options), **options)
    found = explain(load(source, "device", device, **model_options), **options)
    assert_same(found, expected, rtol)


# ---- As the host store ---------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("steps", [1, 2, 7, 8])
@pytest.mark.parametrize("rule", ["trapezoid", "midpoint", "left", "right", "gauss-legendre"])
def test_rules(load, rule, steps, device):
    assert_stores_agree(load, device=device, rule=rule, steps=steps)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("batch_size", [1, 3, 8, 32])
@pytest.mark.parametrize("targets", [1, [0, 4, 2], [[3, 1], [0, 0], [4, 2]]])
@pytest.mark.parametrize("baseline", ["black", STACK])
def test_targets_baselines_and_batches(load, baseline, targets, batch_size, device):
    assert_stores_agree(
        load,
        device=device,
        baseline=baseline,
        targets=targets,
        batch_size=batch_size,
        error_map=True,
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("targets", [1, [[3, 1], [0, 0], [4, 2]]])
@pytest.mark.parametrize("options", [{}, {"tolerance": 0.05, "tolerance_of": "regions"}])
def test_regions(load, options, targets, device):
    """Images differ in how many they have."""
    maps = np.random.default_rng(1).integers(0, 5, (3, *SIZE)) * np.array([1, 2, 1])[:, None, None]
    maps[2] %= 3
    assert_stores_agree(
        load, device=device, baseline=STACK, targets=targets, segments=maps, **options
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("output", ["softmax", "log_softmax", "logit"])
@pytest.mark.parametrize("baseline", ["mean", "blur", "uniform", 20.5])
def test_outputs_and_named_baselines(load, baseline, output, device):
    assert_stores_agree(
        load, device=device, baseline=baseline, output=output, seed=3, error_map=True
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("images", [IMAGES, IMAGES[0]], ids=["batch", "one"])
def test_random_baselines(load, images, device):
    results = [
        intgrad.random_baseline_integrated_gradients(
            load(GOOD, store, device),
            images,
            2,
            runs=4,
            seed=1,
            steps=5,
            error_map=True,
            return_info=True,
        )
        for store in ("device", "host")
    ]
    assert_same(*results)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("source", "options"),
    [
        (GOOD, {"preprocess": "imagenet"}),
        (GOOD, {"preprocess": "none"}),
        (GOOD, {"preprocess": ([0.1, 0.2, 0.3], [1.0, 0.0, -1.0])}),
        (GOOD, {"precision": "bfloat16"}),
        (GOOD, {"precision": "bfloat16", "preprocess": "none"}),
        (archive(Smooth(), script=True), {}),
        (DESCRIBED, {"preprocess": None, "input_size": None, "scores": None}),
        (archive(Probabilities()), {"scores": "probabilities"}),
    ],
)
def test_models(load, source, options, device):
    output = "softmax" if options.get("scores") == "probabilities" else "logit"
    # In bfloat16 a batch's rounding varies with what CUDA picks for it, but not between the stores.
    assert_stores_agree(
        load, source, device, model_options=options, output=output, targets=[[1, 2]] * 3
    )


@pytest.mark.parametrize("channels", [1, 4])
def test_channel_counts(load, channels):
    images = RANDOM.uniform(0, 255, (2, *SIZE, channels)).astype(np.float32)
    source = archive(Smooth(channels=channels), channels=channels)
    assert_stores_agree(load, source, images=images, error_map=True)


class FirstPixel(nn.Module):
    """Its score is what the first pixel holds, bit for bit."""

    def forward(self, x):
        return x[:, :, 0, 0] * torch.ones(3)


@pytest.mark.parametrize("device", DEVICES)
def test_nodes_are_those_of_the_host_bit_for_bit(load, device):
    """Endpoints are exact, whatever the alphas between them come to."""
    source = archive(FirstPixel())
    scores = [
        [
            (info.score, info.baseline_score)
            for info in explain(
                load(source, store, device, preprocess="none"), baseline=STACK[0], steps=7
            )[1]
        ]
        for store in ("device", "host")
    ]
    assert scores[0] == scores[1]
    assert scores[0] == [(float(x[0, 0, 1]), float(STACK[0, 0, 0, 1])) for x in IMAGES]


class Kinked(nn.Module):
    """Its gradient jumps wherever a pixel's 2000-fold passes a whole number."""

    def forward(self, x):
        steps = (x * 2000).detach().floor()
        return torch.stack([(x * steps).mean((1, 2, 3)), x.mean((1, 2, 3))], 1)


def test_points_between_the_ends_are_those_of_the_host_bit_for_bit(load):
    """A node one bit off is on another side of some step, and its gradient 1 off."""
    assert_stores_agree(
        load,
        archive(Kinked(), script=True),
        model_options={"preprocess": "none"},
        baseline=STACK[0],
        steps=13,
        rtol=1e-9,
    )


# ---- What goes wrong -----------------------------------------------------------------------------


class Broken(nn.Module):
    """Gives what is no number as soon as a picture is brighter than the probe's."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        level = x.mean((1, 2, 3))
        if self.what == "gradient":  # of a root at 0: inf times 0
            level = level + ((160 - level) * (level < 160)).sqrt()
        else:
            wrong = torch.full_like(level, float(self.what))
            level = torch.where(level > 160, wrong, level)
        return torch.stack([level, level * 2], 1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("nan", "the model's score is nan"),
        ("inf", "the model's score is inf"),
        ("-inf", "the model's score is -inf"),
        ("gradient", "the model's gradient holds nan"),
    ],
)
def test_what_is_no_number_is_found_where_the_host_finds_it(load, what, text, device):
    images = np.stack([np.full((*SIZE, 3), v, np.float32) for v in (50, 240, 250)])
    source = archive(Broken(what), script=True)
    for store in ("host", "device"):
        model = load(source, store, device, preprocess="none")
        with pytest.raises(intgrad.ModelError) as caught:
            explain(model, images, [[0, 1]] * 3, batch_size=4)
        assert str(caught.value) == f"image 1, baseline 0, alpha 0.75: {text}"


@pytest.mark.parametrize("device", DEVICES)
def test_a_target_that_the_model_does_not_have(load, device):
    with pytest.raises(IndexError, match="5"):
        explain(load(GOOD, "device", device), IMAGES, 5)


# ---- Running -------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_the_same_again(load, device):
    """Bit for bit on the CPU; a GPU's convolutions may add in another order each time."""
    model = load(GOOD, "device", device)
    first, again = (explain(model, baseline=STACK, error_map=True) for _ in range(2))
    if device == "cpu":
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1][0].error_map, again[1][0].error_map)
    assert_same(again, first)


@pytest.mark.parametrize("device", DEVICES)
def test_threads(load, device):
    model = load(GOOD, "device", device)
    expected = [explain(model, image, 1, baseline=STACK) for image in IMAGES]
    found = [None] * len(IMAGES)

    def work(k):
        for _ in range(5):
            found[k] = explain(model, IMAGES[k], 1, baseline=STACK)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(IMAGES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


@pytest.mark.unsanitized
@pytest.mark.parametrize("device", DEVICES)
def test_memory_is_given_back(load, device):
    good = load(GOOD, "device", device)
    broken = load(archive(Broken("nan"), script=True), "device", device, preprocess="none")

    def held():
        return resident_bytes() if device == "cpu" else torch.cuda.memory_allocated()

    def work():
        explain(good, baseline=STACK, targets=[[1, 2]] * 3, error_map=True)
        with pytest.raises(intgrad.ModelError):
            explain(broken, np.full((*SIZE, 3), 200, np.float32), 0)

    for _ in range(10):
        work()
    before = held()
    for _ in range(40):
        work()
    assert held() - before < (8 * 2**20 if device == "cpu" else 1)


class CancelledError(Exception):
    pass


@pytest.mark.unsanitized
def test_work_that_is_cancelled_gives_its_memory_back(load, monkeypatch):
    from intgrad.attribution import call

    model = load(GOOD, "device")

    class Bar(contextlib.nullcontext):
        def __enter__(self):
            return self

        def update(self, done, total):
            raise CancelledError

    monkeypatch.setattr(call, "ProgressBar", lambda *_: Bar())
    for k in range(320):
        if k == 20:
            before = resident_bytes()
        with pytest.raises(CancelledError):
            explain(model, baseline=STACK, error_map=True, batch_size=4)
    assert resident_bytes() - before < 4 * 2**20


# ---- Retained paths ------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("targets", [1, [[3, 1], [0, 0], [4, 2]]])
@pytest.mark.parametrize("baseline", ["black", STACK])
def test_tolerance(load, baseline, targets, device):
    for batch_size in (1, 8):
        assert_stores_agree(
            load,
            device=device,
            baseline=baseline,
            targets=targets,
            batch_size=batch_size,
            tolerance=0.01,
            max_evaluations=256,
            error_map=True,
            gradient=True,
        )


# ---- CUDA only -----------------------------------------------------------------------------------


def tf32_switches():
    backends = torch.backends
    return (
        backends.cudnn.conv.fp32_precision,
        backends.cudnn.rnn.fp32_precision,
        backends.cuda.matmul.fp32_precision,
    )


@cuda
def test_ieee_on_cuda_is_the_cpu_s(load):
    """TF32, 1e-3 off, would be found, be it on by torch's default or by the trace."""
    on_cpu = explain(load(GOOD, "host", "cpu"), baseline=STACK)
    for store in ("host", "device"):
        assert_same(explain(load(GOOD, store, "cuda"), baseline=STACK), on_cpu, rtol=2e-5)


@cuda
@pytest.mark.parametrize("precision", ["ieee", "tf32", "bfloat16"])
def test_switches_are_put_back(load, precision):
    exact = explain(load(GOOD, "device", "cuda"))
    before = tf32_switches()
    rough = explain(load(GOOD, "device", "cuda", precision=precision))
    assert tf32_switches() == before
    assert rough[1][0].precision == precision
    limit = {"ieee": 1e-6, "tf32": 0.02, "bfloat16": 0.1}[precision]
    assert same(rough[0], exact[0], limit)


@cuda
def test_precisions_side_by_side(load):
    """Calls that want the switches otherwise wait for each other, and nothing hangs."""
    models = [load(GOOD, "device", "cuda", precision=p) for p in ("ieee", "tf32") * 2]
    before = tf32_switches()
    expected = [explain(model) for model in models]
    found = [None] * len(models)

    def work(k):
        for _ in range(5):
            found[k] = explain(models[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    assert tf32_switches() == before


# ---- Memory that runs short ----------------------------------------------------------------------


class Hungry(nn.Module):
    """Takes 128 bytes a pixel of `size` in its one layer, and as much again for each step back."""

    def __init__(self, size):
        super().__init__()
        torch.manual_seed(0)
        self.size = size
        self.layer = nn.Conv2d(3, 32, 3, padding=1)

    def forward(self, x):
        large = nn.functional.interpolate(x, size=(self.size, self.size))
        return self.layer(large).tanh().mean((2, 3))[:, :5]


@contextlib.contextmanager
def at_most(size, device):
    """Let no more than `size` bytes be had beyond what there is."""
    if device == "cpu":
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)
    else:
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + size) / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.fixture
def alone(request):
    """Run a test's body in a process of its own: what other tests have freed would be had again."""

    def run(body):
        if os.environ.get("INTGRAD_TEST_ALONE"):
            body()
            return
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", request.node.nodeid],
            cwd=request.config.rootpath,
            env=os.environ | {"INTGRAD_TEST_ALONE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 passed" in done.stdout

    return run


@pytest.mark.unsanitized
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("store", ["host", "device"])
@pytest.mark.parametrize("targets", [1, [[1, 2]] * 3])
def test_the_batch_shrinks_where_memory_is_short(load, targets, store, device, alone):
    def body():
        model = load(archive(Hungry(256)), store, device)
        options = {"targets": targets, "baseline": STACK[0], "error_map": True, "steps": 2}
        expected = explain(model, batch_size=1, **options)
        with at_most(2**27, device):
            found = explain(model, batch_size=9, **options)
        sizes = {info.batch_size for info in flatten(found[1])}
        assert len(sizes) == 1
        assert 1 <= sizes.pop() < 9
        assert same(found[0], expected[0], 1e-5 if device == "cpu" else 1e-4)

    alone(body)


@pytest.mark.unsanitized
@pytest.mark.parametrize("device", DEVICES)
def test_scores_and_gradients_where_memory_is_short(load, device, alone):
    """Their batch shrinks too, and what was short is no error in the end."""

    def body():
        handle = load(archive(Hungry(256)), "host", device)._handle
        images, targets = np.concatenate([IMAGES] * 3), np.ones((9, 1), np.int64)

        def run(batch_size):
            scores = _core.scores(handle, images, "softmax", batch_size, None)
            return scores, _core.gradients(handle, images, targets, "softmax", batch_size, None)

        expected = run(1)
        with at_most(2**27, device):
            found = run(9)
        for mine, theirs in zip(found, expected, strict=True):
            assert same(mine, theirs, 1e-5 if device == "cpu" else 1e-4)

    alone(body)


@pytest.mark.parametrize("device", DEVICES)
def test_too_little_memory_for_one_point(load, device, alone):
    def body():
        model = load(archive(Hungry(600)), "device", device)
        # By another model: what loading has kept, which would be enough, goes with it.
        expected = explain(
            load(archive(Hungry(600)), "device", device), IMAGES[0], steps=2, batch_size=1
        )
        short = pytest.raises(MemoryError, match="out of memory|can't allocate memory")
        with at_most(2**22, device), short:
            explain(model, IMAGES[0], steps=2, batch_size=2)
        assert_same(explain(model, IMAGES[0], steps=2, batch_size=1), expected)

    alone(body)


# ---- Curves and draws ----------------------------------------------------------------------------

BLUR = {"path": "blur", "sigma": 2.0}
GUIDED = {"path": "guided", "fraction": 0.3, "max_distance": 0.1}
CURVES = [
    {**BLUR, "error_map": True, "gradient": True},
    {**BLUR, "rule": "left"},
    {**BLUR, "tolerance": 0.02, "error_map": True},
    {**GUIDED, "error_map": True, "gradient": True},
    {**GUIDED, "rule": "left"},
    {**GUIDED, "baseline": STACK},
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("targets", [1, [[3, 1], [0, 0], [4, 2]]])
@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("options", CURVES)
def test_curves(load, options, batch_size, targets, device):
    """The device's products round a blurred picture otherwise, and not by more."""
    assert_stores_agree(
        load,
        device=device,
        targets=targets,
        batch_size=batch_size,
        segments=4,
        rtol=1e-5,
        **options,
    )


DRAWS = [
    lambda *args, **o: intgrad.smoothgrad(*args, draws=9, **o),
    lambda *args, **o: intgrad.smoothgrad(*args, draws=9, kind="variance", **o),
    lambda *args, **o: intgrad.smoothgrad(*args, draws=5, of="integrated_gradients", steps=4, **o),
    lambda *args, **o: intgrad.expected_gradients(*args, draws=24, references=STACK, **o),
    lambda *args, **o: intgrad.expected_gradients(*args, tolerance=0.3, references=STACK, **o),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("targets", [1, [[3, 1], [0, 0], [4, 2]]])
@pytest.mark.parametrize("run", DRAWS)
def test_draws(load, run, targets, device):
    """All that comes of drawn paths, whose sums are the store's."""
    options = {"output": "logit", "seed": 1, "return_info": True, "segments": 4, "error_map": True}
    expected, found = (
        run(load(GOOD, store, device), IMAGES, targets, **options) for store in ("host", "device")
    )
    assert np.linalg.norm(found[0] - expected[0]) <= 1e-6 * np.linalg.norm(expected[0])
    for one, other in zip(flatten(found[1]), flatten(expected[1]), strict=True):
        assert (one.draws, one.evaluations) == (other.draws, other.evaluations)
        assert same(one.error_map, other.error_map, 1e-4)
        np.testing.assert_allclose(
            [one.error, one.score, one.regions.error],
            [other.error, other.score, other.regions.error],
            rtol=1e-4,
        )
