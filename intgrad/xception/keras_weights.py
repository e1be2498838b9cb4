"""Read an Xception that Keras wrote, with h5py alone: nothing in the file is unpickled or run.

Keras writes three kinds of file, told apart here by content:

- ``.keras``: a zip with ``config.json`` (the layers) and ``model.weights.h5``;
- ``.weights.h5``: HDF5 with one group ``layers/<automatic name>/vars`` per layer, and no
  configuration;
- legacy ``.h5``: HDF5 with one group per layer of the outermost model and the attribute
  ``weight_names``; the configuration, if any, is the attribute ``model_config``.

With a configuration, weights are found by layer. Without one, the n-th batch normalization of the
file is the n-th of Xception, and so for each kind of layer: Keras keeps the order within a kind.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._optional import require
from .keras_config import Head, Layer, Rescaling, parse, simplified
from .keras_layers import FEATURES, ROLES, STEMS, XCEPTION, Shape

Weights = dict[str, NDArray[np.float32]]

_MAX_BYTES = 1 << 30  # of a zip's member: Xception with an optimizer's state has 0.25 GB

# The numbers of dimensions of a layer's weights, largest first, tell its kind.
_KINDS = {
    (4,): "Conv2D",
    (4, 4): "SeparableConv2D",
    (1, 1, 1, 1): "BatchNormalization",
    (2, 1): "Dense",
    (2,): "Dense",
}
# How weight names end in legacy files. W, b and running_* are Keras 1's; its "std" is a variance.
_ROLE_OF_NAME = {
    "kernel": "kernel",
    "W": "kernel",
    "depthwise_kernel": "depthwise",
    "pointwise_kernel": "pointwise",
    "bias": "bias",
    "b": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "mean",
    "running_mean": "mean",
    "moving_variance": "variance",
    "running_std": "variance",
}
_WEIGHT_NAME = re.compile(rf"(?:^|[/_])({'|'.join(_ROLE_OF_NAME)})(?::\d+)?$")
# The weights of a .weights.h5: layers/functional/layers/conv2d_1/vars/0
_VARIABLE = re.compile(
    r"(?P<path>(?P<home>(?:layers/\w+/)*)layers/(?P<stem>\w+?)(?:_(?P<number>\d+))?)/vars/\d+"
)


@dataclass(frozen=True)
class KerasXception:
    """What a Keras file says.

    Attributes
    ----------
    weights : list of dict
        For each layer with weights a dict from role (``kernel``, ``depthwise``, ``pointwise``,
        ``gamma``, ``beta``, ``mean``, ``variance``, ``bias``) to array, in Keras's layout: first
        the base in Keras's order, then the dense layers of the head.
    head, pooling, rescaling, input_size
        As in `keras_config.Architecture`. A file without a configuration states neither pooling,
        which is then taken to be the average, nor preprocessing, nor size.
    """

    weights: list[Weights]
    head: Head
    pooling: str = "avg"
    rescaling: Rescaling | None = None
    input_size: tuple[int, int] | None = (299, 299)


@dataclass(frozen=True)
class _Stored:
    """The weights of one layer in a file: (name, h5py.Dataset); "" where they have no names."""

    name: str
    arrays: list[tuple[str, Any]]

    @property
    def kind(self) -> str:
        dimensions = tuple(sorted((dataset.ndim for _, dataset in self.arrays), reverse=True))
        if dimensions not in _KINDS:
            shapes = [dataset.shape for _, dataset in self.arrays]
            raise ValueError(f"layer {self.name!r}, weights {shapes}, is none of Xception's")
        return _KINDS[dimensions]

    def by_role(self) -> dict[str, Any]:
        """Go by the weights' names where they are Keras's, else by their order."""
        datasets = sorted((dataset for _, dataset in self.arrays), key=lambda d: -int(d.ndim))
        # A Dense layer may lack its bias.
        positional = dict(zip(ROLES[self.kind], datasets, strict=False))
        named = {_role(name): dataset for name, dataset in self.arrays}
        return named if named.keys() == positional.keys() else positional


def read(path: Path, *, hidden_activation: str | None = None) -> KerasXception:
    """Read a ``.keras``, ``.weights.h5`` or legacy ``.h5`` file.

    Parameters
    ----------
    path : Path
        The file; its suffix plays no part.
    hidden_activation : str, optional
        What stands between the dense layers, for a file without a configuration.

    Returns
    -------
    KerasXception
        Weights and head.

    Raises
    ------
    ValueError
        If the file is damaged or is not an Xception with a dense head.
    """
    h5py = require("h5py", "h5py", "reading Keras files")
    file, config = _unpack(path)
    with _readable("HDF5 file"), h5py.File(file, "r") as h5:
        if "model_config" in h5.attrs:
            config = _json(h5.attrs["model_config"])
        return _read_model(h5, config, hidden_activation)


@contextlib.contextmanager
def _readable(kind: str) -> Iterator[None]:
    """Make a ValueError of what is raised: h5py and zipfile answer damage with nearly anything."""
    try:
        yield
    except ValueError:  # ours, or as good
        raise
    except Exception as error:
        raise ValueError(f"not a readable {kind}, damaged or truncated ({error})") from error


def _unpack(path: Path) -> tuple[Path | io.BytesIO, Any]:
    """Return the HDF5 file and, of a .keras file, the configuration."""
    with path.open("rb") as stream:
        signature = stream.read(8)
    if signature == b"\x89HDF\r\n\x1a\n":
        return path, None
    if not signature.startswith(b"PK\x03\x04"):
        raise ValueError("neither a zip (.keras) nor an HDF5 file (.weights.h5, .h5)")
    with _readable("zip"), zipfile.ZipFile(path) as archive:
        config = _json(_member(archive, "config.json"))
        return io.BytesIO(_member(archive, "model.weights.h5")), config


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if any(member.endswith("/version") for member in archive.namelist()):
        raise ValueError(
            "a file of torch: intgrad.save_model writes archives of torch's modules and programs,"
            " and this converts Keras's Xception"
        )
    if name not in archive.namelist():
        raise ValueError(f"a zip without {name}, which every .keras file has")
    if archive.getinfo(name).file_size > _MAX_BYTES:
        raise ValueError(f"{name} unpacks to more than {_MAX_BYTES >> 30} GiB")
    return archive.read(name)


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the configuration is not JSON ({error})") from error


def _read_model(h5: Any, config: Any, hidden_activation: str | None) -> KerasXception:
    if config is None:
        stored = _stored_layers(h5, None)
        dense = [layer for layer in stored if layer.kind == "Dense"]
        units = [int(layer.by_role()["kernel"].shape[1]) for layer in dense]
        biases = [len(layer.arrays) == 2 for layer in dense]
        weights = _read_weights(stored, units, biases)
        return KerasXception(weights, _guessed_head(units, hidden_activation))
    if hidden_activation is not None:
        raise ValueError("the file states its activations: leave hidden_activation out")
    model = parse(config)
    units = [item for item in model.head if isinstance(item, int)]
    biases = [layer.config["use_bias"] for layer in model.layers if layer.kind == "Dense"]
    weights = _read_weights(_stored_layers(h5, model.layers), units, biases)
    return KerasXception(weights, model.head, model.pooling, model.rescaling, model.input_size)


def _guessed_head(units: list[int], hidden_activation: str | None) -> Head:
    widths = " -> ".join(map(str, units))
    if len(units) == 1 and hidden_activation is not None:
        raise ValueError("one dense layer has no hidden activation: leave hidden_activation out")
    if len(units) > 1 and hidden_activation is None:
        raise ValueError(
            f"weights alone do not say what stands between the dense layers ({widths} units): give "
            "hidden_activation, such as 'relu' or 'linear'"
        )
    head: Head = []
    for count in units:
        head += [count, str(hidden_activation)]
    return simplified(head[:-1])


def _stored_layers(h5: Any, layers: list[Layer] | None) -> list[_Stored]:
    """List the file's layers with weights; within each kind they are in Keras's order."""
    items: dict[str, Any] = {}
    h5.visititems(items.__setitem__)  # visits no soft or external link: reads this file alone
    if "layers" in items:
        return _from_groups(items, layers)
    root = "model_weights/" if "model_weights" in items else ""
    names = _strings(items["model_weights"] if root else h5, "layer_names")
    if names:
        return _from_legacy(items, root, names, layers)
    raise ValueError("HDF5, but not Keras's: it has neither a group 'layers' nor 'layer_names'")


def _from_groups(items: Mapping[str, Any], layers: list[Layer] | None) -> list[_Stored]:
    """Read a .weights.h5. Groups of another form, as an optimizer's, hold no layer's weights."""
    groups: dict[str, list[tuple[str, Any]]] = {}
    matches: dict[str, re.Match[str]] = {}
    for name in sorted(items):  # a layer has at most four weights: order of text is order
        match = _VARIABLE.fullmatch(name)
        if match:
            matches[match["path"]] = match
            groups.setdefault(match["path"], []).append(("", items[name]))
    if layers is None:
        _check_homes(matches.values())
        paths = sorted(groups, key=lambda path: int(matches[path]["number"] or 0))
    else:
        paths = [layer.path for layer in layers if layer.kind in ROLES]
        if set(paths) != groups.keys():
            odd = ", ".join(sorted(set(paths) ^ groups.keys())[:3])
            raise ValueError(f"weights and configuration differ: missing or left over are {odd}")
    return [_Stored(path, groups[path]) for path in paths]


def _check_homes(matches: Iterable[re.Match[str]]) -> None:
    """Refuse other layers than Xception's, and an order that no configuration tells."""
    homes = {(match["stem"], match["home"]) for match in matches}
    for stem, count in Counter(stem for stem, _ in homes).items():
        if stem not in (STEMS[kind] for kind in ROLES):
            raise ValueError(f"not Xception: has weights of a {stem} layer")
        if count > 1:
            raise ValueError(
                f"its {stem} layers are in {count} nested models, in an order that weights alone "
                "do not tell: convert the whole model, saved as .keras"
            )


