"""The door's path store (csrc/engine/backend.h), called as the engine calls it.

What Python reaches only by way of the engine: retained paths whose nodes come in any order, jump
norms that are asked for again and again, sums of which only some are read.
"""

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_double, c_float, c_int, c_int64, c_size_t

import numpy as np
import pytest
import torch
from small_models import FACTS, SIZE, Smooth, archive

import intgrad

SHAPE = (*SIZE, 3)
RANDOM = np.random.default_rng(1)
IMAGE = RANDOM.uniform(0, 255, SHAPE).astype(np.float32)
BASELINES = RANDOM.uniform(0, 255, (2, *SHAPE)).astype(np.float32)
TARGETS = np.array([3, 1])
LABELS = (np.arange(SIZE[0] * SIZE[1]) % 7 % 4).astype(np.int32).reshape(SIZE)
LOGIT = 2
OK = 0

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


class Shape(Structure):
    _fields_ = [("height", c_size_t), ("width", c_size_t), ("channels", c_size_t)]


class Curve(Structure):
    _fields_ = [
        ("kind", c_int),
        ("is_left", c_int),
        ("steps", c_size_t),
        ("sigma", c_double),
        ("fraction", c_double),
        ("max_distance", c_double),
    ]


class Config(Structure):
    _fields_ = [
        ("shape", Shape),
        ("target_count", c_size_t),
        ("output", c_int),
        ("curve", Curve),
        ("kernels", ctypes.c_void_p),
        ("with_half", c_int),
        ("with_jumps", c_int),
        ("with_region_jumps", c_int),
        ("with_gradient", c_int),
        ("by_region", c_int),
    ]


class Regions(Structure):
    _fields_ = [("labels", POINTER(ctypes.c_int32)), ("count", c_size_t)]


class Weights(Structure):
    _fields_ = [("weight", c_double), ("half_weight", c_double), ("jump_weight", c_double)]


class Point(Structure):
    _fields_ = [("path", c_size_t), ("alpha", c_double), ("weights", Weights)]


class Sums(Structure):
    _fields_ = [
        ("sum", POINTER(c_double)),
        ("half", POINTER(c_double)),
        ("jumps", POINTER(c_double)),
        ("pixel_jumps", POINTER(c_double)),
        ("region_jumps", POINTER(c_double)),
        ("gradient", POINTER(c_float)),
    ]


class Norms(Structure):
    _fields_ = [("square", c_double), ("difference_square", c_double)]


class Error(Structure):
    _fields_ = [("code", c_int), ("message", ctypes.c_char * 1024)]


VOID, SIZES, DOUBLES = ctypes.c_void_p, POINTER(c_size_t), POINTER(c_double)
FLOATS, ERROR, WEIGHTS = POINTER(c_float), POINTER(Error), POINTER(Weights)


class Store(Structure):
    _fields_ = [
        ("create", CFUNCTYPE(c_int, VOID, POINTER(Config), POINTER(VOID), ERROR)),
        (
            "open",
            CFUNCTYPE(c_int, VOID, FLOATS, FLOATS, POINTER(c_int64), Regions, c_int, SIZES, ERROR),
        ),
        (
            "evaluate",
            CFUNCTYPE(c_int, VOID, POINTER(Point), c_size_t, DOUBLES, SIZES, SIZES, ERROR),
        ),
        ("jump_norms", CFUNCTYPE(c_int, VOID, c_size_t, DOUBLES, ERROR)),
        (
            "assess",
            CFUNCTYPE(c_int, VOID, SIZES, POINTER(WEIGHTS), c_size_t, POINTER(Norms), ERROR),
        ),
        ("read", CFUNCTYPE(c_int, VOID, c_size_t, WEIGHTS, Sums, ERROR)),
        ("close", CFUNCTYPE(None, VOID, c_size_t)),
        ("destroy", CFUNCTYPE(None, VOID)),
    ]


class Backend(Structure):
    _fields_ = [
        ("abi_version", ctypes.c_uint32),
        ("size", c_size_t),
        ("describe", VOID),
        ("scores", VOID),
        ("gradients", VOID),
        ("trim", CFUNCTYPE(None, VOID)),
        ("destroy", VOID),
        ("paths", POINTER(Store)),
        ("memory", CFUNCTYPE(c_int, VOID, Shape, c_size_t, SIZES, SIZES, ERROR)),
    ]


class Handle(Structure):
    _fields_ = [("backend", POINTER(Backend)), ("model", VOID)]


def unwrap(model):
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = VOID, [ctypes.py_object, ctypes.c_char_p]
    handle = Handle.from_address(get(model._handle, b"intgrad.model/3"))
    return handle.backend.contents, handle.model


def pointer(array, kind=c_double):
    return None if array is None else array.ctypes.data_as(POINTER(kind))


