"""Integrated Gradients of one photograph, ours against the others, side by side in one run.

    python benchmarks/compare.py [--repeats 5] [--steps 50] [--out FILE.json]

Every contender is a process of its own that has loaded the demo's Xception and waits. In each
round they run one after the other, so that what slows the machine slows them all; the medians are
compared. The order turns from round to round, because memory that one has just given back costs
the next one page faults. The first run of a process is its cold time; before each later one it
runs a few points untimed, because what has lain idle for minutes may have been paged out. The peak
memory is that process's.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import demo_files  # noqa: E402

CACHE = Path(os.environ.get("INTGRAD_CACHE", ROOT / ".cache"))
FORK = 1
BATCH_SIZES = (1, 2, 4, 8)  # that Captum is tuned over
WARM_UP_STEPS = 3
NAMES = {
    "intgrad": "intgrad",
    "captum": "Captum, default call",
    "loop": "hand-written PyTorch loop",
    "limit": "matrix-multiply limit",
    **{f"captum-{n}": f"Captum, internal_batch_size={n}" for n in BATCH_SIZES},
}

# ---- Contenders: each gives a function from the number of steps to the attributions --------------


def eager_model():
    """The Keras model as a plain torch module with preprocessing and softmax, ready to explain."""
    import torch

    from intgrad import keras_weights, xception

    keras = keras_weights.read(demo_files.fetch(CACHE) / demo_files.MODEL)
    logits = xception.Xception(keras.head, pooling=keras.pooling)
    logits.load_keras(keras.weights)
    return torch.nn.Sequential(logits, torch.nn.Softmax(1)).eval()


def photograph():
    import intgrad

    path = demo_files.fetch(CACHE) / demo_files.PHOTOGRAPHS / "0412.jpg"
    return intgrad.load_image(path, size=(299, 299))


def to_nchw(image):
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))[None]


def load_demo():
    """The same as an intgrad model."""
    import intgrad
    from intgrad import xception

    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "xception.pt"
        xception.convert(demo_files.fetch(CACHE) / demo_files.MODEL, archive, input_size=(299, 299))
        return intgrad.load_model(archive, device="cpu")


def prepare_intgrad():
    import intgrad

    model, image = load_demo(), photograph()
    return lambda steps: intgrad.integrated_gradients(model, image, FORK, steps=steps)


def prepare_captum(batch_size=None):
    from captum.attr import IntegratedGradients

    explainer = IntegratedGradients(eager_model())
    image = to_nchw(photograph())
    options = {"target": FORK}  # alone, this is the call that its documentation shows
    if batch_size is not None:
        options |= {"method": "riemann_trapezoid", "internal_batch_size": batch_size}

    def explain(steps):
        found = explainer.attribute(image, n_steps=steps + 1, **options)
        return np.moveaxis(found[0].numpy(), 0, -1)

    return explain


def prepare_loop():
    """What people write themselves: a point at a time, the trapezoid's weights."""
    import torch

    model, image = eager_model(), to_nchw(photograph())

    def explain(steps):
        total = torch.zeros_like(image)
        for k in range(steps + 1):
            point = (image * (k / steps)).requires_grad_()
            model(point)[0, FORK].backward()
            total += point.grad * (0.5 if k in (0, steps) else 1.0)
        return np.moveaxis((image * total / steps)[0].numpy(), 0, -1)

    return explain


