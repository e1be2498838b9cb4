"""Estimated against true error of the attributions, on two photographs.

    python benchmarks/exactness.py [--output logit] [--model lite0] [--out FILE.json]

The truth is a 513-point trapezoid, which takes a few minutes; its gradients also show how they move
along the path, which is what the estimate rests on (docs/how-it-works.md). Then what two docstrings
quote: bfloat16 on a CPU (`load_model`), and how little two random baselines agree
(`random_baseline_integrated_gradients`: softmax, 20 steps).
"""

import time

import contenders
import harness
import models
import numpy as np
import truth

import intgrad

AIMS = (
    *({"steps": steps} for steps in (8, 16, 32, 50, 64, 128)),
    *({"tolerance": tolerance} for tolerance in (0.2, 0.1, 0.05, 0.025)),
)
RANDOM = {"steps": 20, "output": "softmax", "return_info": True}
ERRORS = (
    ("aim", "aim", ""),
    ("gradients", "gradients", ""),
    ("true error", "true", ".1%"),
    ("estimated", "estimated", ".1%"),
    ("estimated / true", "ratio", ".2f"),
    ("completeness gap", "gap", "+.1%"),
    ("within 1 sd", "within_1", ".0%"),
    ("within 2 sd", "within_2", ".0%"),
)
REGION_AIMS = (
    *({"steps": steps} for steps in (16, 32, 64, 128)),
    *({"tolerance": tolerance, "tolerance_of": "regions"} for tolerance in (0.2, 0.1)),
)
PATCHES = (4, 8, 16)
"""Along each side."""
REGIONS = (("patches", "patches", ""), *(each for each in ERRORS if each[1] != "gap"))
INCREMENTS = (("lag, of 512", "lag", ""), ("increment / mean norm", "increment", ".2f"))
BFLOAT16_STEPS = 16
BFLOAT16 = (("times the time of ieee", "time", ".2f"), ("off ieee", "off", ".1%"))
DRAWS = (("correlation of two draws", "correlation", ".3f"), ("baseline_error", "error", ".0%"))


def measure_picture(model, job, name, image, target):
    """Return the sections of a report that one photograph makes."""
    gradients = truth.path_gradients(job, image, target)
    true, output = truth.integrate(gradients, image), job["output"]
    rows = [measure(model, image, target, true, output, aim) for aim in AIMS]
    regions = [
        measure_regions(model, image, target, true, output, aim, count)
        for count in PATCHES
        for aim in REGION_AIMS
    ]
    increments = measure_increments(gradients)
    return [
        (f"Error of the {output}, {name}", rows, ERRORS, []),
        (f"Error of square regions, {output}, {name}", regions, REGIONS, []),
        (f"How the gradient moves, {name}", increments, INCREMENTS, []),
    ]


def measure(model, image, target, true, output, aim):
    maps, info = intgrad.integrated_gradients(
        model, image, target, output=output, return_info=True, error_map=True, **aim
    )
    error, relative = np.abs(maps - true), harness.relative_error(maps, true)
    return {
        "aim": aim_name(aim),
        "gradients": info.evaluations,
        "estimated": info.error,
        "true": relative,
        "ratio": info.error / relative,
        "gap": info.delta / (info.score - info.baseline_score),
        "within_1": float(np.mean(error <= info.error_map)),
        "within_2": float(np.mean(error <= 2 * info.error_map)),
    }


def measure_regions(model, image, target, true, output, aim, count):
    side = -(-max(image.shape) // count)
    _, info = intgrad.integrated_gradients(
        model, image, target, output=output, return_info=True, segments=side, **aim
    )
    found = info.regions
    sums = np.bincount(found.labels.ravel(), true.sum(axis=2, dtype=np.float64).ravel())
    error, relative = (
        np.abs(found.attributions - sums),
        harness.relative_error(found.attributions, sums),
    )
    return {
        "patches": len(found),
        "aim": aim_name(aim),
        "gradients": info.evaluations,
        "estimated": found.error,
        "true": relative,
        "ratio": found.error / relative,
        "within_1": float(np.mean(error <= found.deviations)),
        "within_2": float(np.mean(error <= 2 * found.deviations)),
    }


def aim_name(aim):
    return ", ".join(f"{name}={value}" for name, value in aim.items())


def measure_increments(gradients):
    """Return how far the gradient moves over some lags, relative to its own mean norm."""
    norm = np.linalg.norm(gradients.reshape(len(gradients), -1), axis=1).mean()
    rows = []
    for lag in (1, 2, 4, 8, 16):
        moves = [np.linalg.norm(b - a) for a, b in zip(gradients, gradients[lag:], strict=False)]
        rows.append({"lag": lag, "increment": float(np.mean(moves) / norm)})
    return rows


def measure_bfloat16(job, exact, image, target):
    """Return bfloat16's time and distance from ieee; once, because a CPU may have to emulate it."""
    seconds, maps = [], []
    for model in (contenders.load_intgrad(job | {"precision": "bfloat16"}), exact):
        start = time.perf_counter()
        maps.append(
            intgrad.integrated_gradients(
                model, image, target, output=job["output"], steps=BFLOAT16_STEPS
            )
        )
        seconds.append(time.perf_counter() - start)
    return [{"time": seconds[0] / seconds[1], "off": harness.relative_error(*maps)}]


def measure_draws(model, image, target):
    """Return what two random baselines agree in; seeds 0 and 1, and their own mean's error."""
    maps = [
        intgrad.random_baseline_integrated_gradients(
            model, image, target, runs=1, seed=seed, **RANDOM
        )[0].ravel()
        for seed in (0, 1)
    ]
    _, info = intgrad.random_baseline_integrated_gradients(
        model, image, target, runs=2, seed=0, **RANDOM
    )
    correlation = float(np.corrcoef(*maps)[0, 1])
    return [{"correlation": correlation, "error": info.baseline_error}]


def main():
    parser = harness.parser(__doc__, output="logit")
    options = parser.parse_args()
    job = harness.make_job(options, options.model)
    model = contenders.load_intgrad(job)
    pictures = models.pictures(job["model"], job["size"])
    sections = [
        section
        for name in models.TWO[options.model]
        for section in measure_picture(model, job, name, *pictures[name])
    ]
    image, target = pictures[models.TWO[options.model][0]]
    bfloat16 = measure_bfloat16(job, model, image, target)
    draws = measure_draws(model, image, target)
    sections += [
        (f"bfloat16, {job['output']}, {BFLOAT16_STEPS + 1} points", bfloat16, BFLOAT16, []),
        ("Random baselines, softmax, 20 steps", draws, DRAWS, []),
    ]
    facts = harness.about([]) | {"versions": contenders.VERSIONS}
    harness.report("How exact", {**facts, **job}, sections, options.out)


if __name__ == "__main__":
    main()
