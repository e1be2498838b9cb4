"""Runs the programs in tests/c and tests/fuzz that need neither Python nor torch."""

import shutil
import subprocess

import compiling
import pytest
from compiling import MEMORY, ROOT, THREADS

pytestmark = pytest.mark.unsanitized
PROBLEM = ["tests/c/cubic.c", "tests/c/problem.c"]


def test_engine_under_memory_sanitizers(tmp_path):
    sources = ["tests/c/driver.c", *PROBLEM, *compiling.core_sources()]
    compiling.run(compiling.compile_program(tmp_path, "driver", sources, MEMORY))


@pytest.mark.skipif(not shutil.which("valgrind"), reason="there is no valgrind")
def test_engine_under_valgrind(tmp_path):
    """Sees what sanitizers do not: a branch on a value that was never written."""
    sources = ["tests/c/driver.c", *PROBLEM, *compiling.core_sources()]
    program = compiling.compile_program(tmp_path, "driver", sources, [])
    options = ["--quiet", "--error-exitcode=1", "--leak-check=full", "--show-leak-kinds=all"]
    compiling.run("valgrind", *options, program)


def test_memory_that_runs_out_at_any_allocation(tmp_path):
    wrapped = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc")]
    sources = ["tests/c/faults.c", *PROBLEM, *compiling.core_sources()]
    program = compiling.compile_program(tmp_path, "faults", sources, [*MEMORY, *wrapped])
    refused = int(compiling.run(program).split()[0])
    assert refused > 500


def test_threads(tmp_path):
    sources = ["tests/c/threads.c", *PROBLEM, *compiling.core_sources()]
    compiling.run(compiling.compile_program(tmp_path, "threads", sources, THREADS))


@pytest.mark.parametrize("flags", [MEMORY, THREADS], ids=["memory", "threads"])
def test_block_pool(flags, tmp_path):
    sources = ["tests/c/block_pool.cpp"]
    compiling.run(compiling.compile_program(tmp_path, "block_pool", sources, flags, "c++"))


@pytest.mark.parametrize("name", ["kernels", "engine"])
def test_fuzz_target(name, tmp_path):
    """What `make fuzz` found before, and as much at random as takes a few seconds."""
    sources = [f"tests/fuzz/fuzz_{name}.c", "tests/fuzz/main.c", *PROBLEM]
    program = compiling.compile_program(
        tmp_path, name, [*sources, *compiling.core_sources()], MEMORY
    )
    corpus = sorted((ROOT / f"tests/fuzz/corpus/{name}").iterdir())
    assert corpus
    compiling.run(program, *corpus)
    compiling.run(program, "--random", "20000")


HEADERS = sorted(ROOT.glob("csrc/**/*.h"))
SHARED_WITH_CPP = ["csrc/engine/status.h", "csrc/engine/backend.h", "csrc/binding/handle.h"]


@pytest.mark.parametrize(
    ("header", "language"),
    [(path, "c") for path in HEADERS]
    + [(ROOT / path, "c++") for path in [*SHARED_WITH_CPP, "csrc/torch/torch_backend.h"]],
    ids=lambda value: getattr(value, "stem", value),
)
def test_headers_stand_alone(header, language):
    """Each can be the first include; those of the binding need Python."""
    import sysconfig

    import numpy as np

    options = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", language]
    includes = [f"-I{sysconfig.get_path('include')}", "-isystem", np.get_include()]
    done = subprocess.run(
        [compiling.find_compiler(), *options, *includes, "-include", header, "/dev/null"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