class Paths:
    """A store of paths of TARGETS; every call checks its status."""

    def __init__(self, model, by_region=False):
        backend, handle = unwrap(model)
        self.store, self.error, self.paths = backend.paths.contents, Error(), VOID()
        self.model = model  # must outlive the store
        config = Config(Shape(*SHAPE), len(TARGETS), LOGIT, Curve(), None, 1, 1, 1, 1, by_region)
        self.check(self.store.create(handle, byref(config), byref(self.paths), byref(self.error)))

    def check(self, status):
        assert status == OK, self.error.message

    def open(self, image, baseline, retain):
        path = c_size_t()
        arrays = (pointer(image, c_float), pointer(baseline, c_float), pointer(TARGETS, c_int64))
        regions = Regions(pointer(LABELS, ctypes.c_int32), LABELS.max() + 1)
        self.check(
            self.store.open(self.paths, *arrays, regions, retain, byref(path), byref(self.error))
        )
        return path.value

    def evaluate(self, path, alphas, weights):
        points = (Point * len(alphas))()
        for point, alpha, weight in zip(points, alphas, weights, strict=True):
            point.path, point.alpha, point.weights = path, alpha, weight
        values = np.empty((len(alphas), len(TARGETS)))
        done, at = c_size_t(), c_size_t()
        self.check(
            self.store.evaluate(
                self.paths,
                points,
                len(points),
                pointer(values),
                byref(done),
                byref(at),
                byref(self.error),
            )
        )
        assert done.value == len(alphas)
        return values

    def jump_norms(self, path, count):
        norms = np.empty(count - 1)
        self.check(self.store.jump_norms(self.paths, path, pointer(norms), byref(self.error)))
        return norms

    def assess(self, members, weights):
        norms = (Norms * len(TARGETS))()
        lists = (WEIGHTS * len(members))(*(ctypes.cast(w, WEIGHTS) for w in weights))
        indices = (c_size_t * len(members))(*members)
        args = (indices, lists, len(members), norms, byref(self.error))
        self.check(self.store.assess(self.paths, *args))
        return np.array([(each.square, each.difference_square) for each in norms])

    def read(self, path, weights, members):
        shapes = {
            "pixel_jumps": (len(TARGETS), *SHAPE[:2]),
            "region_jumps": (len(TARGETS), LABELS.max() + 1),
        }
        found = {
            name: np.full(shapes.get(name, (len(TARGETS), *SHAPE)), np.nan, dtype)
            for name, dtype in [
                ("sum", np.float64),
                ("half", np.float64),
                ("jumps", np.float64),
                ("pixel_jumps", np.float64),
                ("region_jumps", np.float64),
                ("gradient", np.float32),
            ]
            if name in members
        }
        sums = Sums(*(pointer(found.get(name), kind._type_) for name, kind in Sums._fields_))
        self.check(self.store.read(self.paths, path, weights, sums, byref(self.error)))
        return found


@pytest.fixture(params=DEVICES)
def model(request, monkeypatch):
    from intgrad.models.torch import libtorch_loading

    monkeypatch.setattr(libtorch_loading, "_keeps_paths_on_device", lambda _: True)
    return intgrad.load_model(archive(Smooth()), device=request.param, **FACTS)


def make_weights(alphas):
    """Return some weights, the first node's jump weight 0, every other half weight 0."""
    draw = np.random.default_rng(len(alphas)).uniform(0.5, 1, (len(alphas), 3))
    draw[1::2, 1] = 0
    draw[0, 2] = 0
    return (Weights * len(alphas))(*(tuple(row) for row in draw)), draw


def pool(values):
    """Return the sums over the regions of values (..., H, W, C)."""
    pixels = values.sum(-1)
    return np.stack([pixels[..., k == LABELS].sum(-1) for k in range(LABELS.max() + 1)], -1)


def reference(model, baseline, alphas, weights, by_region=False):
    """Return what the sums of a path must be, by NumPy from the model's gradients."""
    distance = IMAGE.astype(np.float64) - baseline
    nodes = (baseline + alphas[:, None, None, None] * distance).astype(np.float32)
    gradients = model.gradients(nodes, [list(TARGETS)] * len(nodes), output="logit")
    gradients = gradients.astype(np.float64)  # (nodes, T, H, W, C)
    jumps = np.diff(gradients, axis=0)
    weight, half, jump = weights.T
    moves = pool(jumps * distance) if by_region else (jumps * distance).reshape(len(jumps), -1)
    return {
        "sum": distance * np.einsum("k,k...->...", weight, gradients),
        "half": distance * np.einsum("k,k...->...", half, gradients),
        "jumps": np.einsum("k,k...->...", jump[1:], (jumps * distance) ** 2),
        "pixel_jumps": np.einsum("k,k...->...", jump[1:], (jumps * distance).mean(-1) ** 2),
        "region_jumps": np.einsum("k,k...->...", jump[1:], pool(jumps * distance) ** 2),
        "gradient": gradients[-1],
        "norms": np.sqrt((moves**2).reshape(len(jumps), -1).sum(1)),
    }


