"""The code of the README and of docs/, run as it stands."""

import re
import shlex
import shutil
import warnings
from pathlib import Path

import demo_files
import numpy as np
import pytest
from small_models import FACTS, METADATA, SIZE, Smooth, archive

import intgrad
from intgrad.command_line import main as cli

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
ALONE = [ROOT / "docs/models.md"]
"""Each of its blocks is run by itself, in test_recipes.py."""


def blocks(path, language):
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


BLOCKS = blocks(ROOT / "README.md", "python")


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


@pytest.mark.filterwarnings("ignore:the probability is 1")  # of noise, says the small model
@pytest.mark.parametrize("page", [p for p in PAGES if p not in ALONE], ids=lambda page: page.stem)
def test_pages(page, tmp_path, monkeypatch):
    """The blocks of a page in order, beside a small model, a photograph and what explains it."""
    pil = pytest.importorskip("PIL.Image")
    small = Smooth()
    small.body[-1].weight.data.mul_(0.1)  # or every probability would be 0 or 1
    (tmp_path / "xception.pt").write_bytes(archive(small, metadata=METADATA))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    pil.fromarray(pixels).save(tmp_path / "elephant.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    command = "explain elephant.jpg --model xception.pt --steps 2 --baseline white"
    if any("explained.jsonl" in block for block in blocks(page, "python")):
        assert cli.main(command.split()) == 0
    names = {}
    with warnings.catch_warnings():
        if page.stem == "cluster":  # Ray warns of itself
            warnings.simplefilter("ignore")
        for number, block in enumerate(blocks(page, "python")):
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)
    for query in blocks(page, "sql"):
        assert pytest.importorskip("duckdb").sql(query).fetchall()


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_commands(page):
    """What a page says of the command line, the command line understands."""
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["intgrad"]:
                assert cli._parser().parse_args(words[1:]).run


def test_figures_told_twice_are_the_same():
    tables = [
        re.findall(r"^\| .*intgrad(?:.|\n\|)*", path.read_text(encoding="utf-8"), re.MULTILINE)[0]
        for path in (ROOT / "README.md", ROOT / "docs/benchmarks.md")
    ]
    assert tables[0] == tables[1]
    assert tables[0].count("\n") == 7


def test_contributing_names_what_there_is():
    """Every path in backquotes; of a file without a folder, one of that name in the rooms."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`([\w/.-]+/[a-z\d_.]*)`", text):
        assert path.startswith("build/") or (ROOT / path).exists(), path
    for name in re.findall(r"`(\w+\.(?:py|c|h|cpp))`", text):
        assert [*(ROOT / "intgrad").rglob(name), *(ROOT / "csrc").rglob(name)] or name == "setup.py"


@pytest.mark.parametrize(
    ("page", "link"),
    [
        (page, link)
        for page in [ROOT / "README.md", *PAGES]
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8"))
    ],
    ids=str,
)
def test_links(page, link):
    assert (page.parent / link).exists()
