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

PLUGINS = {"HEIF": "pillow_heif", "AVIF": "pillow_avif"}
"""What `decode` imports to read a kind of file that Pillow does not know by itself."""


@dataclass(frozen=True)
class Source:
    """A file, what its results are called, and what it is known by: its path without links."""

    path: Path
    name: str
    real: str


@dataclass
class Found:
    """What stands for photographs, and what was passed over.

    Attributes
    ----------
    sources : dict of str to Source
        By their real paths.
    skipped : dict of str to list of Path
        Pictures in folders that Pillow cannot read, by what would help.
    unreadable : dict of Path to str
        Folders that cannot be listed, and why.
    """

    sources: dict[str, Source] = field(default_factory=dict)
    skipped: dict[str, list[Path]] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path, name: str) -> None:
        """Add a file, unless it is there."""
        real = os.path.realpath(path)
        self.sources.setdefault(real, Source(path, name, real))


def find(arguments: Sequence[str]) -> Found:
    """Return what files, folders and patterns stand for, each file once.

    A folder stands for all that Pillow can decode by its suffix, in its subfolders and in linked
    ones too, but not for what is hidden; results are named after the path below it. A file that
    does not exist is found out when it is read.

    Raises
    ------
    ValueError
        If a folder or a pattern stands for nothing.
    """
    found = Found()
    for argument in arguments:
        path = Path(argument)
        if os.path.isdir(path):
            _add_folder(found, path)
        elif not os.path.lexists(path) and glob.has_magic(argument):
            for match in _matches(argument):
                found.add(Path(match), Path(match).stem)
        else:
            found.add(path, path.stem)
    return found


def _matches(pattern: str) -> list[str]:
    matches = sorted(each for each in glob.glob(pattern, recursive=True) if os.path.isfile(each))
    if not matches:
        raise ValueError(f"no file matches {pattern!r}")
    return matches


# ---- Folders -------------------------------------------------------------------------------------


def _add_folder(found: Found, folder: Path) -> None:
    decodable = _decodable_suffixes()
    others: Counter[str] = Counter()
    taken = 0
    for path in sorted(_walk(folder, found.unreadable)):
        suffix = path.suffix.lower()
        kind = SUFFIXES.get(suffix, "")
        if suffix in decodable:
            found.add(path, str(path.relative_to(folder).with_suffix("")))
            taken += 1
        elif kind:
            found.skipped.setdefault(ADVICE[kind], []).append(path)
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


def _walk(folder: Path, unreadable: dict[Path, str]) -> Iterator[Path]:
    """Yield the files below a folder that are not hidden, each real folder once.

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
        for name in names:
            path = current / name
            if os.path.isfile(path):
                yield path
            elif os.path.isdir(path):
                (waiting.append if path.is_symlink() else waiting.appendleft)(path)


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
