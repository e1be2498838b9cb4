"""Networks that were trained on BGR, as OpenCV reads pictures; pictures here are RGB."""

from __future__ import annotations

from typing import Any


def reverse_channels(module: Any) -> Any:
    """Return a module that takes RGB, of one that takes BGR, each NCHW."""
    import torch

    class OnRGB(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = module

        def forward(self, pixels: Any) -> Any:
            return self.network(pixels.flip(1))

    OnRGB.__name__ = type(module).__name__  # what errors call it
    return OnRGB()
