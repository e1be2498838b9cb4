"""A page of several runs over the same photographs, where they disagree most first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from .._errors import describe
from ..results.folder import PLACES
from ..results.reading import read_results
from ..results.result import Result
from .about import Run, make_about
from .building import DRAWN, draw_view, find_view
from .cards import make_run, name_of
from .comparing import Agreement, agree
from .single import write_single
from .writing import Cards, read_command, write_assets, write_changed, write_page

ORDER = "least correlated first"


@dataclass(frozen=True)
class Compared:
    """A photograph in several runs, and how far they agree."""

    results: tuple[Result, ...]
    agreement: Agreement

    @property
    def name(self) -> str:
        """What the first run calls it."""
        return name_of(self.results[0].record)

    @property
    def order(self) -> float:
        """Sorts the least agreement first, and what has none last."""
        correlation = self.agreement.correlation
        return 2.0 if math.isnan(correlation) else correlation


def compare_runs(
    folders: Sequence[Path], update: Callable[[float, int], None] | None
) -> list[Compared]:
    """Compare what runs made of the photographs that all of them have, least agreement first.

    `update` is called with how many are done, and of how many.

    Raises
    ------
    OSError, ValueError
        If one holds no results, or they have no photograph in common.
    """
    found = [_by_path(folder) for folder in folders]
    common = _find_common(found)
    if not common:  # a folder may come from another machine
        found = [_by_name(results) for results in found]
        common = _find_common(found)
    if not common:
        names = " and ".join(repr(str(folder)) for folder in folders)
        raise ValueError(f"{names} have no photograph in common, neither by path nor by name")
    compared = []
    for done, image in enumerate(common, 1):
        results = tuple(each[image] for each in found)
        compared.append(Compared(results, agree(results)))
        for result in results:
            result.forget()
        if update is not None:
            update(done, len(common))
    return sorted(compared, key=lambda each: each.order)


def write_comparison(
    compared: Sequence[Compared],
    folders: Sequence[Path],
    out: Path,
    command: Sequence[str],
    single_file: bool,
) -> dict[str, str]:
    """Write the page of a comparison into a folder that is there.

    What could not be drawn is returned: why, by the photograph's path.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    write_assets(out)
    cards = Cards(out, facts=list(compared[0].agreement.to_facts()))
    lost: dict[str, str] = {}
    for number, each in enumerate(compared):
        records = [
            result.record | _bring_view(result, folder, out, f"{run}/{number:06}", lost)
            for run, (result, folder) in enumerate(zip(each.results, folders, strict=True))
        ]
        card = {
            "name": each.name,
            "facts": each.agreement.to_facts(),
            "runs": [make_run(record) for record in records],
        }
        cards.add(card, records)
        for result in each.results:
            result.forget()
    cards.flush()
    first = compared[0].results
    runs = [
        Run.of(result.record, result.record["request"], read_command(folder)).named(
            folder.resolve().name
        )
        for result, folder in zip(first, folders, strict=True)
    ]
    about = make_about(runs, cards.files, list(cards.facts), ORDER)
    title = " / ".join(run.title for run in runs)
    lead = f"The same {len(compared)} photographs in {len(runs)} runs, {ORDER}."
    made = [*runs, runs[0].with_command("This page", command)]
    write_page(out, about, title, lead, made)
    if single_file:
        write_single(out, title, lead, made)
    return lost


def _by_path(folder: Path) -> dict[str, Result]:
    """Return results by the paths of their photographs; of many, little is kept in memory."""
    found = {}
    for result in read_results(folder):
        found[result.record["image"]] = result
        result.forget()
    return found


def _by_name(results: Mapping[str, Result]) -> dict[str, Result]:
    """Return results by the names of their photographs, where these are unmistakable."""
    named: dict[str, list[Result]] = {}
    for image, result in results.items():
        named.setdefault(PurePath(image).name, []).append(result)
    return {name: same[0] for name, same in named.items() if len(same) == 1}


def _find_common(found: Sequence[dict[str, Result]]) -> list[str]:
    return [image for image in found[0] if all(image in results for results in found[1:])]


def _bring_view(
    result: Result, folder: Path, out: Path, name: str, lost: dict[str, str]
) -> dict[str, Any]:
    """Have what the page draws of a photograph beside it; return what its record says of that."""
    drawn = find_view(folder, result.record)
    if drawn is not None:
        places = {key: PLACES[key].format(name) for key in drawn}
        for key, place in places.items():
            write_changed(out / place, (folder / drawn[key]).read_bytes())
        return {"picture": None, **places}
    try:
        return {"picture": None, **draw_view(result, out, name)}
    except (OSError, ValueError) as error:
        lost[result.record["image"]] = describe(error)
        return {"picture": None, **dict.fromkeys(DRAWN)}
