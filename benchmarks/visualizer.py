"""GradVisualizer.process_grads beside the seed's code (NumPy and SciPy), in one run, one thread.

    python benchmarks/visualizer.py [--out results/visualizer.json] [--quick]

Maps are float32 and look like a real network's (tests/seed_twin.py says how alike), photographs are
uint8, as in the seed. The two codes take turns, and each timed call follows an untimed one of the
same code, so that neither pays for what the other left of the cache and of the allocator's pages.
Memory is the peak of a fresh process above what it held with its inputs loaded.
"""

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from seed_twin import FULL, SeedVisualizer, attributions_like, photograph_like

import intgrad

PLAIN = {}
# Side, options, rounds, rounds of the seed, least ratio, most milliseconds. The seed's code would
# take over 21 GB for the last.
CASES = [
    (299, "plain", PLAIN, 31, 31, 10, None),
    (299, "full", FULL, 31, 31, 10, None),
    (1024, "plain", PLAIN, 15, 15, 10, None),
    (1024, "full", FULL, 15, 3, 40, None),
    (2048, "plain", PLAIN, 9, 9, None, None),
    (2048, "full", FULL, 9, 0, None, 150),
]
MOST_MEGABYTES = 200

CHILD = """
import re, sys
import numpy as np
from intgrad import GradVisualizer

def status(name):
    return int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

image, attributions = (np.load(path) for path in sys.argv[1:3])
visualizer = GradVisualizer()
options = {options!r}
visualizer.process_grads(image[:50, :50], attributions[:50, :50], **options)
open("/proc/self/clear_refs", "w").write("5")  # forgets the peak so far
before = status("VmRSS")
result = visualizer.process_grads(image, attributions, **options)
print(status("VmHWM") - before)
"""


def timed(call):
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(side, options, rounds, seed_rounds):
    """Median milliseconds of ours and of the seed's code, which is NaN where it is left out."""
    attributions = attributions_like((side, side), dtype=np.float32)
    image = photograph_like((side, side))
    ours, seed = [], []
    for k in range(rounds):
        ours.append(timed(lambda: OURS.process_grads(image, attributions, **options)))
        if k < seed_rounds:
            seed.append(timed(lambda: SEED.process_grads(image, attributions, **options)))
    return 1e3 * statistics.median(ours), 1e3 * statistics.median(seed) if seed else float("nan")


def measure_megabytes(side, options):
    """Peak memory of one call beyond its inputs, the result included."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/image.npy", f"{folder}/attributions.npy"]
        np.save(paths[0], photograph_like((side, side)))
        np.save(paths[1], attributions_like((side, side), dtype=np.float32))
        code = CHILD.replace("{options!r}", repr(options))
        done = subprocess.run(
            [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
        )
    return float(done.stdout)


def machine():
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":")[1].strip()
            break
    return {"processor": model, "system": platform.platform()}


OURS, SEED = intgrad.GradVisualizer(), SeedVisualizer()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="write the results to this JSON file as well")
    parser.add_argument("--quick", action="store_true", help="299 x 299 only, three rounds")
    arguments = parser.parse_args()
    rows = []
    print(f"{'process_grads':16} {'ours':>10} {'the seed':>12} {'ratio':>8}   target")
    for side, name, options, rounds, seed_rounds, least_ratio, most in CASES:
        if arguments.quick:
            if side > 299:
                continue
            rounds, seed_rounds = 3, 3
        ours, seed = measure(side, options, rounds, seed_rounds)
        target = f">= {least_ratio}x" if least_ratio else f"< {most} ms" if most else ""
        rival = f"{seed:9.1f} ms {seed / ours:7.1f}x" if seed_rounds else f"{'-':>12} {'-':>8}"
        print(f"{side:4} {name:11} {ours:7.2f} ms {rival}   {target}", flush=True)
        rows.append(
            {
                "side": side,
                "options": name,
                "ours_ms": round(ours, 3),
                "seed_ms": round(seed, 3) if seed_rounds else None,
                "ratio": round(seed / ours, 2) if seed_rounds else None,
                "rounds": [rounds, seed_rounds],
                "target": target,
                "met": bool(
                    (least_ratio is None or seed / ours >= least_ratio)
                    and (most is None or ours < most)
                ),
            }
        )
    memory = None
    if not arguments.quick:
        memory = round(measure_megabytes(2048, FULL), 1)
        print(f"2048 full: {memory} MiB beyond its inputs, 96 of them its result   < 200 MB")
    if arguments.out:
        report = {
            "what": "GradVisualizer.process_grads beside the seed's code, one thread, medians",
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": {
                "intgrad": intgrad.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "scipy": scipy.__version__,
            },
            "rows": rows,
            "memory_2048_full_mib": memory,
            "memory_met": memory is not None and memory * 2**20 < MOST_MEGABYTES * 10**6,
        }
        Path(arguments.out).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
