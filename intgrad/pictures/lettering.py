"""Text on figures: drawn as it is written, whatever it holds, and cut to the room that it has."""

from __future__ import annotations

import functools
from itertools import groupby

from .._optional import require

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
UNKNOWN = "\N{WHITE SQUARE}"
POINTS_PER_INCH = 72
LINE_HEIGHT = 1.25
"""Of a line of text, in sizes of its font."""
VERBATIM = {"parse_math": False, "usetex": False}
"""Options of matplotlib's texts, for which a $ is a $."""


def height_of(lines: int, size: float) -> float:
    """Return the height of lines of text in inches; `size` is the font's, in points."""
    return lines * LINE_HEIGHT * size / POINTS_PER_INCH


def printable(text: str) -> str:
    """Replace what the fonts lack, such as the surrogates of file names, by a square.

    As matplotlib does, which however warns of each.
    """
    known = _characters(_fonts())
    unknown = UNKNOWN if UNKNOWN in known else "?"
    return "".join(
        character if character in known or character == "\n" else unknown
        for character in text.replace("\t", " ").replace("\r", "")
    )


def fit(text: str, room: float, size: float, most: int) -> str:
    """Break printable text into at most so many lines of `room` inches, with an ellipsis at a cut.

    At spaces where it has them, and anywhere in words that are longer than a line.
    """
    lines = [
        line for paragraph in text.split("\n") for line in _break(paragraph, room / size, _fonts())
    ]
    if len(lines) > most:
        last = lines[most - 1]
        while last and width_of(last + ELLIPSIS, size) > room:
            last = last[:-1]
        lines[most - 1 :] = [last + ELLIPSIS]
    return "\n".join(lines)


def width_of(text: str, size: float) -> float:
    """Return the width of a line of text in inches."""
    fonts = _fonts()
    return sum(_advance(character, fonts) for character in text) * size


def by_font(text: str) -> tuple[tuple[str, str], ...]:
    """Return the parts of printable text, each after the file of the font that it is drawn with."""
    fonts = _fonts()

    def first(character: str) -> str:
        return next((font for font in fonts if character in _characters((font,))), fonts[0])

    return tuple((font, "".join(part)) for font, part in groupby(text, first))


def _break(text: str, room: float, fonts: tuple[str, ...]) -> list[str]:
    lines, line, filled = [], "", 0.0
    for character in text:
        line += character
        filled += _advance(character, fonts)
        if filled > room and len(line) > 1 and character != " ":
            at = line.rfind(" ") + 1 or len(line) - 1
            lines.append(line[:at].rstrip())
            line = line[at:]
            filled = sum(_advance(each, fonts) for each in line)
    return [*lines, line.rstrip()]


def _fonts() -> tuple[str, ...]:
    """Return the files of the fonts that matplotlib takes characters from, in order."""
    manager = require("matplotlib.font_manager", "matplotlib", "drawing")
    found = []
    for family in manager.FontProperties().get_family():
        try:
            properties = manager.FontProperties(family=[family])
            found.append(manager.findfont(properties, fallback_to_default=False))
        except ValueError:  # there is no such font here
            continue
    return tuple(found) or (manager.findfont(manager.FontProperties()),)


@functools.lru_cache
def _characters(fonts: tuple[str, ...]) -> frozenset[str]:
    font_of = require("matplotlib.font_manager", "matplotlib", "drawing").get_font
    return frozenset(chr(code) for path in fonts for code in font_of(path).get_charmap())


@functools.lru_cache(4096)
def _advance(character: str, fonts: tuple[str, ...]) -> float:
    """Return how far a character moves the pen, in inches for a font of one point.

    It does not depend on `fonts` but for the cache: they may be set anew.
    """
    return _extent(f"|{character}|") - _extent("||")


def _extent(text: str) -> float:
    size = 100  # so that what is rounded to pixels is small
    properties = require("matplotlib.font_manager", "matplotlib", "drawing").FontProperties(
        size=size
    )
    measure = require("matplotlib.textpath", "matplotlib", "drawing").text_to_path
    extent, _, _ = measure.get_text_width_height_descent(text, properties, ismath=False)
    return float(extent) / size / POINTS_PER_INCH
