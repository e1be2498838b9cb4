"""Photographs that others are compared with."""

import numpy as np
import pytest

import intgrad
from intgrad.command_line.finding import find
from intgrad.explaining import references
from intgrad.explaining.references import References, UnreadableReferenceError

PIL = pytest.importorskip("PIL.Image")


@pytest.fixture
def model():
    def differentiate(images, targets):
        return np.zeros((len(images), 2)), np.zeros_like(images)

    return intgrad.load_model(differentiate, output="logit", input_size=(6, 5))


@pytest.fixture
def folder(tmp_path):
    for k in range(4):
        PIL.new("RGB", (20, 30), (10 * k, 0, 0)).save(tmp_path / f"{k}.png")
    return tmp_path


def read(folder, model):
    return References(find([str(folder)]).sources.values(), model)


def test_they_are_the_models_pictures(folder, model):
    pool = read(folder, model)
    assert len(pool) == 4
    assert [picture[0, 0, 0] for picture in pool] == [0, 10, 20, 30]
    assert {picture.shape for picture in pool} == {(6, 5, 3)}
    assert [picture[0, 0, 0] for picture in pool[1:3]] == [10, 20]


def test_they_are_read_when_they_are_needed(folder, model):
    pool = read(folder, model)
    assert pool[1].max() == 10
    (folder / "1.png").unlink()
    assert pool[1].max() == 10  # which is kept
    (folder / "2.png").write_bytes(b"no picture")
    with pytest.raises(
        UnreadableReferenceError, match=r"^--references: .*2\.png' is not a picture"
    ):
        pool[2]


def test_what_is_beyond_the_memory_is_read_again(folder, model, monkeypatch):
    monkeypatch.setattr(references, "KEPT_BYTES", 2 * 6 * 5 * 3 * 4)
    pool = read(folder, model)
    assert [picture[0, 0, 0] for picture in pool] == [0, 10, 20, 30]
    PIL.new("RGB", (20, 30), (99, 0, 0)).save(folder / "1.png")
    PIL.new("RGB", (20, 30), (99, 0, 0)).save(folder / "2.png")
    assert (pool[1].max(), pool[2].max()) == (10, 99)


def test_which_they_are(folder, model):
    first = read(folder, model).identify()
    assert first.startswith("4 photographs, ")
    assert read(folder, model).identify() == first
    PIL.new("RGB", (200, 30), "red").save(folder / "3.png")
    second = read(folder, model).identify()
    (folder / "3.png").rename(folder / "4.png")
    assert len({first, second, read(folder, model).identify()}) == 3


def test_one_that_is_not_there(folder, model):
    pool = References(find([str(folder / "none.png")]).sources.values(), model)
    with pytest.raises(FileNotFoundError, match="none"):
        pool.identify()
