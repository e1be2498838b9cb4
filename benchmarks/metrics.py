"""What each metric says of each method, how sure it is, and how long it takes.

    python benchmarks/metrics.py [--model lite0] [--images 30] [--out FILE.json]

Photographs of all kinds (photographs.py), the top class of each, the softmax. Methods have about as
many gradients as each other; "noise" is random numbers. Means with their standard errors over the
photographs, then which of the differences are real, then the times on two of them: of each method,
and of each metric, for one map and for all of them measured together.
"""

import functools
import time

import contenders
import harness
import numpy as np
import photographs

import intgrad
from intgrad import metrics

GRADIENTS = 49
REFERENCES = 7
STEPS = 50
LEAST = 0.3
"""Probability from which sic takes a photograph; the authors' 0.8 leaves too few."""


def choose_metrics():
    return [
        functools.partial(metrics.deletion, steps=STEPS),
        functools.partial(metrics.insertion, steps=STEPS),
        metrics.aic,
        functools.partial(metrics.sic, least_probability=LEAST),
        metrics.road,
        functools.partial(metrics.road, order="least"),
        functools.partial(metrics.infidelity, draws=128),
        functools.partial(metrics.mu_fidelity, draws=100),
        metrics.sensitivity_n,
    ]


def choose_methods(references):
    path = {"steps": GRADIENTS - 1}
    return {
        "IG": functools.partial(intgrad.integrated_gradients, **path),
        "Blur IG": functools.partial(intgrad.integrated_gradients, path="blur", **path),
        "Guided IG": functools.partial(intgrad.integrated_gradients, path="guided", **path),
        "Expected Gradients": functools.partial(
            intgrad.expected_gradients, references=references, draws=GRADIENTS, seed=0
        ),
        "SmoothGrad": functools.partial(intgrad.smoothgrad, draws=GRADIENTS, seed=0),
        "gradient": intgrad.Model.gradients,
    }


def read_photographs(size, count):
    """Return photographs (count, size, size, 3) drawn from all, and others as references."""
    paths = photographs.fetch()
    most = len(paths) - REFERENCES
    if not 2 <= count <= most:
        raise SystemExit(f"--images must be 2 to {most}, got {count}: no two may be the same")
    order = np.random.default_rng(0).permutation(len(paths))[: count + REFERENCES]
    pixels = np.stack([intgrad.load_image(paths[k], size=(size, size)) for k in order])
    return pixels[:count], pixels[count:]


def make_maps(model, images, targets, methods):
    maps = {}
    for name, explain in methods.items():
        maps[name] = explain(model, images, targets)
        harness.say(f"{name}: explained")
    maps["noise"] = np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
    return maps


def measure_methods(model, images, targets, methods):
    """Return seconds an image of each, all in a call."""
    seconds = {}
    for name, explain in methods.items():
        start = time.perf_counter()
        explain(model, images, targets)
        seconds[name] = (time.perf_counter() - start) / len(images)
        harness.say(f"{name}: {seconds[name]:.2f} s an image")
    return seconds


def tell_means(comparison, seconds):
    rows = {}
    for record in comparison.means:
        row = rows.setdefault(record["method"], {"method": record["method"]})
        row["seconds"] = seconds.get(record["method"])
        row[record["metric"]] = f"{record['mean']:.3g} ± {record['standard_error']:.1g}"
    return list(rows.values())


def tell_pairs(comparison):
    """Return a row for each pair: which metrics prefer whom, at 5 % after correction."""
    rows = {}
    for pair in comparison.pairs:
        row = rows.setdefault(
            (pair["method"], pair["other"]), {"method": pair["method"], "other": pair["other"]}
        )
        if pair["p_corrected"] < 0.05:
            row[pair["metric"]] = pair["better"]
    return list(rows.values())


def measure_time(model, images, targets, maps, chosen):
    """Return seconds an image: of the first map alone, and of all of them together."""
    found = []
    for some in (dict([next(iter(maps.items()))]), maps):
        few = {name: values[:2] for name, values in some.items()}
        start = time.perf_counter()
        metrics.compare(model, images[:2], few, chosen, targets[:2])
        found.append((time.perf_counter() - start) / 2)
    return found


def main():
    parser = harness.parser(__doc__)
    parser.add_argument("--images", type=int, default=30, help="photographs (default: 30)")
    options = parser.parse_args()
    job = harness.make_job(options, options.model)
    model = contenders.load_intgrad(job)
    images, references = read_photographs(job["size"], options.images)
    targets = model.predict(images).argmax(axis=1).tolist()
    methods = choose_methods(references)
    maps = make_maps(model, images, targets, methods)
    chosen = choose_metrics()
    comparison = metrics.compare(model, images, maps, chosen, targets)
    harness.say("measured")
    seconds = measure_methods(model, images[:2], targets[:2], methods)
    names = list(comparison.results)
    times = []
    each = [(name, [metric]) for name, metric in zip(names, chosen, strict=True)]
    for name, some in [*each, ("all of these together", chosen)]:
        one, together = measure_time(model, images, targets, maps, some)
        times.append({"metric": name, "one": one, "together": together})
        harness.say(f"{name}: {one:.2f} s, all maps {together:.2f} s")
    first = [("method", "method", "")]
    sections = [
        (
            f"Means and standard errors over {len(images)} photographs",
            tell_means(comparison, seconds),
            [*first, ("s an image", "seconds", ".2f"), *((n, n, "") for n in names)],
            [f"{n}: {next(iter(comparison.results[n].values())).convention}." for n in names],
        ),
        (
            "Which is better, where the difference is real (p < 0.05, corrected)",
            tell_pairs(comparison),
            [*first, ("other", "other", ""), *((n, n, "") for n in names)],
            [],
        ),
        (
            f"Seconds an image, of two: one map, and all {len(maps)}",
            times,
            [("metric", "metric", ""), ("one map", "one", ".2f"), ("all", "together", ".2f")],
            [],
        ),
    ]
    facts = harness.about([]) | {"versions": contenders.VERSIONS}
    harness.report(f"Metrics, {options.model}", facts | job, sections, options.out)


if __name__ == "__main__":
    main()
