"""The command line, end to end on the demo's model."""

import json
import subprocess
import sys
from pathlib import Path

import demo_files
import numpy as np
import pytest
from small_models import METADATA, Smooth, archive

import intgrad
from intgrad.command_line import main as cli

PIL = pytest.importorskip("PIL.Image")


def test_convert_info_and_explain(demo_wheel, tmp_path, capsys):
    model = tmp_path / "kitchen.pt"
    source = str(demo_wheel / demo_files.MODEL)
    labels = ",".join(demo_files.LABELS)
    assert (
        cli.main(["convert", source, str(model), "--size", "299", "299", "--labels", labels]) == 0
    )
    assert "299 x 299 pixels -> logits" in capsys.readouterr().out

    assert cli.main(["info", str(model)]) == 0
    metadata = json.loads(capsys.readouterr().out)
    assert metadata["labels"] == list(demo_files.LABELS)
    assert metadata["input_size"] == [299, 299]

    photograph = demo_wheel / demo_files.PHOTOGRAPHS / "0412.jpg"
    out = tmp_path / "new/folder"
    command = ["explain", str(photograph), "--model", str(model), "--steps", "2"]
    assert cli.main([*command, "--out", str(out), "--target", "fork", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "fork 75.2%" in printed
    assert "explained: fork (softmax), 0.7518 here against 0.2233" in printed
    assert "3 gradients" in printed
    picture = np.asarray(PIL.open(out / "0412.png").convert("RGB"))
    assert picture.std() > 20


@pytest.mark.parametrize("rule", ["midpoint", "right"])
def test_rules_with_and_without_a_node_at_the_image(rule, tmp_path, capsys):
    (tmp_path / "m.pt").write_bytes(archive(Smooth(), metadata=METADATA))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    PIL.fromarray(pixels).save(tmp_path / "in.png")
    command = ["explain", str(tmp_path / "in.png"), "--model", str(tmp_path / "m.pt")]
    command += ["--rule", rule, "--steps", "3", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "attributions: unknown for this rule" in printed
    assert "3 gradients" in printed
    assert np.asarray(PIL.open(tmp_path / "out/in.png").convert("RGB")).std() > 20


def test_info_of_an_archive_that_says_nothing(tmp_path, capsys):
    (tmp_path / "m.pt").write_bytes(archive(Smooth()))
    assert cli.main(["info", str(tmp_path / "m.pt")]) == 0
    assert "without intgrad.json" in capsys.readouterr().out


def test_labels_from_a_file(demo_wheel, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("\n".join(demo_files.LABELS))
    source, out = str(demo_wheel / demo_files.MODEL), str(tmp_path / "m.pt")
    command = ["convert", source, out, "--size", "75", "80"]
    assert cli.main([*command, "--labels", str(tmp_path / "labels.txt")]) == 0
    assert intgrad.load_model(out, device="cpu").labels == demo_files.LABELS
    assert cli.main([*command, "--labels", "cup,fork"]) == 1
    assert "6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["info", "none.pt"], "there is no file 'none.pt'"),
        (["convert", "none.keras", "out.pt"], "there is no file"),
        (["explain", "a.jpg", "--model", "none.pt"], "there is no file 'none.pt'"),
        (["info", __file__], "no TorchScript archive"),
        (["convert", __file__, "out.pt"], "test_cli.py"),
    ],
)
def test_errors_are_one_line_and_status_1(arguments, text, capsys):
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("intgrad: ")
    assert text in error
    assert error.count("\n") == 1


def test_usage():
    for command in ([sys.executable, "-m", "intgrad"], [Path(sys.executable).with_name("intgrad")]):
        help_text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
        assert "intgrad explain photo.jpg --model model.pt" in help_text.stdout
    wrong = subprocess.run([sys.executable, "-m", "intgrad"], capture_output=True, check=False)
    assert wrong.returncode == 2
