"""Deletion and insertion beside Quantus and xplique, and beside the forward passes alone.

    python benchmarks/compare_metrics.py [--model lite0] [--rivals FOLDER] [--out FILE.json]

16 pictures, 100 steps, each rival at its quickest batch size. --rivals is where Quantus and xplique
are, with what they need beside torch and TensorFlow (their pins exclude the newest of both):
`pip install --no-deps --target FOLDER quantus xplique scikit-learn pandas opencv-python-headless
einops deprecated wrapt joblib threadpoolctl cachetools cloudpickle tensorflow-probability dm-tree
decorator narwhals tf_keras`. Then the peak memory of ours by steps and images.
"""

import contextlib
import tempfile

import harness
import models

RIVALS = ("forward", "quantus", "xplique")
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
COLUMNS = (
    ("", "library", ""),
    ("batch", "batch", ""),
    ("passes", "passes", ""),
    ("seconds", "seconds", ".2f"),
    ("times ours", "times", ".2f"),
    ("times ours, a pass", "times_a_pass", ".2f"),
    ("peak MiB", "peak_mib", ".0f"),
)
MEMORY = (("images", "images", ""), ("steps", "steps", ""), ("peak MiB", "peak_mib", ".0f"))


def compare(job, case, rivals, repeats):
    with contextlib.ExitStack() as stack:
        entries, batches, versions = {}, {}, {}
        for library in ("intgrad", *RIVALS):
            contender = harness.Contender(f"metrics:{library}", job, rivals)
            stack.callback(contender.close)
            versions |= contender.facts["versions"]
            batches[library] = None
            if library != "intgrad":
                tried = {n: (contender, case | {"points": 6, "batch_size": n}) for n in BATCH_SIZES}
                replies = harness.interleave(tried, 2)
                batches[library] = min(replies, key=lambda n: harness.warm(replies[n]))
            how = {} if batches[library] is None else {"batch_size": batches[library]}
            entries[library] = (contender, case | how)
        replies = harness.interleave(entries, repeats)
    ours = replies["intgrad"]
    rows = []
    for library, found in replies.items():
        times, passes = harness.times(found, ours), found[0]["passes"]
        rows.append(
            {
                "library": library,
                "batch": batches[library],
                "passes": passes,
                "seconds": harness.warm(found),
                "times": times,
                "times_a_pass": times * ours[0]["passes"] / passes,
                "peak_mib": max(reply["peak_mib"] for reply in found),
            }
        )
    return rows, versions


def measure_memory(job, make_case, images):
    for count, steps in ((1, 10), (1, 200), (images, 10)):
        with contextlib.closing(harness.Contender("metrics:intgrad", job)) as contender:
            reply = contender.ask(**make_case(count) | {"points": steps + 1})
            yield {"images": count, "steps": steps, "peak_mib": reply["peak_mib"]}


def main():
    parser = harness.parser(__doc__)
    parser.set_defaults(model="lite0")
    parser.add_argument("--rivals", help="a folder to find Quantus and xplique in")
    parser.add_argument("--images", type=int, default=16, help="pictures (default: 16)")
    parser.add_argument("--steps", type=int, default=100, help="of each curve (default: 100)")
    options = parser.parse_args()
    job = harness.make_job(options, options.model)
    named = models.pictures(job["model"], job["size"])
    with tempfile.TemporaryDirectory() as folder:

        def make_case(count):
            return harness.save_case(folder, *models.many(named, count))

        case = make_case(options.images) | {"points": options.steps + 1}
        rows, versions = compare(job, case, options.rivals, options.repeats)
        memory = list(measure_memory(job, make_case, options.images))
    sections = [
        (f"{job['model']}, {options.images} pictures, {options.steps} steps", rows, COLUMNS, []),
        ("Peak memory of ours", memory, MEMORY, []),
    ]
    facts = harness.about([]) | {"versions": versions}
    harness.report("Deletion and insertion beside their rivals", facts | job, sections, options.out)


if __name__ == "__main__":
    main()
