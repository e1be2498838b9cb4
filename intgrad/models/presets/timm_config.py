"""timm's data configs: what `timm.data.resolve_model_data_config` returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...images.arrays import check_size
from ...images.transform import ImageTransform
from ..preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, check_units, normalising
from .unknown import refuse

# What timm takes where a config is silent.
INPUT_SIZE, CROP_PCT = (3, 224, 224), 0.875
MODES = {"center": "cover", "squash": "squash", "border": "contain"}


def describes(config: Mapping[str, Any]) -> bool:
    """Say whether a dict is a config, or the `pretrained_cfg` of a model."""
    return "input_size" in config or "crop_pct" in config


def read(config: Mapping[str, Any]) -> Preprocessing:
    """Do what `timm.data.create_transform(**config)` does.

    Raises
    ------
    ValueError
        If it makes no sense, or interpolates at random.
    """

    def get(key: str, default: Any) -> Any:
        value = config.get(key)
        return default if value is None else value

    try:
        channels, *size = get("input_size", INPUT_SIZE)
        crop = check_size(size, "input_size")
        pct = float(get("crop_pct", CROP_PCT))
        scaled = math.floor(crop[0] / pct), math.floor(crop[1] / pct)
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError(
            "a timm data config has input_size=(channels, height, width) and crop_pct, got"
            f" {config.get('input_size')!r} and {config.get('crop_pct')!r}"
        ) from None
    mode = get("crop_mode", "center")
    if not 0 < pct < 10 or min(scaled) < 1:
        raise ValueError(f"crop_pct must be a share such as 0.875, got {config['crop_pct']!r}")
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"crop_mode must be one of {', '.join(MODES)}, got {mode!r}")
    interpolation = get("interpolation", "bicubic")
    if interpolation == "random":
        raise refuse("interpolation='random' is drawn at random")
    mean, std = get("mean", IMAGENET_MEAN), get("std", IMAGENET_STD)
    check_units(mean, std)
    by_one_side = mode == "center" and scaled[0] == scaled[1]  # the two round differently
    return normalising(
        mean,
        std,
        channels=int(channels),
        transform=ImageTransform(
            crop_size=crop,
            resize_size=scaled[0] if by_one_side else scaled,
            resize_mode="shortest_edge" if by_one_side else MODES[mode],
            interpolation=interpolation,
            fill=tuple(round(255 * each) for each in mean) if mode == "border" else 0,
        ),
    )
