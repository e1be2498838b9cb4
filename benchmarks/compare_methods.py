"""Methods beside those of PAIR saliency and Captum, at equally many gradients of a photograph.

    python benchmarks/compare_methods.py [--model lite0] [--points 64] [--images 1]

Each rival has its quickest batch size of 1, 2, 4 and 8 where it takes one; PAIR's SmoothGrad and
Guided IG take one picture at a time. Times are beside ours, medians of the rounds. Then the peak
memory of ours with 50 and 5000 draws.
"""

import contextlib
import tempfile

import harness
import models

RIVALS = {
    "blur": ("saliency",),
    "guided": ("saliency",),
    "expected": ("captum",),
    "smoothgrad": ("saliency", "captum"),
}
TAKE_BATCHES = {("blur", "saliency"), ("expected", "captum"), ("smoothgrad", "captum")}
COLUMNS = (
    ("method", "method", ""),
    ("", "library", ""),
    ("batch", "batch", ""),
    ("gradients", "gradients", ""),
    ("seconds", "seconds", ".2f"),
    ("times ours", "times", ".2f"),
    ("peak MiB", "peak_mib", ".0f"),
)
MEMORY = (("draws", "draws", ""), ("peak MiB", "peak_mib", ".0f"))
DRAWS = (50, 5000)


def quickest_batch(method, library, contender, case):
    """Return the batch size by one warm round each; {} for who takes none."""
    if (method, library) not in TAKE_BATCHES:
        return {}
    entries = {n: (contender, case | {"points": 16, "batch_size": n}) for n in (1, 2, 4, 8)}
    replies = harness.interleave(entries, 1)
    return {"batch_size": min(replies, key=lambda n: harness.warm(replies[n]))}


def compare(method, job, case, repeats):
    libraries = ("intgrad", *RIVALS[method])
    with contextlib.ExitStack() as stack:
        contenders = {}
        for library in libraries:
            contenders[library] = harness.Contender(f"{method}:{library}", job)
            stack.callback(contenders[library].close)
        entries, batches = {}, {}
        for library, contender in contenders.items():
            batches[library] = quickest_batch(method, library, contender, case)
            entries[library] = (contender, case | batches[library])
        replies = harness.interleave(entries, repeats)
        for library, found in replies.items():
            yield {
                "method": method,
                "library": library,
                "batch": batches[library].get("batch_size"),
                "gradients": found[0]["gradients"],
                "seconds": harness.warm(found),
                "times": harness.times(found, replies["intgrad"]),
                "peak_mib": max(reply["peak_mib"] for reply in found),
            }


def measure_memory(job, case):
    """Return the peak of a process for each number of draws; a small picture, so that it ends."""
    for draws in DRAWS:
        with contextlib.closing(harness.Contender("smoothgrad:intgrad", job)) as contender:
            reply = contender.ask(**case | {"points": draws})
            yield {"draws": draws, "peak_mib": reply["peak_mib"]}


def main():
    parser = harness.parser(__doc__, output="logit")
    parser.add_argument("--points", type=int, default=64, help="gradients (default: 64)")
    parser.add_argument("--images", type=int, default=1, help="photographs together (default: 1)")
    parser.add_argument("--methods", nargs="+", choices=RIVALS, default=[*RIVALS])
    options = parser.parse_args()
    job = harness.make_job(options, options.model)
    named = models.pictures(job["model"], job["size"])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        case = harness.save_case(folder, *models.many(named, options.images))
        case |= {"points": options.points}
        for method in options.methods:
            rows += compare(method, job, case, options.repeats)
        has_memory = options.model == "lite0" and "smoothgrad" in options.methods
        memory = list(measure_memory(job, case)) if has_memory else []
    sections = [(f"{job['model']}, {options.points} gradients, {job['output']}", rows, COLUMNS, [])]
    if memory:
        sections.append(("Peak memory of SmoothGrad", memory, MEMORY, []))
    harness.report(
        "Other methods beside their rivals", harness.about([]) | job, sections, options.out
    )


if __name__ == "__main__":
    main()
