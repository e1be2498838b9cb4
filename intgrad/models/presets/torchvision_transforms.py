"""torchvision's transforms: the presets of its weights, and pipelines of steps; timm's as well."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

from ...images.transform import ImageTransform
from ..preprocessing import BYTE, Preprocessing, normalising, shorten
from .unknown import refuse

CONTAINERS = ("Compose", "Sequential")
SEVERAL = ("FiveCrop", "TenCrop")
RANDOM = (
    "AugMix",
    "AutoAugment",
    "ColorJitter",
    "CutMix",
    "ElasticTransform",
    "GaussianBlur",
    "GaussianNoise",
    "MixUp",
    "RandAugment",
    "Random",
    "ScaleJitter",
    "TrivialAugment",
)
"""How the names begin of steps that are drawn at random."""
NOTHING = ("Identity", "ToPureTensor", "RGB")
"""Steps that change nothing of an RGB photograph."""
TO_RGB = re.compile(r"_?convert(_image)?(_to)?_rgb")
"""What functions are called that do nothing else."""
LIBRARIES = ("torchvision", "timm", "torch")
FLOATS = ("torch.float32", "torch.float64")


def are(preprocess: Any) -> bool:
    """Say whether it is a pipeline, a preset or a step."""
    kind = type(preprocess).__name__
    return (
        kind in (*CONTAINERS, *NOTHING, *STEPS)
        or kind.startswith((*RANDOM, *SEVERAL))
        or hasattr(preprocess, "resize_size")
        or isinstance(getattr(preprocess, "transforms", preprocess), functools.partial)
    )


def read(preprocess: Any) -> Preprocessing:
    """Do what the transforms do with a Pillow image.

    Raises
    ------
    ValueError
        If a step cannot be known, or comes at a place that has no meaning; the text names it.
    """
    if isinstance(getattr(preprocess, "transforms", preprocess), functools.partial):
        raise ValueError(
            f"preprocess={shorten(preprocess)} makes transforms, and is none: pass"
            " weights.transforms()"
        )
    if hasattr(preprocess, "resize_size"):
        return _read_preset(preprocess)
    pipeline = _Pipeline()
    for place, step in enumerate(_flatten(preprocess), 1):
        pipeline.add(step, f"step {place}, {shorten(step)},")
    return pipeline.finish()


def _read_preset(preset: Any) -> Preprocessing:
    name = shorten(preset)
    try:
        (crop,), (resize,) = preset.crop_size, preset.resize_size
    except (AttributeError, TypeError, ValueError):
        raise refuse(f"{name} makes pictures of many sizes, or several") from None
    transform = ImageTransform.from_dict(
        {
            "crop_size": crop,
            "resize_size": resize,
            "interpolation": preset.interpolation,
        }
    )
    return normalising(_list(preset.mean), _list(preset.std), transform=transform)


def _flatten(transforms: Any) -> Iterator[Any]:
    if type(transforms).__name__ in CONTAINERS:
        inner = getattr(transforms, "transforms", None)
        for step in transforms.children() if inner is None else inner:
            yield from _flatten(step)
    else:
        yield transforms


def _is_known(step: Any) -> bool:
    """Say whether a step is a library's, whose names mean what they say."""
    return type(step).__module__.partition(".")[0] in LIBRARIES


