"""transformers' image processors: their `to_dict`, which is their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...images.arrays import check_size
from ...images.transform import ImageTransform
from ..model import check_int
from ..preprocessing import BYTE, Preprocessing, normalising
from .unknown import refuse

KEYS = {"image_processor_type", "feature_extractor_type", "image_mean", "resample"} | {
    f"do_{step}" for step in ("resize", "center_crop", "rescale", "normalize", "convert_rgb")
}
SUFFIXES = ("ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor")


@dataclass(frozen=True)
class Kind:
    """What a class of processors does where its JSON is silent.

    Attributes
    ----------
    square : bool
        Whether a `size` of one number is that of both sides, or of the shorter one.
    crops : bool
        The default of `do_center_crop`.
    """

    square: bool = True
    crops: bool = False


PLAIN, SHORTER = Kind(), Kind(square=False, crops=True)
KINDS = {
    "": PLAIN,  # JSON that does not say whose it is
    "Beit": PLAIN,
    "Bit": SHORTER,
    "Blip": PLAIN,
    "CLIP": SHORTER,
    "ChineseCLIP": SHORTER,
    "ConvNext": Kind(square=False),
    "DINOv3ViT": PLAIN,
    "DeiT": Kind(crops=True),
    "EfficientNet": PLAIN,
    "Levit": SHORTER,
    "MobileNetV1": SHORTER,
    "MobileNetV2": SHORTER,
    "MobileViT": SHORTER,
    "PoolFormer": SHORTER,
    "Pvt": PLAIN,
    "Siglip": PLAIN,
    "ViT": PLAIN,
    "ViTHybrid": SHORTER,
}
"""Those of classifiers; others do what their JSON does not say."""


def describes(config: Mapping[str, Any]) -> bool:
    """Say whether a dict is that of an image processor."""
    return not KEYS.isdisjoint(config)


def read(config: Mapping[str, Any]) -> Preprocessing:
    """Do what the processor does with a photograph.

    Raises
    ------
    ValueError
        If it does what cannot be known of its JSON, or makes pictures of many sizes.
    """
    name = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    short = next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name)
    if short not in KINDS:
        raise refuse(f"nobody can know what transformers' {name} does to a photograph")
    if config.get("do_pad"):
        raise refuse(f"do_pad=True of {name or 'the image processor'} makes pictures of many sizes")
    means, deviations, rescale = _read_normalisation(config, short)
    return normalising(
        means,
        deviations,
        rescale_factor=rescale,
        channel_order="BGR" if _does(config, "flip_channel_order", short == "MobileViT") else "RGB",
        transform=_read_transform(config, short),
    )


def _read_normalisation(config: Mapping[str, Any], kind: str) -> tuple[Any, Any, float]:
    """Return mean, standard deviation and rescale factor."""
    rescale = _number(config, "rescale_factor", BYTE) if _does(config, "rescale", True) else 1.0
    means: Any = 0.0
    deviations: Any = 1.0
    if _does(config, "normalize", True) and kind != "MobileViT":
        means, deviations = _needed(config, "image_mean"), _needed(config, "image_std")
    if kind == "EfficientNet":
        means = [mean + float(_get(config, "rescale_offset", False)) for mean in _list(means)]
        if _get(config, "include_top", True):  # it divides once more
            again = _list(_needed(config, "image_std"))
            many = _list(deviations) * (len(again) if len(_list(deviations)) == 1 else 1)
            means = means * (len(many) if len(means) == 1 else 1)
            deviations = [first * second for first, second in zip(many, again, strict=True)]
    return means, deviations, rescale


def _read_transform(config: Mapping[str, Any], kind: str) -> ImageTransform | None:
    resizes = _does(config, "resize", True)
    crops = _does(config, "center_crop", KINDS[kind].crops)
    if not resizes and not crops:
        return None
    crop = _read_size(config, "crop_size", True) if crops else None
    if crops and not isinstance(crop, tuple):
        raise refuse(f"crop_size={config['crop_size']!r} makes pictures of many sizes")
    size = _read_size(config, "size", KINDS[kind].square) if resizes else None
    if resizes and kind in ("ConvNext", "Levit", "PoolFormer"):
        size, own_crop = _enlarge(size, kind, config)
        crop = crop or own_crop
    if crop is None and not isinstance(size, tuple):
        raise refuse(f"size={config['size']!r} without a crop makes pictures of many sizes")
    fields = {"crop_size": crop or size, "resize_size": size, "centering": "transformers"}
    if resizes:
        fields["interpolation"] = _needed(config, "resample")
    if kind == "DINOv3ViT":
        fields["dtype"] = "float32"  # it rescales first
    return ImageTransform.from_dict(fields)


def _enlarge(
    size: int | tuple[int, int] | None, kind: str, config: Mapping[str, Any]
) -> tuple[int | tuple[int, int] | None, tuple[int, int] | None]:
    """Return what these classes resize to, and what they crop themselves."""
    if isinstance(size, tuple):
        if kind == "PoolFormer" and _get(config, "crop_pct", 0.9) is not None:
            pct = float(_get(config, "crop_pct", 0.9))
            height, width = int(size[0] / pct), int(size[1] / pct)
            return (height if height == width else (height, width)), None
        return size, None
    assert size is not None
    if kind == "Levit":
        return int(256 / 224 * size), None
    if kind == "PoolFormer":
        return int(size / float(_get(config, "crop_pct", 0.9))), None
    if size < 384:
        return int(size / float(_get(config, "crop_pct", 224 / 256))), (size, size)
    return (size, size), None


def _read_size(config: Mapping[str, Any], key: str, square: bool) -> int | tuple[int, int]:
    """Return the shorter side, or height and width."""
    size = _needed(config, key)
    if isinstance(size, int):
        return (size, size) if square else size
    if isinstance(size, list | tuple) and len(size) == 2:
        return check_size(size, key)
    if isinstance(size, Mapping):
        said = {name: value for name, value in size.items() if value is not None}
        if set(said) == {"height", "width"}:
            return check_size((said["height"], said["width"]), key)
        if set(said) == {"shortest_edge"}:
            return check_int(said["shortest_edge"], key)
    raise refuse(f"{key}={size!r} makes pictures of many sizes")


def _does(config: Mapping[str, Any], step: str, default: bool) -> bool:
    return bool(_get(config, f"do_{step}", default))


def _get(config: Mapping[str, Any], key: str, default: Any) -> Any:
    value = config.get(key)
    return default if value is None else value


def _number(config: Mapping[str, Any], key: str, default: float) -> float:
    value = _get(config, key, default)
    if not isinstance(value, int | float):
        raise ValueError(f"{key} of the image processor must be a number, got {value!r}")
    return float(value)


def _needed(config: Mapping[str, Any], key: str) -> Any:
    if config.get(key) is None:
        raise ValueError(
            f"the image processor's JSON does not say {key}: pass the processor itself, preprocess="
            "transformers.AutoImageProcessor.from_pretrained(...)"
        )
    return config[key]


def _list(numbers: Any) -> list[float]:
    return [float(each) for each in (numbers if isinstance(numbers, list | tuple) else [numbers])]
