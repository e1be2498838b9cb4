"""Which files stand for photographs."""

import glob
import json
import os
import sys

import pytest

from intgrad.command_line.finding import find

PIL = pytest.importorskip("PIL.Image")


def write(path, contents=b"anything"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    return path


def names(found):
    return [source.name for source in found.sources.values()]


def test_a_folder_stands_for_what_pillow_decodes(tmp_path):
    """Formats that Pillow only recognises are no photographs, and no failures."""
    pictures = ["a.JPG", "b.jpeg", "c.png", "d.tif", "e.webp", "f.gif", "g.bmp", "h.fits", "i.ppm"]
    others = ["weights.h5", "x.hdf", "film.mpg", "film.MPEG", "x.grib", "x.bufr", "notes.txt"]
    others += ["report.pdf", "without", ".hidden.jpg", "Thumbs.db", "music.mp3"]
    if sys.platform != "win32":
        others += ["x.wmf", "x.emf"]
    for name in pictures + others:
        write(tmp_path / name)
    found = find([str(tmp_path)])
    assert names(found) == [name.partition(".")[0] for name in pictures]
    assert not found.skipped
    assert not found.unreadable


@pytest.mark.parametrize("ghostscript", [True, False])
def test_postscript_needs_ghostscript(ghostscript, tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "has_ghostscript", lambda: ghostscript)
    for name in ("a.jpg", "b.eps", "c.ps"):
        write(tmp_path / name)
    assert names(find([str(tmp_path)])) == ["a", "b", "c"][: 3 if ghostscript else 1]


def test_a_stub_with_a_handler_decodes(tmp_path):
    from PIL import GribStubImagePlugin

    write(tmp_path / "a.grib")
    GribStubImagePlugin.register_handler(object())
    try:
        assert names(find([str(tmp_path)])) == ["a"]
    finally:
        GribStubImagePlugin.register_handler(None)


def test_linked_folders_are_followed_once(tmp_path):
    write(tmp_path / "mix/a.jpg")
    write(tmp_path / "mix/real/b.jpg")
    write(tmp_path / "elsewhere/below/c.jpg")
    for link, target in (
        ("mix/a-link", "real"),  # also reached without a link, and named so
        ("mix/link", "../elsewhere"),
        ("mix/again", "../elsewhere"),
        ("mix/self", "."),
        ("elsewhere/below/up", "../../mix"),
        ("mix/lost", "nowhere"),
        ("mix/loop", "loop"),
        ("mix/loop.jpg", "loop.jpg"),
        ("mix/lost.jpg", "nowhere.jpg"),
    ):
        (tmp_path / link).symlink_to(target)
    found = find([str(tmp_path / "mix")])
    assert sorted(names(found)) == ["a", "again/below/c", "real/b"]
    ((reason, paths),) = found.skipped.items()
    assert reason == "links that lead to no file"
    assert sorted(path.name for path in paths) == ["loop.jpg", "lost.jpg"]
    (tmp_path / "links").mkdir()
    (tmp_path / "links/lost.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(ValueError, match=r"it holds 1 \.jpg \(links that lead to no file\)$"):
        find([str(tmp_path / "links")])


def test_a_linked_photograph_is_found_once(tmp_path):
    photograph = write(tmp_path / "in/a.jpg")
    (tmp_path / "in/b.jpg").symlink_to("a.jpg")
    link = tmp_path / "c.jpg"
    link.symlink_to("in/a.jpg")
    assert names(find([str(link), str(tmp_path / "in"), str(photograph)])) == ["c"]


def test_links_that_loop_are_left_to_reading(tmp_path):
    loop = tmp_path / "loop.jpg"
    loop.symlink_to("loop.jpg")
    assert names(find([str(loop)])) == ["loop"]


def test_what_needs_a_plugin_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for name in ("a.jpg", "IMG_1.HEIC", "below/IMG_2.heif"):
        write(tmp_path / name)
    found = find([str(tmp_path)])
    assert names(found) == ["a"]
    ((advice, paths),) = found.skipped.items()
    assert "pip install pillow-heif" in advice
    assert [path.name for path in paths] == ["IMG_1.HEIC", "IMG_2.heif"]
    with pytest.raises(ValueError, match=r"no pictures .*1 \.heif \(.*pip install pillow-heif\)"):
        find([str(tmp_path / "below")])


def test_what_a_plugin_reads_is_found(tmp_path, monkeypatch):
    module = type(sys)("pillow_heif")
    module.__spec__ = type("Spec", (), {})()
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    write(tmp_path / "IMG_1.HEIC")
    found = find([str(tmp_path)])
    assert names(found) == ["IMG_1"]
    assert not found.skipped


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ([], "it holds no files at all"),
        ([".a.jpg"], "only hidden ones"),
        (["a.txt", "b.txt", "c.h5", "d"], r"it holds 2 \.txt, 1 \.h5, 1 without a suffix$"),
        ([f"x.{k}" for k in range(9)], "and 4 other files"),
    ],
    ids=str,
)
def test_a_folder_of_nothing_says_what_it_holds(files, text, tmp_path):
    for name in files:
        write(tmp_path / "folder" / name)
    (tmp_path / "folder").mkdir(exist_ok=True)
    with pytest.raises(ValueError, match="holds no pictures that Pillow can read") as raised:
        find([str(tmp_path / "folder")])
    raised.match(text)


