"""The ways to run one network: libtorch and autograd, over each form that it comes in.

    python benchmarks/doors.py [--model lite0] [--points 51] [--out FILE.json]

"eager autograd" is the module as it is, its batch norms unfolded and its memory channels first.
Times are beside those of libtorch over TorchScript with as many targets. "load" is load_model
alone, beside the others' loading; "difference" is the relative L2 distance of the
attributions from those of libtorch. "memory kept" is intgrad.keep_freed_memory().
"""

import contextlib
import tempfile

import harness
import models
import numpy as np

DOORS = {
    "libtorch, TorchScript": {"form": "torchscript", "backend": "libtorch"},
    "autograd, TorchScript": {"form": "torchscript", "backend": "autograd"},
    "autograd, .pt2": {"form": "pt2", "backend": "autograd"},
    "autograd, live module": {"form": "module", "backend": "autograd"},
    "the same, memory kept": {"form": "module", "backend": "autograd", "keeps_memory": True},
    "eager autograd": {"form": "module", "backend": "autograd", "eager": True},
}
TARGETS = (1, 3)
COLUMNS = (
    ("", "door", ""),
    ("targets", "targets", ""),
    ("seconds", "seconds", ".2f"),
    ("times libtorch", "times", ".2f"),
    ("cold", "cold", ".2f"),
    ("load", "load", ".2f"),
    ("peak MiB", "peak_mib", ".0f"),
    ("difference", "difference", ".1e"),
)


def measure(job, options, folder):
    image, target = next(iter(models.pictures(job["model"], job["size"]).values()))
    case = harness.save_case(folder, image[np.newaxis], [target]) | {"points": options.points}
    with contextlib.ExitStack() as stack:
        doors = {name: harness.Contender("intgrad", job | door) for name, door in DOORS.items()}
        for door in doors.values():
            stack.callback(door.close)
        entries = {
            (name, count): (door, case | ({"beside": count - 1} if count > 1 else {}))
            for name, door in doors.items()
            for count in TARGETS
        }
        replies = harness.interleave(entries, options.repeats)
        first = next(iter(DOORS))
        maps = {}
        for name, door in doors.items():
            door.ask(**case, save=f"{folder}/map.npy")
            maps[name] = np.load(f"{folder}/map.npy")
        rows = []
        for (name, count), found in replies.items():
            row = {
                "door": name,
                "targets": count,
                "seconds": harness.warm(found),
                "times": harness.times(found, replies[first, count]),
                "cold": found[0]["seconds"],
                "load": found[0]["load_seconds"] if count == 1 else None,
                "peak_mib": float(np.median([reply["peak_mib"] for reply in found])),
            }
            if count == 1:
                row["difference"] = harness.relative_error(maps[name], maps[first])
            rows.append(row)
        return rows, harness.about(doors.values())


def main():
    parser = harness.parser(__doc__, output="logit")
    parser.add_argument("--points", type=int, default=51, help="default: 51")
    options = parser.parse_args()
    job = harness.make_job(options, options.model)
    with tempfile.TemporaryDirectory() as folder:
        rows, facts = measure(job, options, folder)
    heading = f"{job['model']}, {options.points} points, {job['output']}"
    harness.report("Ways to run a model", facts, [(heading, rows, COLUMNS, [])], options.out)


if __name__ == "__main__":
    main()
