"""What is claimed of a GPU, in one command of some minutes that needs no download.

    python benchmarks/cuda.py --out FILE.json [--captum captum-0.9.0-py3-none-any.whl]

An Xception with random weights, or a real one (`--model portable`, models.py): one image at "ieee"
and "tf32" beside Captum (written out where it is not installed, and called so) and the expert's
loop, with the share of the measured matmul rate; 64 images; what the low precisions cost in
exactness and where paths are kept; what happens when memory runs out. `--device cpu --size 96
--points 5 --images 2` shows that it works; what needs CUDA is left out.
"""

import contextlib
import tempfile

import compare
import harness
import models
import numpy as np

BATCH = 64  # that is asked for when memory is short
BATCH_POINTS = 129
VARIANTS = {
    "ieee": {"precision": "ieee"},
    "tf32": {"precision": "tf32"},
    "bfloat16": {"precision": "bfloat16"},
    "ieee, paths on the device": {"device_store": True},
    "ieee, paths in host memory": {"device_store": False},
}
COLUMNS = (
    ("", "what", ""),
    ("seconds", "seconds", ".4f"),
    ("times the first", "times", ".2f"),
    ("batch size", "batch_size", ""),
    ("differs from the first by", "off", ".3%"),
    ("peak MiB", "peak_mib", ".0f"),
)


def beside_others(job, names, count, options):
    """Return a section that compares us with others, and the facts."""
    rows, facts = compare.measure(
        job,
        names,
        count=count,
        points=options.points,
        repeats=options.repeats,
        captum=options.captum,
    )
    limit = next(row for row in rows if row["who"] == compare.TITLES["limit"])
    rate, ms = limit["gflops"] / 1e3, 1e3 * rows[0]["warm_s"] / count
    share = f"{limit['times_ours']:.0%} of the matmul rate, {rate:.2f} TFLOP/s"
    remark = f"Ours: {share}; {ms:.1f} ms an image."
    heading = f"{count} image(s), {options.points} points, {job['precision']}"
    return (heading, rows, compare.COLUMNS, [remark]), facts


def beside_ourselves(heading, jobs, request, repeats):
    """Return a section that compares variants of us, {label: job}, with the first."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        entries = {}
        for label, job in jobs.items():
            try:
                ours = stack.enter_context(contextlib.closing(harness.Contender("intgrad", job)))
            except harness.Failed as failure:
                harness.say(f"{label} is left out: {failure}")
                continue
            entries[label] = (ours, {**request, "save": f"{folder}/{len(entries)}.npy"})
        replies = harness.interleave(entries, repeats)
        found = {label: np.load(entries[label][1]["save"]) for label in replies}
    first = next(iter(replies))
    rows = [
        {
            "what": label,
            "seconds": harness.warm(runs),
            "times": harness.times(runs, replies[first]),
            "batch_size": runs[-1]["batch_size"],
            "off": harness.relative_error(found[label], found[first]),
            "peak_mib": runs[-1]["peak_mib"],
        }
        for label, runs in replies.items()
    ]
    return heading, rows, COLUMNS, []


def short_of_memory(job, case, repeats):
    """Return a section: a large batch, then the same where torch may only have half as much."""
    request = {**case, "points": BATCH_POINTS, "batch_size": BATCH}
    with contextlib.closing(harness.Contender("intgrad", job)) as ours:
        need = ours.ask(**request)["peak_mib"]
    jobs = {
        "all memory": job,
        f"at most {need / 2:.0f} MiB": job | {"most_mib": need / 2},
    }
    heading = f"Memory runs out, batch_size={BATCH} asked for"
    return beside_ourselves(heading, jobs, request, repeats)


def main():
    parser = harness.parser(__doc__, model="random")
    parser.set_defaults(device="cuda")
    parser.add_argument("--points", type=int, default=51)
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    job = harness.make_job(options, options.model)
    on_cuda = harness.kind(job) == "cuda"
    sections, facts, versions = [], {}, {}
    for precision, count, names in (
        ("ieee", 1, ["intgrad", "limit", "expert", "captum", "captum-default"]),
        ("tf32", 1, ["intgrad", "limit", "expert", "captum"]),
        ("ieee", options.images, ["intgrad", "limit", "expert"]),
    ):
        try:
            section, facts = beside_others(job | {"precision": precision}, names, count, options)
            sections.append(section)
            versions |= facts["versions"]
        except harness.Failed as failure:
            harness.say(f"{precision}, {count} image(s), is left out: {failure}")
    with tempfile.TemporaryDirectory() as folder:
        named = models.pictures(job["model"], job["size"])
        jobs = {label: job | change for label, change in VARIANTS.items()}
        for count in (1, options.images):
            case = harness.save_case(folder, *models.many(named, count))
            heading = f"Variants of ours, {count} image(s), {options.points} points"
            request = {**case, "points": options.points}
            sections.append(beside_ourselves(heading, jobs, request, options.repeats))
        if on_cuda:
            case = harness.save_case(folder, *models.many(named, 1))
            sections.append(short_of_memory(job, case, options.repeats))
        else:
            harness.say("running out of memory is left out: it needs CUDA")
    harness.report(
        "On a GPU" if on_cuda else "On the CPU",
        {**facts, **job, "versions": versions},
        sections,
        options.out,
    )


if __name__ == "__main__":
    main()
