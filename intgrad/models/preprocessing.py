"""What turns photographs into pixels 0..255, and these into what a network was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._caller import caller_level
from .._core import ModelError
from ..images.transform import FIELDS, ImageTransform
from .model import check_int

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FORMS = (
    "'xception' | 'imagenet' | 'none' | {'mean': m, 'std': s} | (scale, offset) | a timm data"
    " config | torchvision transforms | a transformers image processor, or its JSON"
)
NAMES = ("xception", "imagenet", "none")
CHANNEL_ORDERS = ("RGB", "BGR")
IS_MODEL = (
    "; this is the configuration of a model: that of its pictures is in preprocessor_config.json"
)
BYTE = 1 / 255
"""The usual `rescale_factor`: what makes 0..1 of pixels."""


@dataclass(frozen=True)
class Preprocessing:
    """All that is done to a photograph before a network sees it.

    Attributes
    ----------
    scale, offset : list of float
        Of x * scale + offset on RGB pixels 0..255; both empty where nothing is to be done.
    transform : ImageTransform or None
        What makes a photograph a picture of the right size; None if nobody said.
    channel_order : {"RGB", "BGR"}
        Of the network.
    channels : int or None
        Of a picture; None if nobody said.
    """

    scale: list[float]
    offset: list[float]
    transform: ImageTransform | None = None
    channel_order: str = "RGB"
    channels: int | None = None

    @property
    def affine(self) -> tuple[list[float], list[float]]:
        """Scale and offset."""
        return self.scale, self.offset

    def agree_on_size(self, input_size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Return the input size that was given or is known, which must not contradict."""
        known = None if self.transform is None else self.transform.crop_size
        if None not in (input_size, known) and input_size != known:
            raise ValueError(f"preprocess makes pictures of {known}, got input_size={input_size}")
        return input_size or known

    def agree_on_channels(self, channels: int | None) -> int | None:
        """Return the number of channels that was given or is known, which must not contradict."""
        if channels is not None:
            check_int(channels, "channels")
        if None not in (channels, self.channels) and channels != self.channels:
            raise ModelError(f"preprocess is for {self.channels} channels, got {channels=}")
        return channels or self.channels


def normalising(
    mean: Any = 0.0,
    std: Any = 1.0,
    *,
    rescale_factor: float = BYTE,
    channel_order: str = "RGB",
    transform: ImageTransform | None = None,
    channels: int | None = None,
) -> Preprocessing:
    """Make it of (x * rescale_factor - mean) / std, with numbers or one per channel.

    Mean and std are in the order of the network's channels.

    Raises
    ------
    ValueError
        If they are no finite numbers, or not as many as there are channels.
    """
    means, deviations = _to_channels((mean, std), {"mean": mean, "std": std})
    if min(map(abs, deviations)) == 0 or not np.isfinite(rescale_factor) or not rescale_factor:
        raise ValueError(f"std and rescale_factor must not be 0, got {std!r}, {rescale_factor!r}")
    if channel_order == "BGR" and (channels not in (None, 3) or len(means) not in (1, 3)):
        raise ValueError(f"channel_order='BGR' is for 3 channels, got {channels or len(means)}")
    if channel_order == "BGR":
        means, deviations = means[::-1], deviations[::-1]
    if channels not in (None, len(means)) and len(means) > 1:
        raise ValueError(f"mean={mean!r} and std={std!r} are not those of {channels} channels")
    return Preprocessing(
        [rescale_factor / s for s in deviations],
        [-m / s for m, s in zip(means, deviations, strict=True)],
        transform,
        channel_order,
        3 if channel_order == "BGR" else channels or (len(means) if len(means) > 1 else None),
    )


def shorten(value: Any) -> str:
    """Return a value as it prints, in a line that is not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def read_own(spec: Mapping[str, Any]) -> Preprocessing:
    """Make it of a dict as `load_model` describes it.

    Raises
    ------
    ValueError
        If a key is unknown or its value makes no sense.
    """
    fields = dict(spec)
    known = ("mean", "std", "rescale_factor", "channel_order", "channels", *FIELDS)
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise ValueError(
            f"preprocess={shorten(spec)}: there is no {unknown[0]!r} among {', '.join(known)}"
            + (IS_MODEL if "model_type" in fields else "")
        )
    if ("mean" in fields) != ("std" in fields):
        raise ValueError(f"preprocess={shorten(spec)}: mean and std go together")
    mean, std = fields.pop("mean", 0.0), fields.pop("std", 1.0)
    order = fields.pop("channel_order", "RGB")
    channels = fields.pop("channels", None)
    rescale = fields.pop("rescale_factor", BYTE)
    if order not in CHANNEL_ORDERS:
        raise ValueError(f"channel_order must be 'RGB' or 'BGR', got {order!r}")
    if not isinstance(rescale, int | float) or isinstance(rescale, bool):
        raise ValueError(f"rescale_factor must be a number such as 1 / 255, got {rescale!r}")
    if rescale == BYTE:
        check_units(mean, std)
    try:
        transform = ImageTransform.from_dict(fields) if fields else None
    except ValueError as error:
        raise ValueError(f"preprocess={shorten(spec)}: {error}") from None
    return normalising(
        mean,
        std,
        rescale_factor=rescale,
        channel_order=order,
        transform=transform,
        channels=None if channels is None else check_int(channels, "channels"),
    )


def check_units(mean: Any, std: Any) -> None:
    """Raise a ValueError if mean and std are no numbers, or in units of 0..255."""
    spec = {"mean": mean, "std": std}
    first, second = _to_channels((mean, std), spec)
    if max(abs(np.concatenate([first, second]))) > 3 or min(second) <= 0:
        raise ValueError(
            "preprocess={'mean': ..., 'std': ...} is in units of 0..1, as torchvision has it,"
            f" and std is positive, got {spec!r}: divide units of 0..255 by 255"
        )


def check_preprocess(preprocess: Any) -> tuple[list[float], list[float]]:
    """Return (scale, offset) of x * scale + offset, both empty for "none" or None.

    Raises
    ------
    ValueError
        If it is none of the forms that `load_model` takes.
    """
    if preprocess is None or (isinstance(preprocess, str) and preprocess == "none"):
        return [], []
    if isinstance(preprocess, str) and preprocess == "xception":
        return [1 / 127.5], [-1.0]
    if isinstance(preprocess, str) and preprocess == "imagenet":
        return normalising(IMAGENET_MEAN, IMAGENET_STD).affine
    if isinstance(preprocess, Mapping) and set(preprocess) == {"mean", "std"}:
        check_units(preprocess["mean"], preprocess["std"])
        return normalising(preprocess["mean"], preprocess["std"]).affine
    scale, offset = _to_channels(preprocess, preprocess)
    if all(0.05 < each < 1 for each in (*scale, *offset)):
        warnings.warn(
            f"preprocess={preprocess!r} is (scale, offset) and makes {offset[0]:.3g} .."
            f" {255 * scale[0] + offset[0]:.3g} of pixels 0..255; if it is (mean, std), pass"
            " preprocess={'mean': ..., 'std': ...}",
            stacklevel=caller_level(),
        )
    return scale, offset


def _to_channels(pair: Any, preprocess: Any) -> tuple[list[float], list[float]]:
    """Return two equally long lists of finite numbers, one for each channel or one for all."""
    try:
        first, second = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(part, np.float64)) for part in pair)
        )
        if first.ndim == 1 and first.size and np.isfinite([first, second]).all():
            return first.tolist(), second.tolist()
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"preprocess must be {FORMS}, finite numbers or one per channel, got {preprocess!r}"
    )
