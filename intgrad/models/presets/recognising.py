"""Whose form of preprocessing it is that `load_model` was given."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..preprocessing import NAMES, Preprocessing, check_preprocess, read_own, shorten
from ..wanted import Wanted
from . import timm_config, torchvision_transforms, transformers_processor
from .unknown import refuse

FILES = ("preprocessor_config.json", "processor_config.json", "config.json")
"""What a folder from `save_pretrained` may hold, in the order of preference."""


def read_preprocess(preprocess: Any) -> Preprocessing:
    """Return what `load_model` takes as `preprocess`, read.

    Raises
    ------
    ValueError
        If it is none of its forms, or holds what cannot be known.
    OSError
        If it is a file that cannot be read.
    """
    if isinstance(preprocess, os.PathLike) or _is_file_or_json(preprocess):
        preprocess = read_json(preprocess)
    preprocess = _unwrap(preprocess)
    if isinstance(preprocess, Mapping) and set(preprocess) != {"mean", "std"}:
        if transformers_processor.describes(preprocess):
            return transformers_processor.read(preprocess)
        if timm_config.describes(preprocess):
            return timm_config.read(preprocess)
        return read_own(preprocess)
    if torchvision_transforms.are(preprocess):
        return torchvision_transforms.read(preprocess)
    if callable(preprocess):
        raise refuse(f"nobody can know what preprocess={shorten(preprocess)} does")
    scale, offset = check_preprocess(preprocess)
    return Preprocessing(scale, offset, channels=len(scale) if len(scale) > 1 else None)


def settle(wanted: Wanted) -> tuple[Preprocessing, Wanted]:
    """Return the preprocessing that is asked for, and what is asked for besides, agreed with it."""
    prepared = read_preprocess(wanted.preprocess)
    return prepared, replace(
        wanted,
        input_size=prepared.agree_on_size(wanted.input_size),
        channels=prepared.agree_on_channels(wanted.channels),
    )


def _is_file_or_json(preprocess: Any) -> bool:
    return (
        isinstance(preprocess, str)
        and preprocess not in NAMES
        and (
            preprocess.lstrip().startswith("{")
            or preprocess.endswith(".json")
            or os.path.exists(preprocess)
        )
    )


def read_json(source: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Read JSON, or a file of it, or the one in a folder that describes preprocessing."""
    text, name = os.fspath(source), "preprocess"
    if not text.lstrip().startswith("{"):
        path = Path(text)
        if path.is_dir():
            path = next((path / each for each in FILES if (path / each).is_file()), path / FILES[0])
        name = repr(str(path))
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is no JSON, which is UTF-8: {error}") from None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} is no JSON: {error}") from None
    if not isinstance(found, Mapping):
        raise ValueError(f"{name} must hold a JSON object, got {shorten(found)}")
    return found


def _unwrap(preprocess: Any) -> Any:
    """Return the dict that an object of timm's or transformers' stands for, or what holds it."""
    for attribute in ("image_processor", "data_config"):  # of processors of text and images
        preprocess = getattr(preprocess, attribute, preprocess)
    if hasattr(preprocess, "to_dict") and not isinstance(preprocess, type):
        preprocess = preprocess.to_dict()
    if isinstance(preprocess, Mapping):
        for key in ("image_processor", "pretrained_cfg", "data_config"):
            if isinstance(preprocess.get(key), Mapping):
                return preprocess[key]
    return preprocess
