"""A folder of results: names, records and failures."""

import errno
import json
import os

import pytest

from intgrad.results import folder as module
from intgrad.results.folder import PLACES, Results
from intgrad.results.records import from_line
from intgrad.results.sources import Source

pytestmark = pytest.mark.unsanitized

REQUEST = {"steps": 2}


def source(name):
    path = os.path.join("/photos", name)
    return Source(path, os.path.splitext(name)[0], path)


def draw(path):
    path.write_bytes(b"picture")


def open_folder(folder, *names, request=REQUEST):
    return Results(folder, request, [source(name) for name in names])


def lines(folder, name):
    file = folder / name
    return [from_line(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def files(draw=draw):
    return dict.fromkeys(PLACES, draw)


def add(results, name, draw=draw):
    return results.add(source(name), {}, files(draw))


@pytest.mark.parametrize(
    "stem", ["n" * 251, "é" * 125 + "n", "n" * 255, "x", "caf\udce9" + "n" * 246]
)
def test_names_fit_and_are_found_again(stem, tmp_path):
    names = [f"{stem}.jpg", f"{stem}.png", *(f"{k}/{stem}.jpg" for k in range(3))]
    wishes = [Source("/", stem, f"/{k}") for k in range(12)] + [source(name) for name in names[2:]]
    for _ in range(2):
        with Results(tmp_path, REQUEST, wishes) as results:
            for each in wishes:
                if not results.has(each):
                    results.add(each, {}, files())
    records = lines(tmp_path, "explained.jsonl")
    assert len({record["picture"] for record in records}) == len(records) == 15
    for record in records:
        for key in PLACES:
            assert (tmp_path / record[key]).is_file()
            assert len(os.fsencode(os.path.basename(record[key]))) <= 255


def test_a_failure_is_recorded_until_it_is_mended(tmp_path):
    with open_folder(tmp_path, "a.jpg", "b.jpg") as results:
        add(results, "a.jpg")
        results.fail(source("b.jpg"), "it is damaged")
        results.fail(source("caf\udce9.jpg"), "so is it")
    expected = {"image": "/photos/b.jpg", "reason": "it is damaged", "request": REQUEST}
    assert lines(tmp_path, "failed.jsonl")[0] == expected
    assert lines(tmp_path, "failed.jsonl")[1]["image"] == "/photos/caf\udce9.jpg"
    with open_folder(tmp_path, "a.jpg", "b.jpg") as results:
        assert results.has(source("a.jpg"))
        assert not results.has(source("b.jpg"))
        results.fail(source("b.jpg"), "it is still damaged")
    assert [line["reason"] for line in lines(tmp_path, "failed.jsonl")] == [
        "it is still damaged",
        "so is it",
    ]
    with open_folder(tmp_path, "a.jpg", "b.jpg") as results:
        add(results, "b.jpg")
        add(results, "caf\udce9.jpg")
    assert len(lines(tmp_path, "explained.jsonl")) == 3
    assert not (tmp_path / "failed.jsonl").exists()


def test_failures_of_a_run_that_was_killed(tmp_path):
    """Its lines were only added, and the last one was cut."""
    request = json.dumps(REQUEST)
    with open_folder(tmp_path, "a.jpg") as results:
        add(results, "a.jpg")
    (tmp_path / "failed.jsonl").write_text(
        "".join(
            f'{{"image": "/photos/{name}.jpg", "reason": "{reason}", "request": {request}}}\n'
            for name, reason in (("a", "1"), ("b", "2"), ("b", "3"))
        )
        + '{"image": "/pho'
    )
    with open_folder(tmp_path, "a.jpg"):
        pass
    (line,) = lines(tmp_path, "failed.jsonl")
    assert (line["image"], line["reason"]) == ("/photos/b.jpg", "3")


def test_failures_of_another_request_do_not_keep_the_folder(tmp_path):
    with open_folder(tmp_path) as results:
        results.fail(source("a.jpg"), "it is damaged")
    with open_folder(tmp_path, request={"steps": 3}) as results:
        add(results, "b.jpg")
    assert not (tmp_path / "failed.jsonl").exists()
    with pytest.raises(ValueError, match="steps was 3, and now is 2"):
        open_folder(tmp_path)
    with pytest.raises(ValueError, match="labels was None, and now is"):
        open_folder(tmp_path, request={"steps": 3, "labels": ["a"]})
    with open_folder(tmp_path / "told", request={"steps": 3, "labels": ["a"]}) as results:
        add(results, "b.jpg")
    with pytest.raises(ValueError, match=r"labels was \['a'\], and now is None"):
        open_folder(tmp_path / "told", request={"steps": 3})


@pytest.mark.parametrize("name", ["explained.jsonl", "failed.jsonl"])
def test_what_is_no_record_is_left_alone(name, tmp_path):
    (tmp_path / name).write_text("my notes\n")
    with pytest.raises(ValueError, match=f"line 1 of .*{name}' is no record"):
        open_folder(tmp_path)
    assert (tmp_path / name).read_text() == "my notes\n"


def test_one_that_cannot_be_drawn_or_written(tmp_path):
    """The folder takes the next one, and no line is half written."""

    def fail(path):
        path.write_bytes(b"half a picture")
        raise RuntimeError("no such font")

    (tmp_path / "below").write_text("a file, where a folder would have to be")
    (tmp_path / "c.png").mkdir()
    with open_folder(tmp_path) as results:
        with pytest.raises(RuntimeError, match="no such font"):
            add(results, "a.jpg", fail)
        with pytest.raises(ValueError, match="below/b.npz' cannot be written"):
            add(results, "below/b.jpg")
        with pytest.raises(ValueError, match="c.png' cannot be written"):
            add(results, "c.jpg")
        add(results, "d.jpg")
    assert [record["picture"] for record in lines(tmp_path, "explained.jsonl")] == ["d.png"]
    assert not list(tmp_path.glob(".part*"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_nothing_more(code, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(code, os.strerror(code))

    with open_folder(tmp_path) as results:
        monkeypatch.setattr(module, "write_whole", fail)
        with pytest.raises(OSError, match=os.strerror(code)) as raised:
            add(results, "a.jpg")
    assert raised.value.filename == str(tmp_path / "a.npz")


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="out' is no folder: choose another --out"):
        open_folder(tmp_path / "out")


def test_a_folder_that_is_lost_on_the_way(tmp_path):
    folder = tmp_path / "out"
    results = open_folder(folder)
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        add(results, "a.jpg")
    results.__exit__(None, None, None)


def test_a_photograph_called_as_what_is_written_for_a_while(tmp_path):
    for _ in range(2):
        with open_folder(tmp_path) as results:
            each = source(".part-holiday.jpg")
            if not results.has(each):
                add(results, ".part-holiday.jpg")
    assert (tmp_path / ".part-holiday.png").read_bytes() == b"picture"
