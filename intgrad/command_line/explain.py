"""`intgrad explain`: photographs in; pictures, arrays and records out.

What it needs, in the order in which a photograph meets it: `finding`, the room `explaining`,
`writing` (with `drawing` and `telling`), and the rooms `results` and `report`.
"""

from __future__ import annotations

import argparse
import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._optional import require
from ..attribution.segmentation import NAMES as CUTS
from ..explaining.attributing import Attributing
from ..explaining.methods import Choice, choose
from ..explaining.references import References
from ..explaining.stage import find_target, make_request
from ..models.model import OUTPUTS, Model
from ..report.writing import Report
from ..results.arrays import KEPT
from ..results.folder import Results
from ..results.records import ROWS
from ..results.sources import Source
from . import archives, methods
from .finding import Found, find
from .telling import Telling, is_terminal, printable, say
from .writing import Writing

EXPLAIN_EXAMPLES = """examples:
  intgrad explain photo.jpg --model model.pt
  intgrad explain photos --model model.pt --tolerance 0.05 --score logit --out explained
  intgrad explain 'photos/**/*.jpg' more/photo.png --model model.pt --target cat --baseline blur
  intgrad explain photo.jpg --model model.pt --method expected --references training --draws 500
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what `intgrad explain` takes."""
    parser.description = (
        "For every photograph: OUT/NAME.png, OUT/NAME.npz and a line in OUT/explained.jsonl; for\n"
        "one that failed a line in OUT/failed.jsonl, with its path (image) and what went wrong\n"
        "(reason), until it is explained. OUT/index.html shows them all, in any browser. The same\n"
        "command goes on where it was stopped, and tries again what failed. The exit status is 1\n"
        "if any failed or a folder could not be read."
    )
    parser.epilog = EXPLAIN_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="photographs, folders of them, or patterns such as 'photos/**/*.jpg'",
    )
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        help="a TorchScript archive or .pt2, from intgrad.save_model or intgrad convert",
    )
    parser.add_argument("--target", help="class index or label (default: each one's top class)")
    methods.add_options(parser)
    parser.add_argument(
        "--score", choices=OUTPUTS, default="softmax", help="what is explained (default: softmax)"
    )
    parser.add_argument("--batch-size", type=int, help="points at once (default: what fits)")
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: CUDA if there is one)")
    parser.add_argument(
        "--segments",
        type=_parse_segments,
        help=f"regions: {', '.join(CUTS)} (scikit-image), or the side of squares in pixels of the"
        " model (default: an eighth)",
    )
    parser.add_argument(
        "--out",
        type=_parse_folder,
        default=Path("explained"),
        help="folder of the results (default: explained)",
    )
    parser.add_argument(
        "--arrays",
        choices=KEPT,
        default="compact",
        help="compact: rounded to half a percent of a map's norm and compressed (default); full: as"
        " they were computed",
    )
    parser.add_argument(
        "--single-file",
        action="store_true",
        help="make OUT/index.html one file that needs no other, to be mailed",
    )
    archives.add_options(parser)
    _add_cluster_options(parser)
    parser.set_defaults(run=run)


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "on a cluster",
        "Ray does the work (pip install 'intgrad[ray]'); results are rows, OUT/rows/*.parquet, and"
        " the page of them. Workers read the photographs by their paths.",
    )
    group.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="the cluster, or auto for the one that is there (default: one on this machine)",
    )
    group.add_argument("--workers", type=int, help="how many (default: as there is room for)")
    group.add_argument(
        "--cpus-per-worker", type=int, default=1, help="threads of each (default: 1)"
    )
    group.add_argument("--gpus-per-worker", type=float, default=0, help="of each (default: 0)")


def _parse_folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("'' is no folder: '.' is the one you are in")
    return Path(text)


