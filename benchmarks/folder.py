"""What a folder of photographs costs: the report, the bytes, and workers of a cluster.

    python benchmarks/folder.py [--model lite0] [--photographs 64] [--points 17] [--out FILE.json]

`intgrad explain` from the loaded model to the last file, with its report and without, in turns; the
bytes that each photograph takes; and what one and two workers of Ray, of a thread each, explain in
a second, from when each has written its first file.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import contenders
import harness
import models
import photographs
from PIL import Image

VARIANTS = {"with the report": True, "without": False}
SCRIPT = """
import json, sys, time
from intgrad.command_line import explain, main, writing
from intgrad.report.writing import Report

inner = explain._explain_here

def timed(work, options):
    start = time.perf_counter()
    failures = inner(work, options)
    sys.stderr.write(json.dumps(time.perf_counter() - start) + "\\n")
    return failures

explain._explain_here = timed
if sys.argv[1] == "False":
    writing.make_view = writing.make_thumbnail = lambda *arguments: b""
    Report.__init__ = lambda self, *arguments: None
    Report.add = Report.fail = Report.finish = lambda self, *arguments: None
sys.exit(main.main(sys.argv[2:]))
"""


def make_photographs(folder, count):
    """Write as many photographs, of several sizes: cut out of those that there are."""
    paths = photographs.fetch()
    for number in range(count):
        with Image.open(paths[number % len(paths)]) as image:
            cut = number // len(paths)
            width, height = image.size
            box = (cut * width // 20, cut * height // 20, width, height)
            image.convert("RGB").crop(box).save(folder / f"{number:04}.jpg", quality=92)


def make_archive(job, path):
    import torch

    import intgrad

    module = models.load(job["model"], job["size"])
    traced = torch.jit.trace(module, torch.zeros(1, 3, job["size"], job["size"]))
    facts = {"preprocess": "none", "input_size": (job["size"],) * 2, "scores": "logits"}
    intgrad.save_model(traced, path, **facts)


def explain(folder, archive, out, points, has_report):
    """Explain a folder in a process of its own; return its seconds and bytes a photograph."""
    words = ["explain", folder, "--model", archive, "--steps", points - 1, "--out", out]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(has_report), *map(str, words), "--device=cpu"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = next(float(line) for line in done.stderr.splitlines() if line[:1].isdigit())
    count = len(list(folder.iterdir()))
    sizes = {}
    for path in filter(Path.is_file, out.rglob("*")):
        kind = "report" if "report" in path.parts or path.suffix == ".html" else path.suffix[1:]
        sizes[kind] = sizes.get(kind, 0) + path.stat().st_size / count
    shutil.rmtree(out)
    return seconds, sizes


def run_workers(folder, archive, out, points, workers):
    """Return photographs a second, from when each worker has written its first file."""
    words = ["explain", folder, "--model", archive, "--steps", points - 1, "--out", out]
    command = [sys.executable, "-m", "intgrad", *words, "--ray", f"--workers={workers}"]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*map(str, command), "--device=cpu"], check=True, env=environment, **quiet)
    written = sorted(path.stat().st_mtime for path in (out / "rows").glob("*.parquet"))
    count = len(list(folder.iterdir())) * (len(written) - workers) / len(written)
    shutil.rmtree(out)
    return count / (written[-1] - written[workers - 1])


def main():
    parser = harness.parser(__doc__, model="lite0")
    parser.add_argument("--photographs", type=int, default=64, help="default: 64")
    parser.add_argument("--points", type=int, default=17, help="default: 17")
    options = parser.parse_args()
    job = harness.make_job(options, options.model)
    seconds = {name: [] for name in VARIANTS}
    rates, sizes = {1: [], 2: []}, {}
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (scratch / "photographs").mkdir()
        make_photographs(scratch / "photographs", options.photographs)
        make_archive(job, scratch / "model.pt")
        case = (scratch / "photographs", scratch / "model.pt", scratch / "out", options.points)
        for _ in range(options.repeats):
            for name, has_report in VARIANTS.items():
                spent, found = explain(*case, has_report)
                seconds[name].append(spent / options.photographs)
                sizes = found if has_report else sizes
                harness.say(f"{name}: {seconds[name][-1]:.3f} s a photograph")
        start = time.perf_counter()
        for _ in range(2):
            for workers in rates:
                rates[workers].append(run_workers(*case, workers))
                harness.say(f"{workers} workers: {rates[workers][-1]:.2f} photographs a second")
        harness.say(f"{time.perf_counter() - start:.0f} s for workers")
    pairs = zip(*seconds.values(), strict=True)
    share = statistics.median(report / plain - 1 for report, plain in pairs)
    report(options, job, seconds, share, sizes, rates)


def report(options, job, seconds, share, sizes, rates):
    times = [{"what": name, "seconds": statistics.median(found)} for name, found in seconds.items()]
    times.append({"what": f"the report's share: {share:.1%}"})
    workers = [
        {"workers": count, "rate": max(found), "times": max(found) / max(rates[1])}
        for count, found in rates.items()
    ]
    kinds = [{"kind": kind, "kb": size / 1000} for kind, size in sorted(sizes.items())]
    kinds.append({"kind": "all", "kb": sum(sizes.values()) / 1000})
    sections = [
        (
            f"Seconds a photograph, {options.points} points",
            times,
            [("explain", "what", ""), ("s", "seconds", ".3f")],
            [],
        ),
        (
            "Photographs a second by workers of one thread",
            workers,
            [("workers", "workers", ""), ("a second", "rate", ".2f"), ("times", "times", ".2f")],
            ["The better of two runs."],
        ),
        (
            "Kilobytes a photograph",
            kinds,
            [("file", "kind", ""), ("kB", "kb", ".0f")],
            [],
        ),
    ]
    facts = harness.about([]) | {"versions": contenders.VERSIONS, "all": json.dumps(seconds)}
    harness.report(f"A folder, {options.model}", facts | job, sections, options.out)


if __name__ == "__main__":
    main()