def test_folders_that_cannot_be_listed_are_noted(tmp_path, monkeypatch):
    for name in ("a.jpg", "private/b.jpg", "z/c.jpg"):
        write(tmp_path / name)
    listdir = os.listdir

    def refuse(path):
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    found = find([str(tmp_path)])
    assert names(found) == ["a", "z/c"]
    assert found.unreadable == {tmp_path / "private": "Permission denied"}


def test_names_that_look_like_patterns(tmp_path):
    for name in ("a[1].jpg", "b.jpg"):
        write(tmp_path / name)
    found = find([str(tmp_path / "a[1].jpg"), str(tmp_path / "?.jpg")])
    assert names(found) == ["a[1]", "b"]
    with pytest.raises(ValueError, match="no file matches"):
        find([str(tmp_path / "*.webp")])


PATTERNS = ["**", "**/*.jpg", "*/**/*.jpg", "**/b/*", "**/b/**/*.jpg", "**/**/c.*", "a/**", "?/*"]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("place", ["relative", "absolute", "dotted"])
def test_patterns_are_those_of_glob(pattern, place, tmp_path, monkeypatch):
    for name in ("1.jpg", "a/2.jpg", "a/b/3.jpg", "a/b/c/4.jpg", "b/c.png", "b/[x]/5.jpg"):
        write(tmp_path / name)
    write(tmp_path / "a/.hidden/6.jpg")
    monkeypatch.chdir(tmp_path)
    pattern = {"relative": "", "absolute": f"{tmp_path}/", "dotted": "./"}[place] + pattern
    expected = {each for each in glob.glob(pattern, recursive=True) if os.path.isfile(each)}
    assert {*find([pattern]).sources} == {*map(os.path.realpath, expected)} != set()


def test_patterns_follow_links_once(tmp_path):
    """By each of two links to itself a folder has twice as many folders a level further down."""
    write(tmp_path / "in/a.jpg")
    write(tmp_path / "elsewhere/b.jpg")
    for link, target in (("self", "."), ("up", "../in"), ("far", "../elsewhere")):
        (tmp_path / "in" / link).symlink_to(target)
    for pattern in ("**/*.jpg", "**", "**/**/*.jpg"):
        assert sorted(names(find([str(tmp_path / "in" / pattern)]))) == ["a", "b"]
    assert names(find([str(tmp_path / "in/**/far/*")])) == ["b"]


def test_nothing_is_no_photograph():
    with pytest.raises(ValueError, match="'' names no photograph: is a variable of the shell"):
        find(["a.jpg", ""])


def test_what_earlier_runs_drew_is_no_photograph(tmp_path):
    """Whatever folder it lies in, and however it is named."""
    for name in ("a.jpg", "a.png", "out/a.png", "out/below/b.png", "out/mine.png"):
        write(tmp_path / name)
    drawn = ["a.png", "below/b.png", "lost.png"]
    lines = [json.dumps({"picture": name, "request": {}}) for name in drawn]
    (tmp_path / "out/explained.jsonl").write_text("\n".join(lines) + '\n{"pic')
    found = find([str(tmp_path)])
    assert names(found) == ["a", "a", "out/mine"]
    assert not found.skipped
    found = find([str(tmp_path / "out/below/*"), str(tmp_path / "out/a.png"), "b.jpg"])
    assert names(found) == ["b"]
    ((reason, paths),) = found.skipped.items()
    assert (reason, len(paths)) == ("drawn by intgrad explain", 2)
    with pytest.raises(ValueError, match=r"it holds 1 \.png \(drawn by intgrad explain\)$"):
        find([str(tmp_path / "out/below")])


@pytest.mark.parametrize("text", ["my notes\n", '{"picture": 3, "request": 1}\n', "[]\n", "\xff\n"])
def test_records_that_are_not_ours(text, tmp_path):
    write(tmp_path / "a.png")
    (tmp_path / "explained.jsonl").write_text(text)
    assert names(find([str(tmp_path)])) == ["a"]


@pytest.mark.parametrize("name", ["n" * 300 + ".jpg", "none/x.jpg", "caf\udce9.jpg"])
def test_names_that_no_file_has_are_left_to_reading(name, tmp_path):
    assert len(find([str(tmp_path / name)]).sources) == 1


def test_thumbnails_of_a_report_are_no_photographs(tmp_path):
    """Whoever wrote it: a cluster, a comparison, or a run that was killed."""
    place = tmp_path / "out/report"
    (place / "records").mkdir(parents=True)
    (place / "views").mkdir()
    for path in (tmp_path / "a.jpg", place / "views/b.jpg"):
        path.write_bytes(b"")
    assert len(find([str(tmp_path)]).sources) == 2
    (place / "records/index.js").write_text("")
    assert [source.name for source in find([str(tmp_path)]).sources.values()] == ["a"]
    assert find([str(place / "views/*.jpg")]).sources == {}
