"""Compiling the C and C++ programs in tests/c and tests/fuzz, each under what watches it."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror"]
MEMORY = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
THREADS = ["-fsanitize=thread"]


def find_compiler(variable="CC", usual="cc"):
    """Return the compiler that intgrad itself is built with."""
    found = shutil.which(os.environ.get(variable, usual))
    assert found, f"the tests need {usual!r}, as building intgrad does"
    return found


def compile_program(folder, name, sources, flags, language="c", libraries=()):
    """Compile sources, paths from the root, into a program; return its path."""
    variable, usual, standard = {
        "c": ("CC", "cc", "-std=c11"),
        "c++": ("CXX", "c++", "-std=c++17"),
    }[language]
    program = folder / name
    includes = [f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'tests'}"]
    command = [find_compiler(variable, usual), standard, "-O1", "-g", *WARNINGS, *includes, *flags]
    command += [*(ROOT / source for source in sources), *libraries, "-lm", "-pthread"]
    command += ["-o", program]
    subprocess.run(command, check=True)
    return program


def core_sources():
    """Return the kernels and the engine."""
    return [*ROOT.glob("csrc/kernels/*.c"), *ROOT.glob("csrc/engine/*.c")]


def run(*command, **options):
    """Run a program that says what is wrong, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
