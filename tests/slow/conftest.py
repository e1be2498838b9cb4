"""What `make slow` measured, kept where INTGRAD_SLOW_REPORT says."""

import datetime
import os
import platform
from importlib.metadata import version

import pytest


@pytest.fixture(scope="session")
def say():
    """Return what adds a line to the report, at once: a run of an hour may be stopped."""
    file = os.environ.get("INTGRAD_SLOW_REPORT")

    def add(line, mode="a"):
        print(line)
        if file:
            with open(file, mode, encoding="utf-8") as report:
                report.write(f"{line}\n")

    versions = ", ".join(f"{name} {version(name)}" for name in ("intgrad", "torch", "numpy"))
    head = f"{datetime.date.today()}, Python {platform.python_version()}, {versions}"
    add(f"# make slow\n\n{head}, {os.cpu_count()} cores\n", "w")
    return add