class _Pipeline:
    """What steps add up to."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._channels: int | None = None
        self._is_tensor = False
        self._is_float = False
        self._rescale = 1.0
        self._normalise: tuple[Any, Any] | None = None

    def add(self, step: Any, name: str) -> None:
        """Add a step; `name` is what messages call it."""
        kind = type(step).__name__
        if kind in NOTHING or TO_RGB.fullmatch(getattr(step, "__name__", "")):
            return
        if kind.startswith(RANDOM):
            raise refuse(f"{name} is drawn at random")
        if kind.startswith(SEVERAL):
            raise refuse(f"{name} makes several pictures of one")
        if kind not in STEPS or not _is_known(step):
            raise refuse(f"nobody can know what {name} does")
        try:
            STEPS[kind](self, step, name)
        except AttributeError:  # it is another library's
            raise refuse(f"nobody can know what {name} does") from None

    def finish(self) -> Preprocessing:
        """Return all of it."""
        if not self._is_tensor:
            raise refuse("the transforms do not say what makes a tensor, such as ToTensor")
        try:
            transform = ImageTransform.from_dict(self._fields) if self._fields else None
        except ValueError as error:
            raise refuse(f"the transforms cannot be a model's: {error}") from None
        mean, std = self._normalise or (0.0, 1.0)
        return normalising(
            mean,
            std,
            rescale_factor=self._rescale,
            transform=transform,
            channels=self._channels,
        )

    def _resize(self, step: Any, name: str) -> None:
        if getattr(step, "max_size", None) is not None:
            raise refuse(f"{name} makes pictures of many sizes by its max_size")
        self._interpolate(step.interpolation, getattr(step, "antialias", True), name)
        self._fields["resize_size"] = _size(step.size)

    def _keep_ratio(self, step: Any, name: str) -> None:
        if step.random_scale_prob or step.random_aspect_prob:
            raise refuse(f"{name} is drawn at random")
        if step.longest not in (0, 1):
            raise refuse(f"{name} has longest={step.longest}, neither 0 nor 1")
        self._interpolate(step.interpolation, True, name)
        self._fields["resize_size"] = tuple(step.size)
        self._fields["resize_mode"] = "contain" if step.longest else "cover"

    def _interpolate(self, interpolation: Any, antialias: Any, name: str) -> None:
        if self._fields or self._normalise is not None:
            raise refuse(f"{name} comes after another resize, a crop or Normalize")
        if self._is_tensor and getattr(interpolation, "value", interpolation) in (0, "nearest"):
            raise refuse(f"{name} comes after a step that makes a tensor, whose nearest is another")
        self._fields["interpolation"] = interpolation
        if self._is_tensor:  # Pillow images are antialiased whatever it says
            self._fields["antialias"] = bool(antialias)
            self._fields["dtype"] = "float32" if self._is_float else "uint8"

    def _crop(self, step: Any, name: str) -> None:
        if "crop_size" in self._fields or self._normalise is not None:
            raise refuse(f"{name} comes after another crop or Normalize")
        size = _size(step.size)
        self._fields["crop_size"] = size
        fill = getattr(step, "fill", 0)
        self._fields["fill"] = tuple(fill) if isinstance(fill, list | tuple) else fill
        if getattr(step, "padding_mode", "constant") != "constant":
            raise refuse(f"{name} pads by {step.padding_mode!r}")

    def _grayscale(self, step: Any, name: str) -> None:
        if self._fields or self._is_tensor or step.num_output_channels != 1:
            raise refuse(f"{name} is known only as the first step, with one channel")
        self._channels = 1

    def _to_floats(self, step: Any, name: str) -> None:
        if not self._is_float:
            self._rescale = BYTE
        self._is_tensor = self._is_float = True

    def _to_bytes(self, step: Any, name: str) -> None:
        self._is_tensor = True

    def _to_dtype(self, step: Any, name: str) -> None:
        if not self._is_tensor or str(step.dtype) not in FLOATS:
            raise refuse(f"{name} does not make float32 of a tensor")
        if getattr(step, "scale", True):
            self._to_floats(step, name)
        self._is_float = True

    def _to_pillow(self, step: Any, name: str) -> None:
        if self._is_tensor:
            raise refuse(f"{name} comes after a step that makes a tensor")

    def _normalize(self, step: Any, name: str) -> None:
        if not self._is_float:
            raise refuse(f"{name} comes before a step that makes a tensor of floats, as ToTensor")
        if self._normalise is not None:
            raise refuse(f"{name} is a second normalisation")
        self._normalise = _list(step.mean), _list(step.std)


STEPS: dict[str, Callable[[_Pipeline, Any, str], None]] = {
    "Resize": _Pipeline._resize,
    "ResizeKeepRatio": _Pipeline._keep_ratio,
    "CenterCrop": _Pipeline._crop,
    "CenterCropOrPad": _Pipeline._crop,
    "Grayscale": _Pipeline._grayscale,
    "ToTensor": _Pipeline._to_floats,
    "MaybeToTensor": _Pipeline._to_floats,
    "PILToTensor": _Pipeline._to_bytes,
    "MaybePILToTensor": _Pipeline._to_bytes,
    "ToImage": _Pipeline._to_bytes,
    "ConvertImageDtype": _Pipeline._to_dtype,
    "ToDtype": _Pipeline._to_dtype,
    "ToPILImage": _Pipeline._to_pillow,
    "Normalize": _Pipeline._normalize,
}


def _size(size: Any) -> Any:
    """Return one number, or height and width."""
    if isinstance(size, int) or size is None:
        return size
    return size[0] if len(size) == 1 else tuple(size)


def _list(numbers: Any) -> Any:
    """Return numbers of a list or a tensor."""
    return [float(each) for each in numbers] if hasattr(numbers, "__len__") else float(numbers)
