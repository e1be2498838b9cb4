"""Who is compared: each loads the same weights and explains the same pictures.

    python benchmarks/contenders.py NAME JOB

is how harness.py starts one; JOB is JSON: model, size, device, precision and output ("logit" or
"softmax"), for intgrad also device_store (where paths are kept), most_mib (that torch may
allocate), and what doors.py asks for. All but intgrad are called an image at a time: Captum cannot
take fewer points at once than it has images, which is too many on a CPU.
"""

import importlib.util
import io
import json
import platform
import statistics
import sys
import time
import warnings
from unittest import mock

import metric_libraries
import models
import numpy as np
import other_methods
import serving
import torch

import intgrad
from intgrad.models.torch import autograd_loading, libtorch_loading

VERSIONS = {
    "intgrad": intgrad.__version__,
    "torch": torch.__version__,
    "numpy": np.__version__,
    "python": platform.python_version(),
}
LIMIT_SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices whose product is timed
BY_HAND = "not installed, its algorithm written out"
CAPTUM_DRAWS_WITH = {
    "matplotlib": "pyplot axes collections colors figure image",
    "mpl_toolkits": "axes_grid1",
    "PIL": "Image",
    "packaging": "version",
    "tqdm": "auto",
}


class CudaMemory:
    """The most memory that torch has allocated on the device since `reset`."""

    def reset(self):
        torch.cuda.reset_peak_memory_stats()

    def peak_mib(self):
        return torch.cuda.max_memory_allocated() / 2**20


def load_intgrad(job):
    source = make_source(models.load(job["model"], job["size"]), job)
    return intgrad.load_model(
        source,
        backend=job.get("backend", "libtorch"),
        input_size=(job["size"], job["size"]),
        preprocess="none",
        scores="logits",
        device=job["device"],
        precision=job["precision"],
    )


def make_source(module, job):
    """Return a module in the form that the job says: itself, its trace or its program."""
    form = job.get("form", "module")
    example = torch.zeros(2, 3, job["size"], job["size"])
    if form == "torchscript":
        archive = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            torch.jit.save(torch.jit.trace(module, example, check_trace=False), archive)
        return archive.getvalue()
    if form == "pt2":
        batch = torch.export.Dim("batch", min=1)
        return torch.export.export(module, (example,), dynamic_shapes=({0: batch},))
    return module


def load_eager(job):
    """What others are given: a plain module from pixels to what is explained."""
    torch.backends.cuda.matmul.allow_tf32 = job["precision"] == "tf32"
    torch.backends.cudnn.allow_tf32 = job["precision"] == "tf32"
    module = models.load(job["model"], job["size"])
    if job["output"] == "softmax":
        module = torch.nn.Sequential(module, torch.nn.Softmax(1))
    return module.eval().to(job["device"])


def one_by_one(explain_one, job):
    """Make a function of NHWC images from one that explains a (1, 3, H, W) tensor."""

    def explain(images, targets, points, tolerance=None, **options):
        maps = []
        for image, target in zip(images, targets, strict=True):
            pixels = np.ascontiguousarray(image.transpose(2, 0, 1))[np.newaxis]
            pixels = torch.from_numpy(pixels).to(job["device"])
            found = explain_one(pixels, target, points, **options)[0]
            maps.append(np.moveaxis(found.detach().cpu().numpy(), 0, -1))
        return np.stack(maps), {"gradients": points * len(images)}

    return explain


# ---- The contenders ------------------------------------------------------------------------------


def prepare_intgrad(job):
    if "most_mib" in job:
        share = job["most_mib"] * 2**20 / torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(share)
    if "device_store" in job:  # there is no public way to choose it
        libtorch_loading._keeps_paths_on_device = lambda device: job["device_store"]
    if job.get("keeps_memory"):
        intgrad.keep_freed_memory()
    if job.get("eager"):  # the module as it is
        autograd_loading._quick_ways = lambda may_fold: []
    start = time.perf_counter()
    model = load_intgrad(job)
    load_seconds = time.perf_counter() - start

    def explain(images, targets, points=None, tolerance=None, beside=0, **options):
        if beside:  # other classes, explained together with the target
            targets = [[(t + k) % model.num_classes for k in range(beside + 1)] for t in targets]
        aim = {"steps": points - 1} if tolerance is None else {"tolerance": tolerance}
        maps, infos = intgrad.integrated_gradients(
            model, images, targets, output=job["output"], return_info=True, **aim, **options
        )
        infos = infos if not beside else [row[0] for row in infos]
        return maps, {
            "gradients": sum(info.evaluations for info in infos),
            "estimated": infos[0].error,
            "batch_size": infos[0].batch_size,
            "load_seconds": load_seconds,
        }

    return explain, {}


def prepare_captum(job):
    module = load_eager(job)
    try:
        attribute, version = captum_attribute(module)
    except ImportError:
        attribute, version = written_out_attribute(module), BY_HAND

    def explain_one(image, target, points, rule=None, batch_size=None):
        options = {} if rule is None else {"method": rule, "internal_batch_size": batch_size}
        return attribute(image, target=target, n_steps=points, **options)

    return one_by_one(explain_one, job), {"captum": version}


def captum_attribute(module):
    """Import Captum; what it draws with is replaced where it is missing."""
    for package, parts in CAPTUM_DRAWS_WITH.items():
        if importlib.util.find_spec(package) is None:
            names = [package, *(f"{package}.{part}" for part in parts.split())]
            sys.modules |= {name: mock.MagicMock() for name in names}
    import captum
    from captum.attr import IntegratedGradients

    return IntegratedGradients(module).attribute, captum.__version__


