"""Results read back: from folders and from Parquet, one at a time, and what is wrong with some."""

import json
import os

import numpy as np
import pytest

PIL = pytest.importorskip("PIL.Image", reason="results are written with pictures")
import sample_results  # noqa: E402
from sample_results import NAMES, REQUEST, fill, make_arrays, to_parquet  # noqa: E402

import intgrad  # noqa: E402
from intgrad.command_line import main as cli  # noqa: E402
from intgrad.results import parquet  # noqa: E402
from intgrad.results.folder import Results  # noqa: E402
from intgrad.results.sources import Source  # noqa: E402

pytestmark = pytest.mark.unsanitized


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "out", tmp_path / "photos")
    with Results(tmp_path / "out", REQUEST, []) as results:
        results.fail(Source("x", "x", "/photos/caf\udce9.jpg"), "it is damaged")
    return tmp_path / "out"


@pytest.fixture(params=["folder", "file", "files"])
def source(request, folder, tmp_path):
    if request.param == "folder":
        return folder
    pytest.importorskip("pyarrow")
    if request.param == "file":
        to_parquet(folder, tmp_path / "all.parquet")
        return tmp_path / "all.parquet"
    (tmp_path / "rows/below").mkdir(parents=True)
    to_parquet(folder, tmp_path / "rows/below/0.parquet", rows_in_a_group=1)
    return tmp_path / "rows"


def test_what_was_written_is_read(source, folder):
    results = intgrad.read_results(source)
    expected = sample_results.records(folder)
    assert list(results.records()) == expected
    for _ in range(2):
        for number, result in enumerate(results):
            assert result.record == expected[number]
            arrays = make_arrays(number)
            assert sorted(result.arrays) == sorted(arrays)
            for name, array in arrays.items():
                found = getattr(result, name)
                assert found.dtype == array.dtype
                np.testing.assert_array_equal(found, array)
    assert number == len(NAMES) - 1
    (failure,) = results.failures()
    assert (failure["image"], failure["reason"]) == ("/photos/caf\udce9.jpg", "it is damaged")


def test_arrays_are_read_when_they_are_asked_for(folder):
    results = list(intgrad.read_results(folder))
    (folder / "plain.npz").unlink()
    assert results[0].record["label"] == "cat"
    with pytest.raises(FileNotFoundError, match=r"plain\.npz"):
        results[0].attributions  # noqa: B018


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_what_was_forgotten_is_read_anew(kind, folder, tmp_path):
    place = folder
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        place = tmp_path / "rows.parquet"
        to_parquet(folder, place)
    results = list(intgrad.read_results(place))
    records, arrays = [each.record for each in results], results[1].arrays
    assert results[1].record is records[1]
    assert results[1].arrays is arrays
    for result in results:
        result.forget()
    assert [each.record for each in reversed(results)] == records[::-1]
    assert results[1].record is not records[1]
    assert results[1].arrays is not arrays
    # A file that is written anew has others where these were.
    if kind == "folder":
        lines = (folder / "explained.jsonl").read_text().splitlines(keepends=True)
        (folder / "explained.jsonl").write_text("".join(lines[3:]))
    else:
        to_parquet(folder, place, rows_in_a_group=3)
    results[-1].forget()
    with pytest.raises(ValueError, match="were written anew: read_results them again"):
        results[-1].record  # noqa: B018


def test_a_result_says_whose_it_is(folder):
    result = next(iter(intgrad.read_results(folder)))
    assert repr(result).endswith("/photos/plain.png', cat>")


def test_arrays_that_were_not_kept(tmp_path):
    with Results(tmp_path, REQUEST, []) as results:
        facts = sample_results.make_record(0, overview={"cells": "", "limit": 0})
        results.add(Source("a", "a", "/a"), facts, {"picture": lambda path: path.write_bytes(b"")})
    (result,) = intgrad.read_results(tmp_path)
    assert result.arrays == {}
    assert result.gradient is None
    with pytest.raises(ValueError, match="no attributions were kept"):
        result.attributions  # noqa: B018


@pytest.mark.parametrize("content", [b"", b"PK no archive", None])
def test_damaged_arrays(content, folder):
    path = folder / "plain.npz"
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    result = next(iter(intgrad.read_results(folder)))
    with pytest.raises(ValueError, match=r"plain\.npz' is damaged"):
        result.arrays  # noqa: B018


def test_a_line_that_was_cut_is_passed_over(folder):
    file = folder / "explained.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    assert len(list(intgrad.read_results(folder))) == len(NAMES) - 1


def test_records_of_a_newer_version(folder):
    record = sample_results.records(folder)[0]
    (folder / "explained.jsonl").write_text(json.dumps({**record, "schema": 99}) + "\n")
    with pytest.raises(ValueError, match=r"line 1 of .* follows schema 99, and this intgrad knows"):
        list(intgrad.read_results(folder))


