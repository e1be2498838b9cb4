"""The page that `intgrad explain` writes, and what becomes of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from killing import records
from small_models import METADATA, SIZE, Smooth, archive

import intgrad
from intgrad.command_line import main as cli
from intgrad.report import writing
from intgrad.report.scripts import read_call
from intgrad.results.folder import lock

PIL = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.filterwarnings("ignore:the probability")  # of a model too sure


@pytest.fixture
def place(tmp_path, monkeypatch):
    small = Smooth()
    small.body[-1].weight.data.mul_(0.1)  # or every probability would be 0 or 1
    (tmp_path / "model.pt").write_bytes(archive(small, metadata=METADATA))
    (tmp_path / "photos").mkdir()
    for k, name in enumerate(("a", "b <i>", "c")):
        pixels = np.random.default_rng(k).integers(0, 200, (40, 30, 3), dtype=np.uint8)
        PIL.fromarray(pixels).save(tmp_path / f"photos/{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def explain(*options, out="out"):
    words = ["--model=model.pt", "--device=cpu", "--steps=2", f"--out={out}"]
    return cli.main(["explain", "photos", *words, *options])


def cards_of(folder):
    scripts = folder / "report/records"
    (about,) = read_call((scripts / "index.js").read_bytes())
    cards = [
        card for name in about["files"] for card in read_call((scripts / name).read_bytes())[1]
    ]
    return about, cards


def test_a_card_for_each(place):
    assert explain() == 0
    _, cards = cards_of(place / "out")
    assert [card["name"] for card in cards] == ["a.png", "b <i>.png", "c.png"]
    assert (place / "out/intgrad-command.txt").read_text().startswith("intgrad explain ")
    page = (place / "out/index.html").read_text()
    assert "intgrad explain photos --model=model.pt" in page
    assert "model.pt" in page
    for record in records(place / "out"):
        for key in ("view", "thumbnail", "picture", "arrays"):
            assert (place / "out" / record[key]).is_file()


def test_records_follow_the_schema(place):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(intgrad.record_schema())
    photographs = place / "photos"
    ways = {
        "plain": [],
        "tolerance": ["--tolerance=0.3"],
        "uniform": ["--baseline=uniform", "--seed=1"],
        "blur": ["--method=blur", "--sigma=3"],
        "guided": ["--method=guided"],
        "expected": ["--method=expected", "--references", str(photographs), "--draws=6"],
        "smooth": ["--method=smoothgrad", "--kind=square", "--draws=4"],
        "none": ["--arrays=none", "--segments=4"],
    }
    for name, options in ways.items():
        steps = (
            [] if {"--draws", "--tolerance"} & {o.split("=")[0] for o in options} else ["--steps=2"]
        )
        words = ["--model=model.pt", "--device=cpu", *steps, f"--out={name}"]
        assert cli.main(["explain", "photos/a.png", *words, *options]) == 0
        for record in records(place / name):
            validator.validate(record)
    assert cli.main(["metrics", "plain", "--model=model.pt", "--metrics", "deletion"]) == 0
    (record,) = records(place / "plain")
    assert record["metrics"]["deletion"]["value"] is not None
    validator.validate(record)


def test_what_is_kept_of_arrays(place):
    for kept in ("compact", "full", "none"):
        assert explain(f"--arrays={kept}", out=kept) == 0
    (compact, *_), (full, *_), (none, *_) = map(
        list, map(intgrad.read_results, ("compact", "full", "none"))
    )
    steps = compact.record["steps_of_arrays"]
    for name in ("attributions", "gradient", "error_map", "pixel_error_map"):
        difference = np.abs(getattr(compact, name) - getattr(full, name)).max()
        assert 0 < difference <= steps[name] / 2
    np.testing.assert_array_equal(compact.regions, full.regions)
    assert (none.record["arrays"], none.arrays) == (None, {})
    assert not list(Path("none").glob("*.npz"))
    for key in ("score", "error", "regions", "delta"):
        assert compact.record[key] == full.record[key] == none.record[key]
    assert explain("--arrays=none", out="none") == 0  # nothing is missing


def test_a_run_that_goes_on_adds_to_the_page(place, capsys):
    (place / "photos/c.png").rename(place / "c.png")
    assert explain() == 0
    before = (place / "out/report/views/a.js").stat().st_mtime_ns
    (place / "c.png").rename(place / "photos/c.png")
    assert explain() == 0
    _, cards = cards_of(place / "out")
    assert len(cards) == 3
    assert (place / "out/report/views/a.js").stat().st_mtime_ns == before


def test_failures_are_on_the_page(place):
    (place / "photos/d.png").write_text("no picture")
    assert explain() == 1
    _, cards = cards_of(place / "out")
    assert [card.get("reason", "") != "" for card in cards] == [False, False, False, True]
    (place / "photos/d.png").unlink()
    (place / "photos/a.png").rename(place / "photos/d.png")
    (place / "out/failed.jsonl").unlink()
    assert explain() == 0
    _, cards = cards_of(place / "out")
    assert [card["name"] for card in cards] == ["a.png", "b <i>.png", "c.png", "d.png"]


def test_metrics_come_onto_the_page(place):
    assert explain() == 0
    assert cli.main(["metrics", "out", "--model=model.pt"]) == 0
    about, cards = cards_of(place / "out")
    assert about["facts"][-2:] == ["deletion", "insertion"]
    assert all(card["facts"]["deletion"] is not None for card in cards)
    assert "intgrad explain photos" in (place / "out/index.html").read_text()


def test_one_file_to_mail(place):
    assert explain("--single-file") == 0
    page = (place / "out/index.html").read_text()
    assert 'src="report/' not in page
    assert page.count('" data-view="') == 3
    assert explain() == 0
    assert 'src="report/' in (place / "out/index.html").read_text()


def test_thumbnails_are_no_photographs(place):
    """Nor is anything else of the report, where results are among the photographs."""
    for _ in range(2):
        assert explain(out="photos/out") == 0
    assert len(records(place / "photos/out")) == 3


def test_the_page_is_written_as_the_run_goes(place, monkeypatch):
    """Who looks before the end sees what there is."""
    monkeypatch.setattr(writing, "BETWEEN", 0)
    seen = []

    def add(self, record):
        add_to_report(self, record)
        seen.append(len(cards_of(place / "out")[1]))

    add_to_report = writing.Report.add
    monkeypatch.setattr(writing.Report, "add", add)
    assert explain() == 0
    assert seen == [1, 2, 3]


def test_it_says_at_once_what_it_needs(place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert explain() == 1
    assert "needs jinja2, which is not installed: pip install jinja2" in capsys.readouterr().err
    assert not (place / "out").exists()


FULL_BUT_FOR_SMALL_FILES = """
import errno, sys
from intgrad.command_line import main as cli
from intgrad.report import writing
whole = writing.write_whole
def write(destination, part, content):
    if destination.name == "0000.js":
        raise OSError(errno.ENOSPC, "No space left on device", str(destination))
    whole(destination, part, content)
