"""What `make slow` measured, kept where INTGRAD_SLOW_REPORT says."""

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def say():
    """Return what adds a line to the report."""
    lines = []
    yield lines.append
    versions = ", ".join(f"{name} {version(name)}" for name in ("intgrad", "torch", "numpy"))
    head = f"{datetime.date.today()}, Python {platform.python_version()}, {versions}"
    text = "\n".join([f"# make slow\n\n{head}, {os.cpu_count()} cores\n", *lines]) + "\n"
    print(f"\n{text}")
    if os.environ.get("INTGRAD_SLOW_REPORT"):
        Path(os.environ["INTGRAD_SLOW_REPORT"]).write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def real_model(demo_wheel, tmp_path_factory):
    """The demo's Xception."""
    import demo_files

    import intgrad
    from intgrad import xception

    path = tmp_path_factory.mktemp("real") / "xception.pt"
    xception.convert(demo_wheel / demo_files.MODEL, path, input_size=(299, 299))
    return intgrad.load_model(path, device="cpu")
