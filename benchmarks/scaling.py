"""Time and memory against the number of steps, of images and of pixels, with plots.

    python benchmarks/scaling.py [--device cuda] [--out FILE.json]

Steps and images on EfficientNet-lite0, the size of the images on an Xception with random weights
(both on it with --model random). Every setting is measured in every round; medians are kept.
"Off the line" is how far the times are from the best line through them, at most, relative to the
line. Memory is what the process held at most; "beyond" is that less the images and attributions.
"""

import contextlib
import tempfile
from pathlib import Path

import harness
import models
import numpy as np

COLUMNS = (
    ("", "x", ""),
    ("seconds", "seconds", ".3f"),
    ("ms per point", "ms_per_point", ".2f"),
    ("peak MiB", "peak_mib", ".0f"),
    ("beyond input and output", "beyond_mib", ".0f"),
)


def measure(settings, repeats):
    """Return a row for each {x: (contender, request, images, points)}, by medians of rounds."""
    entries = {x: (contender, request) for x, (contender, request, _, _) in settings.items()}
    replies = harness.interleave(entries, repeats)
    rows = []
    for x, (_, request, images, points) in settings.items():
        seconds = harness.warm(replies[x])
        peak = float(np.median([reply["peak_mib"] for reply in replies[x][1:] or replies[x]]))
        in_and_out = 2 * np.load(request["images"]).nbytes / 2**20
        rows.append(
            {
                "x": x,
                "seconds": seconds,
                "ms_per_point": 1e3 * seconds / images / points,
                "peak_mib": peak,
                "beyond_mib": peak - in_and_out,
            }
        )
    return rows


def measure_steps(job, options, folder):
    named = models.pictures(job["model"], job["size"])
    case = harness.save_case(folder, *models.many(named, 1))
    with contextlib.closing(harness.Contender("intgrad", job)) as ours:
        return measure(
            {n: (ours, {**case, "points": n + 1}, 1, n + 1) for n in options.steps},
            options.repeats,
        )


def measure_images(job, options, folder):
    named = models.pictures(job["model"], job["size"])
    cases = {n: harness.save_case(folder, *models.many(named, n)) for n in options.images}
    points = options.points
    with contextlib.closing(harness.Contender("intgrad", job)) as ours:
        return measure(
            {n: (ours, {**case, "points": points}, n, points) for n, case in cases.items()},
            options.repeats,
        ), harness.about([ours])


def measure_sizes(job, options, folder):
    settings = {}
    with contextlib.ExitStack() as stack:
        for size in options.sizes:
            case = harness.save_case(folder, *models.many(models.pictures("random", size), 1))
            ours = harness.Contender("intgrad", job | {"model": "random", "size": size})
            stack.callback(ours.close)
            settings[size] = (ours, {**case, "points": options.points}, 1, options.points)
        return measure(settings, options.repeats)


def off_the_line(rows):
    """Return how far the times are from the best line, relative to it, at most."""
    x, seconds = (np.array([row[key] for row in rows]) for key in ("x", "seconds"))
    line = np.polyval(np.polyfit(x, seconds, 1, w=1 / seconds), x)
    return float(np.max(np.abs(seconds / line - 1)))


def plot(sections, file):
    """Draw time and memory against each of the three."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(13, 7), sharex="col", constrained_layout=True)
    for column, (heading, rows, _, _) in zip(axes.T, sections, strict=True):
        x = [row["x"] for row in rows]
        column[0].plot(x, [row["seconds"] for row in rows], "o-")
        column[1].plot(x, [row["peak_mib"] for row in rows], "o-", label="peak")
        column[1].plot(x, [row["beyond_mib"] for row in rows], "o--", label="less input and output")
        column[0].set_title(heading, fontsize=9)
        column[1].set_xlabel(heading.split(",")[0].lower())
    for axis in axes.flat:
        axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("MiB")
    axes[1, 0].legend()
    figure.savefig(file, dpi=110)


def main():
    parser = harness.parser(__doc__, model="lite0")
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 16, 32, 64, 96, 128])
    parser.add_argument("--images", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 150, 224, 299, 400, 500, 600])
    parser.add_argument("--points", type=int, default=17, help="for images and sizes (default: 17)")
    options = parser.parse_args()
    job = harness.make_job(options, options.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps = measure_steps(job, options, folder)
        images, facts = measure_images(job, options, folder)
        sizes = measure_sizes(job, options, folder)
    ratio = images[0]["ms_per_point"] / images[-1]["ms_per_point"]
    throughput = f"{images[-1]['x']} images: {ratio:.2f} times the throughput of {images[0]['x']}."
    line = "Off the line: at most {:.1%}."
    sections = [
        (f"Steps, {job['model']}", steps, COLUMNS, [line.format(off_the_line(steps))]),
        (
            f"Images, {job['model']}, {options.points} points each",
            images,
            COLUMNS,
            [line.format(off_the_line(images)), throughput],
        ),
        (f"Side in pixels, random Xception, {options.points} points", sizes, COLUMNS, []),
    ]
    harness.report("Time and memory", {**facts, **job}, sections, options.out)
    if options.out:
        plot(sections, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
