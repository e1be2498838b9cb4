"""Scripts in a process of their own."""

import os
import sys
from pathlib import Path

import compiling


def run_script(script, *arguments, timeout=None, **environment):
    """Run Python that imports what tests do, and tests of torch; return what it prints."""
    rooms = map(str, (Path(__file__).parent / "torch").iterdir())
    path = os.pathsep.join([*rooms, *sys.path])
    return compiling.run(
        *(sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)),
        env=os.environ | {"PYTHONPATH": path, **environment},
        timeout=timeout,
    )
