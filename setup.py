"""Declares the two extension modules; everything else is in pyproject.toml.

Environment:
    INTGRAD_TORCH   auto (default: build _torch if one that will do is there), require, or off
    INTGRAD_WERROR  1: compiler warnings are errors, as in CI
"""

import os
import re
import shutil
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
OLDEST_TORCH = (2, 11)


class Torch:
    """The torch that the target environment holds, read without importing it.

    pip builds in an isolated environment whose sys.path lacks torch, but the interpreter is the
    target's own, and so is its purelib. Only headers and libraries are needed.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        text = (folder / "version.py").read_text()
        self.version = re.search(r"__version__ = '([^']+)'", text)[1]
        cuda = re.search(r"cuda: Optional\[str\] = '([^']+)'", text)
        self.cuda = cuda and cuda[1]
        cmake = (folder / "share/cmake/Torch/TorchConfig.cmake").read_text()
        abi = re.search(r"_GLIBCXX_USE_CXX11_ABI=(\d)", cmake)
        self.cxx11_abi = int(abi[1]) if abi else 1

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(map(int, self.version.split(".")[:2]))

    @property
    def standard(self) -> str:
        return "-std=c++20" if self.release >= (2, 13) else "-std=c++17"


def find_torch() -> Torch | None:
    wish = os.environ.get("INTGRAD_TORCH", "auto")
    if wish not in ("auto", "require", "off"):
        sys.exit(f"INTGRAD_TORCH must be auto, require or off, got {wish!r}")
    if wish == "off":
        return None
    places = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path]
    found = [p for p in filter(None, places) if (Path(p) / "torch/include/ATen/ATen.h").is_file()]
    torch = Torch(Path(found[0]) / "torch") if found else None
    if torch and torch.release >= OLDEST_TORCH:
        return torch
    oldest = ".".join(map(str, OLDEST_TORCH))
    fault = (
        f"torch {torch.version} is installed, and intgrad builds against {oldest} or later"
        if torch
        else "there is no torch in this environment"
    )
    remedy = f"pip install 'torch>={oldest}', then install intgrad again"
    if wish == "require":
        sys.exit(f"INTGRAD_TORCH=require, but {fault}: {remedy}")
    print(
        f"intgrad is built without libtorch, and runs models by Python's torch: {fault}. For"
        f" libtorch, {remedy}",
        file=sys.stderr,
    )
    return None


TORCH = find_torch()
# One _core for every Python from the oldest on; one without a GIL has no limited API to offer.
ONE_FOR_ALL = not sysconfig.get_config_var("Py_GIL_DISABLED")
WARNINGS = ["-Wall", "-Wextra"] + ["-Werror"] * (os.environ.get("INTGRAD_WERROR") == "1")
# The prefix map keeps the path of the build out of what is distributed.
COMMON = ["-O3", "-fvisibility=hidden", f"-ffile-prefix-map={ROOT}=.", *WARNINGS]


def core_extension() -> Extension:
    return Extension(
        "intgrad._core",
        sources=[
            *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("csrc/kernels/*.c")),
            *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("csrc/engine/*.c")),
            *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("csrc/binding/*.c")),
        ],
        depends=sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("csrc/**/*.h")),
        # As system headers, so that only our own code is held to our warnings.
        extra_compile_args=["-std=c11", "-isystem", numpy.get_include(), *COMMON],
        define_macros=[("Py_LIMITED_API", "0x030A0000")] if ONE_FOR_ALL else [],
        py_limited_api=ONE_FOR_ALL,
    )


def torch_extension(torch: Torch) -> Extension:
    return Extension(
        "intgrad._torch",
        sources=[
            "csrc/binding/torch_module.cpp",
            *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("csrc/torch/*.cpp")),
        ],
        depends=sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("csrc/**/*.h*")),
        language="c++",
        define_macros=[("_GLIBCXX_USE_CXX11_ABI", str(torch.cxx11_abi))],
        extra_compile_args=[
            torch.standard,
            "-isystem",
            str(torch.folder / "include"),
            f"-ffile-prefix-map={torch.folder}=torch",
            *COMMON,
        ],
        library_dirs=[str(torch.folder / "lib")],
        libraries=["c10", "torch_cpu"],
        # intgrad.models.torch.backend imports torch first, so that this is only a fallback.
        extra_link_args=["-Wl,-rpath,$ORIGIN/../torch/lib"],
    )


def check_compilers() -> None:
    """Say what is missing; setuptools' own error is a command line that failed."""
    wanted = {"C": ("CC", "cc"), "C++": ("CXX", "c++")} if TORCH else {"C": ("CC", "cc")}
    for language, (variable, usual) in wanted.items():
        command = os.environ.get(variable) or sysconfig.get_config_var(variable) or usual
        program = command.split()[0]
        if shutil.which(program) is None:
            sys.exit(
                f"intgrad is built from source and needs a {language} compiler, and there is no"
                f" {program!r}: install one (Debian, Ubuntu: apt install build-essential; Fedora:"
                f" dnf install gcc-c++), or say in {variable}= where it is"
            )


class BuildExtensions(build_ext):
    """Leaves no older build beside the core, and notes which torch _torch was built against."""

    def run(self) -> None:
        check_compilers()
        super().run()
        core = Path(self.get_ext_fullpath("intgrad._core"))
        folder = core.parent
        for suffix in EXTENSION_SUFFIXES:  # Python would take them first
            if core.name != f"_core{suffix}":
                (folder / f"_core{suffix}").unlink(missing_ok=True)
        facts = {
            "VERSION": TORCH and TORCH.version,
            "CUDA": TORCH and TORCH.cuda,
            "CXX11_ABI": TORCH and TORCH.cxx11_abi,
        }
        lines = ['"""Written by setup.py: the torch that intgrad._torch was built against."""', ""]
        lines += [f"{name} = {value!r}" for name, value in facts.items()]
        (folder / "_torch_build.py").write_text("\n".join(lines) + "\n")


setup(
    ext_modules=[core_extension()] + ([torch_extension(TORCH)] if TORCH else []),
    cmdclass={"build_ext": BuildExtensions},
    options={
        # pip builds in the source tree, where objects of another torch would be taken for fresh.
        "build": {"build_base": f"build/{'torch-' + TORCH.version if TORCH else 'core'}"},
        # _torch is of one Python, and so is the wheel that holds it.
        "bdist_wheel": {"py_limited_api": "cp310"} if ONE_FOR_ALL and not TORCH else {},
    },
)
