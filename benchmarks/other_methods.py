"""Blur IG, Guided IG, Expected Gradients and SmoothGrad as each library offers them.

contenders.py names them METHOD:LIBRARY. Every `points` is that many gradients. What fails on the
newest NumPy is patched: PAIR's Guided IG calls np.quantile by an argument that is gone.
"""

import types
import warnings

import numpy as np
import torch

import intgrad

REFERENCES = 7
NOISE = 0.15


def make_references(image, count=REFERENCES):
    """Return pictures to begin at: the image moved and turned over, the same for all."""
    moved = [np.roll(image, 31 * (k + 1), axis=k % 2) for k in range(count)]
    return np.stack([picture[:, ::-1] if k % 2 else picture for k, picture in enumerate(moved)])


# ---- intgrad -------------------------------------------------------------------------------------


def intgrad_calls(model, output):
    common = {"output": output, "return_info": True}
    return {
        "blur": lambda x, t, n: intgrad.integrated_gradients(
            model, x, t, path="blur", steps=n - 1, **common
        ),
        "guided": lambda x, t, n: intgrad.integrated_gradients(
            model, x, t, path="guided", steps=n - 1, **common
        ),
        "expected": lambda x, t, n: intgrad.expected_gradients(
            model, x, t, references=make_references(x), draws=n, seed=0, **common
        ),
        "smoothgrad": lambda x, t, n: intgrad.smoothgrad(
            model, x, t, draws=n, noise=NOISE, seed=0, **common
        ),
    }


def prepare_intgrad(method, load, job):
    call = intgrad_calls(load(job), job["output"])[method]

    def explain(images, targets, points, tolerance=None):
        if method == "expected":  # whose references here are the image's own
            found = [call(x, t, points) for x, t in zip(images, targets, strict=True)]
            maps, infos = zip(*found, strict=True)
        else:
            maps, infos = call(images, targets, points)
        return np.stack(maps), {"gradients": sum(info.evaluations for info in infos)}

    return explain, {}


# ---- PAIR saliency -------------------------------------------------------------------------------


def pair_gradients(module, device):
    def gradients(batch, call_model_args=None, expected_keys=None):
        points = torch.tensor(np.asarray(batch).transpose(0, 3, 1, 2), dtype=torch.float32)
        points = points.to(device).requires_grad_()
        scores = module(points)[:, call_model_args["target"]]
        (found,) = torch.autograd.grad(scores, points, torch.ones_like(scores))
        return {"INPUT_OUTPUT_GRADIENTS": found.permute(0, 2, 3, 1).cpu().numpy()}

    return gradients


def patched_guided():
    from saliency.core import guided_ig

    numpy = types.SimpleNamespace(**{name: getattr(np, name) for name in dir(np)})
    numpy.quantile = lambda values, q, interpolation: np.quantile(values, q, method=interpolation)
    guided_ig.np = numpy
    return guided_ig.GuidedIG()


def prepare_saliency(method, load, job):
    import saliency.core as saliency

    gradients = pair_gradients(load(job), job["device"])
    calls = {
        "blur": lambda x, args, n, size: saliency.BlurIG().GetMask(
            np.float64(x), gradients, args, steps=n, batch_size=size
        ),
        "guided": lambda x, args, n, size: patched_guided().GetMask(
            x, gradients, args, x_baseline=np.zeros_like(x), x_steps=n
        ),
        "smoothgrad": lambda x, args, n, size: saliency.GradientSaliency().GetSmoothedMask(
            x, gradients, args, stdev_spread=NOISE, nsamples=n, magnitude=False
        ),
    }

    def explain(images, targets, points, tolerance=None, batch_size=1):
        maps = [
            calls[method](image, {"target": target}, points, batch_size)
            for image, target in zip(images, targets, strict=True)
        ]
        return np.stack(maps), {"gradients": points * len(images)}

    return explain, {}


# ---- Captum --------------------------------------------------------------------------------------


def prepare_captum(method, load, job):
    from captum.attr import GradientShap, NoiseTunnel, Saliency

    module, device = load(job), job["device"]

    def to_torch(pictures):
        return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).to(device)

    def expected(image, target, points, size):
        """All samples at once is all that GradientShap has; here `size` of them, and again."""
        pixels, total = to_torch(image[np.newaxis]), 0
        references = to_torch(make_references(image))
        for first in range(0, points, size):
            count = min(size, points - first)
            found = GradientShap(module).attribute(
                pixels, references, n_samples=count, stdevs=0.0, target=target
            )
            total = total + found * count
        return total / points

    def smooth(image, target, points, size):
        return NoiseTunnel(Saliency(module)).attribute(
            to_torch(image[np.newaxis]),
            nt_type="smoothgrad",
            nt_samples=points,
            nt_samples_batch_size=size,
            stdevs=NOISE * float(np.ptp(image)),
            target=target,
            abs=False,
        )

    call = {"expected": expected, "smoothgrad": smooth}[method]

    def explain(images, targets, points, tolerance=None, batch_size=1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            maps = [
                call(image, target, points, batch_size)[0].detach().cpu().numpy()
                for image, target in zip(images, targets, strict=True)
            ]
        return np.moveaxis(np.stack(maps), 1, -1), {"gradients": points * len(images)}

    return explain, {}
