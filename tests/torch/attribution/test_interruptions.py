"""Ctrl-C, forks, other processes, many threads and many models: no hang, no wrong number."""

import concurrent.futures
import multiprocessing
import pickle
import signal
import threading

import apart
import numpy as np
import pytest
from small_models import METADATA, SIZE, Smooth, archive

import intgrad

pytestmark = pytest.mark.both_doors

IMAGE = np.random.default_rng(0).uniform(0, 255, (*SIZE, 3)).astype(np.float32)
ARCHIVE = archive(Smooth(), metadata=METADATA)


def load(source=ARCHIVE):
    return intgrad.load_model(source, device="cpu")


def explain(model, image=IMAGE, **options):
    return intgrad.integrated_gradients(model, image, 1, output="logit", **options)


# ---- Ctrl-C --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(
    "options", [{"steps": 20_000}, {"tolerance": 1e-12, "max_evaluations": 20_000}], ids=str
)
def test_ctrl_c_at_any_moment(options):
    """It ends within a batch, and the model is as good as before."""
    model = load()
    expected = explain(model, steps=5)
    for delay in np.linspace(0, 0.1, 25):
        late = threading.Timer(delay, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012, it may come at once
            late.start()
            explain(model, **options)
        late.join()
    np.testing.assert_array_equal(explain(model, steps=5), expected)


# ---- Threads -------------------------------------------------------------------------------------


def test_threads_load_and_explain_side_by_side():
    """One model for all, and models that each thread loads for itself, bit for bit."""
    shared = load()
    images = [np.roll(IMAGE, k, axis=0) for k in range(4)]
    expected = [explain(shared, image, steps=4) for image in images]

    def work(k):
        for _ in range(5):
            own = load()
            for model in (shared, own):
                np.testing.assert_array_equal(explain(model, images[k], steps=4), expected[k])

    with concurrent.futures.ThreadPoolExecutor(len(images)) as pool:
        list(pool.map(work, range(len(images)), timeout=120))


# ---- Processes -----------------------------------------------------------------------------------


def _explain_elsewhere(archive_bytes, image):
    return explain(load(archive_bytes), image, steps=4)


def test_spawned_processes():
    expected = explain(load(), steps=4)
    # Not a multiprocessing.Pool, which waits for ever for a process that has died.
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_explain_elsewhere, [ARCHIVE] * 3, [IMAGE] * 3))
    for each in found:
        np.testing.assert_array_equal(each, expected)


def test_a_model_cannot_be_pickled_and_says_what_to_do():
    with pytest.raises(TypeError, match="load it in each process"):
        pickle.dumps(load())


FORK = """
import os, sys
import numpy as np, torch
from test_interruptions import IMAGE, explain, load
import intgrad

threads_in_child = int(sys.argv[1])
torch.set_num_threads(2)
model = load()
expected = explain(model, steps=4)
child = os.fork()
if child == 0:
    try:
        if threads_in_child:
            torch.set_num_threads(threads_in_child)
        print("same" if np.allclose(explain(model, steps=4), expected) else "differs", flush=True)
    except intgrad.ModelError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
np.testing.assert_array_equal(explain(model, steps=4), expected)
"""


def run_fork(threads):
    return apart.run_script(FORK, threads, timeout=60).strip()


def test_a_forked_process_says_what_to_do():
    """libtorch's threads do not survive a fork: its next parallel loop would wait for ever."""
    assert "does not survive a fork" in run_fork(0)


def test_a_forked_process_with_one_thread_works():
    assert run_fork(1) == "same"
