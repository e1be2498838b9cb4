"""`intgrad explain`: photographs in; pictures, arrays and records out."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from .._core import ModelError
from .._optional import require
from ..attribution.baselines import NAMES
from ..attribution.info import AttributionInfo
from ..attribution.plan import IMAGE_RULES, RULES, has_error_bars
from ..attribution.stream import iter_integrated_gradients
from ..images.arrays import Float32Array
from ..models.loading import load_model
from ..models.model import OUTPUTS, Model
from ..models.targets import resolve_targets
from ..pictures.styles import stretch
from ..pictures.visualizer import GradVisualizer
from .photographs import Photograph, Source, find, read_ahead
from .results import Results

Top = list[tuple[str, int, float]]

EXPLAIN_EXAMPLES = """examples:
  intgrad explain photo.jpg --model model.pt
  intgrad explain photos --model model.pt --tolerance 0.05 --score logit --out explained
  intgrad explain 'photos/**/*.jpg' more/photo.png --model model.pt --target cat --baseline blur
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what `intgrad explain` takes."""
    parser.description = (
        "For every photograph: OUT/NAME.png, OUT/NAME.npz and a line in OUT/explained.jsonl. The"
        " same command goes on where it was stopped. The exit status is 1 if any failed."
    )
    parser.epilog = EXPLAIN_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="photographs, folders of them, or patterns such as 'photos/**/*.jpg'",
    )
    parser.add_argument("--model", type=Path, required=True, help="from intgrad convert")
    parser.add_argument("--target", help="class index or label (default: each one's top class)")
    exactness = parser.add_mutually_exclusive_group()
    exactness.add_argument(
        "--steps", type=int, default=50, help="intervals of the path (default: 50)"
    )
    exactness.add_argument(
        "--tolerance", type=float, help="relative error to reach instead, 0.05 for 5 %%"
    )
    parser.add_argument(
        "--baseline",
        type=_parse_baseline,
        default="black",
        help=f"{', '.join(NAMES)} or a number (default: black)",
    )
    parser.add_argument(
        "--score", choices=OUTPUTS, default="softmax", help="what is explained (default: softmax)"
    )
    parser.add_argument("--rule", choices=RULES, default="trapezoid")
    parser.add_argument("--batch-size", type=int, help="points at once (default: what fits)")
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: CUDA if there is one)")
    parser.add_argument("--seed", type=int, help="for the baseline 'uniform'")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("explained"),
        help="folder of the results (default: explained)",
    )
    parser.set_defaults(run=run)


def _parse_baseline(text: str) -> str | float:
    if text in NAMES:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number nor one of {', '.join(NAMES)}"
        ) from None


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status.

    Raises
    ------
    OSError, TypeError, ValueError, IndexError
        What concerns all photographs, such as a folder that cannot be written to. What concerns
        one is told at the end, when the others are done.
    """
    sources = find(options.images)
    model = load_model(options.model, device=options.device)
    target = _parse_target(options.target, model)
    with Results(options.out, _request(options, target), sources) as results:
        sources = [source for source in sources if not results.made(source)]
        todo = [source for source in sources if not results.has(source)]
        if len(todo) < len(sources):
            print(f"{len(sources) - len(todo)} of {len(sources)} were explained before")
        work = _Work(model, options, target)
        for explained in work.run(todo):
            _say(_report(_store(results, explained, model), brief=len(todo) > 1))
    for path, reason in work.failures.items():
        print(f"intgrad: {path}: {reason}", file=sys.stderr)
    if work.failures:
        print(f"intgrad: {len(work.failures)} of {len(todo)} failed", file=sys.stderr)
    return 1 if work.failures else 0


def _parse_target(text: str | None, model: Model) -> int | None:
    """Return the class that a label or a number stands for."""
    if text is None:
        return None
    is_index = text.isdecimal() and text not in (model.labels or ())
    indices, _ = resolve_targets(
        int(text) if is_index else text, 1, model.labels, model.num_classes
    )
    return int(indices[0, 0])


def _request(options: argparse.Namespace, target: int | None) -> dict[str, Any]:
    """Return what makes two runs ask for the same."""
    return {
        "model": hashlib.sha256(options.model.read_bytes()).hexdigest(),
        "target": target,
        "score": options.score,
        "baseline": options.baseline,
        "rule": options.rule,
        "steps": options.steps if options.tolerance is None else None,
        "tolerance": options.tolerance,
        "seed": options.seed,
    }


@dataclass(frozen=True)
class _Task:
    """A photograph, its most probable classes, and the one to explain."""

    photograph: Photograph
    top: Top
    target: int


@dataclass(frozen=True)
class _Explained:
    task: _Task
    attributions: Float32Array
    gradient: Float32Array
    info: AttributionInfo


