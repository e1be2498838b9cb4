"""What a Keras configuration says of an Xception: every layer and connection is compared.

Another network with the same weight shapes would be converted without a complaint and give wrong
numbers, so nothing is taken on trust: class, settings and inputs of each layer must be those of
``keras.applications.Xception``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .keras_layers import STEMS, XCEPTION, Spec

Head = list[int | str]
Rescaling = tuple[NDArray[np.float64], NDArray[np.float64]]

_POOLINGS = {"GlobalAveragePooling2D": "avg", "GlobalMaxPooling2D": "max"}
_CONTAINERS = ("Functional", "Model", "Sequential")


@dataclass(frozen=True)
class Layer:
    """One layer of a configuration, nested models unfolded."""

    name: str
    kind: str
    config: dict[str, Any]
    inputs: tuple[int, ...]
    path: str  # its group in a .weights.h5
    top: str  # its group in a legacy file: the layer of the outermost model that holds it

    def __str__(self) -> str:
        """Name the layer in an error."""
        return f"layer {self.name!r} ({self.kind})"


@dataclass
class Architecture:
    """What a configuration says.

    Attributes
    ----------
    layers : list of Layer
        All layers but the inputs, in Keras's order.
    input_size : tuple of int or None
        Height and width, where they are fixed.
    rescaling : tuple of arrays or None
        Scale and offset of the Rescaling layers before Xception.
    pooling : str
        ``"avg"`` or ``"max"``.
    head : list of int or str
        The layers after the pooling: an int is a dense layer of so many units, a str an activation.
        The last one is an int: a final softmax is left out.
    """

    layers: list[Layer]
    input_size: tuple[int, int] | None
    rescaling: Rescaling | None = None
    pooling: str = ""
    head: Head = field(default_factory=list)


def parse(config: Any) -> Architecture:
    """Check a configuration and say what stands around Xception's own layers.

    Parameters
    ----------
    config : dict
        The configuration, as ``Model.to_json`` writes it.

    Returns
    -------
    Architecture
        Layers, preprocessing, pooling and head.

    Raises
    ------
    ValueError
        If the model is not an Xception with a dense head; the text names the first layer that
        differs.
    """
    try:
        unfolded = _Unfolded()
        output = unfolded.add(config)
        if output != len(unfolded.layers) - 1:
            raise ValueError("the model's output is not that of its last layer")
        return _interpret(Architecture(unfolded.layers, unfolded.input_size()))
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"the configuration is not what Keras writes ({error!r})") from error


class _Unfolded:
    """The layers of a model, those of nested models in their places."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._shapes: list[Sequence[int | None]] = []

    def input_size(self) -> tuple[int, int] | None:
        """Take the outermost statement of the input's shape, (batch, height, width, channels)."""
        height, width = self._shapes[0][1:3] if self._shapes else (None, None)
        return None if height is None or width is None else (height, width)

    def add(self, model: Any, source: int = -1, path: str = "", top: str = "") -> int:
        """Append a model's layers; the positions of its input and its output are in `layers`."""
        kind, config = model["class_name"], model["config"]
        if kind not in _CONTAINERS:
            raise ValueError(f"the model is a {kind}, neither Functional nor Sequential")
        last = source
        positions: dict[str, int] = {}
        numbers: Counter[str] = Counter()
        for item in config["layers"]:
            name, stem = item["config"]["name"], STEMS.get(item["class_name"], "")
            group = (
                f"{path}layers/{stem}_{numbers[stem]}" if numbers[stem] else f"{path}layers/{stem}"
            )
            numbers[stem] += 1
            if item["class_name"] == "InputLayer":  # stands for what the model is called on
                inputs: tuple[int, ...] = (source,)
            elif kind == "Sequential":
                inputs = (last,)
            else:
                inputs = tuple(positions[called] for called in _inbound(item))
            last = positions[name] = self._add_layer(item, inputs, group, top or name)
        if kind == "Sequential":
            return last
        _only(config["input_layers"], f"input of model {config['name']!r}")
        return positions[_only(config["output_layers"], f"output of model {config['name']!r}")]

    def _add_layer(self, item: Any, inputs: tuple[int, ...], group: str, top: str) -> int:
        kind, config = item["class_name"], item["config"]
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        if shape:
            self._shapes.append(shape)
        if kind == "InputLayer":
            return inputs[0]
        if kind in _CONTAINERS:
            if len(inputs) != 1:
                raise ValueError(f"model {config['name']!r} must be called on one tensor")
            return self.add(item, inputs[0], f"{group}/", top)
        self.layers.append(Layer(config["name"], kind, config, inputs, group, top))
        return len(self.layers) - 1


def _inbound(item: Any) -> list[str]:
    calls = item["inbound_nodes"]
    if len(calls) != 1:
        raise ValueError(f"layer {item['config']['name']!r} is called {len(calls)} times, not once")
    return list(_sources(calls))


def _only(node: Any, what: str) -> str:
    names = list(_sources(node))
    if len(names) != 1:
        raise ValueError(f"expected one {what}, found {len(names)}")
    return names[0]


