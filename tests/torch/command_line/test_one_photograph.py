"""`intgrad explain` where something is wrong with one photograph: the others are done."""

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import records
from small_models import METADATA, Smooth, archive
from torch import nn

from intgrad.command_line import drawing, writing
from intgrad.command_line import main as cli
from intgrad.pictures.bitmaps import write_columns
from intgrad.results.records import from_line

PIL = pytest.importorskip("PIL.Image")

ROOT = Path(__file__).parents[3]


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(archive(Smooth(), metadata=METADATA))
    return path


def save(path, colour="red", size=(60, 40), **options):
    """Write a photograph; `path` may hold any bytes."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        PIL.new("RGB", size, colour).save(file, "JPEG", **options)


def explain(*images, model, out, **options):
    arguments = [f"--{name}={value}" for name, value in {"steps": 2, **options}.items()]
    options = [f"--model={model}", f"--out={out}", "--device=cpu", *arguments]
    return cli.main(["explain", *map(str, images), *options])


def pictures(out):
    return sorted(record["picture"] for record in records(out))


def failures(out):
    file = out / "failed.jsonl"
    return [from_line(line) for line in file.read_text().splitlines()] if file.exists() else []


# ---- Names ---------------------------------------------------------------------------------------


NAMES = {
    "mathematics": ["b $^$.jpg", "price $5_ and $6.jpg", "$.jpg", "$$.jpg", r"\$a$_{.jpg"],
    "no UTF-8": [b"caf\xe9.jpg", b"\xff\xfe.jpg", "ünï €.jpg".encode("latin-1", "replace")],
    "odd": [
        "a\nb.jpg",
        "tab\t.jpg",
        "\x1b[31mred.jpg",
        "-x.jpg",
        " .jpg",
        "日本 🐘.jpg",
        "%s{}.jpg",
    ],
    "long": ["n" * 251 + ".jpg", "n" * 250 + ".jpeg", "é" * 125 + ".jpg"],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=list(NAMES))
def test_names(names, model, tmp_path, capsys):
    """All are explained, told of, and found again by the next run."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    for name in ["a.jpg", *names, "z.jpg"]:
        save(os.path.join(os.fsencode(folder), os.fsencode(name)))
    count = len(names) + 2
    assert explain(folder, model=model, out=out) == 0
    told = capsys.readouterr()
    assert told.out.count("explained, error") == count
    assert not told.err
    assert len(set(pictures(out))) == count
    for record in records(out):
        assert os.path.exists(record["image"])
        assert (out / record["picture"]).is_file()
    assert explain(folder, model=model, out=out) == 0
    assert capsys.readouterr().out == f"{count} of {count} were explained before\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_on_a_terminal_that_cannot_show_them(encoding, model, tmp_path):
    for name in [*NAMES["no UTF-8"], *NAMES["odd"]]:
        save(os.path.join(os.fsencode(tmp_path / "photos"), os.fsencode(name)))
    (tmp_path / "photos/caf\udce9.png").write_bytes(b"no picture")
    command = [sys.executable, "-m", "intgrad", "explain", tmp_path / "photos", "--model", model]
    run = subprocess.run(
        [*command, "--out", tmp_path / "out", "--steps=2", "--device=cpu"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout.decode(encoding).count("explained, error") == 10
    error = run.stderr.decode()
    assert error.endswith("intgrad: 1 of 11 failed\n")
    assert error.count("\n") == 2


@pytest.mark.parametrize(("closed", "status"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0)])
def test_streams_that_are_closed(closed, status, model, tmp_path):
    for k in range(2):
        save(tmp_path / f"photos/{k}.jpg")
    command = f"{sys.executable} -m intgrad explain {tmp_path}/photos --model {model} --steps 2"
    run = subprocess.run(
        f"{command} --device cpu --out {tmp_path}/out {closed}",
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == status
    assert run.stdout.count("explained, error") == (2 if closed == "2>&-" else 0)
    assert not run.stderr
    assert pictures(tmp_path / "out") == ["0.png", "1.png"]


def test_labels_that_no_title_takes(tmp_path):
    labels = ["$^$", "caf\udce9", "a\nb", "x_{", "$x$"]
    (tmp_path / "m.pt").write_bytes(archive(Smooth(), metadata={**METADATA, "labels": labels}))
    save(tmp_path / "a.jpg")
    for k, label in enumerate(labels):
        out = tmp_path / f"out{k}"
        assert explain(tmp_path / "a.jpg", model=tmp_path / "m.pt", out=out, target=k) == 0
        assert records(out)[0]["label"] == label


# ---- Files ---------------------------------------------------------------------------------------


def exif(tag, kind, value):
    """Return an EXIF block of a turned photograph, in which one tag has a wrong type."""
    entries = [(0x112, 3, 1, struct.pack("<HH", 6, 0)), (tag, kind, 1, value)]
    packed = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in sorted(entries))
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + packed + bytes(4)


@pytest.mark.parametrize("tag", [0x100, 0x10E, 0x11A, 0x128, 0x213, 0x8769])
def test_exif_of_a_wrong_type(tag, model, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    save(folder / "a.jpg")
    save(folder / "b.jpg", exif=exif(tag, 5, struct.pack("<I", 38)))
    save(folder / "c.jpg")
    explain(folder, model=model, out=out)
    assert {"a.png", "c.png"} <= set(pictures(out))
    assert len(pictures(out)) + len(failures(out)) == 3


def damage(folder, name):
    whole = folder / "whole.jpg"
    save(whole, size=(600, 400))
    data = whole.read_bytes()
    whole.unlink()
    contents = {
        "empty.jpg": b"",
        "half.jpg": data[: len(data) // 2],
        "head.jpg": data[:30],
        "text.png": b"no picture",
        "heic.jpg": b"\0\0\0\x18ftypheic" + bytes(99),
        "zeros.tif": b"II*\0" + bytes(1000),
        "wrong.gif": b"GIF89a" + b"\xff" * 100,
    }
    (folder / name).write_bytes(contents[name])


@pytest.mark.parametrize(
    "name",
    ["empty.jpg", "half.jpg", "head.jpg", "text.png", "heic.jpg", "zeros.tif", "wrong.gif"],
)
def test_damaged_files(name, model, tmp_path, capsys):
    folder, out = tmp_path / "photos", tmp_path / "out"
    for k in "az":
        save(folder / f"{k}.jpg")
    damage(folder, name)
    for _ in range(2):  # and is tried again
        assert explain(folder, model=model, out=out) == 1
        (failure,) = failures(out)
        assert failure["image"] == str(folder / name)
        assert failure["reason"]
        assert failure["request"]["steps"] == 2
        assert "Traceback" not in capsys.readouterr().err
    assert pictures(out) == ["a.png", "z.png"]
    save(folder / name, "blue")
    assert explain(folder, model=model, out=out) == 0
    assert not (out / "failed.jsonl").exists()
    assert len(pictures(out)) == 3


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("x"),
        struct.error("x"),
        TypeError("x"),
        KeyError(3),
        RuntimeError(),
        MemoryError(),
    ],
    ids=repr,
)
def test_whatever_a_decoder_raises(error, model, tmp_path, monkeypatch, capsys):
    from intgrad.explaining import photographs

    def decode(path, *arguments, **options):
        if "b.jpg" in str(path):
            raise error
        return whole(path, *arguments, **options)

    whole = photographs.decode
    monkeypatch.setattr(photographs, "decode", decode)
    for k in "abc":
        save(tmp_path / f"photos/{k}.jpg")
    assert explain(tmp_path / "photos", model=model, out=tmp_path / "out") == 1
    assert pictures(tmp_path / "out") == ["a.png", "c.png"]
    assert "b.jpg: " in capsys.readouterr().err


def test_links_and_pipes(model, tmp_path, capsys):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "lost.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    save(tmp_path / "a.jpg")
    names = ["loop.jpg", "lost.jpg", "pipe.jpg", "n" * 300 + ".jpg", "a.jpg"]
    images = [tmp_path / name for name in names]
    assert explain(*images, model=model, out=tmp_path / "out") == 1
    error = capsys.readouterr().err
    for text in ("symbolic links", "lost.jpg: there is no such file", "is no file", "too long"):
        assert text in error
    assert "4 of 5 failed" in error
    assert pictures(tmp_path / "out") == ["a.png"]


def test_heic(model, tmp_path, capsys, monkeypatch):
    """Passed over in a folder; a failure where it was asked for."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    folder, out = tmp_path / "photos", tmp_path / "out"
    save(folder / "a.jpg")
    (folder / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    (folder / "weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    assert explain(folder, model=model, out=out) == 0
    error = capsys.readouterr().err
    assert error.startswith("intgrad: 1 file skipped: IMG_1.HEIC (")
    assert "pip install pillow-heif" in error
    assert error.count("\n") == 1
    assert explain(folder / "IMG_1.HEIC", model=model, out=out) == 1
    assert "pip install pillow-heif" in failures(out)[0]["reason"]


# ---- Drawing and writing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [RuntimeError("no font"), ValueError(), KeyError("x"), OSError("encoder error -2")]
)
def test_one_that_cannot_be_drawn(error, model, tmp_path, monkeypatch, capsys):
    calls = []

    def write(*arguments, **options):
        calls.append(options)
        if len(calls) == 2:
            raise error
        write_columns(*arguments, **options)

    monkeypatch.setattr(drawing, "write_columns", write)
    for k in range(4):
        save(tmp_path / f"photos/{k}.jpg")
    assert explain(tmp_path / "photos", model=model, out=tmp_path / "out") == 1
    assert pictures(tmp_path / "out") == ["0.png", "2.png", "3.png"]
    assert failures(tmp_path / "out")[0]["image"].endswith("1.jpg")
    assert "1 of 4 failed" in capsys.readouterr().err
    assert explain(tmp_path / "photos", model=model, out=tmp_path / "out") == 0
    assert pictures(tmp_path / "out") == ["0.png", "1.png", "2.png", "3.png"]


def test_something_is_in_the_way(model, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    for name in ("a.jpg", "below/b.jpg", "c.jpg", "d.jpg"):
        save(folder / name)
    (out / "c.png").mkdir(parents=True)
    (out / "below").write_text("a file")
    assert explain(folder, model=model, out=out) == 1
    assert pictures(out) == ["a.png", "d.png"]
    assert {Path(failure["image"]).name for failure in failures(out)} == {"b.jpg", "c.jpg"}


def test_memory_that_is_short_concerns_all(model, tmp_path, monkeypatch, capsys):
    def store(self, explained):
        raise MemoryError

    monkeypatch.setattr(writing.Writing, "_store", store)
    for k in range(3):
        save(tmp_path / f"photos/{k}.jpg")
    assert explain(tmp_path / "photos", model=model, out=tmp_path / "out") == 1
    assert capsys.readouterr().err == "intgrad: MemoryError\n"
    assert not failures(tmp_path / "out")


# ---- Stopping ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_stops_promptly_and_leaves_all_whole(model, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    for k in range(60):
        save(folder / f"{k:02}.jpg")
    command = [sys.executable, "-m", "intgrad", "explain", folder, "--model", model, "--out", out]
    run = subprocess.Popen(
        [*command, "--steps=2", "--device=cpu"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while run.poll() is None and not (out / "explained.jsonl").exists():
        time.sleep(0.01)
    while run.poll() is None and not (out / "explained.jsonl").stat().st_size:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=30)
    assert run.returncode == 130
    assert error.decode() == "intgrad: interrupted\n"
    done = pictures(out)
    assert 0 < len(done) < 60
    assert sorted(path.name for path in out.glob("*.png")) == done
    assert explain(folder, model=model, out=out) == 0
    assert len(pictures(out)) == 60


# ---- Models --------------------------------------------------------------------------------------


def test_a_grey_model(tmp_path):
    """Grey in, and a grey photograph in the picture."""
    (tmp_path / "m.pt").write_bytes(archive(Smooth(channels=1), metadata=METADATA, channels=1))
    save(tmp_path / "a.jpg", (200, 40, 90))
    out = tmp_path / "out"
    assert explain(tmp_path / "a.jpg", model=tmp_path / "m.pt", out=out) == 0
    with np.load(out / "a.npz") as arrays:
        assert arrays["attributions"].shape == (12, 10, 1)
    with PIL.open(out / "a.png") as picture:
        photograph = np.asarray(picture.convert("RGB"))[100:-100, 50:200].astype(int)
    assert np.ptp(photograph, axis=2).max() == 0
    assert (
        abs(
            int(photograph.mean())
            - PIL.new("RGB", (1, 1), (200, 40, 90)).convert("L").getpixel((0, 0))
        )
        < 3
    )


@pytest.mark.parametrize("channels", [4])
def test_models_of_other_channels(channels, tmp_path, capsys):
    path = tmp_path / "m.pt"
    path.write_bytes(archive(Smooth(channels=channels), metadata=METADATA, channels=channels))
    save(tmp_path / "a.jpg")
    assert explain(tmp_path / "a.jpg", model=path, out=tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert f"the model takes {channels} channels" in error
    assert "intgrad.integrated_gradients takes arrays" in error
    assert not (tmp_path / "out").exists()


class Shape(nn.Module):
    """Scores a picture by its brightness."""

    def forward(self, x):
        level = x.mean((1, 2, 3)) / 255
        return torch.stack([level, -level], 1)


@pytest.mark.parametrize(
    ("colour", "baseline", "share"),
    [
        ((0, 0, 0), "black", 0.5),
        ((2, 1, 0), "black", 0.5),
        ((0, 9, 0), "black", 0.0),
        ((255, 254, 255), "white", 0.5),
        ((20, 20, 20), "20", 0.5),
    ],
)
def test_pixels_that_equal_the_baseline(colour, baseline, share, tmp_path, capsys):
    facts = {"format": 1, "input_size": [10, 10], "scores": "logits"}
    path = tmp_path / "m.pt"
    path.write_bytes(archive(Shape(), metadata=facts, size=(10, 10)))
    picture = PIL.new("RGB", (10, 10), (100, 120, 140))
    picture.paste(colour, (0, 0, 5, 10))
    picture.save(tmp_path / "a.png")
    out = tmp_path / "out"
    assert explain(tmp_path / "a.png", model=path, out=out, baseline=baseline) == 0
    (record,) = records(out)
    assert record["unattributable"] == pytest.approx(share)
    told = "% of the pixels equal the baseline" in capsys.readouterr().out
    assert told == bool(share) == (record["note"] is not None)
