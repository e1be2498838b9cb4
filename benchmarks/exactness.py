"""Estimated against true error of the attributions, on the demo's Xception and photograph.

    python benchmarks/exactness.py [--output logit] [--out FILE.json]

The truth is a 513-point trapezoid, which takes a few minutes.
"""

import argparse
import json
import time
from pathlib import Path

import compare
import numpy as np

import intgrad

STEPS = (8, 16, 32, 50, 64, 128)
TRUTH = 512


def measure(output):
    model, image = compare.load_demo(), compare.photograph()

    def explain(steps, **options):
        return intgrad.integrated_gradients(
            model, image, compare.FORK, output=output, steps=steps, return_info=True, **options
        )

    truth, _ = explain(TRUTH)
    rows = []
    for steps in STEPS:
        attributions, info = explain(steps, error_map=True)
        error = np.abs(attributions - truth)
        rows.append(
            {
                "points": info.evaluations,
                "estimated": info.error,
                "true": float(np.linalg.norm(error) / np.linalg.norm(truth)),
                "gap": info.delta / (info.score - info.baseline_score),
                "within_1": float(np.mean(error <= info.error_map)),
                "within_2": float(np.mean(error <= 2 * info.error_map)),
            }
        )
    return rows


def print_table(rows):
    print("| points | true error | estimated | completeness gap | within 1 sd | within 2 sd |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['points']} | {row['true']:.1%} | {row['estimated']:.1%} | {row['gap']:+.1%}"
            f" | {row['within_1']:.0%} | {row['within_2']:.0%} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="logit", choices=["softmax", "log_softmax", "logit"])
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    options = parser.parse_args()
    rows = measure(options.output)
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": compare.machine(),
        "versions": compare.versions(),
        "output": options.output,
    }
    print_table(rows)
    if options.out:
        options.out.write_text(json.dumps({**about, "results": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
