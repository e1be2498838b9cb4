"""Contenders as processes that take turns, and what is written of them.

Every contender is a process of its own that has loaded the model and waits. In each round they run
one after the other, so that what slows the machine slows them all; medians are compared. The order
turns from round to round, because memory that one has just given back costs the next one page
faults. The first run of a process is its cold time; before each later one it runs a few points
untimed, because what has lain idle for minutes may have been paged out. The peak memory of a run
is its process's, libraries and loading included; on CUDA what torch allocated on the device.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import models
import numpy as np

HERE = Path(__file__).parent
TUNED = ("captum", "saliency", "expert")
BATCH_SIZES = {"cpu": (1, 2, 4, 8), "cuda": (8, 16, 32, 64)}
CAPTUM_RULES = ("riemann_trapezoid", "riemann_middle", "gausslegendre")
TUNING_POINTS = {"cpu": 16, "cuda": 64}


class Failed(RuntimeError):
    """A contender could not load, raised an exception or died; the text says which."""


class Contender:
    """A process that explains what it is asked to."""

    def __init__(self, name, job, captum=None):
        python, script = sys.executable, "contenders.py"
        if name == "keras":
            python, script = job["tensorflow"], "keras_example.py"
        places = [str(Path(captum).resolve())] if captum else []
        places += filter(None, [os.environ.get("PYTHONPATH")])
        self.process = subprocess.Popen(
            [python, str(HERE / script), name, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        )
        self.facts = self._listen()

    def ask(self, **request):
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise Failed("its process died") from None
        return self._listen()

    def close(self):
        with contextlib.suppress(BrokenPipeError):  # of a process that died
            self.process.stdin.close()
        self.process.wait()

    def _listen(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"its process ended with status {self.process.wait()} (memory?)")
        answer = json.loads(line)
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer


def interleave(entries, repeats):
    """Run {label: (contender, request)} in rounds, the first of them cold: {label: [reply]}."""
    replies = {label: [] for label in entries}
    for turn in range(repeats + 1):
        labels = list(replies)
        if not labels:
            raise Failed("all of them failed")
        first = turn % len(labels)
        for label in labels[first:] + labels[:first]:
            contender, request = entries[label]
            try:
                reply = contender.ask(**request, warm_up=turn > 0)
            except Failed as failure:
                say(f"{label} is left out: {failure}")
                del replies[label]
                continue
            replies[label].append(reply)
            say(f"  {'warm' if turn else 'cold'} {reply['seconds']:8.2f} s  {label}")
    return replies


def tune(name, job, case, captum=None):
    """Return the quickest options by the medians of three warm rounds, {} for who has none.

    Captum's rule comes after its internal_batch_size: at equally many points rules cost the same.
    """
    if name not in TUNED:
        return {}
    say(f"tuning {name}")
    with contextlib.closing(Contender(name, job, captum)) as contender:

        def quickest(choices):
            asked = {**case, "points": TUNING_POINTS[kind(job)]}
            named = {str(choice): choice for choice in choices}
            replies = interleave({n: (contender, asked | c) for n, c in named.items()}, 3)
            return named[min(replies, key=lambda n: warm(replies[n]))]

        first = {"rule": CAPTUM_RULES[0]} if name == "captum" else {}
        best = quickest([first | {"batch_size": n} for n in BATCH_SIZES[kind(job)]])
        if name == "captum":
            best = quickest([best | {"rule": rule} for rule in CAPTUM_RULES])
        return best


def kind(job):
    return job["device"].split(":")[0]


def warm(replies):
    """Return the median of the warm runs, or the cold one if it is alone."""
    return statistics.median(reply["seconds"] for reply in replies[1:] or replies)


def times(replies, ours):
    """Return how many times our time another took: the median of the rounds' ratios."""
    pairs = zip(replies[1:] or replies, ours[1:] or ours, strict=True)
    return statistics.median(a["seconds"] / b["seconds"] for a, b in pairs)


def save_case(folder, images, targets):
    """Write pictures where contenders read them; return that part of a request."""
    path = Path(folder) / f"images-{len(list(Path(folder).iterdir()))}.npy"
    np.save(path, np.asarray(images, np.float32))
    return {"images": str(path), "targets": [int(target) for target in targets]}


def relative_error(found, truth):
    found, truth = (np.asarray(array, np.float64) for array in (found, truth))
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


# ---- Arguments and reports -----------------------------------------------------------------------


def parser(description, model="kitchen", output="softmax"):
    """Return a parser of the options that every comparison has."""
    found = argparse.ArgumentParser(description=description.splitlines()[0])
    found.add_argument("--model", choices=models.SIZES, default=model, help=f"default: {model}")
    found.add_argument("--size", type=int, help="side of the images (default: the model's)")
    found.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    found.add_argument("--precision", choices=["ieee", "tf32"], default="ieee")
    found.add_argument("--output", choices=["softmax", "logit"], default=output)
    found.add_argument("--repeats", type=int, default=5, help="warm rounds (default: 5)")
    found.add_argument("--captum", help="a wheel or folder to find Captum in")
    found.add_argument("--out", type=Path, help="write FILE.json, and FILE.md beside it")
    return found


def make_job(options, model):
    return {
        "model": model,
        "size": options.size or models.SIZES[model],
        "device": options.device,
        "precision": options.precision,
        "output": options.output,
    }


def about(contenders):
    """Say when and where, and with which versions."""
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if "model name" in line), "?")
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "load_before": round(LOAD_BEFORE, 2),
        "versions": {},
    }
    for contender in contenders:
        found["versions"] |= contender.facts["versions"]
        if "gpu" in contender.facts:
            found["machine"] = f"{contender.facts['gpu']}, {found['machine']}"
    return found


LOAD_BEFORE = os.getloadavg()[0]


def table(rows, columns):
    """Return rows as Markdown; columns are (heading, key, format), and what is missing is blank."""
    lines = [[heading for heading, _, _ in columns], ["---"] * len(columns)]
    for row in rows:
        cells = [(row.get(key), style) for _, key, style in columns]
        lines.append(["" if value is None else format(value, style) for value, style in cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(title, facts, sections, out=None):
    """Print, and write, sections of (heading, rows, columns, remarks)."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    parts = [
        f"# {title}",
        f"{facts['date']}, {facts['machine']}, load before {facts['load_before']}; {versions}.",
    ]
    for heading, rows, columns, remarks in sections:
        parts += [f"## {heading}", table(rows, columns), *remarks]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if out:
        results = {heading: {"rows": r, "remarks": m} for heading, r, _, m in sections}
        out.with_suffix(".md").write_text(text)
        out.with_suffix(".json").write_text(
            json.dumps({"title": title, **facts, "results": results}, indent=2) + "\n"
        )


def say(text):
    print(text, file=sys.stderr, flush=True)