def prepare_limit():
    """The multiplications of all points at the rate of a 2048^3 sgemm, and nothing else."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = eager_model()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 299, 299))
    flops = 2 * counter.get_total_flops()  # of a point: as many again backward to the pixels
    a, b = torch.rand(2, 2048, 2048)

    def rate():
        times = []
        for _ in range(40):
            start = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - start)
        return 2 * 2048**3 / statistics.median(times)

    return lambda steps: (steps + 1) * flops / rate()


def prepare(name):
    if name.startswith("captum-"):
        return prepare_captum(int(name.removeprefix("captum-")))
    makers = {
        "intgrad": prepare_intgrad,
        "captum": prepare_captum,
        "loop": prepare_loop,
        "limit": prepare_limit,
    }
    return makers[name]()


# ---- Processes -----------------------------------------------------------------------------------


def serve(name, steps, folder):
    """Run once for each line on standard input, and answer with a line of JSON."""
    explain = prepare(name)
    for turn, _ in enumerate(sys.stdin):
        if turn:
            explain(WARM_UP_STEPS)
        start = time.perf_counter()
        result = explain(steps)
        seconds = time.perf_counter() - start
        if name == "limit":
            seconds = result  # what it would have taken
        else:
            np.save(folder / f"{name}.npy", result)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mib": peak}), flush=True)


class Contender:
    def __init__(self, name, steps, folder):
        command = [sys.executable, __file__, "--serve", name, "--steps", str(steps)]
        self.name, self.runs = name, []
        self.process = subprocess.Popen(
            [*command, "--folder", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} died")
        self.runs.append(json.loads(answer))
        print(f"  {NAMES[self.name]}: {self.runs[-1]['seconds']:.2f} s", file=sys.stderr)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()

    def result(self, ours):
        seconds = [run["seconds"] for run in self.runs]
        warm = seconds[1:] or seconds
        return {
            "name": NAMES[self.name],
            "cold_s": seconds[0],
            "warm_median_s": statistics.median(warm),
            "warm_s": warm,
            "peak_mib": self.runs[-1]["peak_mib"],
            "times_ours": statistics.median(
                [
                    mine / our["seconds"]
                    for mine, our in zip(warm, ours.runs[1:] or ours.runs, strict=True)
                ]
            ),
        }


def tune_captum(steps, folder):
    """Find Captum's best internal_batch_size: the second run of each decides."""
    best = None
    for n in BATCH_SIZES:
        contender = Contender(f"captum-{n}", steps, folder)
        contender.run()
        contender.run()
        contender.stop()
        seconds = contender.runs[1]["seconds"]
        if best is None or seconds < best[0]:
            best = (seconds, f"captum-{n}")
    return best[1]


def versions():
    import captum
    import torch

    import intgrad

    return {
        "intgrad": intgrad.__version__,
        "torch": torch.__version__,
        "captum": captum.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if "model name" in line), "?")
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def compare(steps, repeats, folder):
    print("tuning Captum", file=sys.stderr)
    names = ["intgrad", tune_captum(steps, folder), "loop", "limit", "captum"]
    contenders = [Contender(name, steps, folder) for name in names]
    for repeat in range(repeats + 1):
        print(f"round {repeat}" + " (cold)" * (repeat == 0), file=sys.stderr)
        for contender in contenders[repeat % 5 :] + contenders[: repeat % 5]:
            contender.run()
    for contender in contenders:
        contender.stop()
    ours = np.load(folder / "intgrad.npy").astype(np.float64)
    rows = []
    for contender in contenders:
        row = contender.result(contenders[0])
        if contender.name != "limit":
            other = np.load(folder / f"{contender.name}.npy")
            row["off_ours"] = float(np.linalg.norm(other - ours) / np.linalg.norm(ours))
        rows.append(row)
    return rows


def print_table(rows):
    print("| who | cold s | warm s | times ours | peak MiB | differs from ours by |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        off = f"{row['off_ours']:.2%}" if "off_ours" in row else ""
        print(
            f"| {row['name']} | {row['cold_s']:.1f} | {row['warm_median_s']:.1f}"
            f" | {row['times_ours']:.2f} | {row['peak_mib']:.0f} | {off} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="warm rounds (default: 5)")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    parser.add_argument("--serve", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.steps, options.folder)
        return
    demo_files.fetch(CACHE)
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(options.steps, options.repeats, Path(folder))
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
        "points": options.steps + 1,
        "repeats": options.repeats,
    }
    print(f"{about['points']} points of one image, {about['date']}, {about['machine']},", end=" ")
    print(", ".join(f"{name} {version}" for name, version in about["versions"].items()), end="\n\n")
    print_table(rows)
    if options.out:
        options.out.write_text(json.dumps({**about, "results": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
