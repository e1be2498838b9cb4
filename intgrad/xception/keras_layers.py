"""Every layer of ``keras.applications.Xception``: what its configuration and weights must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]

FEATURES = 2048  # channels that the last convolution gives to the head

# The weights of each kind of layer, in the order in which Keras creates them.
ROLES = {
    "Conv2D": ("kernel",),
    "SeparableConv2D": ("depthwise", "pointwise"),
    "BatchNormalization": ("gamma", "beta", "mean", "variance"),
    "Dense": ("kernel", "bias"),
}
# How Keras names the groups of a .weights.h5: a second Conv2D is conv2d_1.
STEMS = {
    "Conv2D": "conv2d",
    "SeparableConv2D": "separable_conv2d",
    "BatchNormalization": "batch_normalization",
    "Dense": "dense",
    "Functional": "functional",
    "Model": "model",
    "Sequential": "sequential",
}


@dataclass(frozen=True)
class Spec:
    """One layer of Keras's Xception: what its configuration and its weights must be."""

    name: str
    kind: str
    inputs: tuple[int, ...]  # positions in the list of layers; -1 is the image
    settings: dict[str, Any]
    shapes: dict[str, Shape]  # of its weights, by role


class _Builder:
    """The layers of ``keras.applications.Xception``, in the order in which Keras lists them.

    Keras sorts by the distance to the output: the residual's convolution comes with the main path's
    last batch normalization, the residual's batch normalization with the pooling. Layers that Keras
    only numbers (``conv2d_3``) are named by their block.
    """

    def __init__(self) -> None:
        self.layers: list[Spec] = []
        x = self._conv_norm("block1_conv1", -1, (3, 3, 3, 32), strides=2)
        x = self._relu("block1_conv1_act", x)
        x = self._conv_norm("block1_conv2", x, (3, 3, 32, 64), strides=1)
        x = self._relu("block1_conv2_act", x)
        x = self._downsampling(2, x, 64, (128, 128))
        x = self._downsampling(3, x, 128, (256, 256))
        x = self._downsampling(4, x, 256, (728, 728))
        for block in range(5, 13):
            main = self._separables(block, x, 728, (728, 728, 728))
            x = self._add("Add", f"block{block}_add", (main, x), {})
        x = self._downsampling(13, x, 728, (728, 1024))
        x = self._separable_norm("block14_sepconv1", x, 1024, 1536)
        x = self._relu("block14_sepconv1_act", x)
        x = self._separable_norm("block14_sepconv2", x, 1536, FEATURES)
        self._relu("block14_sepconv2_act", x)

    def _add(
        self,
        kind: str,
        name: str,
        inputs: tuple[int, ...],
        settings: dict[str, Any],
        **shapes: Shape,
    ) -> int:
        self.layers.append(Spec(name, kind, inputs, settings, shapes))
        return len(self.layers) - 1

    def _separables(self, block: int, x: int, channels: int, widths: Sequence[int]) -> int:
        for number, width in enumerate(widths, start=1):
            if (block, number) != (2, 1):  # block 1 ends with a ReLU
                x = self._relu(f"block{block}_sepconv{number}_act", x)
            x = self._separable_norm(f"block{block}_sepconv{number}", x, channels, width)
            channels = width
        return x

    def _downsampling(self, block: int, x: int, channels: int, widths: tuple[int, int]) -> int:
        main = self._separables(block, x, channels, widths)
        kernel = (1, 1, channels, widths[1])
        residual = self._conv(f"block{block}_residual", x, kernel, 2, "same")
        pool = {"pool_size": (3, 3), "strides": (2, 2), "padding": "same"}
        pool["data_format"] = "channels_last"
        main = self._add("MaxPooling2D", f"block{block}_pool", (main,), pool)
        residual = self._norm(f"block{block}_residual_bn", residual, widths[1])
        return self._add("Add", f"block{block}_add", (main, residual), {})

    def _conv_norm(self, name: str, x: int, kernel: Shape, strides: int) -> int:
        return self._norm(f"{name}_bn", self._conv(name, x, kernel, strides, "valid"), kernel[3])

    def _separable_norm(self, name: str, x: int, channels: int, filters: int) -> int:
        settings = _convolution(filters, 3, 1, "same") | {"depth_multiplier": 1}
        depthwise, pointwise = (3, 3, channels, 1), (1, 1, channels, filters)
        x = self._add(
            "SeparableConv2D", name, (x,), settings, depthwise=depthwise, pointwise=pointwise
        )
        return self._norm(f"{name}_bn", x, filters)

    def _conv(self, name: str, x: int, kernel: Shape, strides: int, padding: str) -> int:
        settings = _convolution(kernel[3], kernel[0], strides, padding) | {"groups": 1}
        return self._add("Conv2D", name, (x,), settings, kernel=kernel)

    def _norm(self, name: str, x: int, channels: int) -> int:
        settings = {"axis": -1, "epsilon": 1e-3, "center": True, "scale": True}
        shapes = dict.fromkeys(ROLES["BatchNormalization"], (channels,))
        return self._add("BatchNormalization", name, (x,), settings, **shapes)

    def _relu(self, name: str, x: int) -> int:
        return self._add("Activation", name, (x,), {"activation": "relu"})


def _convolution(filters: int, size: int, strides: int, padding: str) -> dict[str, Any]:
    return {
        "filters": filters,
        "kernel_size": (size, size),
        "strides": (strides, strides),
        "padding": padding,
        "dilation_rate": (1, 1),
        "data_format": "channels_last",
        "activation": "linear",
        "use_bias": False,
    }


XCEPTION = tuple(_Builder().layers)
