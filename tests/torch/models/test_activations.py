"""On a CPU the memory of activations is kept from batch to batch, and given back in the end."""

import gc
import platform
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from resident import resident_bytes
from small_models import FACTS, SIZE, archive
from torch import nn

import intgrad
from intgrad.models.torch.kept_memory import Lid

IMAGE = np.full((*SIZE, 3), 100, np.uint8)
OPTIONS = {"preprocess": FACTS["preprocess"], "input_size": SIZE, "scores": "logits"}


class Wide(nn.Module):
    """Activations of 8 MiB for each image, in several layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 32, 1)

    def forward(self, x):
        large = nn.functional.interpolate(x, size=(256, 256))
        return self.second(self.first(large).relu()).tanh().mean((2, 3))[:, :5]


def load():
    return intgrad.load_model(archive(Wide()), device="cpu", **OPTIONS)


def explain(model):
    return intgrad.integrated_gradients(model, IMAGE, 1, steps=11, batch_size=6)


def test_batches_find_their_memory_mapped():
    """A buffer of 48 MiB is 12288 pages, and beyond what glibc would keep."""
    model = load()
    explain(model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    explain(model)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 2000


def test_what_is_kept_goes_with_the_model():
    model = load()
    explain(model)
    held = resident_bytes()
    del model
    gc.collect()
    assert held - resident_bytes() > 48 * 2**20


def test_equal_calls_are_equal_in_used_memory():
    """Blocks come with what the call before left in them."""
    model = load()
    expected = explain(model)
    np.testing.assert_array_equal(explain(model), expected)


def test_tensors_of_others():
    """They are made, grown and freed while we come and go, here and in another thread."""
    before = torch.full((2**20,), 3.0)
    model, failed = load(), []

    def others():
        for k in range(200):
            tensor = torch.full((2**18 + k,), float(k))
            tensor.resize_(2**19)
            if not bool((tensor[: 2**18] == k).all()):
                failed.append(k)

    thread = threading.Thread(target=others)
    thread.start()
    found = [explain(model) for _ in range(3)]
    thread.join()
    del model
    gc.collect()
    before.resize_(2**21)
    assert not failed
    assert bool((before[: 2**20] == 3).all())
    assert all(np.array_equal(each, found[0]) for each in found)


FREED = """
import resource, torch
from intgrad.models.torch.kept_memory import Lid

lid = Lid()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    activations = [torch.ones(2**20) for _ in range(20)]  # 4 MiB each
    lid.close()
    del activations
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
print([faults() for _ in range(4)][-1] / (80 * 2**20 / resource.getpagesize()))
"""


@pytest.mark.unsanitized
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is glibc's malloc")
def test_a_lid_keeps_what_a_batch_has_freed():
    """In processes of their own: the share of its pages that the last of four batches had to map.

    In four, because without a lid, which mostly gives 1, something else may end the heap by chance.
    """
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", FREED], capture_output=True, text=True, check=True
        )
        assert float(done.stdout) < 0.1  # one of the 20 blocks may lie elsewhere


def test_autograd_closes_its_lid(monkeypatch):
    closed = []
    monkeypatch.setattr(Lid, "close", lambda self: closed.append(self))
    explain(intgrad.load_model(Wide(), device="cpu", **OPTIONS))
    assert closed