def test_what_is_no_results(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder .*nowhere"):
        intgrad.read_results(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds neither explained\.jsonl nor files of Parquet"):
        intgrad.read_results(tmp_path)
    (tmp_path / "explained.jsonl").write_text("my notes\n")
    with pytest.raises(ValueError, match="is no record"):
        list(intgrad.read_results(tmp_path))


def test_half_a_file_of_parquet(folder, tmp_path):
    pytest.importorskip("pyarrow")
    to_parquet(folder, tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.parquet' is no whole file of Parquet .*remove it"):
        list(intgrad.read_results(tmp_path / "a.parquet"))


def test_parquet_of_somebody_else(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="other columns than results of intgrad"):
        list(intgrad.read_results(tmp_path / "a.parquet"))


def test_rows_of_which_only_some_have_arrays(tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    record = {"image": "/a", **sample_results.make_record(0), "request": REQUEST}
    arrays = {"attributions": make_arrays(0)["attributions"]}
    rows = [parquet.make_row(record, {}), parquet.make_row(record, arrays)]
    pq.write_table(parquet.make_table(rows), tmp_path / "a.parquet")
    first, second = intgrad.read_results(tmp_path / "a.parquet")
    assert first.arrays == {}
    assert list(second.arrays) == ["attributions"]


def test_records_follow_the_schema(folder):
    jsonschema = pytest.importorskip("jsonschema")
    schema = intgrad.record_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    record = sample_results.records(folder)[0]
    validator.validate(record)
    metric = {"convention": "c", "value": None, "error": None, "note": "why"}
    validator.validate({**record, "metrics": {"deletion": metric}})
    for wrong in ({"score": "high"}, {"schema": 2}, {"unheard": 1}, {"top": [["a", 1]]}):
        assert not validator.is_valid({**record, **wrong})
    assert not validator.is_valid({k: v for k, v in record.items() if k != "image"})


def test_bytes_that_were_flipped(folder):
    """Of what is compressed zlib finds out, and not the archive."""
    from intgrad.results.arrays import write_compactly

    write_compactly(folder / "plain.npz", make_arrays(0))
    damaged = bytearray((folder / "plain.npz").read_bytes())
    damaged[200:260] = bytes(60)
    (folder / "plain.npz").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"plain\.npz' is damaged"):
        next(iter(intgrad.read_results(folder))).arrays  # noqa: B018


def test_failures_are_told_once_and_not_when_they_are_mended(folder):
    """Lines that a run left which was killed."""
    failure = {"image": "/photos/x.jpg", "reason": "1", "request": REQUEST}
    lines = [failure, {**failure, "reason": "2"}, {**failure, "image": "/photos/mended.jpg"}]
    (folder / "failed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = {**sample_results.records(folder)[0], "image": "/photos/mended.jpg"}
    with (folder / "explained.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    (found,) = intgrad.read_results(folder).failures()
    assert found["reason"] == "2"


def write_row(path, record, arrays):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    pq.write_table(parquet.make_table([parquet.make_row(record, arrays)]), path)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_shapes_of_few_channels(channels, tmp_path):
    arrays = make_arrays(0)
    for name in ("attributions", "gradient", "error_map"):
        arrays[name] = arrays[name][..., :channels]
    record = {"image": "/a", **sample_results.make_record(0), "request": REQUEST}
    write_row(tmp_path / "a.parquet", record, arrays)
    (result,) = intgrad.read_results(tmp_path)
    assert {k: v.shape for k, v in result.arrays.items()} == {k: v.shape for k, v in arrays.items()}


def test_many_files_are_not_kept_open(folder, tmp_path):
    """Nor are their arrays, once they are forgotten."""
    pytest.importorskip("pyarrow")
    for k in range(30):
        to_parquet(folder, tmp_path / f"rows-{k:02}.parquet")
    before = len(os.listdir("/proc/self/fd"))
    results = list(intgrad.read_results(tmp_path))
    assert len(results) == 30 * len(NAMES)
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_file_that_was_written_anew(folder, tmp_path):
    """Under the same name: its arrays are those of its records."""
    path = tmp_path / "rows.parquet"
    for number in range(2):
        result = list(intgrad.read_results(folder))[number]
        write_row(path, result.record, result.arrays)
        (found,) = intgrad.read_results(path)
        np.testing.assert_array_equal(found.attributions, make_arrays(number)["attributions"])


def test_lines_are_json_that_every_reader_takes(folder):
    """Names that are no Unicode are told with question marks, and read as they are."""
    text = (folder / "explained.jsonl").read_text() + (folder / "failed.jsonl").read_text()
    assert "\\udc" not in text.lower()
    lines = [json.loads(line) for line in text.splitlines()]
    json.dumps(lines, ensure_ascii=False).encode()
    assert sum("exact" in line for line in lines) == 2
    images = [record["image"] for record in intgrad.read_results(folder).records()]
    assert sum("caf\udce9" in image for image in images) == 1
    for record in intgrad.read_results(folder).records():
        assert "exact" not in record


def test_only_the_rows_of_a_folder_are_read(folder, tmp_path):
    pytest.importorskip("pyarrow")
    for place in ("rows", "other/rows"):
        (tmp_path / "cluster" / place).mkdir(parents=True)
        to_parquet(folder, tmp_path / "cluster" / place / "0.parquet")
    (tmp_path / "cluster/summary.parquet").write_bytes(b"none of ours")
    assert len(list(intgrad.read_results(tmp_path / "cluster"))) == len(NAMES)
    (tmp_path / "spark/rows.parquet").mkdir(parents=True)
    to_parquet(folder, tmp_path / "spark/rows.parquet/0.parquet")
    assert len(list(intgrad.read_results(tmp_path / "spark"))) == len(NAMES)


@pytest.mark.parametrize("key", ["method", "regions", "versions", "score"])
@pytest.mark.parametrize("command", ["report", "compare"])
def test_records_that_are_too_old_are_told(command, key, folder, tmp_path, capsys):
    pytest.importorskip("jinja2", reason="the report needs Jinja2")
    file = folder / "explained.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    del records[1][key]
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    words = [str(folder)] if command == "report" else [str(folder)] * 2
    assert cli.main([command, *words]) == 1
    told = capsys.readouterr().err
    assert f"line 2 of {str(file)!r} lacks {key}: an intgrad that was too old wrote it" in told


def test_a_schema_that_is_no_number(folder):
    file = folder / "explained.jsonl"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": "1"', 1))
    with pytest.raises(ValueError, match="follows schema '1', which is no number"):
        list(intgrad.read_results(folder))
