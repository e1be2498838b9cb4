"""The truth that errors are measured against: a trapezoid of 513 points.

What is computed once is kept in .cache/truth, because for an Xception it takes minutes.
"""

import warnings

import contenders
import models
import numpy as np
import torch

POINTS = 513
BATCH = 32
FOLDER = models.CACHE / "truth"


def attributions(job, name, image, target):
    """Return an image's true attributions."""
    file = cache_file(job, name)
    if not file.is_file():
        save(file, integrate(path_gradients(job, image, target), image))
    return np.load(file)


def path_gradients(job, image, target):
    """Return the (513, H, W, C) gradients from black to the image."""
    model = contenders.load_intgrad(job | {"precision": "ieee"})
    points = np.linspace(0, 1, POINTS, dtype=np.float32).reshape(-1, 1, 1, 1) * image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first points are nearly black, as they should be
        return np.concatenate(
            [
                model.gradients(points[k : k + BATCH], target, output=job["output"])
                for k in range(0, POINTS, BATCH)
            ]
        )


def integrate(gradients, image):
    """Return the trapezoid of gradients at even distances."""
    weights = np.full(len(gradients), 1 / (len(gradients) - 1), np.float32)
    weights[[0, -1]] /= 2
    return image * np.tensordot(weights, gradients, 1)


def cache_file(job, name):
    parts = [job[key] for key in ("model", "size", "device", "output")]
    return FOLDER / f"{'-'.join(map(str, [*parts, name, torch.__version__]))}.npy"


def save(file, array):
    """Write a file that is either whole or not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}")
    np.save(temporary, array)
    temporary.rename(file)
