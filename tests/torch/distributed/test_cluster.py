"""A local cluster of Ray: the same rows as in one process, whatever dies on the way.

Batches do not divide the points, and the network minds how many are beside each other.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_models import METADATA, Dense, archive

import intgrad
from intgrad.command_line import main as cli
from intgrad.report.scripts import read_call

PIL = pytest.importorskip("PIL.Image")
ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
from mortal import Mortal  # noqa: E402

from intgrad.distributed import check_workers, count_workers  # noqa: E402
from intgrad.distributed import cluster as sizes  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's own
COUNT = 62
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, photographs of several sizes, and what one process makes of them."""
    place = tmp_path_factory.mktemp("cluster")
    (place / "model.pt").write_bytes(archive(Dense(), metadata=METADATA))
    (place / "photos").mkdir()
    for k in range(COUNT):
        size = (20 + k % 7, 30 - k % 5, 3)
        pixels = np.random.default_rng(k).integers(0, 200, size, dtype=np.uint8)
        PIL.fromarray(pixels).save(place / f"photos/{k:02}.png")
    words = ["--steps=8", "--batch-size=7", "--arrays=full", "--device=cpu"]
    command = ["explain", str(place / "photos"), "--model", str(place / "model.pt"), *words]
    assert cli.main([*command, "--out", str(place / "single")]) == 0
    return place, command


@pytest.fixture(scope="module")
def cluster():
    """Three CPUs, which this machine need not have: two for workers, one for reading."""
    ray.init(
        num_cpus=3,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}},
    )
    yield
    ray.shutdown()


def check_rows(rows, place):
    """See that each photograph is there once, and has the bits that one process gives it."""
    single = {result.record["image"]: result for result in intgrad.read_results(place / "single")}
    found = Counter()
    for result in intgrad.read_results(rows):
        found[result.record["image"]] += 1
        expected = single[result.record["image"]]
        assert sorted(result.arrays) == sorted(expected.arrays)
        for name, array in expected.arrays.items():
            np.testing.assert_array_equal(result.arrays[name], array)
    assert found == Counter(list(single))


def test_a_worker_that_is_killed(place, cluster, tmp_path):
    place, _ = place
    check_workers(2)
    rows = ray.data.from_items(
        [{"path": str(path)} for path in sorted((place / "photos").iterdir())],
        override_num_blocks=10,
    ).map_batches(
        Mortal,
        fn_constructor_kwargs={
            "mark": str(tmp_path / "killed"),
            "model": (place / "model.pt").read_bytes(),
            "steps": 8,
            "batch_size": 7,
            "arrays": "full",
            "load": {"device": "cpu"},
        },
        batch_size=6,
        concurrency=2,
    )
    rows.write_parquet(str(tmp_path))
    assert (tmp_path / "killed").exists()
    check_rows(tmp_path, place)


def test_the_command_line_on_a_cluster(place, cluster, tmp_path, capsys):
    place, command = place
    out = tmp_path / "out"
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    command = [*command, "--ray", "auto", "--workers=2", "--out", str(out)]
    assert cli.main([command[0], str(bad), *command[1:]]) == 1
    assert "bad.jpg: " in capsys.readouterr().err
    check_rows(out, place)
    (failure,) = intgrad.read_results(out).failures()
    assert "not a picture" in failure["reason"]
    (about,) = read_call((out / "report/records/index.js").read_bytes())
    assert about["files"] == ["0000.js", "failed.js"]
    (_, cards) = read_call((out / "report/records/0000.js").read_bytes())
    assert len(cards) == COUNT
    assert all((out / card["runs"][0]["view"]).is_file() for card in cards)
    # What failed is tried again, and nothing else; files that are not whole are done again.
    PIL.new("RGB", (20, 20), (9, 90, 30)).save(bad)
    files = sorted((out / "rows").glob("*.parquet"))
    files[0].write_bytes(files[0].read_bytes()[:1000])
    assert cli.main([command[0], str(bad), *command[1:]]) == 0
    said = capsys.readouterr().out
    assert "was not written to its end" in said
    assert f"of {COUNT + 1} were explained before" in said
    results = intgrad.read_results(out)
    assert list(results.failures()) == []
    names = Counter(record["image"] for record in results.records())
    assert len(names) == COUNT + 1
    assert set(names.values()) == {1}
    assert cli.main([*command, "--steps=5"]) == 1
    assert "answers another request (steps was 8, and now is 5)" in capsys.readouterr().err


def test_a_driver_that_is_killed(place, tmp_path):
    """And started again: with a cluster of its own, as who has only one machine."""
    place, command = place
    out = tmp_path / "out"
    words = [sys.executable, "-m", "intgrad", *command, "--ray", "--workers=1", "--out", str(out)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    run = subprocess.Popen(words, start_new_session=True, **quiet)
    end = time.monotonic() + 120
    while not list(out.glob("rows/*.parquet")) and run.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    first = len(list(out.glob("rows/*.parquet")))
    assert subprocess.run(words, check=False, **quiet).returncode == 0
    assert len(list(out.glob("rows/*.parquet"))) >= first
    check_rows(out, place)


def test_more_workers_than_there_is_room_for(place, cluster, tmp_path, capsys):
    place, command = place
    with pytest.raises(ValueError, match="3 workers of 1 CPUs need 3, and one more for reading"):
        check_workers(3)
    with pytest.raises(ValueError, match="1 workers of 1 GPUs need 1: the cluster has 0"):
        check_workers(1, gpus=1)
    with pytest.raises(ValueError, match="must be positive"):
        check_workers(0)
    check_workers(1, cpus=2)
    assert (count_workers(), count_workers(2), count_workers(9)) == (2, 1, 1)
    words = ["--ray", "auto", "--workers=3", "--out", str(tmp_path / "out")]
    assert cli.main([*command, *words]) == 1
    assert "would wait for ever: the cluster has 3" in capsys.readouterr().err
    assert cli.main([*command, "--ray", "auto", "--out", str(place / "single")]) == 1
    assert "holds results of a run without --ray" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("machines", "cpus", "gpus", "room"),
    [
        ([{"CPU": 3.0}], 1, 0, 2),
        ([{"CPU": 2.0}, {"CPU": 2.0}], 3, 0, 0),  # a worker is on one machine
        ([{"CPU": 2.0}, {"CPU": 2.0}], 1.5, 0, 1),  # or no machine has a whole CPU for reading
        ([{"CPU": 2.0}, {"CPU": 2.0}, {"CPU": 1.0}], 2, 0, 2),
        ([{"CPU": 16.0, "GPU": 1.0}, {"CPU": 4.0}], 4, 1, 1),
        ([{"CPU": 16.0, "GPU": 1.0}], 1, 0.1, 10),
        ([{"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}], 8, 1, 1),
        ([{"CPU": 0.5}], 0.1, 0, 0),
        ([{"memory": 1.0}], 1, 0, 0),
        ([], 1, 0, 0),
    ],
)
def test_a_worker_is_on_one_machine(machines, cpus, gpus, room, monkeypatch):
    monkeypatch.setattr(sizes, "_machines", lambda: machines)
    assert count_workers(cpus, gpus) == max(1, room)
    if room:
        check_workers(room, cpus, gpus)
    with pytest.raises(ValueError, match="the cluster has|the machines of the cluster"):
        check_workers(room + 1, cpus, gpus)
