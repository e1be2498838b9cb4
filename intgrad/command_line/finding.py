"""Which files are meant: photographs, folders of them, and patterns."""

from __future__ import annotations

import glob
import importlib.util
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._optional import require
from ..images.reading import ADVICE, SUFFIXES
from ..results.records import drawn_in, is_report
from ..results.sources import Source

PLUGINS = {"HEIF": "pillow_heif", "AVIF": "pillow_avif"}
"""What `decode` imports to read a kind of file that Pillow does not know by itself."""
DRAWN, LOST = "drawn by intgrad explain", "links that lead to no file"
"""Why files are passed over."""


@dataclass
class Found:
    """What stands for photographs, and what was passed over.

    Attributes
    ----------
    sources : dict of str to Source
        By their real paths.
    skipped : dict of str to list of Path
        By the reason, or by what would help: pictures in folders that Pillow cannot read, links
        that lead nowhere, and results that were named as photographs.
    unreadable : dict of Path to str
        Folders that cannot be listed, and why.
    """

    sources: dict[str, Source] = field(default_factory=dict)
    skipped: dict[str, list[Path]] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)
    _drawn: dict[Path, set[str] | None] = field(default_factory=dict)

    def add(self, path: Path, name: str) -> bool:
        """Add a file, unless it is there; return False for a picture of an earlier run's."""
        real = os.path.realpath(path)
        if self._is_drawn(real):
            return False
        self.sources.setdefault(real, Source(path, name, real))
        return True

    def add_named(self, path: Path) -> None:
        """Add a file that was asked for by its name, and note it if it is passed over."""
        if not self.add(path, path.stem):
            self.skip(DRAWN, path)

    def skip(self, reason: str, path: Path) -> None:
        """Note that a file is passed over."""
        self.skipped.setdefault(reason, []).append(path)

    def _is_drawn(self, real: str) -> bool:
        for folder in Path(real).parents:
            if folder not in self._drawn:
                self._drawn[folder] = None if is_report(folder) else drawn_in(folder)
            drawn = self._drawn[folder]
            if drawn is None or real in drawn:
                return True
        return False


def find(arguments: Sequence[str]) -> Found:
    """Return what files, folders and patterns stand for, each file once.

    A folder stands for all that Pillow can decode by its suffix, in its subfolders and in linked
    ones too, but not for what is hidden or was drawn by earlier runs; results are named after the
    path below it. A file that does not exist is found out when it is read.

    Raises
    ------
    ValueError
        If a folder or a pattern stands for nothing, or an argument is empty.
    """
    found = Found()
    for argument in arguments:
        if not argument:  # which `Path` takes for the folder one is in
            raise ValueError("'' names no photograph: is a variable of the shell empty?")
        path = Path(argument)
        if os.path.isdir(path):
            _add_folder(found, path)
        elif not os.path.lexists(path) and glob.has_magic(argument):
            _add_matches(found, argument)
        else:
            found.add_named(path)
    return found


# ---- Patterns ------------------------------------------------------------------------------------


def _add_matches(found: Found, pattern: str) -> None:
    matches = sorted(each for each in _match(pattern, found.unreadable) if os.path.isfile(each))
    if not matches:
        raise ValueError(f"no file matches {pattern!r}")
    for match in matches:
        found.add_named(Path(match))


def _match(pattern: str, unreadable: dict[Path, str]) -> set[str]:
    """Return what `glob.glob` does, whose `**` however goes round and round where links do."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        return set(glob.glob(pattern))
    at = parts.index("**")
    start = os.sep.join(parts[:at]) or (os.sep if pattern.startswith(os.sep) else os.curdir)
    rest = os.sep.join(parts[at + 1 :]) or "*"
    return {
        match
        for top in glob.glob(start)
        for folder, _ in _walk(Path(top), unreadable)
        for match in _match(os.path.join(glob.escape(str(folder)), rest), unreadable)
    }


# ---- Folders -------------------------------------------------------------------------------------


def _add_folder(found: Found, folder: Path) -> None:
    decodable = _decodable_suffixes()
    others: Counter[str] = Counter()
    taken = 0
    for path in sorted(path for _, paths in _walk(folder, found.unreadable) for path in paths):
        suffix = path.suffix.lower()
        kind = SUFFIXES.get(suffix, "")
        if not os.path.isfile(path):
            if path.is_symlink() and suffix in decodable:
                found.skip(LOST, path)
                others[f"{path.suffix} ({LOST})"] += 1
        elif suffix in decodable:
            if found.add(path, str(path.relative_to(folder).with_suffix(""))):
                taken += 1
            else:
                others[f"{path.suffix} ({DRAWN})"] += 1
        elif kind:
            found.skip(ADVICE[kind], path)
            others[f"{path.suffix} ({ADVICE[kind]})"] += 1
        else:
            others[path.suffix or "without a suffix"] += 1
    if not taken:
        raise ValueError(
            f"the folder {str(folder)!r} holds no pictures that Pillow can read: {_list(others)}"
        )


def _list(others: Counter[str]) -> str:
    """Say what a folder holds instead of pictures."""
    if not others:
        return "it holds no files at all, or only hidden ones"
    named = [f"{count} {kind}" for kind, count in others.most_common(5)]
    more = others.total() - sum(count for _, count in others.most_common(5))
    return f"it holds {', '.join(named)}" + (f" and {more} other files" if more else "")


def _walk(folder: Path, unreadable: dict[Path, str]) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a folder and those below it, each once, and what each holds but folders and the hidden.

    Links are followed after everything else, so that what is reached both ways has the name that it
    has without them.
    """
    waiting, seen = deque([folder]), set()
    while waiting:
        current = waiting.popleft()
        real = os.path.realpath(current)
        if real in seen:
            continue
        seen.add(real)
        try:
            names = sorted(name for name in os.listdir(current) if not name.startswith("."))
        except OSError as error:
            unreadable[current] = error.strerror or str(error)
            continue
        others = []
        for path in (current / name for name in names):
            if not os.path.isdir(path):
                others.append(path)
            elif path.is_symlink():
                waiting.append(path)
            else:
                waiting.appendleft(path)
        yield current, others


def _decodable_suffixes() -> set[str]:
    """Return the suffixes of what Pillow not only recognises, but decodes."""
    pil = require("PIL.Image", "pillow", "reading photographs")
    registered = pil.registered_extensions()
    suffixes = {suffix for suffix, kind in registered.items() if _is_decodable(pil, kind)}
    plugins = {kind for kind, module in PLUGINS.items() if importlib.util.find_spec(module)}
    return suffixes | {suffix for suffix, kind in SUFFIXES.items() if kind in plugins}


def _is_decodable(pil: Any, kind: str) -> bool:
    if kind not in pil.OPEN:
        return False
    factory = pil.OPEN[kind][0]
    stub = require("PIL.ImageFile", "pillow", "reading photographs").StubImageFile
    if isinstance(factory, type) and issubclass(factory, stub):  # as for HDF5: a handler may do it
        holders = (factory, sys.modules[factory.__module__])  # of newer and of older Pillows
        return any(getattr(holder, "_handler", None) is not None for holder in holders)
    if kind == "EPS":
        eps = require("PIL.EpsImagePlugin", "pillow", "reading photographs")
        return bool(eps.has_ghostscript())
    return str(pil.MIME.get(kind, "image/")).startswith("image/")  # films have no decoder
