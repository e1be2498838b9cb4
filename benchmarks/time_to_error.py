"""Time to a true attribution error of 5 %: ours by `tolerance=`, Captum's by its best rule.

    python benchmarks/time_to_error.py [--model kitchen] [--tolerance 0.05] [--out FILE.json]

The truth is a 513-point trapezoid (truth.py). Ours is told the tolerance and nothing else, and all
that it does counts. Captum is given what its user cannot know: of each of its rules the smallest
number of points whose true error is at most 5 %, and of these the smallest. (Its left and right
rules are left out: at equally many points they are the worst.) To find it, the error of every
rule with 8 to 384 points is estimated from the truth's own gradients, interpolated between
neighbours; then Captum itself runs, from the smallest number upward in steps of 2 %, wherever that
is at most 1.1 times the aim, until its error is small enough. What was found is kept in
.cache/truth.
"""

import contextlib
import json
import math
import statistics
import tempfile
from pathlib import Path

import contenders
import harness
import models
import numpy as np
import truth

MODELS = ("kitchen", "lite0")
AIM = 0.05
NEAR = 1.1  # times the aim, what an estimate must not exceed to be worth a run of Captum
STEP = 1.02
POINTS = range(8, 385)
COLUMNS = (
    ("picture", "picture", ""),
    ("ours s", "ours_s", ".2f"),
    ("gradients", "gradients", ""),
    ("true error", "true_error", ".2%"),
    ("estimated", "estimated", ".2%"),
    ("estimated / true", "ratio", ".2f"),
    ("Captum's rule", "rule", ""),
    ("points", "points", ""),
    ("batch", "batch_size", ""),
    ("Captum s", "captum_s", ".2f"),
    ("true error", "captum_error", ".2%"),
    ("times faster", "times_faster", ".2f"),
)


def estimate_errors(gradients, image, true, rule):
    """Return the estimated error of one of Captum's rules for each number in POINTS."""
    shares = np.zeros((len(POINTS), len(gradients)), np.float32)  # of each gradient in each result
    for row, count in zip(shares, POINTS, strict=True):
        nodes, weights = contenders.captum_nodes(rule, count)
        positions = nodes * (len(gradients) - 1)
        below = np.minimum(positions.astype(int), len(gradients) - 2)
        fraction = positions - below
        np.add.at(row, below, weights * (1 - fraction))
        np.add.at(row, below + 1, weights * fraction)
    found = shares @ gradients.reshape(len(gradients), -1) * image.ravel()
    return np.linalg.norm(found - true.ravel(), axis=1) / np.linalg.norm(true)


def find_points(run_captum, errors, rule, true):
    """Return (points, true error) of the smallest run of a rule that reaches the aim, or None.

    What interpolation misses is a bit of each gradient, so that its square falls as 1 / points; how
    much it is, the runs so far have shown.
    """
    missed, last = [], 0
    for count, estimate in zip(POINTS, errors, strict=True):
        expected = math.sqrt(estimate**2 + max(0.0, statistics.median(missed or [0.0])) / count)
        if expected <= NEAR * AIM and count >= STEP * last:
            last = count
            error = harness.relative_error(run_captum(points=count, rule=rule), true)
            harness.say(f"  {rule} {count}: expected {expected:.2%}, true {error:.2%}")
            if error <= AIM:
                return count, error
            missed.append(count * (error**2 - estimate**2))
    return None


def captums_best(job, name, image, target, run_captum):
    """Return {rule: (points, true error)} and the true attributions, from the cache if there."""
    file = truth.cache_file(job, name).with_suffix(".captum.json")
    if not file.is_file():
        gradients = truth.path_gradients(job, image, target)
        true = truth.integrate(gradients, image)
        errors = {r: estimate_errors(gradients, image, true, r) for r in harness.CAPTUM_RULES}
        del gradients
        found = {r: find_points(run_captum, errors[r], r, true) for r in errors}
        truth.save(truth.cache_file(job, name), true)
        file.write_text(json.dumps(found))
    found = {rule: best for rule, best in json.loads(file.read_text()).items() if best}
    return found, truth.attributions(job, name, image, target)


def measure(job, aim, repeats, captum=None):
    """Return a row for each picture of a model, and the facts."""
    rows = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        named = models.pictures(job["model"], job["size"])
        cases = {
            name: harness.save_case(folder, [image], [target])
            for name, (image, target) in named.items()
        }
        tuned = harness.tune("captum", job, next(iter(cases.values())), captum)
        ours, theirs = (
            stack.enter_context(contextlib.closing(harness.Contender(name, job, captum)))
            for name in ("intgrad", "captum")
        )
        for name, case in cases.items():
            harness.say(f"{job['model']}, {name}")
            saved = {"save": str(folder / "result.npy")}

            def run_captum(case=case, saved=saved, **request):
                theirs.ask(**case, **tuned | request, **saved)
                return np.load(saved["save"])[0]

            rules, true = captums_best(job, name, *named[name], run_captum)
            rule, (points, error) = min(rules.items(), key=lambda item: item[1])
            entries = {
                "ours": (ours, {**case, **aim, **saved}),
                "Captum": (theirs, {**case, **tuned, "rule": rule, "points": points}),
            }
            replies = harness.interleave(entries, repeats)
            off = harness.relative_error(np.load(saved["save"])[0], true)
            captums = {"points": points, "captum_error": error, **tuned, "rule": rule}
            rows.append({"picture": name, **summary(replies, off), **captums, "rules": rules})
        return rows, harness.about([ours, theirs])


def summary(replies, true_error):
    ours, theirs = replies["ours"], replies["Captum"]
    return {
        "ours_s": harness.warm(ours),
        "all_ours_s": [run["seconds"] for run in ours],
        "captum_s": harness.warm(theirs),
        "all_captum_s": [run["seconds"] for run in theirs],
        "gradients": ours[-1]["gradients"],
        "estimated": ours[-1]["estimated"],
        "true_error": true_error,
        "ratio": ours[-1]["estimated"] / true_error,
        "times_faster": harness.times(theirs, ours),
    }


def remarks(rows):
    mean = statistics.geometric_mean(row["times_faster"] for row in rows)
    found = [f"Geometric mean: {mean:.2f} times faster."]
    for row in rows:
        if row["true_error"] > AIM:
            found.append(f"**{row['picture']}: ours is {row['true_error']:.2%} off in truth.**")
    return found


def main():
    parser = harness.parser(__doc__, model=None, output="logit")
    parser.add_argument("--tolerance", type=float, default=AIM, help="that ours is told")
    parser.add_argument("--points", type=int, help="ours at so many points, not by tolerance")
    options = parser.parse_args()
    aim = {"points": options.points} if options.points else {"tolerance": options.tolerance}
    sections, facts = [], {}
    for model in [options.model] if options.model else MODELS:
        job = harness.make_job(options, model)
        rows, facts = measure(job, aim, options.repeats, options.captum)
        heading = f"{model}, {job['size']} pixels, {job['device']}, {job['output']}"
        sections.append((heading, rows, COLUMNS, remarks(rows)))
    title = f"Time to a true error of {AIM:.0%}, ours by {aim}"
    harness.report(title, facts, sections, options.out)


if __name__ == "__main__":
    main()
