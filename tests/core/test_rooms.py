"""The rooms of the house: what each may import is written down here, and nowhere else.

A room is a folder. It may import what its line names, modules of its own, and the ground floor; of
what it may not import it knows nothing, so that it can be read alone.
"""

import ast
import re
from pathlib import Path

import pytest

import intgrad

PACKAGE = Path(intgrad.__file__).parent
CSRC = Path(__file__).parents[2] / "csrc"

# From the bottom up: whoever stands lower is not allowed to know of whoever stands higher.
GROUND_FLOOR = {
    "_caller",
    "_core",
    "_errors",
    "_files",
    "_optional",
    "_torch",
    "_torch_build",
    "_version",
}
ROOMS = {
    "images": set(),
    "models": {"images"},
    "adapters": {"images", "models"},
    "xception": {"models"},
    "attribution": {"images", "models"},
    "metrics": {"images", "models", "attribution"},
    "pictures": {"images"},
    "results": set(),
    "report": {"images", "pictures", "results"},
    "explaining": {"images", "models", "attribution", "pictures", "results", "report"},
    "distributed": {"models", "results", "explaining"},
    "command_line": {
        *("images", "models", "xception", "attribution", "metrics", "pictures"),
        *("results", "report", "explaining", "distributed"),
    },
}
# What users import and run; it may import every room, and no room may import it.
FRONT_DOOR = {"__init__", "__main__"}

# The same for C and its #include.
LAYERS = {
    "kernels": set(),
    "engine": {"kernels"},
    "torch": {"engine"},
    "binding": {"kernels", "engine", "torch"},
}


# Each module's path from the package, without its suffix: ("models", "saving").
MODULES = [p.relative_to(PACKAGE).with_suffix("").parts for p in sorted(PACKAGE.rglob("*.py"))]


def room_of(parts):
    """Return where a module belongs; what the package itself offers is at the front door."""
    first = parts[0] if parts else "__init__"
    if first in ROOMS:
        return first
    return "ground floor" if first in GROUND_FLOOR else "front door"


def imports(tree, module):
    """Yield all that a module imports of the package, within functions and for types alone too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            here = ("intgrad", *module)[: -node.level]
            base = [*here, *([node.module] if node.module else [])]
            names = [".".join([*base, alias.name]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [str(word.value) for word in node.args[:1] if isinstance(word, ast.Constant)]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "intgrad":
                yield tuple(rest)


def forbidden(source, module):
    """Return the imports of a module that its room does not allow."""
    room = room_of(module)
    allowed = {room, "ground floor", *(ROOMS if room == "front door" else ROOMS.get(room, ()))}
    found = {parts for parts in imports(ast.parse(source), module) if room_of(parts) not in allowed}
    return sorted(".".join(("intgrad", *parts)) for parts in found)


@pytest.mark.parametrize("table", [ROOMS, LAYERS], ids=["rooms", "layers"])
def test_arrows_go_one_way(table):
    lower = set()
    for room, may_import in table.items():
        assert may_import <= lower, f"{room} may import only what stands before it"
        lower.add(room)


@pytest.mark.parametrize("module", MODULES, ids=".".join)
def test_module(module):
    """It has a room, and imports what the room may."""
    assert module[0] in {*ROOMS, *GROUND_FLOOR, *FRONT_DOOR}, "put it into a room, see above"
    source = PACKAGE.joinpath(*module).with_suffix(".py").read_text(encoding="utf-8")
    assert forbidden(source, module) == []


@pytest.mark.parametrize(
    "source",
    [
        "import intgrad",
        "import intgrad.pictures.styles as styles",
        "from .. import __version__",
        "from .. import load_model, adapters",
        "from ..pictures import styles",
        "from ...pictures.styles import stretch",
        "from intgrad.pictures.styles import stretch",
        "from intgrad import pictures",
        "if TYPE_CHECKING:\n    from ..pictures.visualizer import GradVisualizer",
        "def late():\n    from ..pictures.visualizer import GradVisualizer",
        "importlib.import_module('intgrad.pictures')",
    ],
)
def test_forbidden_imports_are_seen(source):
    module = ("models", "deeper", "new") if "..." in source else ("models", "new")
    assert forbidden(source, module)


@pytest.mark.parametrize(
    "source",
    [
        "import os, torch.nn",
        "from .. import _core",
        "from .._core import ModelError",
        "from . import saving",
        "from .saving import make_archive",
        "from ..images.arrays import check_size",
        "from intgrad.images import arrays",
        "importlib.import_module('intgrad._torch')",
    ],
)
def test_allowed_imports_are_left_alone(source):
    assert forbidden(source, ("models", "new")) == []


@pytest.mark.parametrize("layer", LAYERS)
def test_layer(layer):
    """Each file includes headers of its own folder and of those that its layer may know."""
    files = [path for path in (CSRC / layer).iterdir() if re.fullmatch(r"\.[ch](pp)?", path.suffix)]
    assert files
    for path in files:
        text = path.read_text(encoding="utf-8")
        folders = {
            (path.parent / name).resolve().parent.name
            for name in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE)
        }
        assert folders <= {layer, *LAYERS[layer]}, path.name
        assert layer == "torch" or not re.search(r"#include <(torch|ATen|c10)", text), path.name


def test_every_layer_is_known():
    assert {path.name for path in CSRC.iterdir() if path.is_dir()} == set(LAYERS)