def assert_equal(found, expected):
    for name, value in found.items():
        scale = np.linalg.norm(expected[name])
        assert np.linalg.norm(value - expected[name]) <= 1e-6 * scale, name


ALPHAS = np.array([0.0, 0.125, 0.25, 0.3, 0.5, 0.625, 1.0])
MEMBERS = ["sum", "half", "jumps", "pixel_jumps", "region_jumps", "gradient"]


def test_streamed_path(model):
    paths = Paths(model)
    path = paths.open(IMAGE, BASELINES[0], retain=0)
    weights, draw = make_weights(ALPHAS)
    paths.evaluate(path, ALPHAS[:3], weights[:3])
    paths.evaluate(path, ALPHAS[3:], weights[3:])
    expected = reference(model, BASELINES[0], ALPHAS, draw)
    assert_equal(paths.read(path, None, MEMBERS), expected)
    assert_equal(paths.read(path, None, ["sum"]), expected)
    paths.store.destroy(paths.paths)


@pytest.mark.parametrize("by_region", [False, True])
def test_retained_paths(model, by_region):
    paths = Paths(model, by_region)
    unused = (Weights * len(ALPHAS))()
    members = [paths.open(IMAGE, baseline, retain=1) for baseline in BASELINES]
    for path, order in zip(members, ([0, 6, 3, 4, 1, 5, 2], [6, 5, 4, 3, 2, 1, 0]), strict=True):
        baseline = BASELINES[members.index(path)]
        for upto, chunk in [(2, order[:2]), (5, order[2:5]), (7, order[5:])]:
            paths.evaluate(path, ALPHAS[chunk], unused[: len(chunk)])
            there = ALPHAS[sorted(order[:upto])]
            weights, draw = make_weights(there)
            expected = reference(model, baseline, there, draw, by_region)
            norms = paths.jump_norms(path, upto)
            np.testing.assert_allclose(norms, expected["norms"], rtol=1e-5)
            np.testing.assert_array_equal(paths.jump_norms(path, upto), norms)
            found = paths.read(path, weights, MEMBERS)
            assert_equal(found, expected)
            some = paths.read(path, weights, ["sum", "gradient"])
            np.testing.assert_array_equal(some["sum"], found["sum"])
    weights, draw = make_weights(ALPHAS)
    for count in (1, 2):
        total = difference = 0
        for baseline in BASELINES[:count]:
            expected = reference(model, baseline, ALPHAS, draw)
            total = total + expected["sum"]
            difference = difference + (expected["sum"] - expected["half"])
        norms = paths.assess(members[:count], [weights] * count)
        if by_region:
            total, difference = pool(total), pool(difference)
        squares = [(part**2).reshape(len(TARGETS), -1).sum(1) for part in (total, difference)]
        sums = np.stack(squares, 1)
        np.testing.assert_allclose(norms, sums, rtol=1e-5)
    paths.store.destroy(paths.paths)


def test_numbers_of_closed_paths_are_used_again(model):
    paths = Paths(model)
    weights, draw = make_weights(ALPHAS)
    first, second = (paths.open(IMAGE, baseline, retain=0) for baseline in BASELINES)
    paths.evaluate(first, ALPHAS, weights)
    paths.store.close(paths.paths, first)
    changed = BASELINES[0].copy()  # the old one's memory may hold another picture by now
    again = paths.open(IMAGE, changed, retain=0)
    assert (again, second) == (first, 1 - first)
    paths.evaluate(again, ALPHAS, weights)
    paths.evaluate(second, ALPHAS, weights)
    for path, baseline in [(again, changed), (second, BASELINES[1])]:
        assert_equal(paths.read(path, None, MEMBERS), reference(model, baseline, ALPHAS, draw))
    paths.store.destroy(paths.paths)


def test_memory(model):
    backend, handle = unwrap(model)
    peak, free, error = c_size_t(7), c_size_t(7), Error()
    args = (handle, Shape(*SHAPE), 4, byref(peak), byref(free), byref(error))
    assert backend.memory(*args) == OK, error.message
    if model.device == "cpu":
        assert (peak.value, free.value) == (0, 0)
        backend.trim(handle)
    else:
        assert 4 * 4 * IMAGE.size <= peak.value <= free.value
        assert free.value <= torch.cuda.get_device_properties(0).total_memory
        held = torch.cuda.memory_reserved()
        backend.trim(handle)
        assert torch.cuda.memory_reserved() < held
