"""Integrated Gradients of as many points by us and by others, side by side in one run.

    python benchmarks/compare.py [--model lite0 --images 64] [--device cuda] [--out FILE.json]

One photograph and 51 points of the demo's Xception unless told otherwise. Captum, PAIR's saliency
and the expert's loop are tuned first. `--tensorflow PYTHON` names an interpreter with TensorFlow,
which then runs the Keras example. harness.py says how it is timed.
"""

import contextlib
import tempfile
from pathlib import Path

import contenders
import harness
import models
import numpy as np
import truth

TOLERANCE = 0.05
NAMES = (
    # The limit right after ours, because the speed of the machine drifts.
    *("intgrad", "limit", "tolerance", "expert", "captum", "captum-default"),
    *("saliency", "loop", "keras"),
)
COLUMNS = (
    ("who", "who", ""),
    ("cold s", "cold_s", ".3g"),
    ("warm s", "warm_s", ".3g"),
    ("times ours", "times_ours", ".2f"),
    ("gradients", "gradients", ""),
    ("true error", "true_error", ".1%"),
    ("estimated", "estimated", ".1%"),
    ("peak MiB", "peak_mib", ".0f"),
)
TITLES = {
    "intgrad": "**intgrad**",
    "tolerance": f"intgrad, tolerance={TOLERANCE}",
    "captum-default": "Captum, default call",
    "limit": "matrix-multiply limit",
    "loop": "hand-written PyTorch loop",
    "keras": "Keras example under TensorFlow",
    # The tuned ones.
    "captum": "Captum tuned, {rule}, internal_batch_size={batch_size}",
    "saliency": "PAIR saliency, batch_size={batch_size}",
    "expert": "expert's loop, batches of {batch_size}",
}


def start(name, job, case, points, best, captum):
    """Return a contender and what it is asked."""
    if name == "tolerance":
        return harness.Contender("intgrad", job), {**case, "tolerance": TOLERANCE}
    process = "captum" if name == "captum-default" else name
    return harness.Contender(process, job, captum), {**case, "points": points, **best}


def start_all(names, job, case, tuning_case, points, captum, stack):
    """Return {label: (contender, request)}; each has a process of its own, which `stack` closes."""
    entries = {}
    for name in names:
        try:
            best = harness.tune(name, job, tuning_case, captum)
            contender, request = start(name, job, case, points, best, captum)
        except harness.Failed as failure:
            if name == "intgrad":
                raise  # there is nothing to compare with
            harness.say(f"{name} is left out: {failure}")
            continue
        stack.callback(contender.close)
        label = TITLES[name].format(**best)
        if contender.facts["versions"].get("captum") == contenders.BY_HAND:
            label = label.replace("Captum", "Captum's algorithm, written out")
        entries[label] = (contender, request)
    return entries


def measure(job, names, *, count=1, points=51, repeats=5, captum=None):
    """Return the rows of the table, and when, where and with what they were measured."""
    named = models.pictures(job["model"], job["size"])
    images, targets = models.many(named, count)
    true = truth.attributions(job, next(iter(named)), images[0], targets[0])
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        case = harness.save_case(folder, images, targets)
        tuning_case = harness.save_case(folder, images[:1], targets[:1])
        entries = start_all(names, job, case, tuning_case, points, captum, stack)
        entries = {
            label: (contender, {**request, "save": str(folder / f"result-{k}.npy")})
            for k, (label, (contender, request)) in enumerate(entries.items())
        }
        facts = harness.about(contender for contender, _ in entries.values())
        replies = harness.interleave(entries, repeats)
        return [summary(label, replies, entries, true) for label in replies], facts


def summary(label, replies, entries, true):
    runs = replies[label]
    row = {
        "who": label,
        "cold_s": runs[0]["seconds"],
        "warm_s": harness.warm(runs),
        "all_s": [run["seconds"] for run in runs],
        "times_ours": harness.times(runs, replies[TITLES["intgrad"]]),
        **{key: runs[-1].get(key) for key in ("gradients", "estimated", "peak_mib", "gflops")},
    }
    saved = Path(entries[label][1]["save"])
    if saved.is_file():
        row["true_error"] = harness.relative_error(np.load(saved)[0], true)
    return row


def main():
    parser = harness.parser(__doc__)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--points", type=int, default=51, help="gradients per image (default: 51)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--tensorflow", metavar="PYTHON", help="an interpreter with TensorFlow")
    options = parser.parse_args()
    job, names = harness.make_job(options, options.model), list(options.only)
    if "keras" in names and (not options.tensorflow or options.model != "kitchen"):
        harness.say("the Keras example is left out: it needs --tensorflow and --model kitchen")
        names.remove("keras")
    if "keras" in names:
        job |= {"tensorflow": options.tensorflow, "keras_file": str(models.keras_file())}
    rows, facts = measure(
        job,
        names,
        count=options.images,
        points=options.points,
        repeats=options.repeats,
        captum=options.captum,
    )
    title = f"{options.points} points of {options.images} image(s), {options.model}"
    heading = f"{job['size']} pixels, {job['device']}, {job['precision']}, {job['output']}"
    harness.report(title, {**facts, **job}, [(heading, rows, COLUMNS, [])], options.out)


if __name__ == "__main__":
    main()