def _from_legacy(
    items: Mapping[str, Any], root: str, names: list[str], layers: list[Layer] | None
) -> list[_Stored]:
    """Read a legacy file, where a nested model is one group with the weights of all its layers."""
    stored: dict[tuple[str, str], _Stored] = {}
    for top in names:
        for weight in _strings(items.get(root + top), "weight_names"):
            if f"{root}{top}/{weight}" not in items:
                raise ValueError(f"the weights {weight!r} of layer {top!r} are missing")
            layer = weight.rpartition("/")[0].rpartition("/")[2]  # "" in Keras 1's names
            entry = stored.setdefault((top, layer), _Stored(layer or top, []))
            entry.arrays.append((weight, items[f"{root}{top}/{weight}"]))
    keys = [(layer.top, layer.name) for layer in layers or [] if layer.kind in ROLES]
    if keys and set(keys) == stored.keys():
        return [stored[key] for key in keys]
    _check_block_order(list(stored.values()))
    return list(stored.values())


def _check_block_order(stored: list[_Stored]) -> None:
    """Refuse a partly frozen nested model: Keras puts the weights of its frozen layers last."""
    for kind in ROLES:
        names = [s.name for s in stored if s.name.startswith("block") and s.kind == kind]
        numbers = [[int(digits) for digits in re.findall(r"\d+", name)] for name in names]
        if numbers != sorted(numbers):
            raise ValueError(
                f"its {kind} layers are not in order ({', '.join(names[:3])}, ...), as of a partly "
                "frozen model saved without its configuration: convert the whole model, as .keras"
            )


