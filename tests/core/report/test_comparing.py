"""How far runs agree, and the page that shows where they do not."""

import html
import shutil

import numpy as np
import pytest

PIL = pytest.importorskip("PIL.Image", reason="the report needs Pillow")
pytest.importorskip("jinja2", reason="the report needs Jinja2")
import sample_results  # noqa: E402
from sample_results import REQUEST, add, fill, make_arrays, make_record, save_photograph  # noqa: E402

from intgrad.command_line import main as cli  # noqa: E402
from intgrad.report.comparing import GRID, agree, count_changed  # noqa: E402
from intgrad.report.scripts import read_call  # noqa: E402
from intgrad.results.folder import Results  # noqa: E402
from intgrad.results.result import Result  # noqa: E402

pytestmark = pytest.mark.unsanitized


def result(attributions, **others):
    record = {"image": "/a.png", "picture": "a.png", **make_record(0), **others}
    return Result(record, lambda: record, lambda: {"attributions": attributions})


def maps(seed=0, shape=(30, 20, 3)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_maps_of_one_shape_are_compared_pixel_by_pixel():
    first, second = maps(0), maps(1)
    mixed = (first + 0.5 * second).astype(np.float32)
    expected = np.corrcoef(first.mean(axis=2).ravel(), mixed.mean(axis=2).ravel())[0, 1]
    assert agree([result(first), result(mixed)]).correlation == pytest.approx(expected, abs=1e-6)
    assert agree([result(first), result(-first)]).correlation == pytest.approx(-1)


def test_maps_of_two_shapes_are_compared_on_a_grid():
    """The same smooth map by two models, of which one sees only a part, in its own resolution."""
    rows, columns = np.indices((280, 240))
    smooth = np.sin(rows / 40) + np.cos(columns / 30)
    first = result(smooth[::4, ::4, np.newaxis].repeat(3, axis=2))
    part = smooth[40:240, 20:220]
    second = result(part[::2, ::2, np.newaxis], seen=[40, 20, 240, 220])
    assert agree([first, second]).correlation > 0.99
    elsewhere = result(part[::2, ::2, np.newaxis], seen=[80, 0, 280, 200])
    assert agree([first, elsewhere]).correlation < 0.9
    assert GRID == 32


def old(attributions):
    """Return a result of before records said what a model saw."""
    found = result(attributions)
    for key in ("size", "seen", "fill"):
        del found.record[key]
    return found


def test_maps_of_an_older_version_are_compared_where_they_have_one_shape():
    first, second = maps(0), maps(1)
    expected = agree([result(first), result(second)]).correlation
    assert agree([old(first), result(second)]).correlation == pytest.approx(expected)
    assert np.isnan(agree([old(first), result(maps(1, (15, 10, 3)))]).correlation)


def test_of_three_runs_the_worst_pair_counts():
    first, second = maps(0), maps(1)
    runs = [result(first, score=0.5), result(first, score=0.6), result(-second, score=0.1)]
    agreement = agree(runs)
    assert agreement.correlation == agree(runs[1:]).correlation
    assert agreement.score == pytest.approx(-0.5)


def test_maps_that_are_constant_have_no_correlation():
    agreement = agree([result(maps()), result(0 * maps())])
    assert np.isnan(agreement.correlation)
    assert agreement.to_facts()["correlation"] is None


def regions(attributions, deviations, ids=(0, 1, 2)):
    return {
        "regions": {
            "ids": list(ids),
            "pixels": [1] * len(ids),
            "attributions": attributions,
            "deviations": deviations,
        }
    }


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (regions([1, -1, 1], [0.1] * 3), regions([1, 1, -1], [0.1] * 3), 2),
        (regions([1, -1, 1], [0.1, 0.6, 0.1]), regions([1, 1, -1], [0.1] * 3), 1),
        (regions([1, -1, 1], [0.1] * 3), regions([1, 1, -1], [0.1, 0.1, 0.5]), 1),
        (regions([1, -1, 1], [0.1] * 3), regions([1, 1, -1], [0.1, None, 0.1]), None),
        (regions([1, 1, 1], [0.1] * 3), regions([-1] * 4, [0.1] * 4, range(4)), None),
    ],
)
def test_regions_that_changed_sign_beyond_their_error_bars(first, second, expected):
    assert count_changed(first, second) == expected


def compare(*words):
    return cli.main(["compare", *map(str, words)])


def cards_of(folder):
    records = folder / "report/records"
    (about,) = read_call((records / "index.js").read_bytes())
    return about, [
        c for name in about["files"] for c in read_call((records / name).read_bytes())[1]
    ]


