"""The models and pictures that everything is measured on.

kitchen   the demo's Xception and photographs, from the package index
random    an Xception with random weights and pictures, made on the spot: needs no download
lite0     EfficientNet-lite0 with ImageNet weights, from the package index; 224 x 224 only
portable  kitchen in one file of 44 MB, .cache/portable.pt, for a machine that can download nothing:
          `python benchmarks/models.py` writes it. Kernels are rounded to float16, sizes are fixed.

Every model takes pixels (n, 3, height, width) in 0..255 and gives logits.
"""

import os
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("INTGRAD_CACHE", ROOT / ".cache"))
SIZES = {"kitchen": 299, "random": 299, "lite0": 224, "portable": 299}
PORTABLE = CACHE / "portable.pt"
KITCHEN_TARGETS = {"0412": 1, "0013": 3, "0207": 5}
TWO = {"kitchen": ("0412", "0013"), "lite0": ("chelsea", "coffee"), "random": ("patches-0",)}
"""The pictures whose errors are measured."""

sys.path.insert(0, str(ROOT / "tools"))


def load(name, size):
    """Return the model in evaluation mode."""
    load_model, _ = _MAKERS[name]
    return load_model(size)


def pictures(name, size):
    """Return {name: ((size, size, 3) float32 pixels, class)}."""
    _, make_pictures = _MAKERS[name]
    found = make_pictures(size)
    return {key: (np.asarray(image, np.float32), target) for key, (image, target) in found.items()}


def many(named, count):
    """Return (count, H, W, 3) pictures and their classes: those given, then the same moved."""
    chosen = [list(named.values())[k % len(named)] for k in range(count)]
    images = [np.roll(image, 5 * k, axis=1) for k, (image, _) in enumerate(chosen)]
    return np.stack(images), [target for _, target in chosen]


def keras_file():
    import demo_files

    return demo_files.fetch(CACHE) / demo_files.MODEL


def _load_kitchen(size):
    from intgrad import xception
    from intgrad.xception import keras_weights

    keras = keras_weights.read(keras_file())
    module = xception.Xception(keras.head, pooling=keras.pooling)
    module.load_keras(keras.weights)
    return module.eval()


def _photographs(size):
    import demo_files

    import intgrad

    folder = demo_files.fetch(CACHE) / demo_files.PHOTOGRAPHS
    return {
        name: (intgrad.load_image(folder / f"{name}.jpg", size=(size, size)), target)
        for name, target in KITCHEN_TARGETS.items()
    }


def _load_random(size):
    """Random weights whose batch norms know the pictures, so that no signal dies on the way."""
    import torch

    from intgrad import xception

    torch.manual_seed(0)
    module = xception.Xception((1000,)).train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the statistics of what is seen, not a moving average
    images = np.stack([image for image, _ in pictures("random", size).values()])
    with torch.no_grad():
        module(torch.from_numpy(images).permute(0, 3, 1, 2))
    return module.eval()


def _patches(size):
    """Random patches of colour."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 256, (2, size // 16 + 1, size // 16 + 1, 3))
    patches = cells.repeat(16, axis=1).repeat(16, axis=2)[:, :size, :size]
    return {f"patches-{k}": (image, k) for k, image in enumerate(patches)}


def _load_lite0(size):
    import espresso
    import torch

    if (size, size) != espresso.SIZE:
        raise ValueError(f"EfficientNet-lite0 takes {espresso.SIZE} pixels, not {size}")

    class WithPreprocessing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = espresso.load_module()

        def forward(self, pixels):
            return self.network((pixels - 127) / 128)

    return WithPreprocessing().eval()


def _skimage(size):
    import espresso
    from skimage import data

    return {
        "chelsea": (espresso.square(data.chelsea()), 285),
        "coffee": (espresso.square(data.coffee()), 967),
    }


def write_portable():
    """Write the demo's Xception and photographs as one file that torch alone can read."""
    import torch

    from intgrad.xception import keras_weights

    keras = keras_weights.read(keras_file())
    weights = load("kitchen", SIZES["kitchen"]).state_dict()
    named = pictures("kitchen", SIZES["kitchen"])
    torch.save(
        {
            "head": list(keras.head),
            "pooling": keras.pooling,
            "weights": {k: w.half() if w.ndim > 1 else w for k, w in weights.items()},
            "pictures": {k: (torch.from_numpy(image), t) for k, (image, t) in named.items()},
        },
        PORTABLE,
    )


def _load_portable(size):
    import torch

    from intgrad import xception

    file = torch.load(PORTABLE, weights_only=True)
    module = xception.Xception(file["head"], pooling=file["pooling"])
    module.load_state_dict(file["weights"])
    return module.eval()


def _carried(size):
    import torch

    return torch.load(PORTABLE, weights_only=True)["pictures"]


_MAKERS = {
    "kitchen": (_load_kitchen, _photographs),
    "random": (_load_random, _patches),
    "lite0": (_load_lite0, _skimage),
    "portable": (_load_portable, _carried),
}

if __name__ == "__main__":
    write_portable()
