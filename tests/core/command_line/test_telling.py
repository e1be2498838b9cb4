"""What is told of a run."""

import io
import sys

import pytest

from intgrad._errors import describe
from intgrad.command_line import telling
from intgrad.command_line.telling import (
    Telling,
    duration,
    report,
    say,
    summarise,
)

RECORD = {
    "image": "/photos/espresso.jpg",
    "picture": "espresso.png",
    "arrays": "espresso.npz",
    "top": [["espresso", 967, 0.862], ["cup", 968, 0.1]],
    "target": 967,
    "label": "espresso",
    "output": "softmax",
    "score": 0.862,
    "baseline_score": 0.0012,
    "baseline": "black",
    "delta": 0.39,
    "error": 0.07,
    "seconds": 1.5,
    "evaluations": 51,
    "device": "cpu",
    "note": None,
}


def test_a_report_holds_the_summary():
    lines = report(RECORD, "espresso: 0.9\ncompleteness gap: 3").split("\n  ")
    assert lines[0] == "espresso.jpg: espresso 86.2%, cup 10.0%"
    assert lines[1:3] == ["espresso: 0.9", "completeness gap: 3"]
    assert lines[-1] == "picture: espresso.png, arrays: espresso.npz"


def test_what_is_noted():
    assert "note" not in summarise(RECORD)
    assert summarise({**RECORD, "note": "37% is dark"}).endswith("\n  note: 37% is dark")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (7.4, "7 s"),
        (44, "40 s"),
        (130, "2 min"),
        (3600, "60 min"),
        (7000, "1 h 57 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_place_and_time_left(monkeypatch, capsys):
    now = iter([0, 10, 20, 30])
    monkeypatch.setattr(telling.time, "monotonic", lambda: next(now))
    with Telling(3) as told:
        told.tell(RECORD)
        told.tell(None)
        told.tell(RECORD)
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("[1/3, 20 s left] espresso.jpg: espresso 86.2%, cup 10.0%; espresso")
    assert last.startswith("[3/3] espresso.jpg")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_whatever_a_file_is_called_can_be_printed(encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    say("caf\udce9.jpg \x1b[31m é €\nnext")
    printed = stream.buffer.getvalue().decode(encoding)
    assert printed.startswith(r"caf\udce9.jpg \x1b[31m ")
    assert printed.endswith("\nnext\n")


def test_a_name_takes_one_line():
    record = {**RECORD, "image": "/a\nb.jpg", "picture": "a\nb.png", "arrays": "a\nb.npz"}
    assert summarise(record).startswith(r"a\nb.jpg: ")
    assert "\n" not in summarise(record)
    assert report(record, "").split("\n")[-1] == r"  picture: a\nb.png, arrays: a\nb.npz"


@pytest.mark.parametrize("error", [True, False])
def test_a_stream_that_was_closed(error, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr" if error else "stdout", None)
    say("anything", error=error)
    with Telling(2) as told:
        told.tell(RECORD)
    text = capsys.readouterr()
    assert "anything" not in text.out + text.err


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.pt"), "there is no file 'a.pt'"),
        (IsADirectoryError(21, "Is a directory", "a"), "'a': Is a directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("encoder error -2"), "encoder error -2"),
        (ValueError("steps must be"), "steps must be"),
        (MemoryError(), "MemoryError"),
    ],
    ids=repr,
)
def test_errors_in_words(error, text):
    assert describe(error) == text


def test_a_bar_on_a_terminal_counts_failures_too(monkeypatch, capsys):
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Telling(2) as told:
        told.tell(None)
        told.tell(RECORD)
    assert "2/2" in terminal.getvalue()
    assert "[2/2] espresso.jpg" in capsys.readouterr().out
