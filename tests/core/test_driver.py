"""Compiles the drivers in tests/c that need neither Python nor torch; runs them with sanitizers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def compiler():
    found = shutil.which(os.environ.get("CC", "cc"))
    assert found, "the tests need a C compiler, as building intgrad does"
    return found


def test_driver(compiler, tmp_path):
    sources = [ROOT / "tests/c/driver.c"]
    sources += [*ROOT.glob("csrc/kernels/*.c"), *ROOT.glob("csrc/engine/*.c")]
    program = tmp_path / "driver"
    command = [compiler, "-std=c11", "-O1", "-g", *WARNINGS, *SANITIZERS, f"-I{ROOT / 'csrc'}"]
    subprocess.run([*command, *sources, "-lm", "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_block_pool(tmp_path):
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    assert compiler, "the tests need a C++ compiler, as building intgrad does"
    program = tmp_path / "block_pool"
    command = [compiler, "-std=c++17", "-O1", "-g", *WARNINGS, *SANITIZERS, f"-I{ROOT / 'csrc'}"]
    subprocess.run(
        [*command, ROOT / "tests/c/block_pool.cpp", "-pthread", "-o", program], check=True
    )
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


HEADERS = sorted(ROOT.glob("csrc/**/*.h"))
SHARED_WITH_CPP = ["csrc/engine/status.h", "csrc/engine/backend.h", "csrc/binding/handle.h"]


@pytest.mark.parametrize(
    ("header", "language"),
    [(path, "c") for path in HEADERS]
    + [(ROOT / path, "c++") for path in [*SHARED_WITH_CPP, "csrc/torch/torch_backend.h"]],
    ids=lambda value: getattr(value, "stem", value),
)
def test_headers_stand_alone(compiler, header, language):
    """Each can be the first include; those of the binding need Python."""
    import sysconfig

    import numpy as np

    options = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", language]
    includes = [f"-I{sysconfig.get_path('include')}", "-isystem", np.get_include()]
    done = subprocess.run(
        [compiler, *options, *includes, "-include", header, "/dev/null"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
