"""`intgrad explain` over files, folders and patterns: nothing is lost, done twice or damaged."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import killing
import numpy as np
import pytest
import torch
from killing import records
from small_models import METADATA, SIZE, Smooth, archive
from torch import nn

import intgrad
from intgrad.attribution.segmentation import segment
from intgrad.command_line import main as cli

PIL = pytest.importorskip("PIL.Image")


class Dazzled(nn.Module):
    """Gives NaN for pictures that are brighter than the probe's."""

    def forward(self, x):
        level = x.mean((1, 2, 3))
        level = torch.where(level > 200, torch.full_like(level, float("nan")), level)
        return torch.stack([level / 100, level / 200], 1)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(archive(Smooth(), metadata=METADATA))
    return path


def save(path, seed=0, size=(40, 30), brightest=200):
    """Write a photograph of random pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, brightest, (*size, 3), dtype=np.uint8)
    PIL.fromarray(pixels).save(path)
    return path


def explain(*images, model, out, **options):
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    options = [f"--model={model}", f"--out={out}", "--device=cpu", *arguments]
    return cli.main(["explain", *map(str, images), *options])


def look(path):
    with PIL.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def count_files(out):
    """Count what there is beside the page."""
    page = ("index.html", "report", "intgrad-command.txt")
    return len([path for path in out.iterdir() if path.name not in page])


def names(out):
    """Return what results are called, having looked at each."""
    return killing.names(out, (*SIZE, 3))


@pytest.mark.parametrize("kept", ["compact", "full"])
def test_what_a_result_holds(kept, model, tmp_path):
    photograph = save(tmp_path / "in/a.png")
    out = tmp_path / "out"
    options = {} if kept == "compact" else {"arrays": kept}
    asked = {"target": "c", "steps": 6, "score": "logit", **options}
    assert explain(photograph, model=model, out=out, **asked) == 0
    loaded = intgrad.load_model(model, device="cpu")
    image = intgrad.load_image(photograph, size=SIZE)
    expected, info = intgrad.integrated_gradients(
        loaded,
        image,
        "c",
        steps=6,
        output="logit",
        error_map=True,
        gradient=True,
        return_info=True,
    )
    (record,) = records(out)
    with np.load(out / "a.npz") as arrays:
        maps = ["attributions", "error_map", "gradient", "pixel_error_map"]
        assert sorted(arrays) == [*maps, "regions"]
        labels, regions = arrays["regions"], record["regions"]
        side = -(-max(SIZE) // 8)
        np.testing.assert_array_equal(np.unique(labels[:side, :side]), [0])
        sums = [expected[labels == k].sum(dtype=float) for k in range(len(regions["ids"]))]
        np.testing.assert_allclose(regions["attributions"], sums, rtol=1e-4, atol=1e-6)
        assert regions["error"] > 0
        steps = record["steps_of_arrays"]
        assert sorted(steps) == (maps if kept == "compact" else [])
        for name, exact in (
            ("attributions", expected),
            ("gradient", info.gradient),
            ("error_map", info.error_map),
            ("pixel_error_map", info.pixel_error_map),
        ):
            atol = 1e-9 + 0.51 * steps.get(name, 0)
            np.testing.assert_allclose(arrays[name], exact, rtol=1e-4, atol=atol)
    assert record["image"] == str(photograph)
    assert (record["picture"], record["arrays"]) == ("a.png", "a.npz")
    assert (record["target"], record["label"]) == (2, "c")
    assert record["error"] == pytest.approx(info.error, rel=1e-4)
    assert [entry[1] for entry in record["top"]] == [i for _, i, _ in loaded.top(image, 3)]


def test_pictures_have_the_shape_of_the_photograph(model, tmp_path):
    """A wide photograph gives wide panels, though the model sees all squeezed into one shape."""
    for name, size in (("wide", (50, 200)), ("high", (200, 50))):
        save(tmp_path / f"{name}.png", size=size)
    assert explain(tmp_path / "*.png", model=model, out=tmp_path / "out", steps=2) == 0
    wide, high = (look(tmp_path / f"out/{name}.png").shape for name in ("wide", "high"))
    assert wide[1] > 3 * wide[0]
    assert high[0] > high[1] / 1.5


@pytest.mark.parametrize(
    "options",
    [
        {"tolerance": 0.2},
        {"steps": 1},
        {"steps": 3, "rule": "midpoint"},
        {"steps": 2, "baseline": "uniform", "seed": 3},
        {"steps": 2, "baseline": 20.5, "batch_size": 1},
        {"steps": 2, "score": "log_softmax"},
        {"steps": 4, "segments": 5},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:the (attributions|probability)")  # 2 steps, a model too sure
def test_options(options, model, tmp_path):
    photographs = [save(tmp_path / f"{k}.png", k) for k in range(3)]
    out = tmp_path / "out"
    assert explain(*photographs, model=model, out=out, **options) == 0
    asked = {"output" if name == "score" else name: value for name, value in options.items()}
    for record in records(out):
        for name, value in asked.items():
            if name == "baseline":
                assert record["baseline"].startswith(str(value))
            elif name == "segments":
                assert record["regions"]["pixels"][0] == value**2
            else:
                assert record[name] == value
    assert names(out) == ["0", "1", "2"]


@pytest.mark.filterwarnings("ignore:the probability")  # of a model too sure
def test_segments_by_name(model, tmp_path):
    halves = np.zeros((24, 20, 3), np.uint8)
    halves[:, 10:] = 200, 30, 90
    PIL.fromarray(halves).save(tmp_path / "halves.png")
    out = tmp_path / "out"
    options = {"model": model, "out": out, "steps": 4, "segments": "felzenszwalb"}
    assert explain(tmp_path / "halves.png", **options) == 0
    seen = intgrad.load_image(tmp_path / "halves.png", size=SIZE)
    expected = np.unique(segment(seen, "felzenszwalb"), return_inverse=True)[1].reshape(SIZE)
    with np.load(out / "halves.npz") as arrays:
        np.testing.assert_array_equal(arrays["regions"], expected)
    (record,) = records(out)
    assert record["regions"]["pixels"] == np.bincount(expected.ravel()).tolist()


@pytest.mark.parametrize("text", ["slick", "5.5", ""])
def test_segments_that_are_none(text, model, tmp_path, capsys):
    with pytest.raises(SystemExit) as raised:
        explain("in.png", model=model, out=tmp_path / "out", segments=text)
    assert raised.value.code == 2
    said = capsys.readouterr().err
    assert f"{text!r} is neither an int nor one of slic, felzenszwalb" in said


def test_segments_by_name_need_scikit_image(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    out = tmp_path / "out"
    assert explain(save(tmp_path / "in.png"), model=model, out=out, segments="slic") == 1
    assert "--segments slic needs scikit-image" in capsys.readouterr().err
    assert not out.exists()


def test_files_folders_and_patterns(model, tmp_path):
    folder = tmp_path / "photos"
    for place in ("b.jpg", "a.PNG", "below/c.bmp", ".hidden/d.png"):
        save(folder / place)
    (folder / "notes.txt").write_text("no picture")
    single = save(tmp_path / "single.png")
    out = tmp_path / "out"
    assert explain(single, folder, folder / "*.jpg", single, model=model, out=out, steps=2) == 0
    assert names(out) == ["single", "a", "b", "below/c"]
    assert explain(tmp_path / "photos/**/*.bmp", model=model, out=tmp_path / "other", steps=2) == 0
    assert names(tmp_path / "other") == ["c"]


@pytest.mark.parametrize(
    ("image", "text"),
    [("*.webp", "no file matches"), ("empty", "holds no pictures")],
)
def test_what_stands_for_nothing(image, text, model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert explain(tmp_path / image, model=model, out=tmp_path / "out") == 1
    assert text in capsys.readouterr().err


def test_equal_names(model, tmp_path):
    photographs = [save(tmp_path / place) for place in ("a/x.png", "b/x.png", "b/x.jpg")]
    out = tmp_path / "out"
    assert explain(*photographs, model=model, out=out, steps=2) == 0
    assert names(out) == ["x", "x-2", "x-3"]


def test_a_photograph_is_never_written_over(model, tmp_path):
    photograph = save(tmp_path / "x.png")
    before = photograph.read_bytes()
    assert explain(photograph, model=model, out=tmp_path, steps=2) == 0
    assert photograph.read_bytes() == before
    assert names(tmp_path) == ["x-2"]


@pytest.mark.parametrize("out", [".", "explained"])
def test_results_are_not_taken_for_photographs(out, model, tmp_path, monkeypatch):
    for k in range(3):
        save(tmp_path / f"photos/{k}.png", k)
    monkeypatch.chdir(tmp_path / "photos")
    for _ in range(2):
        assert explain(".", model=model, out=out, steps=2) == 0
    assert len(names(Path(out))) == 3


def test_results_of_another_request_are_no_photographs_either(model, tmp_path, capsys):
    for k in range(2):
        save(tmp_path / f"{k}.png", k)
    assert explain(tmp_path, model=model, out=tmp_path / "2", steps=2) == 0
    assert explain(tmp_path, model=model, out=tmp_path / "3", steps=3) == 0
    assert names(tmp_path / "3") == ["0", "1"]
    capsys.readouterr()
    assert explain(*tmp_path.glob("*/*.png"), model=model, out=tmp_path / "4", steps=2) == 0
    assert capsys.readouterr().err.startswith("intgrad: 4 files skipped: ")
    assert names(tmp_path / "4") == []


def test_those_that_fail_are_told_at_the_end(model, tmp_path, capsys):
    good = [save(tmp_path / f"good-{k}.png", k) for k in range(4)]
    damaged = save(tmp_path / "damaged.png")
    damaged.write_bytes(damaged.read_bytes()[:200])
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    out = tmp_path / "out"
    images = [damaged, good[0], text, good[1], tmp_path / "none.png", good[2], good[3]]
    assert explain(*images, model=model, out=out, steps=2) == 1
    assert names(out) == ["good-0", "good-1", "good-2", "good-3"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "intgrad: 3 of 7 failed"
    for path, reason in ((damaged, "damaged"), (text, "not a picture"), (images[4], "no such")):
        assert any(str(path) in line and reason in line for line in lines)


@pytest.mark.parametrize("target", [{}, {"target": 0}], ids=["top", "given"])
def test_a_picture_that_the_model_fails_on(target, tmp_path, capsys):
    model, out = tmp_path / "model.pt", tmp_path / "out"
    facts = {"format": 1, "input_size": list(SIZE), "scores": "logits"}
    model.write_bytes(archive(Dazzled(), metadata=facts, script=True))
    folder = tmp_path / "photos"
    for k in range(7):
        save(folder / f"{k}.png", k)
    for k in (0, 3):
        PIL.new("RGB", (20, 20), (240, 240, 240)).save(folder / f"{k}.png")
    assert explain(folder, model=model, out=out, steps=2, baseline="white", **target) == 1
    capsys.readouterr()
    shutil.rmtree(out, ignore_errors=True)
    assert explain(folder, model=model, out=out, steps=2, **target) == 1
    assert names(out) == ["1", "2", "4", "5", "6"]
    error = capsys.readouterr().err
    assert "2 of 7 failed" in error
    assert error.count("nan") == 2


@pytest.mark.parametrize(
    ("options", "index"),
    [
        ({"target": "d"}, 3),
        ({"target": "3"}, 3),
        ({"target": "3", "labels": "5,4,3,2,1"}, 2),
    ],
    ids=str,
)
def test_targets_by_name(options, index, model, tmp_path):
    photograph, out = save(tmp_path / "photo.png"), tmp_path / "out"
    assert explain(photograph, model=model, out=out, steps=2, score="logit", **options) == 0
    (record,) = map(json.loads, (out / "explained.jsonl").read_text().splitlines())
    assert record["target"] == index


def test_names_of_a_model_that_has_none(tmp_path, capsys):
    model = tmp_path / "model.pt"
    model.write_bytes(archive(Smooth(), metadata={**METADATA, "labels": None}))
    photograph = save(tmp_path / "photo.png")
    assert explain(photograph, model=model, out=tmp_path / "out", target="cat") == 1
    assert "--target 'cat' is a label, but the model has none: give its index, or --labels" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": "z"}, "no label 'z'; there are 'a', 'b', 'c', 'd', 'e'"),
        ({"target": "-1"}, "no label '-1'"),
        ({"target": "C"}, "did you mean 'c'?"),
        ({"target": "0", "labels": "5,4,3,2,1"}, "no label '0'; class 0 is '5'"),
        ({"target": 9}, "target 9 is out of range"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"tolerance": -1}, "tolerance must be"),
        ({"tolerance": 0.1, "rule": "left"}, "needs rule='trapezoid'"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
    ],
    ids=str,
)
def test_what_concerns_all_is_said_once(options, text, model, tmp_path, capsys):
    photographs = [save(tmp_path / f"{k}.png", k) for k in range(3)]
    assert explain(*photographs, model=model, out=tmp_path / "out", **options) == 1
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "option",
    [
        "--baseline=pink",
        "--baseline=nan",
        "--baseline=inf",
        "--score=wrong",
        "--rule=simpson",
        "--out=",
    ],
)
def test_usage_errors(option, capsys):
    with pytest.raises(SystemExit) as raised:
        cli.main(["explain", "a.png", "--model", "m.pt", option])
    assert raised.value.code == 2
    name, value = option.split("=")
    error = capsys.readouterr().err
    assert f"argument {name}: " in error
    assert value in error


# ---- Going on where it stopped -------------------------------------------------------------------


def test_what_is_finished_is_not_done_again(model, tmp_path, capsys):
    photographs = [save(tmp_path / f"{k}.png", k) for k in range(3)]
    out = tmp_path / "out"
    assert explain(*photographs[:2], model=model, out=out, steps=2) == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("[01].*")}
    assert explain(*photographs, model=model, out=out, steps=2) == 0
    assert "2 of 3 were explained before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.glob("[01].*")} == before
    assert names(out) == ["0", "1", "2"]


def test_what_was_lost_is_done_again(model, tmp_path):
    photographs = [save(tmp_path / f"{k}.png", k) for k in range(4)]
    out = tmp_path / "out"
    explain(*photographs, model=model, out=out, steps=2)
    (out / "1.png").unlink()
    with (out / "explained.jsonl").open("r+") as file:  # as if it had been killed while writing
        file.truncate((out / "explained.jsonl").stat().st_size - 20)
    (out / ".part-.png").write_bytes(b"half a picture")
    assert explain(*photographs, model=model, out=out, steps=2) == 0
    assert sorted(names(out)) == ["0", "1", "2", "3"]
    assert count_files(out) == 9


def test_another_request_needs_another_folder(model, tmp_path, capsys):
    photograph = save(tmp_path / "a.png")
    out = tmp_path / "out"
    explain(photograph, model=model, out=out, steps=2)
    assert explain(photograph, model=model, out=out, steps=3) == 1
    assert "steps was 2, and now is 3" in capsys.readouterr().err
    assert len(records(out)) == 1


def test_a_line_that_is_no_record(model, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "explained.jsonl").write_text("my notes\n")
    assert explain(save(tmp_path / "a.png"), model=model, out=out) == 1
    assert "line 1" in capsys.readouterr().err
    assert (out / "explained.jsonl").read_text() == "my notes\n"


def test_one_process_at_a_time(model, tmp_path, capsys):
    from intgrad.results.folder import Results

    out = tmp_path / "out"
    with Results(out, {}, []):
        assert explain(save(tmp_path / "a.png"), model=model, out=out) == 1
    assert "another process is writing" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert explain(save(tmp_path / "a.png"), model=model, out=tmp_path / "file") == 1
    assert "file" in capsys.readouterr().err


def test_killed_at_random_moments(model, tmp_path):
    """Every result is there once, and whole."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    for k in range(20):
        save(folder / f"{k:02}.png", k)
    options = ["--model", model, "--device", "cpu", "--steps", "2"]
    assert killing.run_until_done(folder, out, *options, most_between=5) >= 3
    assert sorted(names(out)) == [f"{k:02}" for k in range(20)]
    assert count_files(out) == 41


NO_FILE_BEYOND_9000_BYTES = """
import resource, sys
from intgrad.command_line import main as cli
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_disk_that_is_full(model, tmp_path):
    """It says so, and goes on where it was when there is room again."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    for k in range(3):
        save(folder / f"{k}.png", k)
    options = ["--model", model, "--out", out, "--device=cpu", "--steps=2"]
    done = subprocess.run(
        [sys.executable, "-c", NO_FILE_BEYOND_9000_BYTES, "explain", folder, *options],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert explain(folder, model=model, out=out, steps=2) == 0
    assert names(out) == ["0", "1", "2"]
    assert count_files(out) == 7