def written_out_attribute(module):
    """Captum's algorithm, to stand in for it: all points at once unless told otherwise."""

    def attribute(image, target, n_steps, method="gausslegendre", internal_batch_size=None):
        nodes, weights = (
            torch.tensor(values, dtype=torch.float32, device=image.device).view(-1, 1, 1, 1)
            for values in captum_nodes(method, n_steps)
        )
        size = internal_batch_size or n_steps
        total = 0
        for alphas, scales in zip(nodes.split(size), weights.split(size), strict=True):
            points = (alphas * image).requires_grad_()
            (gradient,) = torch.autograd.grad(module(points)[:, target].sum(), points)
            total = total + (gradient * scales).sum(0, keepdim=True)
        return image * total

    return attribute


def captum_nodes(rule, points):
    """Captum's nodes and weights; those of its trapezoid add up to less than 1."""
    if rule == "gausslegendre":
        nodes, weights = np.polynomial.legendre.leggauss(points)
        return (nodes + 1) / 2, weights / 2
    weights = np.full(points, 1 / points)
    if rule == "riemann_middle":
        return (np.arange(points) + 0.5) / points, weights
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, points), weights


def prepare_saliency(job):
    """PAIR's saliency, with the call_model_function that its PyTorch example shows."""
    from importlib.metadata import version

    import saliency.core as saliency

    gradients = other_methods.pair_gradients(load_eager(job), job["device"])
    explainer = saliency.IntegratedGradients()

    def explain(images, targets, points, tolerance=None, batch_size=1):
        maps = [
            explainer.GetMask(
                image, gradients, {"target": target}, x_steps=points, batch_size=batch_size
            )
            for image, target in zip(images, targets, strict=True)
        ]
        return np.stack(maps), {"gradients": points * len(images)}

    return explain, {"saliency": version("saliency")}


def prepare_loop(job):
    """What people write themselves: a point at a time, the trapezoid's weights."""
    module = load_eager(job)

    def explain_one(image, target, points):
        total = torch.zeros_like(image)
        for k in range(points):
            point = (image * (k / (points - 1))).requires_grad_()
            module(point)[0, target].backward()
            total += point.grad * (0.5 if k in (0, points - 1) else 1.0)
        return image * total / (points - 1)

    return one_by_one(explain_one, job), {}


def prepare_expert(job):
    """What an expert writes in Python: a frozen graph, channels last, batches, a float64 sum."""
    torch.backends.cudnn.benchmark = True
    module = load_eager(job).to(memory_format=torch.channels_last)
    example = torch.zeros(1, 3, job["size"], job["size"], device=job["device"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch 2.13 deprecates TorchScript
        graph = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))

    def explain_one(image, target, points, batch_size=4):
        alphas = torch.linspace(0, 1, points, device=image.device).view(-1, 1, 1, 1)
        weights = torch.full((points,), 1 / (points - 1), dtype=torch.float64, device=image.device)
        weights[[0, -1]] /= 2
        total = torch.zeros(image.shape[1:], dtype=torch.float64, device=image.device)
        for part in torch.arange(points, device=image.device).split(batch_size):
            batch = (alphas[part] * image).contiguous(memory_format=torch.channels_last)
            batch.requires_grad_()
            (gradient,) = torch.autograd.grad(graph(batch)[:, target].sum(), batch)
            total += torch.tensordot(weights[part], gradient.double(), 1)
        return image * total

    return one_by_one(explain_one, job), {}


def prepare_limit(job):
    """The multiplications of all points at the rate of a matrix product, and nothing else."""
    from torch.utils.flop_counter import FlopCounterMode

    module = load_eager(job)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, 3, job["size"], job["size"], device=job["device"]))
    flops = 2 * counter.get_total_flops()  # of a point: as many again backward to the pixels
    device = torch.device(job["device"])
    side = LIMIT_SIDE[device.type]
    a, b = torch.rand(2, side, side, device=device)
    products = [lambda: a @ b]
    if device.type == "cpu":  # the BLAS may leave a CPU half idle, and oneDNN not
        kernel = a.view(side, side, 1, 1)
        picture = b.view(1, side, 64, -1).contiguous(memory_format=torch.channels_last)
        products.append(lambda: torch.nn.functional.conv2d(picture, kernel))
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def rate(product):
        times = []
        for _ in range(40):
            wait()
            start = time.perf_counter()
            product()
            wait()
            times.append(time.perf_counter() - start)
        return 2 * side**3 / statistics.median(times)

    def explain(images, targets, points, tolerance=None):
        found = max(map(rate, products))
        cost = {"gradients": points * len(images), "gflops": found / 1e9}
        return None, cost | {"seconds": points * len(images) * flops / found}

    return explain, {}


PREPARE = {
    "intgrad": prepare_intgrad,
    "captum": prepare_captum,
    "saliency": prepare_saliency,
    "loop": prepare_loop,
    "expert": prepare_expert,
    "limit": prepare_limit,
}


def prepare(name, job):
    method, _, library = name.partition(":")
    if library:
        load = load_intgrad if library == "intgrad" else load_eager
        room = metric_libraries if method == "metrics" else other_methods
        explain, versions = getattr(room, f"prepare_{library}")(method, load, job)
    else:
        explain, versions = PREPARE[name](job)
    on_cuda = job["device"].startswith("cuda")
    gpu = {"gpu": torch.cuda.get_device_name(job["device"])} if on_cuda else {}
    return explain, {"versions": VERSIONS | versions, **gpu}


if __name__ == "__main__":
    name, job = sys.argv[1], json.loads(sys.argv[2])
    serving.serve(
        lambda: prepare(name, job), CudaMemory() if job["device"].startswith("cuda") else None
    )
