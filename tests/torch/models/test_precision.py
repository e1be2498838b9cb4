"""Which precision float32 is computed in: what needs no GPU to be shown."""

from pathlib import Path

import compiling
import numpy as np
import pytest
import torch
from small_models import FACTS, SIZE, Smooth, archive

import intgrad


@pytest.mark.unsanitized
def test_driver(tmp_path):
    """Compiles tests/c/precision.cpp with torch, and runs it."""
    folder = Path(torch.__file__).parent
    newest = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13)
    flags = [
        f"-std=c++{20 if newest else 17}",
        "-isystem",
        folder / "include",
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
    ]
    libraries = [f"-L{folder / 'lib'}", f"-Wl,-rpath,{folder / 'lib'}", "-ltorch_cpu", "-lc10"]
    sources = ["tests/c/precision.cpp"]
    compiling.run(
        compiling.compile_program(tmp_path, "precision", sources, flags, "c++", libraries)
    )


def test_the_convolutions_of_a_trace_ask_the_switches():
    """Traced, they are aten::_convolution with the switch of that day as an argument."""
    model = intgrad.load_model(archive(Smooth()), device="cpu", **FACTS)
    with torch.profiler.profile() as profile:
        model.predict(np.zeros((*SIZE, 3), np.float32))
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["aten::conv2d"] == counts["aten::_convolution"] == 2
