"""Importing intgrad is cheap and brings in nothing optional."""

import subprocess
import sys

import pytest

from intgrad.command_line.main import main

HEAVY = ["torch", "matplotlib", "PIL", "h5py", "tqdm", "pooch", "scipy", "skimage"]


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_nothing_heavy_is_imported():
    found = run(f"import sys, intgrad; print([m for m in {HEAVY} if m in sys.modules])")
    assert found == "[]"


@pytest.mark.unsanitized
def test_import_adds_less_than_100_ms_to_numpy():
    """Not a benchmark but a promise: the best of five fresh interpreters, in CPU time.

    Of this thread alone: those of the BLAS that NumPy started spin for a while beside it.
    """
    code = (
        "import time, numpy; t = time.thread_time(); import intgrad; print(time.thread_time() - t)"
    )
    assert min(float(run(code)) for _ in range(5)) < 0.1


def test_missing_extras_say_what_to_install():
    code = (
        "import sys; sys.modules['PIL'] = None; import intgrad\n"
        "try: intgrad.load_image('x.png')\n"
        "except ImportError as e: print(e)"
    )
    assert "pip install pillow" in run(code)


def test_convert_says_that_it_needs_torch(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["convert", "imagenet", "unused.pt"]) == 1
    assert "pip install torch" in capsys.readouterr().err
