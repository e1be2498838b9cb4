"""Python's memory runs out at any allocation: MemoryError, and nothing is left behind.

CPython's own hook refuses one allocation after the other; tests/c/faults.c does it to the engine's.
"""

import sysconfig

import numpy as np
import pytest
from analytic import pixels

import intgrad
from intgrad import _core

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    pytest.skip(
        "CPython 3.13t's own PyList_New frees what it never wrote when its memory runs out",
        allow_module_level=True,
    )
_testcapi = pytest.importorskip("_testcapi", reason="a Python without its test modules")

SHAPE = (4, 3, 2)
IMAGES = pixels((2, *SHAPE))
BASELINES = np.zeros((1, 2, *SHAPE), np.float32)
TARGETS = np.array([[0, 1], [2, 0]])
MASK = np.eye(5, dtype=np.bool_)
MAP = np.linspace(-1, 1, 25).reshape(5, 5)
STARTS, RUNS = np.array([0, 1, 3]), np.int32([[0, 9], [5, 12], [20, 25]])
MOST = 400


SCORES = np.ones((12, 3))


def answer(batch, targets):
    """Nothing of NumPy's that could fail by itself."""
    return SCORES[: len(batch)], batch


HANDLE = _core.callable_model(answer)
COMMON = (HANDLE, IMAGES, BASELINES, TARGETS, *_core.nodes("trapezoid", 4))


def visualize():
    labels, sums = _core.components(MASK, 15, None)
    return _core.outline(labels, sums, 90.0)


CALLS = {
    "callable_model": lambda: _core.describe(_core.callable_model(answer), *SHAPE),
    "nodes": lambda: _core.nodes("gauss-legendre", 5),
    "scores": lambda: _core.scores(HANDLE, IMAGES, "logit", 1, None),
    "gradients": lambda: _core.gradients(HANDLE, IMAGES, TARGETS, "logit", 1, None),
    "integrate": lambda: _core.integrate(*COMMON, "logit", 3, error_map=True, gradient=True),
    "tolerance": lambda: _core.integrate(
        *COMMON, "logit", 3, tolerance=1e-3, max_evaluations=60, most_retained=60
    ),
    "channel_mean": lambda: _core.channel_mean(IMAGES[0], 1.0, 1.0),
    "energy_threshold": lambda: _core.energy_threshold(MAP, 30.0),
    "linear_transform": lambda: _core.linear_transform(MAP, 0.9, 0.1, 0.2, None),
    "cleanup": lambda: _core.cleanup(MAP, np.ones((2, 2)), None),
    "outline": visualize,
    "overlay": lambda: _core.overlay(IMAGES[0], MAP[:4, :3], (0.0, 255.0)),
    "xrai": lambda: _core.xrai(MAP, STARTS, RUNS, 2, 1.0, False),
}


ROOM = ("alphas", "batch_size")


def same(a, b):
    if isinstance(a, dict):
        # The nodes' array has room for more than there are; short memory makes smaller batches.
        return all(same(a[key], b[key]) for key in a if key not in ROOM)
    if isinstance(a, tuple):
        return all(map(same, a, b))
    return np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize("name", CALLS)
def test_any_allocation_may_fail(name):
    call = CALLS[name]
    expected = call()
    failed = []
    for k in range(MOST):
        _testcapi.set_nomemory(k, k + 1)
        try:
            found = call()
        except (MemoryError, intgrad.ModelError):
            found = None
        finally:
            _testcapi.remove_mem_hooks()
        if found is None:
            failed.append(k)
        else:
            assert same(found, expected)
    assert failed
    assert failed[-1] < MOST - 10
    assert same(call(), expected)