def _strings(group: Any, name: str) -> list[str]:
    """Read a list of names; one too long for an HDF5 attribute is in name0, name1, ..."""
    if group is None:
        return []
    chunks = [name] if name in group.attrs else []
    while f"{name}{len(chunks)}" in group.attrs:
        chunks.append(f"{name}{len(chunks)}")
    texts = [text for chunk in chunks for text in group.attrs[chunk]]
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


def _role(name: str) -> str:
    match = _WEIGHT_NAME.search(name)
    return _ROLE_OF_NAME[match[1]] if match else ""


def _read_weights(stored: list[_Stored], units: list[int], biases: Sequence[bool]) -> list[Weights]:
    """Give each layer of Xception and of its head the file's next layer of that kind."""
    weighted = [spec for spec in XCEPTION if spec.shapes]
    counts = Counter(layer.kind for layer in stored)
    wanted = Counter([spec.kind for spec in weighted] + ["Dense"] * len(units))
    if counts != wanted:
        raise ValueError(f"not Xception: has weights of {dict(counts)}; expected {dict(wanted)}")
    if not units:
        raise ValueError("Xception without a head: it has no Dense layer, so no scores")
    streams = {kind: iter([layer for layer in stored if layer.kind == kind]) for kind in ROLES}
    weights = [_read_layer(next(streams[spec.kind]), spec.shapes, spec.name) for spec in weighted]
    width = FEATURES
    for number, (count, biased) in enumerate(zip(units, biases, strict=True), start=1):
        shapes: dict[str, Shape] = {"kernel": (width, count)}
        if biased:
            shapes["bias"] = (count,)
        arrays = _read_layer(next(streams["Dense"]), shapes, f"dense layer {number}")
        weights.append({"bias": np.zeros(count, np.float32), **arrays})
        width = count
    return weights


def _read_layer(stored: _Stored, shapes: Mapping[str, Shape], name: str) -> Weights:
    datasets = stored.by_role()
    if datasets.keys() != shapes.keys():
        raise ValueError(f"layer {stored.name!r} has {list(datasets)}; expected {list(shapes)}")
    arrays: Weights = {}
    for role, shape in shapes.items():
        dataset, where = datasets[role], f"{role} of layer {stored.name!r}"
        if dataset.shape != shape:  # before a byte of it is read
            raise ValueError(f"{where} has shape {dataset.shape}; expected {shape} of {name}")
        if dataset.dtype.kind != "f" or dataset.external or dataset.is_virtual:
            raise ValueError(f"{where} must be floats in this file, not {dataset.dtype}")
        arrays[role] = np.asarray(dataset[()], np.float32)
        if not np.isfinite(arrays[role]).all():
            raise ValueError(f"{where} has NaN or infinite values")
    if "variance" in arrays and arrays["variance"].min() < 0:
        raise ValueError(f"variance of layer {stored.name!r} has negative values")
    return arrays
