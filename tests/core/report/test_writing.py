"""The files of a report: what is written, and when."""

import html.parser
import os
import shlex
import time
from urllib.parse import unquote_to_bytes

import pytest

PIL = pytest.importorskip("PIL.Image", reason="the report needs Pillow")
pytest.importorskip("jinja2", reason="the report needs Jinja2")
import sample_results  # noqa: E402
from sample_results import NAMES, REQUEST, fill, make_record  # noqa: E402

from intgrad.report import writing  # noqa: E402
from intgrad.report.scripts import read_call  # noqa: E402
from intgrad.report.writing import CHUNK, Report, write_changed  # noqa: E402
from intgrad.results.folder import Results  # noqa: E402

pytestmark = pytest.mark.unsanitized

COMMAND = ["intgrad", "explain", "a folder/<b>", "--model", "m.pt"]


def report_on(folder, command=COMMAND, single_file=False):
    with Results(folder, REQUEST, []) as results:
        report = Report(folder, REQUEST, command, results.records(), results.failures())
        report.finish(single_file)


def read(folder, name):
    return read_call((folder / "report/records" / name).read_bytes())


def cards_of(folder):
    (about,) = read(folder, "index.js")
    return [card for name in about["files"] for card in read(folder, name)[1]]


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def explained(number, **others):
    """Return a record of a photograph of which only the record matters."""
    places = {"picture": f"{number}.png", "arrays": None, "view": None, "thumbnail": None}
    record = {"image": f"/photos/{number}.jpg", **places, **make_record(number), **others}
    return {**record, "request": REQUEST}


def test_a_card_for_each(tmp_path):
    fill(tmp_path / "out", tmp_path / "photos")
    report_on(tmp_path / "out")
    cards = cards_of(tmp_path / "out")
    assert [card["name"] for card in cards] == [f"{name}.png" for name in NAMES]
    records = sample_results.records(tmp_path / "out")
    for card, record in zip(cards, records, strict=True):
        (run,) = card["runs"]
        assert run["label"] == record["label"]
        assert card["facts"]["error"] == record["error"]
        assert card["facts"]["completeness gap"] == record["delta"]
        for key in ("view", "thumbnail", "picture"):
            path = os.fsdecode(unquote_to_bytes(run[key]))
            assert (tmp_path / "out" / path).is_file()
            assert path == record[key]
    _, details = read(tmp_path / "out", "0000.details.js")
    assert details == [[record] for record in records]