def _parse_segments(text: str) -> str | int:
    if text in CUTS:
        return text
    with contextlib.suppress(ValueError):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither an int nor one of {', '.join(CUTS)}")


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status.

    Raises
    ------
    OSError, TypeError, ValueError, IndexError
        What concerns all photographs, such as a folder that cannot be written to. What concerns
        one is told at the end, when the others are done.
    """
    needed = [("PIL", "pillow"), ("matplotlib", "matplotlib"), ("jinja2", "jinja2")]
    if is_terminal():
        needed.append(("tqdm", "tqdm"))
    for module, package in needed:
        require(module, package, "explain")
    if options.segments in CUTS:
        require("skimage", "scikit-image", f"--segments {options.segments}", extra="segments")
    if options.ray is None and (options.workers is not None or options.gpus_per_worker):
        raise ValueError("--workers and --gpus-per-worker are for --ray")
    work = _prepare(options)
    if options.ray is None:
        failures = _explain_here(work, options)
    else:
        from .cluster import explain_on_cluster

        failures = explain_on_cluster(work, options)
    for path, reason in failures:
        say(f"intgrad: {printable(path)}: {reason}", error=True)
    if failures:
        say(f"intgrad: {len(failures)} of {len(work.sources)} failed", error=True)
    return 1 if failures or work.unreadable else 0


@dataclass(frozen=True)
class Work:
    """What there is to do.

    Attributes
    ----------
    model : Model
    choice : Choice
    target : int or None
    sources : list of Source
    references : list of Source
        What some methods compare with.
    unreadable : bool
        Whether there are folders that could not be looked into.
    request : dict
        What makes two runs ask for the same.
    """

    model: Model
    choice: Choice
    target: int | None
    sources: list[Source]
    references: list[Source]
    unreadable: bool
    request: dict[str, Any]


def _prepare(options: argparse.Namespace) -> Work:
    choice = choose(options.method, vars(options))
    # It is told of each photograph, by its name.
    warnings.filterwarnings("ignore", ".* equal the .* baseline and get nothing", UserWarning)
    found = _find(options.images)
    compared = _find(options.references or [])
    model = archives.load(options.model, options)
    _check_channels(model)
    target = _parse_target(options.target, model)
    for folder, reason in compared.unreadable.items():
        # What is in it would be missing from every answer.
        raise OSError(f"--references {str(folder)!r}: {reason}")
    if compared.sources:
        pool = {"references": References(compared.sources.values(), model)}
        choice = replace(choice, options=choice.options | pool)
    digest = archives.identify(options.model)
    request = make_request(digest, target, options.score, choice, options.segments)
    return Work(
        model,
        choice,
        target,
        list(found.sources.values()),
        list(compared.sources.values()),
        bool(found.unreadable),
        request | archives.told(options),
    )


def _explain_here(work: Work, options: argparse.Namespace) -> list[tuple[str, str]]:
    """Explain photographs in this process; return those that failed, and why."""
    if any((options.out / ROWS).glob("*.parquet")):
        raise ValueError(f"{str(options.out)!r} holds results of --ray: choose another --out")
    with Results(options.out, work.request, work.sources) as results:
        todo = [source for source in work.sources if not results.has(source)]
        if len(todo) < len(work.sources):
            say(f"{len(work.sources) - len(todo)} of {len(work.sources)} were explained before")
        report = Report(
            options.out, work.request, options.command, results.records(), results.failures()
        )
        try:
            with (
                Telling(len(todo)) as telling,
                Writing(
                    results, report, telling, work.model, options.model.name, options.arrays
                ) as writing,
            ):
                attributing = Attributing(
                    work.model,
                    work.choice,
                    work.target,
                    output=options.score,
                    batch_size=options.batch_size,
                    segments=options.segments,
                    progress=is_terminal(),  # where there are more, `Telling` has a bar
                )
                for outcome in attributing.run(todo):
                    writing.put(outcome)
        finally:
            report.finish(options.single_file)
    if todo:
        say(f"page: {printable(str(options.out / 'index.html'))}")
    return [(str(failure.source.path), failure.reason) for failure in writing.failures]


def _check_channels(model: Model) -> None:
    if model.channels not in (1, 3, None):
        raise ValueError(
            f"the model takes {model.channels} channels, and photographs are read with 3 (RGB) or 1"
            " (grey): intgrad.integrated_gradients takes arrays (H, W, C) of any number"
        )


def _parse_target(text: str | None, model: Model) -> int | None:
    """Return the class that a label or a number stands for.

    Where labels are numbers themselves, a number is a label.
    """
    if text is None:
        return None
    labels = model.labels or ()
    is_index = text.isdecimal() and not any(map(str.isdecimal, labels))
    if not labels and not is_index:
        raise ValueError(
            f"--target {text!r} is a label, but the model has none: give its index, or --labels"
        )
    return find_target(int(text) if is_index else text, model)


def _find(arguments: Sequence[str]) -> Found:
    """Find the photographs that are meant, and tell what was passed over."""
    found = find(arguments)
    for advice, paths in found.skipped.items():
        names = ", ".join(printable(path.name) for path in paths[:3])
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        say(f"intgrad: {files} skipped: {names}{more} ({advice})", error=True)
    for folder, reason in found.unreadable.items():
        say(f"intgrad: the folder {printable(str(folder))} cannot be read: {reason}", error=True)
    return found
