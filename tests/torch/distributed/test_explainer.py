"""Batches in, rows out: what a worker of a cluster does, without a cluster."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_models import METADATA, SIZE, Smooth, archive

import intgrad
from intgrad.command_line import main as cli

PIL = pytest.importorskip("PIL.Image")
pytest.importorskip("pyarrow")
from intgrad.distributed import Explainer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:the probability", "ignore:.*baseline and get")


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_bytes(archive(Smooth(), metadata=METADATA))
    (tmp_path / "photos").mkdir()
    for k in range(5):
        size = (30 + 3 * k, 50 - 2 * k, 3)
        pixels = np.random.default_rng(k).integers(0, 200, size, dtype=np.uint8)
        PIL.fromarray(pixels).save(tmp_path / f"photos/{k}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(place):
    return np.array([str(path) for path in sorted((place / "photos").iterdir())])


def explainer(**options):
    return Explainer("model.pt", steps=4, batch_size=3, load={"device": "cpu"}, **options)


def read(table, place):
    from pyarrow import parquet

    parquet.write_table(table, place / "rows.parquet")
    return intgrad.read_results(place / "rows.parquet")


def test_rows_are_what_the_command_line_finds(place):
    """To the last bit, and in the same words."""
    words = ["--model=model.pt", "--device=cpu", "--steps=4", "--batch-size=3", "--out=out"]
    assert cli.main(["explain", "photos", *words]) == 0
    explain = explainer()
    table = explain({"path": paths(place)})
    assert table.num_rows == 5
    expected = list(intgrad.read_results("out"))
    for found, result in zip(read(table, place), expected, strict=True):
        for name, array in result.arrays.items():
            np.testing.assert_array_equal(found.arrays[name], array)
            assert found.arrays[name].dtype == array.dtype
        different = {"picture", "arrays", "view", "thumbnail", "seconds", "request"}
        for key in set(result.record) - different:
            assert found.record[key] == result.record[key], key
    assert table["label"].to_pylist() == [result.record["label"] for result in expected]
    assert table["score"].to_pylist() == [result.record["score"] for result in expected]
    assert table["reason"].null_count == 5


def test_records_follow_the_schema(place):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(intgrad.record_schema())
    for text in explainer()({"path": paths(place)})["record"].to_pylist():
        validator.validate(json.loads(text))


def test_photographs_that_were_read_already(place):
    """As bytes and as arrays, of any sizes."""
    names = paths(place)
    expected = explainer(arrays="full")({"path": names})
    contents = np.array([Path(name).read_bytes() for name in names], object)
    pictures = np.empty(len(names), object)
    for k, name in enumerate(names):
        with PIL.open(name) as picture:
            pictures[k] = np.asarray(picture)
    for column in ({"bytes": contents}, {"image": pictures}):
        found = explainer(arrays="full")({"path": names, **column})
        for name in ("image", "score", "attributions", "regions"):
            assert found[name].to_pylist() == expected[name].to_pylist()
    floats = explainer()({"path": names[:1], "image": [pictures[0] / np.float32(255)]})
    assert floats["reason"].to_pylist() == ["pixels must be uint8, 0 to 255, got float32"]
    nameless = explainer()({"image": pictures})
    other = explainer()({"image": pictures[1:]})
    assert other["image"].to_pylist() == nameless["image"].to_pylist()[1:]
    assert len(set(nameless["image"].to_pylist())) == len(names)


def test_what_is_no_photograph_is_a_row_with_a_reason(place):
    (place / "photos/1.png").write_text("no picture")
    (place / "photos/3.png").unlink()
    table = explainer()({"path": [*paths(place), str(place / "photos/3.png")]})
    assert table.num_rows == 5
    results = read(table, place)
    assert len(list(results)) == 3
    reasons = {failure["image"][-5:]: failure["reason"] for failure in results.failures()}
    assert "not a picture" in reasons["1.png"]
    assert "no such file" in reasons["3.png"]


def test_what_is_kept(place):
    none = explainer(arrays="none")({"path": paths(place)})
    assert none["attributions"].null_count == none["shape"].null_count == 5
    record = json.loads(none["record"][0].as_py())
    assert len(record["regions"]["attributions"]) > 4
    compact, full = (explainer(arrays=kept)({"path": paths(place)}) for kept in ("compact", "full"))
    assert compact["shape"][0].as_py() == [*SIZE, 3]
    steps = json.loads(compact["record"][0].as_py())["steps_of_arrays"]
    difference = np.subtract(*(t["attributions"][0].values.to_numpy() for t in (compact, full)))
    assert 0 < np.abs(difference).max() <= steps["attributions"] / 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"target": "c"}, {"target": 2, "label": "c"}),
        ({"output": "logit", "segments": 5}, {"output": "logit"}),
        ({"baseline": "white"}, {"baseline": "white"}),
    ],
    ids=str,
)
def test_options(options, expected, place):
    for text in explainer(**options)({"path": paths(place)[:2]})["record"].to_pylist():
        record = json.loads(text)
        assert {key: record[key] for key in expected} == expected
        assert record["request"]["method"] == "integrated-gradients"


def test_methods_and_references(place):
    explain = Explainer(
        (place / "model.pt").read_bytes(),
        name="theirs.pt",
        method="expected",
        references=list(paths(place)[2:]),
        draws=6,
        seed=1,
        load={"device": "cpu"},
    )
    record = json.loads(explain({"path": paths(place)[:1]})["record"][0].as_py())
    assert (record["method"], record["draws"], record["model"]) == (
        "expected_gradients",
        6,
        "theirs.pt",
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"arrays": "some"}, "arrays must be one of compact, full, none, got 'some'"),
        ({"method": "magic"}, "method 'magic' is none of integrated-gradients, blur"),
        ({"sigma": 3}, "means nothing to --method integrated-gradients"),
        ({"method": "expected", "steps": None}, "needs --references"),
        ({"target": "z"}, "no label 'z'"),
        ({"colour": 3}, "colour"),
        ({"baseline": "nope"}, "baseline must be"),
        ({"baseline": np.zeros((3, 3, 3))}, "baseline must have"),
        ({"segments": "nope"}, "segments must be"),
        ({"segments": 0}, "segments must be"),
        ({"steps": 0}, "steps must be"),
    ],
    ids=str,
)
def test_wrong_options_are_said_when_the_worker_starts(options, text, place):
    with pytest.raises((TypeError, ValueError), match=text):
        Explainer("model.pt", load={"device": "cpu"}, **{"steps": 4, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"baseline": np.full((*SIZE, 3), 9, np.float32)},
        {"segments": np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) // 40},
        {"steps": np.int64(4)},
        {"steps": None, "tolerance": np.float32(0.5)},
    ],
)
def test_numbers_and_arrays_of_numpy_are_options(options, place):
    table = Explainer("model.pt", load={"device": "cpu"}, **{"steps": 4, **options})(
        {"path": paths(place)[:2]}
    )
    assert table["reason"].null_count == 2
    assert json.loads(table["record"][0].as_py())["request"]["method"] == "integrated-gradients"


def test_rows_are_in_the_order_of_the_batch(place):
    """Whatever fails, and with the columns that came along."""
    good = Path(paths(place)[0]).read_bytes()
    contents = [b"junk", good, b"", good + b" "]
    table = explainer()({"bytes": contents, "id": np.array([7, 8, 9, 10]), "label": list("wxyz")})
    assert [reason is None for reason in table["reason"].to_pylist()] == [False, True, False, True]
    assert table["id"].to_pylist() == [7, 8, 9, 10]
    assert table["label"].to_pylist()[0] is None  # it is the model's
    others = explainer()({"bytes": [good, b"more junk"]})
    names = [*table["image"].to_pylist(), *others["image"].to_pylist()]
    assert len(set(names)) == 5
    assert names[1] == names[4]


@pytest.mark.parametrize("path", [None, float("nan"), "a\0b.png", 5, ""])
def test_what_is_no_path_is_a_row_with_a_reason(path, place):
    good = paths(place)[0]
    table = explainer()({"path": np.array([good, path, good], object)})
    assert [reason is None for reason in table["reason"].to_pylist()] == [True, False, True]


def test_grey_pixels_have_a_channel_or_none(place):
    grey = np.random.default_rng(0).integers(0, 200, (20, 18), np.uint8)
    table = explainer(arrays="full")({"image": [grey, grey[..., np.newaxis]]})
    assert table["reason"].null_count == 2
    assert table["score"][0] == table["score"][1]


def test_batches_without_photographs(place):
    explain = explainer()
    with pytest.raises(ValueError, match="a batch needs a column path, bytes or image, got name"):
        explain({"name": ["a"]})
    assert explain({"path": np.array([], str)}).num_rows == 0
