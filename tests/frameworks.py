"""timm, torchvision and transformers, whichever build of torchvision is there.

Its builds for CUDA lack their operators beside a torch for CPUs, and then cannot be imported until
what they extend has been declared. Transforms need none of them.
"""

import sys

import torch

try:
    import torchvision
except RuntimeError:
    for name in [each for each in sys.modules if each.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for name in ("nms", "qnms"):
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{name}", schema)
    import torchvision

import timm
import transformers

__all__ = ["timm", "torchvision", "transformers"]