def test_the_page_escapes_what_it_is_told(tmp_path):
    fill(tmp_path / "out", tmp_path / "photos", names=["a"], model="<script>alert(1)</script>.pt")
    report_on(tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.pt" in page
    assert "intgrad explain &#39;a folder/&lt;b&gt;&#39; --model m.pt" in page


def test_failures_have_cards(tmp_path):
    fill(tmp_path, tmp_path / "photos", names=["a"])
    record = {"image": "/x/<b>.jpg", "reason": "it is damaged & <lost>", "request": REQUEST}
    with Results(tmp_path, REQUEST, []) as results:
        report = Report(tmp_path, REQUEST, COMMAND, results.records(), [])
        report.fail(record)
        report.finish(single_file=False)
        assert [card.get("reason") for card in cards_of(tmp_path)] == [None, record["reason"]]
        report.add(explained(5, image="/x/<b>.jpg"))
        report.finish(single_file=False)
        assert [card.get("reason") for card in cards_of(tmp_path)] == [None, None]


def test_only_what_changed_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK", 3)
    report = Report(tmp_path, REQUEST, COMMAND, map(explained, range(7)), [])
    before = times(tmp_path)
    assert sum(path.name.endswith(".details.js") for path in before) == 3
    time.sleep(0.01)
    report.add(explained(7))
    report.finish(single_file=False)
    changed = {path.name for path, when in times(tmp_path).items() if before.get(path) != when}
    assert changed == {"0002.js", "0002.details.js"}
    before = times(tmp_path)
    Report(tmp_path, REQUEST, COMMAND, map(explained, range(8)), []).finish(single_file=False)
    assert times(tmp_path) == before


def test_chunks_follow_each_other(tmp_path):
    count = 2 * CHUNK + 1
    Report(tmp_path, REQUEST, COMMAND, map(explained, range(count)), [])
    assert [card["name"] for card in cards_of(tmp_path)] == [f"{k}.jpg" for k in range(count)]
    Report(tmp_path, REQUEST, COMMAND, map(explained, range(2 * CHUNK)), [])
    assert read(tmp_path, "index.js")[0]["files"] == ["0000.js", "0001.js", "failed.js"]


def test_what_was_given_before_is_remembered(tmp_path):
    """By who has only the results, as `intgrad metrics`."""
    fill(tmp_path, tmp_path / "photos", names=["a"])
    report_on(tmp_path)
    report_on(tmp_path, command=None)
    assert shlex.join(COMMAND) in html.unescape((tmp_path / "index.html").read_text())
    assert "--model m.pt" in (tmp_path / "index.html").read_text()


def test_metrics_can_be_sorted_by(tmp_path):
    metrics = {"deletion": {"convention": "", "value": 0.25, "error": None, "note": ""}}
    Report(tmp_path, REQUEST, COMMAND, [explained(0), explained(1, metrics=metrics)], [])
    assert read(tmp_path, "index.js")[0]["facts"][-1] == "deletion"
    assert [card["facts"].get("deletion") for card in cards_of(tmp_path)] == [None, 0.25]


class Texts(html.parser.HTMLParser):
    """Collects what pages hold, and what they ask for."""

    def __init__(self):
        super().__init__()
        self.asked, self.scripts = [], 0

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.asked += [value for key, value in attributes if key in ("src", "href")]


@pytest.mark.parametrize("single_file", [False, True])
def test_what_the_page_asks_for(single_file, tmp_path):
    fill(tmp_path, tmp_path / "photos")
    report_on(tmp_path, single_file=single_file)
    texts = Texts()
    texts.feed((tmp_path / "index.html").read_text())
    for address in texts.asked:
        assert address.startswith(("#", "data:")) or (tmp_path / address).is_file()
    files = [address for address in texts.asked if address.startswith("report/")]
    assert bool(files) != single_file


def test_a_single_file_holds_all(tmp_path):
    fill(tmp_path, tmp_path / "photos")
    report_on(tmp_path, single_file=True)
    page = (tmp_path / "index.html").read_bytes()
    texts = Texts()
    texts.feed(page.decode())
    # Five of the page, cards, their details, failures, what holds for all, and each view.
    assert texts.scripts == 5 + 4 + len(NAMES)
    assert page.count(b"data:image/png") >= len(NAMES)
    report_on(tmp_path)
    assert len((tmp_path / "index.html").read_bytes()) < len(page) / 10


def test_a_run_without_results(tmp_path):
    Report(tmp_path, REQUEST, COMMAND, [], []).finish(single_file=True)
    assert "Integrated gradients" in (tmp_path / "index.html").read_text()


def test_a_page_that_cannot_be_written(tmp_path):
    (tmp_path / "report").write_text("a file")
    with pytest.raises(OSError, match="report"):
        Report(tmp_path, REQUEST, COMMAND, [], [])


def test_what_is_there_is_left(tmp_path):
    write_changed(tmp_path / "below/a", b"abc")
    before = times(tmp_path)
    write_changed(tmp_path / "below/a", b"abc")
    assert times(tmp_path) == before
    write_changed(tmp_path / "below/a", b"abd")
    assert (tmp_path / "below/a").read_bytes() == b"abd"
    assert len(times(tmp_path)) == 1


def test_records_that_are_too_old(tmp_path):
    """As `explain` would find in a folder that it is to go on with."""
    old = {key: value for key, value in explained(0).items() if key != "regions"}
    with pytest.raises(ValueError, match=r"the record of '.*' in '.*' lacks regions: an intgrad"):
        Report(tmp_path, REQUEST, COMMAND, [old], [])