@pytest.fixture
def runs(tmp_path):
    """Two runs over six photographs; the second lacks one, has another, and turned two round."""
    photos = [save_photograph(tmp_path / "photos", f"{k}", k) for k in range(7)]
    with Results(tmp_path / "one", REQUEST, []) as results:
        for k in range(6):
            add(results, photos[k], k)
    with Results(tmp_path / "two", {**REQUEST, "baseline": "gray"}, []) as results:
        for k in (6, 4, 3, 2, 1):
            arrays = make_arrays(k)
            if k in (1, 3):
                arrays["attributions"] = -arrays["attributions"]
            add(results, photos[k], k, arrays=arrays)
    return tmp_path / "one", tmp_path / "two"


def test_a_page_where_they_disagree_most_first(runs, tmp_path, capsys):
    out = tmp_path / "compared"
    assert compare(*runs, "--out", out) == 0
    about, cards = cards_of(out)
    assert (about["runs"], about["titles"]) == (
        2,
        ["one: Integrated gradients, model.pt", "two: Integrated gradients, model.pt"],
    )
    names = [card["name"] for card in cards]
    assert (names[:2], sorted(names[2:])) == (["1.png", "3.png"], ["2.png", "4.png"])
    correlations = [card["facts"]["correlation"] for card in cards]
    np.testing.assert_allclose(correlations, [-1, -1, 1, 1], atol=1e-6)
    for card in cards:
        for run in card["runs"]:
            assert (out / run["view"]).is_file()
            assert (out / run["thumbnail"]).is_file()
    said = capsys.readouterr().out
    assert "4 photographs in all runs; correlation of their maps: median 0.00" in said
    assert said.index("1.png: correlation -1.00") < said.index("3.png: correlation -1.00")
    page = (out / "index.html").read_text()
    assert "report/page.js" in page
    assert "gray" in page


def test_folders_from_elsewhere(runs, tmp_path):
    """Photographs are known by their names, where paths tell nothing; views are drawn if lost."""
    file = runs[1] / "explained.jsonl"
    file.write_text(file.read_text().replace(str(tmp_path), "/another/machine"))
    shutil.rmtree(runs[0] / "report")
    out = tmp_path / "compared"
    assert compare(*runs, "--out", out, "--single-file") == 0
    _, cards = cards_of(out)
    assert len(cards) == 4
    assert all((out / run["view"]).is_file() for card in cards for run in card["runs"])
    assert "report/page.js" not in (out / "index.html").read_text()


def test_a_comparison_made_anew(runs, tmp_path):
    out = tmp_path / "compared"
    assert compare(*runs, "--out", out) == 0
    assert compare(*runs, runs[0], "--out", out) == 0
    about, cards = cards_of(out)
    assert about["runs"] == 3
    assert {len(card["runs"]) for card in cards} == {3}


def test_what_cannot_be_compared(runs, tmp_path, capsys):
    fill(tmp_path / "others", tmp_path / "else", names=["x"])
    for words, text in (
        ([runs[0]], "two runs or three, got 1"),
        ([runs[0], tmp_path / "nowhere"], "no file or folder"),
        ([runs[0], tmp_path / "photos"], "holds neither explained.jsonl"),
        ([runs[0], tmp_path / "others"], "have no photograph in common, neither by path nor"),
        ([*runs, "--out", runs[0]], "holds results of explain: choose another --out"),
    ):
        assert compare(*words) == 1
        assert text in capsys.readouterr().err
    assert not (tmp_path / "compared").exists()


def test_one_whose_arrays_are_lost_does_not_end_the_others(runs, tmp_path, capsys):
    (runs[0] / "2.npz").unlink()
    (runs[1] / "4.npz").write_bytes(b"PK damaged")
    assert compare(*runs, "--out", tmp_path / "compared") == 0
    _, cards = cards_of(tmp_path / "compared")
    known = [card["facts"]["correlation"] is not None for card in cards]
    assert known == [True, True, False, False]
    assert all((tmp_path / "compared" / run["view"]).is_file() for c in cards for run in c["runs"])


def test_names_that_may_be_mistaken_are_left_out(runs, tmp_path):
    for run, place in zip(runs, ("/here", "/there"), strict=True):
        file = run / "explained.jsonl"
        text = file.read_text().replace(str(tmp_path / "photos"), place)
        file.write_text(text.replace(f"{place}/2.png", f"{place}/sub/1.png"))
    assert compare(*runs, "--out", tmp_path / "compared") == 0
    _, cards = cards_of(tmp_path / "compared")
    assert sorted(card["name"] for card in cards) == ["3.png", "4.png"]


@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_page_of_somebody_else_is_left_alone(command, runs, tmp_path, capsys):
    place = runs[0] if command == "report" else tmp_path / "site"
    place.mkdir(exist_ok=True)
    (place / "index.html").write_text("<h1>My photographs</h1>")
    words = [runs[0]] if command == "report" else [*runs, "--out", place]
    assert cli.main([command, *map(str, words)]) == 1
    assert "is no page of intgrad: choose another --out" in capsys.readouterr().err
    assert (place / "index.html").read_text() == "<h1>My photographs</h1>"


