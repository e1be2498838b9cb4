"""Which precision float32 is computed in: what needs no GPU to be shown."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
from small_models import FACTS, SIZE, Smooth, archive

import intgrad

ROOT = Path(__file__).parents[2]


def test_driver(tmp_path):
    """Compiles tests/c/precision.cpp with torch, and runs it."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    assert compiler, "the tests need a C++ compiler, as building intgrad does"
    folder = Path(torch.__file__).parent
    program = tmp_path / "precision"
    newest = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13)
    command = [
        compiler,
        f"-std=c++{20 if newest else 17}",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'csrc'}",
        "-isystem",
        folder / "include",
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
        ROOT / "tests/c/precision.cpp",
        f"-L{folder / 'lib'}",
        f"-Wl,-rpath,{folder / 'lib'}",
        "-ltorch_cpu",
        "-lc10",
        "-pthread",
        "-o",
        program,
    ]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_convolutions_of_a_trace_ask_the_switches():
    """Traced, they are aten::_convolution with the switch of that day as an argument."""
    model = intgrad.load_model(archive(Smooth()), device="cpu", **FACTS)
    with torch.profiler.profile() as profile:
        model.predict(np.zeros((*SIZE, 3), np.float32))
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["aten::conv2d"] == counts["aten::_convolution"] == 2
