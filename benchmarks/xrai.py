"""intgrad.xrai beside the authors' code (PAIR's saliency), in one run, one thread.

    OMP_NUM_THREADS=1 python benchmarks/xrai.py [--out results/xrai.json]

Photographs of scikit-image, 299 x 299 and 600 x 600. Merging: both get the authors' segments as
masks, and the same attributions: noise, stronger and positive in the middle, because the time
hardly depends on them. Cutting: the photograph into those segments. They take turns; medians.
Regions, ranks and segments must be the same on both sides.
"""

import argparse
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import scipy
import skimage
from harness import about, report
from saliency.core import xrai as authors

import intgrad
from intgrad.attribution.segmentation import cut_for_xrai

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
COLUMNS = [
    ("photograph", "photograph", ""),
    ("side", "side", ""),
    ("segments", "segments", ""),
    ("regions", "regions", ""),
    ("merging: ours, ms", "ours", ".1f"),
    ("authors, ms", "theirs", ".0f"),
    ("times ours", "times", ".1f"),
    ("cutting: ours, ms", "ours_cut", ".0f"),
    ("authors, ms", "theirs_cut", ".0f"),
    ("times ours", "times_cut", ".1f"),
]


def attributions_of(side, seed):
    """Noise, stronger and positive in the middle."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    bump = np.exp(-(x**2 + y**2) * 20)
    return (np.random.default_rng(seed).standard_normal((side, side)) + bump) * bump


def take_turns(first, second, rounds):
    """Return the median milliseconds of each, and the median of the rounds' ratios."""
    times = []
    for _ in range(rounds):
        row = []
        for call in (first, second):
            start = time.perf_counter()
            call()
            row.append(1e3 * (time.perf_counter() - start))
        times.append(row)
    a, b = (statistics.median(column) for column in zip(*times, strict=True))
    return a, b, statistics.median(theirs / ours for ours, theirs in times)


def measure(name, side, algorithm, rounds):
    image = getattr(skimage.data, name)()
    image = skimage.transform.resize(image, (side, side), preserve_range=True)
    masks = authors._get_segments_felzenszwalb(image)
    np.testing.assert_array_equal(masks, list(cut_for_xrai(image)))
    attributions = attributions_of(side, len(name))
    run = authors.XRAI._xrai if algorithm == "full" else authors.XRAI._xrai_fast
    options = {"segments": masks, "algorithm": algorithm}
    heat, ranking = intgrad.xrai(attributions, return_info=True, **options)
    found, ranks = run(attributions, masks)
    np.testing.assert_array_equal(ranking.labels + 1, ranks)
    np.testing.assert_allclose(heat, found, rtol=1e-6)
    ours, theirs, times = take_turns(
        lambda: intgrad.xrai(attributions, **options), lambda: run(attributions, masks), rounds
    )
    row = {
        "photograph": name,
        "side": side,
        "segments": len(masks),
        "regions": len(ranking),
        "ours": ours,
        "theirs": theirs,
        "times": times,
    }
    if algorithm == "full":
        row["ours_cut"], row["theirs_cut"], row["times_cut"] = take_turns(
            lambda: list(cut_for_xrai(image)),
            lambda: authors._get_segments_felzenszwalb(image),
            rounds,
        )
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write FILE.json, and FILE.md beside it")
    parser.add_argument("--sides", type=int, nargs="+", default=[299, 600])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    modules = {"intgrad": intgrad, "numpy": np, "scipy": scipy, "scikit-image": skimage}
    versions = {key: module.__version__ for key, module in modules.items()}
    facts = about(
        [SimpleNamespace(facts={"versions": versions | {"saliency": version("saliency")}})]
    )
    sections = []
    for algorithm in ("full", "fast"):
        rows = [
            measure(name, side, algorithm, arguments.rounds)
            for side in arguments.sides
            for name in PHOTOGRAPHS
        ]
        columns = COLUMNS if algorithm == "full" else COLUMNS[:7]
        least = min(row["times"] for row in rows)
        remark = f"The same regions in the same order; merging at least {least:.1f} times as fast."
        sections.append((f'algorithm="{algorithm}"', rows, columns, [remark]))
    report("XRAI beside the authors' code, one thread", facts, sections, arguments.out)


if __name__ == "__main__":
    main()
