"""`intgrad metrics`: each value is that of its function, joins its record, and is measured once."""

import json
import os

import numpy as np
import pytest
from killing import records
from small_models import METADATA, Smooth, archive

import intgrad
from intgrad import metrics
from intgrad.command_line import main as cli
from intgrad.command_line.metrics import KNOWN
from intgrad.distributed import Explainer
from intgrad.metrics.measuring import Metric

PIL = pytest.importorskip("PIL.Image")
parquet = pytest.importorskip("pyarrow.parquet")
MODEL = ["--model=model.pt", "--device=cpu"]
PHOTOGRAPHS = ("a.png", "b.png", "c.png")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A model, three photographs, and the way there."""
    small = Smooth()
    small.body[-1].weight.data.mul_(0.1)  # or every probability would be 0 or 1
    (tmp_path / "model.pt").write_bytes(archive(small, metadata=METADATA))
    for k, name in enumerate(PHOTOGRAPHS):
        pixels = np.random.default_rng(k).integers(0, 200, (40, 30, 3), dtype=np.uint8)
        PIL.fromarray(pixels).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def explain(*options, images=PHOTOGRAPHS):
    assert cli.main(["explain", *images, *MODEL, "--out=out", "--steps=4", *options]) == 0


def measure(*names, options=MODEL):
    return cli.main(["metrics", "out", *options, "--metrics", *names])


def load(place, name):
    model = intgrad.load_model(place / "model.pt", device="cpu")
    with np.load(place / f"out/{name}.npz") as arrays:
        return model, model.load_image(place / f"{name}.png"), arrays["attributions"]


@pytest.mark.filterwarnings("ignore:the probability is 1")
def test_values_are_those_of_the_functions(place, capsys):
    explain("--score=logit", "--baseline=white")
    assert measure(*KNOWN) == 0
    found = records(place / "out")
    of_a_score = {"output": "logit", "baseline": "white"}
    for record, name in zip(found, "abc", strict=True):
        model, image, maps = load(place, name)
        assert list(record["metrics"]) == list(KNOWN)
        for metric, outcome in record["metrics"].items():
            is_of_score = metric in ("infidelity", "mu_fidelity", "sensitivity_n")
            options = of_a_score if is_of_score else {}
            expected = getattr(metrics, metric)(model, image, maps, record["target"], **options)
            assert outcome["convention"] == expected.convention
            if outcome["value"] is None:
                assert np.isnan(expected.values[0])
                assert outcome["note"] == expected.notes[0] != ""
            else:
                assert outcome["value"] == pytest.approx(expected.values[0], rel=1e-6)
    printed = capsys.readouterr().out
    values = [record["metrics"]["deletion"]["value"] for record in found]
    error = np.std(values, ddof=1) / np.sqrt(3)
    assert f"deletion: {np.mean(values):.4g} +- {error:.2g} over 3 images" in printed
    assert "[3/3] c.png: deletion " in printed


def test_what_was_measured_is_not_measured_again(place, capsys):
    explain()
    assert measure("deletion") == 0
    first = records(place / "out")
    assert measure("deletion", "road") == 0
    assert "measured before" not in capsys.readouterr().out
    second = records(place / "out")
    assert [r["metrics"]["deletion"] for r in first] == [r["metrics"]["deletion"] for r in second]
    assert measure("road") == 0
    assert "3 of 3 were measured before" in capsys.readouterr().out
    assert records(place / "out") == second
    explain()  # goes on, and leaves them
    assert records(place / "out") == second


def test_slopes_are_taken_for_slopes(place):
    assert cli.main(["explain", "a.png", *MODEL, "--out=out", "--method=smoothgrad"]) == 0
    assert measure("infidelity") == 0
    (record,) = records(place / "out")
    model, image, maps = load(place, "a")
    expected = metrics.infidelity(model, image, maps, record["target"], meaning="slopes")
    outcome = record["metrics"]["infidelity"]
    assert outcome["value"] == pytest.approx(expected.values[0], rel=1e-5)
    assert outcome["convention"] == expected.convention


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--method=smoothgrad", "--kind=square"], "the maps of smoothgrad add up to nothing"),
        (["--method=blur", "--steps=4"], "the maps' own baseline, which blur of 50 pixels is not"),
        (["--baseline=uniform", "--steps=4"], "the maps' own baseline, which uniform x 1 is not"),
    ],
)
def test_maps_of_which_a_metric_says_nothing(place, capsys, options, reason):
    assert cli.main(["explain", "a.png", *MODEL, "--out=out", *options]) == 0
    assert measure("infidelity", "mu_fidelity", "deletion") == 0
    (record,) = records(place / "out")
    for name in ("infidelity", "mu_fidelity"):
        outcome = record["metrics"][name]
        assert outcome["value"] is None
        assert reason in outcome["note"]
    assert record["metrics"]["deletion"]["value"] is not None
    assert f"infidelity: {outcome['note']}" in capsys.readouterr().out


def test_a_damaged_file_does_not_end_the_others(place, capsys):
    explain()
    (place / "out/b.npz").write_bytes(b"PK no archive")
    assert measure("deletion") == 1
    assert "intgrad: b.png: " in capsys.readouterr().err
    assert ["metrics" in record for record in records(place / "out")] == [True, False, True]


def test_a_photograph_that_is_gone_does_not_end_the_others(place, capsys):
    explain()
    (place / "b.png").unlink()
    assert measure("deletion") == 1
    assert "b.png: there is no file" in capsys.readouterr().err
    assert ["metrics" in record for record in records(place / "out")] == [True, False, True]


def test_another_model_is_refused(place, capsys):
    explain(images=["a.png"])
    (place / "other.pt").write_bytes(archive(Smooth(), metadata=METADATA | {"source": "another"}))
    before = (place / "out/explained.jsonl").read_bytes()
    assert measure("deletion", options=["--model=other.pt"]) == 1
    assert "was explained with another model than 'other.pt'" in capsys.readouterr().err
    assert (place / "out/explained.jsonl").read_bytes() == before


def test_a_folder_without_records(place, capsys):
    (place / "out").mkdir()
    assert measure("deletion") == 1
    assert "'out' holds neither explained.jsonl nor files of Parquet" in capsys.readouterr().err
    assert cli.main(["metrics", "nowhere", *MODEL]) == 1
    assert "there is no file 'nowhere'" in capsys.readouterr().err


def test_what_was_done_is_kept_where_it_is_interrupted(place, monkeypatch):
    explain()
    found = iter([None, KeyboardInterrupt])

    def stop(*arguments, compute=intgrad.command_line.metrics.measure_all):
        if next(found):
            raise KeyboardInterrupt
        return compute(*arguments)

    monkeypatch.setattr(intgrad.command_line.metrics, "measure_all", stop)
    assert measure("deletion") == 130
    text = (place / "out/explained.jsonl").read_text()
    assert ["metrics" in json.loads(line) for line in text.splitlines()] == [True, False, False]


def test_two_at_a_time_are_one_too_many(place, capsys):
    from intgrad.results.folder import lock

    explain(images=["a.png"])
    held = lock(place / "out")
    try:
        assert measure("deletion") == 1
    finally:
        os.close(held)
    assert "another process is writing to 'out'" in capsys.readouterr().err


def test_unknown_metrics_are_named(capsys):
    with pytest.raises(SystemExit):
        measure("pointing_game")
    assert "invalid choice: 'pointing_game'" in capsys.readouterr().err


def test_every_metric_of_the_command_line_is_one_of_python():
    for name in KNOWN:
        assert issubclass(getattr(metrics, name).metric, Metric)


def test_another_photograph_than_was_explained(place, capsys):
    explain()
    pixels = np.random.default_rng(9).integers(100, 255, (40, 30, 3), dtype=np.uint8)
    PIL.fromarray(pixels).save(place / "a.png")
    assert measure("deletion") == 1
    captured = capsys.readouterr()
    assert "a.png: its softmax was" in captured.err
    assert "the photograph was changed since" in captured.err
    assert ["metrics" in record for record in records(place / "out")] == [False, True, True]


def test_another_preprocessing_than_explained(place, capsys):
    """What is wrong is not kept, and the right one is measured."""
    (place / "model.pt").write_bytes(archive(Smooth()))  # it does not say how it is to be used
    facts = ["--size", "12", "10", "--scores=logits", "--preprocess"]
    explain("--score=logit", *facts, "0.00784 -1", images=["a.png", "b.png"])
    assert measure("deletion", options=[*MODEL, *facts, "imagenet"]) == 1
    assert "--preprocess, --size or --scores are not those" in capsys.readouterr().err
    assert measure("deletion", options=[*MODEL, *facts, "0.00784 -1"]) == 0
    assert all(record["metrics"]["deletion"]["value"] for record in records(place / "out"))


def test_why_photographs_have_no_value_is_said_again(place, capsys):
    explain()
    for _ in range(2):
        assert measure("sic") == 0
        printed = capsys.readouterr().out
        summary = printed[printed.index("sic: ") :]
        assert summary.count(" is below 0.8") == sum(
            record["metrics"]["sic"]["value"] is None for record in records(place / "out")
        )


def test_rows_of_a_cluster(place, capsys):
    """Have their metrics in their records, as folders have them; nothing else changes."""
    explain("--arrays=full")
    assert measure("deletion", "sic") == 0
    expected = records(place / "out")
    (place / "cluster/rows").mkdir(parents=True)
    explainer = Explainer("model.pt", steps=4, arrays="full", load={"device": "cpu"})
    for number, name in enumerate([*PHOTOGRAPHS, "lost.png"]):
        rows = explainer({"path": [name], "id": [number]})
        parquet.write_table(rows, place / f"cluster/rows/{number}.parquet")
    files = sorted((place / "cluster/rows").iterdir())
    before, lost = [parquet.read_table(file) for file in files], files[3].read_bytes()
    assert cli.main(["metrics", "cluster", *MODEL, "--metrics", "deletion", "sic"]) == 0
    found = list(intgrad.read_results(place / "cluster").records())
    assert [record["metrics"] for record in found] == [record["metrics"] for record in expected]
    for file, table in zip(files, before, strict=True):
        after = parquet.read_table(file)
        assert after.drop_columns("record") == table.drop_columns("record")
    assert files[3].read_bytes() == lost
    views = {path.name for path in (place / "cluster/report/views").iterdir()}
    capsys.readouterr()
    assert cli.main(["metrics", "cluster", *MODEL, "--metrics", "deletion", "road"]) == 0
    assert "deletion" not in capsys.readouterr().out.split("\ndeletion: ")[0]
    assert {path.name for path in (place / "cluster/report/views").iterdir()} == views


def test_records_of_a_newer_version(place, capsys):
    explain()
    file = place / "out/explained.jsonl"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 99'))
    assert measure("deletion") == 1
    assert "a newer" in capsys.readouterr().err
