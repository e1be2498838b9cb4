"""The README's Python, run as it stands, on the demo's model and photograph."""

import re
import shutil
from pathlib import Path

import demo_files
import numpy as np
import pytest
from small_models import FACTS, SIZE, Smooth

import intgrad

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_ten_lines(kitchen_archive, demo_wheel, tmp_path, monkeypatch, capsys):
    shutil.copy(kitchen_archive, tmp_path / "xception.pt")
    shutil.copy(demo_wheel / demo_files.PHOTOGRAPHS / "0412.jpg", tmp_path / "elephant.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(BLOCKS[0], names)
    printed = capsys.readouterr().out
    assert "fork: 75.2%" in printed
    assert re.search(r"51 gradients, off by about \d+\.\d%", printed)
    assert names["heat"].shape == (299, 299)


def test_tolerance_and_many_images():
    model = intgrad.load_model(Smooth(), **FACTS)
    photographs = np.random.default_rng(0).uniform(0, 255, (3, *SIZE, 3))
    names = {"intgrad": intgrad, "model": model, "image": photographs[0]}
    names["photographs"] = iter(photographs)
    exec(BLOCKS[1], names)
    assert names["info"].evaluations == 51
    assert list(names["photographs"]) == []


def test_own_module():
    names = {"intgrad": intgrad, "module": Smooth()}
    exec(BLOCKS[2], names)
    assert names["model"].input_size == (224, 224)


def test_every_block_is_tested():
    assert len(BLOCKS) == 3


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_links(path):
    assert (Path(__file__).parents[2] / path).exists()