def _sources(node: Any) -> Iterator[str]:
    """Yield the layers that a serialized call names, in the form of Keras 3 or of Keras 2."""
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            yield node["config"]["keras_history"][0]
            return
        node = list(node.values())
    if isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):
            yield node[0]  # [layer, call, output, ...]
            return
        for item in node:
            yield from _sources(item)


def _interpret(model: Architecture) -> Architecture:
    start = 0
    while start < len(model.layers) and model.layers[start].kind == "Rescaling":
        model.rescaling = _then_rescale(model.rescaling, model.layers[start])
        start += 1
    end = start + len(XCEPTION)
    if len(model.layers) > start and model.layers[start].kind != XCEPTION[0].kind:
        raise ValueError(
            f"before Xception only Rescaling may stand, found {model.layers[start]}: convert the "
            "weights alone (Model.save_weights) and give preprocess, if that is what it does"
        )
    for layer, spec in zip(model.layers[start:end], XCEPTION, strict=False):
        _check_layer(layer, spec, start)
    if len(model.layers) < end:
        missing = XCEPTION[len(model.layers) - start]
        raise ValueError(f"not Xception: its layers end before {missing.name!r} ({missing.kind})")
    for position in (*range(start), *range(end, len(model.layers))):
        if model.layers[position].inputs != (position - 1,):
            raise ValueError(f"{model.layers[position]} must be called on the layer before it")
    for layer in model.layers[end:]:
        _add_to_head(model, layer)
    if model.head[-1:] == ["softmax"]:  # the scores of the converted model are logits
        model.head.pop()
    if not model.head:
        raise ValueError("Xception without a head: a global pooling and a Dense layer must follow")
    if isinstance(model.head[-1], str):
        raise ValueError(
            f"the last activation is {model.head[-1]!r}: only scores that are logits, or their "
            "softmax, can be converted"
        )
    return model


def _then_rescale(before: Rescaling | None, layer: Layer) -> Rescaling:
    scale, offset = _per_channel(layer, "scale"), _per_channel(layer, "offset")
    return (scale, offset) if before is None else (before[0] * scale, before[1] * scale + offset)


def _per_channel(layer: Layer, key: str) -> NDArray[np.float64]:
    value = layer.config[key]
    if isinstance(value, dict):  # how Keras writes an array
        value = value["config"]["value"]
    array = np.asarray(value, np.float64).ravel()
    if array.size not in (1, 3):
        raise ValueError(f"{layer} has a {key} of {array.size} values; expected 1 or 3")
    return array


def _check_layer(layer: Layer, spec: Spec, start: int) -> None:
    found: dict[str, Any] = {"class": layer.kind, "inputs": layer.inputs}
    wanted: dict[str, Any] = {"class": spec.kind, "inputs": tuple(start + i for i in spec.inputs)}
    if layer.kind == spec.kind:
        found |= {key: _setting(layer.config, key) for key in spec.settings}
        wanted |= spec.settings
    for key, value in wanted.items():
        if found[key] != value:
            raise ValueError(
                f"not Keras's Xception: {layer} has {key} {found[key]}; "
                f"expected {spec.name!r} ({spec.kind}) with {key} {value}"
            )


def _setting(config: Mapping[str, Any], key: str) -> Any:
    value = config.get(key, 1 if key == "groups" else None)  # which old versions do not have
    if key == "axis":  # Keras 2 writes [3]
        value = value[0] if isinstance(value, list) else value
        return -1 if value == 3 else value
    return tuple(value) if isinstance(value, list) else value


def _add_to_head(model: Architecture, layer: Layer) -> None:
    if layer.kind == "Dropout":
        return
    if layer.kind in _POOLINGS and not model.pooling:
        if layer.config.get("keepdims") or layer.config["data_format"] != "channels_last":
            raise ValueError(f"{layer} must be channels_last and drop its dimensions")
        model.pooling = _POOLINGS[layer.kind]
    elif layer.kind == "Dense" and model.pooling:
        model.head += simplified([layer.config["units"], _activation(layer)])
    elif layer.kind in ("Activation", "ReLU", "Softmax") and model.pooling:
        model.head += simplified([_activation(layer)])
    else:
        raise ValueError(
            f"{layer} is not supported here: after Xception come one global pooling, then Dense, "
            "Dropout, Activation, ReLU and Softmax layers"
        )


def _activation(layer: Layer) -> str:
    if layer.kind == "ReLU":
        if any(layer.config.get(key) for key in ("max_value", "negative_slope", "threshold")):
            raise ValueError(f"{layer} is not the plain ReLU")
        return "relu"
    if layer.kind == "Softmax":
        if layer.config["axis"] not in (-1, 1):
            raise ValueError(f"{layer} is not over the classes")
        return "softmax"
    name = layer.config["activation"] or "linear"
    if not isinstance(name, str):
        raise ValueError(f"{layer} has an activation of its own, {name}")
    return name


def simplified(head: Head) -> Head:
    """Leave out the activations that do nothing."""
    return [item for item in head if item != "linear"]