writing.write_whole = write
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_disk_that_is_full_leaves_results_whole(place):
    words = ["explain", "photos", "--model=model.pt", "--device=cpu", "--steps=2", "--out=out"]
    done = subprocess.run(
        [sys.executable, "-c", FULL_BUT_FOR_SMALL_FILES, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 1
    assert "0000.js': No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    for result in intgrad.read_results("out"):
        assert result.attributions.shape == (*SIZE, 3)
    assert explain() == 0
    assert len(cards_of(place / "out")[1]) == len(records(place / "out")) == 3


def test_compare_two_baselines(place, capsys):
    assert explain(out="black") == 0
    assert explain("--baseline=white", out="white") == 0
    assert cli.main(["compare", "black", "white"]) == 0
    assert "3 photographs in all runs; correlation" in capsys.readouterr().out
    _, cards = cards_of(place / "compared")
    found = [json.dumps(card["facts"]["correlation"]) for card in cards]
    assert sorted(found, key=float) == found
    assert cli.main(["report", "black", "--single-file"]) == 0


def test_two_processes_at_once(place, capsys):
    assert explain() == 0
    held = lock(place / "out")
    try:
        for words in (["report", "out"], ["metrics", "out", "--model=model.pt"]):
            assert cli.main(words) == 1
            assert "another process is writing to 'out'" in capsys.readouterr().err
        (place / "compared").mkdir()
        assert cli.main(["compare", "out", "out"]) == 0  # which only reads
    finally:
        os.close(held)