class _Work:
    """Explains photographs; one that fails is noted, and the others go on."""

    def __init__(self, model: Model, options: argparse.Namespace, target: int | None) -> None:
        self._model = model
        self._target = target
        self._options = {
            "baseline": options.baseline,
            "steps": options.steps,
            "rule": options.rule,
            "tolerance": options.tolerance,
            "output": options.score,
            "batch_size": options.batch_size,
            "seed": options.seed,
            "progress": sys.stderr.isatty(),
            "error_map": has_error_bars(options.rule, options.steps, options.tolerance),
            "gradient": options.rule in IMAGE_RULES,
        }
        self.failures: dict[Path, str] = {}

    def run(self, sources: list[Source]) -> Iterator[_Explained]:
        """Yield what was explained, in order.

        The stream of images ends at the first that fails; it starts again with those after it.
        """
        tasks: Iterator[_Task] = self._read(sources)
        while True:
            feed = _Feed(tasks, len(sources))
            try:
                for result in iter_integrated_gradients(
                    self._model, feed, feed.targets(), **self._options
                ):
                    explained = self._complete(feed.taken[0], *result)
                    feed.taken.popleft()
                    yield explained
                return
            except (ModelError, ValueError, TypeError, IndexError) as error:
                if not feed.taken:
                    raise  # it was no photograph's fault
                self._note(feed.taken.popleft().photograph.source, error)
                tasks = chain(feed.taken, tasks)

    def _read(self, sources: list[Source]) -> Iterator[_Task]:
        for source, future in read_ahead(sources, self._model.input_size):
            try:
                photograph = future.result()
                top: Any = self._model.top(photograph.pixels, 3)
            except (OSError, ValueError, TypeError) as error:
                self._note(source, error)
                continue
            yield _Task(photograph, top, top[0][1] if self._target is None else self._target)

    def _complete(self, task: _Task, attributions: Float32Array, info: Any) -> _Explained:
        gradient = info.gradient
        if gradient is None:  # the rule has no node at the image
            gradient = self._model.gradients(
                task.photograph.pixels, info.target, output=info.output
            )
        return _Explained(task, attributions, gradient, info)

    def _note(self, source: Source, error: Exception) -> None:
        missing = isinstance(error, FileNotFoundError)
        self.failures[source.path] = "there is no such file" if missing else str(error)


class _Feed:
    """The images of tasks as a stream takes them; `taken` are those that it has not given back."""

    def __init__(self, tasks: Iterator[_Task], count: int) -> None:
        self._tasks = tasks
        self._count = count
        self.taken: deque[_Task] = deque()

    def __len__(self) -> int:
        return self._count  # for the progress bar

    def __iter__(self) -> Iterator[Float32Array]:
        for task in self._tasks:
            self.taken.append(task)
            yield task.photograph.pixels

    def targets(self) -> Iterator[int]:
        """Yield the target of each image, after the image."""
        while True:
            yield self.taken[-1].target


# ---- What is written -----------------------------------------------------------------------------


def _store(results: Results, explained: _Explained, model: Model) -> dict[str, Any]:
    info, task = explained.info, explained.task
    arrays: dict[str, Any] = {
        "attributions": explained.attributions,
        "gradient": explained.gradient,
    }
    if info.pixel_error_map is not None:
        arrays |= {"error_map": info.error_map, "pixel_error_map": info.pixel_error_map}
    facts = {"label": model._label(info.target), "top": task.top, **info.to_dict()}

    def draw(path: Path) -> None:
        _draw(explained, f"{task.photograph.source.path.name}: {facts['label']}", path)

    return results.add(task.photograph.source, facts, arrays, draw)


def _draw(explained: _Explained, title: str, path: Path) -> None:
    """Draw the maps over the photograph in its own shape, whatever shape the model saw."""
    picture, info = explained.task.photograph.picture, explained.info
    shape = picture.shape[:2]
    error = info.pixel_error_map
    panels = 3 if error is None else 4
    GradVisualizer().visualize(
        picture,
        stretch(explained.gradient, shape),
        stretch(explained.attributions, shape),
        polarity="both",
        style="blended",
        error=None if error is None else stretch(error, shape),
        figsize=(5 * panels, 0.4 + 5 * shape[0] / shape[1]),
        titles=[title, "Gradient", "Integrated gradients", "Beyond 2 sd"][:panels],
        show=False,
        save=path,
    )


def _report(record: dict[str, Any], brief: bool) -> str:
    name = Path(record["image"]).name
    top = ", ".join(f"{label} {probability:.1%}" for label, _, probability in record["top"])
    error = record["error"]
    error = "unknown for this rule" if error is None else f"{error:.1%}"
    if brief:
        return f"{name}: {top}; {record['label']} explained, error {error}: {record['picture']}"
    lines = [
        f"{name}: {top}",
        f"explained: {record['label']} ({record['output']}), {record['score']:.4g} here against"
        f" {record['baseline_score']:.4g} on the {record['baseline']} baseline",
        f"estimated error of the attributions: {error}",
        f"completeness gap: {record['delta']:+.4g}, of"
        f" {record['score'] - record['baseline_score']:.4g}",
        f"time: {record['seconds']:.1f} s for {record['evaluations']} gradients on"
        f" {record['device']}",
        f"picture: {record['picture']}, arrays: {record['arrays']}",
    ]
    return "\n  ".join(lines)


def _say(text: str) -> None:
    """Print, above the progress bar where there is one."""
    if sys.stderr.isatty():
        require("tqdm.auto", "tqdm", "the progress bar").tqdm.write(text)
    else:
        print(text, flush=True)
