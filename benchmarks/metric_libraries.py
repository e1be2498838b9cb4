"""Deletion and insertion as each library offers them, and the forward passes that they take.

contenders.py names them metrics:LIBRARY. Every map is smoothed noise, the same for all; pixels are
set to black, and put into black, in `points` - 1 steps. Quantus has no insertion and no untouched
picture: its deletion runs twice, over `points` pictures each.
"""

import os
import warnings

import numpy as np
import torch

import intgrad.metrics

BASELINE = 0.0


def make_maps(images):
    """Return (N, H, W) float32, without equal values."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    return np.stack([gaussian_filter(rng.standard_normal(i.shape[:2]), 4) for i in images])


def prepare_intgrad(method, load, job):
    model = load(job)

    def measure(images, targets, points, tolerance=None, batch_size=None):
        maps = make_maps(images)
        found = [
            metric(
                model, images, maps, targets, baseline=BASELINE, steps=points - 1,
                batch_size=batch_size,
            ).values
            for metric in (intgrad.metrics.deletion, intgrad.metrics.insertion)
        ]  # fmt: skip
        return np.stack(found), {"passes": 2 * points * len(images)}

    return measure, {}


def prepare_forward(method, load, job):
    """The passes alone: a frozen graph, channels last, one picture over and over."""
    module = load(job).to(memory_format=torch.channels_last)
    example = torch.zeros(1, 3, job["size"], job["size"], device=job["device"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch 2.13 deprecates TorchScript
        graph = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))

    def measure(images, targets, points, tolerance=None, batch_size=4):
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(job["device"])
        count = 2 * points * len(images)
        with torch.inference_mode():
            for first in range(0, count, batch_size):
                n = min(batch_size, count - first)
                batch = pixels[torch.arange(first, first + n) % len(images)]
                graph(batch.contiguous(memory_format=torch.channels_last)).softmax(1).cpu()
        return None, {"passes": count}

    return measure, {}


def prepare_quantus(method, load, job):
    import quantus

    module = load(job)

    def measure(images, targets, points, tolerance=None, batch_size=16):
        maps = make_maps(images)[:, None].astype(np.float32)
        values = images[0].size
        metric = quantus.PixelFlipping(
            features_in_step=_divisor(values, points),
            normalise=False,
            perturb_baseline=BASELINE,
            disable_warnings=True,
            return_auc_per_sample=False,  # whose np.trapz NumPy 2.4 has no more
        )
        found = [
            metric(
                model=module,
                x_batch=np.ascontiguousarray(images.transpose(0, 3, 1, 2)),
                y_batch=np.asarray(targets),
                a_batch=maps,
                device=job["device"],
                softmax=True,
                batch_size=batch_size,
            )
            for _ in range(2)
        ]
        steps = values // _divisor(values, points)
        return np.asarray(found), {"passes": 2 * steps * len(images)}

    return measure, {"quantus": quantus.__version__}


def prepare_xplique(method, load, job):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from xplique import metrics
    from xplique.wrappers import TorchWrapper

    module = TorchWrapper(load(job), job["device"], requires_grad=False)

    def measure(images, targets, points, tolerance=None, batch_size=16):
        classes = np.eye(1000, dtype=np.float32)[targets]
        maps = make_maps(images).astype(np.float32)
        found = [
            metric(
                module, images, classes, batch_size=batch_size, baseline_mode=BASELINE,
                steps=points - 1, activation="softmax",
            )(maps)
            for metric in (metrics.Deletion, metrics.Insertion)
        ]  # fmt: skip
        return np.asarray(found), {"passes": 2 * points * len(images)}

    return measure, {}


def _divisor(values, points):
    """Return a step that divides the pixels, as Quantus wants it, in about that many steps.

    It counts the values of all channels, of which it takes so many at a time.
    """
    return next(step for step in range(-(-values // points), values) if values // 3 % step == 0)