# ---- Reports made anew ---------------------------------------------------------------------------


def test_a_report_of_a_folder_of_an_older_version(tmp_path, capsys):
    """It had no report: views are drawn of arrays and photographs, and cards made of records."""
    fill(tmp_path / "out", tmp_path / "photos", names=["a", "b", "c"])
    first = {path.name: path.read_bytes() for path in (tmp_path / "out/report/views").iterdir()}
    shutil.rmtree(tmp_path / "out/report")
    (tmp_path / "photos/b.png").unlink()
    assert cli.main(["report", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert "b.png is not drawn" in told.err
    assert "report: " in told.out
    about, cards = cards_of(tmp_path / "out")
    assert [card["name"] for card in cards] == ["a.png", "b.png", "c.png"]
    assert [bool(card["runs"][0]["view"]) for card in cards] == [True, False, True]
    second = {path.name: path.read_bytes() for path in (tmp_path / "out/report/views").iterdir()}
    assert second == {name: text for name, text in first.items() if not name.startswith("b")}
    assert "command" not in about
    view = tmp_path / "out/report/views/c.js"
    view.write_text('intgrad.addView({"format":0,"maps":""});\n')
    assert cli.main(["report", str(tmp_path / "out")]) == 1
    assert view.read_bytes() == first["c.js"]


def test_a_report_of_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    fill(tmp_path / "out", tmp_path / "photos", names=["a", "b"])
    sample_results.to_parquet(tmp_path / "out", tmp_path / "rows.parquet")
    page = tmp_path / "page"
    assert cli.main(["report", str(tmp_path / "rows.parquet"), "--out", str(page)]) == 0
    _, cards = cards_of(page)
    assert [card["name"] for card in cards] == ["a.png", "b.png"]
    assert all((page / card["runs"][0]["view"]).is_file() for card in cards)
    assert not list(page.glob("*.npz"))


def test_what_has_no_report(tmp_path, capsys):
    fill(tmp_path / "out", tmp_path / "photos", names=["a"])
    assert cli.main(["report", str(tmp_path / "out"), "--out", "x"]) == 1
    assert "--out is for Parquet" in capsys.readouterr().err
    assert cli.main(["report", str(tmp_path / "photos")]) == 1
    assert "holds neither" in capsys.readouterr().err
    assert sample_results.records(tmp_path / "out")[0]["picture"] == "a.png"


def test_rows_are_drawn_as_folders_are(runs, tmp_path):
    """Of a file no view is beside it, and none was named."""
    pytest.importorskip("pyarrow")
    for run in runs:
        for each in (run / "explained.jsonl").read_text().splitlines():
            assert '"view": "report' in each
        text = (run / "explained.jsonl").read_text().replace('"view": "report', '"lost": "report')
        (run / "explained.jsonl").write_text(text)
        sample_results.to_parquet(run, tmp_path / f"{run.name}.parquet")
    files = [tmp_path / f"{run.name}.parquet" for run in runs]
    assert compare(*files, "--out", tmp_path / "drawn", "--single-file") == 0
    views = sorted((tmp_path / "drawn/report/views").rglob("*.js"))
    assert len(views) == 8
    assert all(view.read_bytes().startswith(b"intgrad.addView(") for view in views)


def test_what_a_report_has_drawn_is_used_again(runs, tmp_path, capsys):
    """Of rows, too, whose photographs are gone."""
    pytest.importorskip("pyarrow")
    for run in runs:
        (tmp_path / f"rows {run.name}/rows").mkdir(parents=True)
        sample_results.to_parquet(run, tmp_path / f"rows {run.name}/rows/0.parquet")
        assert cli.main(["report", str(tmp_path / f"rows {run.name}")]) == 0
    (tmp_path / "photos").rename(tmp_path / "away")
    capsys.readouterr()
    places = [tmp_path / f"rows {run.name}" for run in runs]
    assert compare(*places, "--out", tmp_path / "both") == 0
    assert len(list((tmp_path / "both/report/views").rglob("*.js"))) == 8
    assert capsys.readouterr().err == ""
    shutil.rmtree(places[0] / "report")
    assert compare(*places, "--out", tmp_path / "half") == 0
    assert "is not drawn: " in capsys.readouterr().err
    assert compare(*places, "--out", places[0]) == 1
    assert "holds results of explain" in capsys.readouterr().err


def test_the_commands_are_told(runs, tmp_path):
    (runs[0] / "intgrad-command.txt").write_text("intgrad explain photos --baseline 'a b'\n")
    assert compare(*runs, "--out", tmp_path / "both") == 0
    page = html.unescape((tmp_path / "both/index.html").read_text())
    assert "intgrad explain photos --baseline 'a b'" in page
    assert "<h2>This page</h2>" in page
    assert f"intgrad compare {runs[0]} {runs[1]}" in page
