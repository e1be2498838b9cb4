"""Rows that are there before a cluster is asked for more: what is done, and what is removed."""

import pytest

PIL = pytest.importorskip("PIL.Image", reason="results are written with pictures")
pa = pytest.importorskip("pyarrow")
import sample_results  # noqa: E402
from pyarrow import parquet as pq  # noqa: E402

from intgrad.command_line.cluster import _find_cause, _find_finished  # noqa: E402

pytestmark = pytest.mark.unsanitized


@pytest.fixture
def rows(tmp_path):
    sample_results.fill(tmp_path / "out", tmp_path / "photos", names=["a", "b"])
    (tmp_path / "rows").mkdir()
    sample_results.to_parquet(tmp_path / "out", tmp_path / "rows/0.parquet")
    return tmp_path / "rows"


def test_what_is_done(rows):
    finished = _find_finished(rows, sample_results.REQUEST)
    assert sorted(path[-5:] for path in finished) == ["a.png", "b.png"]
    with pytest.raises(ValueError, match="a row of .* answers another request"):
        _find_finished(rows, {**sample_results.REQUEST, "steps": 3})


def test_a_file_that_was_not_written_to_its_end_is_removed(rows, capsys):
    whole = (rows / "0.parquet").read_bytes()
    for size in (0, 3, len(whole) // 2, len(whole) - 1):
        (rows / "1.parquet").write_bytes(whole[:size])
        assert len(_find_finished(rows, sample_results.REQUEST)) == 2
        assert not (rows / "1.parquet").exists()
        assert "was not written to its end" in capsys.readouterr().out


def test_files_of_somebody_else_are_not(rows):
    pq.write_table(pa.table({"customer": [1]}), rows / "1.parquet")
    with pytest.raises(ValueError, match="other columns than results of intgrad"):
        _find_finished(rows, sample_results.REQUEST)
    assert (rows / "1.parquet").exists()


def test_what_a_worker_raised():
    class RayError(Exception):
        cause = ValueError("the photograph is damaged")

    error = RuntimeError("a task failed")
    error.__cause__ = RayError()
    assert str(_find_cause(error)) == "the photograph is damaged"
    assert _find_cause(RayError.cause) is RayError.cause
