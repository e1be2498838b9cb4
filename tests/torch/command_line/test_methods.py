"""`intgrad explain --method`: each gives what its function gives, is drawn, and goes on."""

import killing
import numpy as np
import pytest
from killing import records
from small_models import METADATA, SIZE, Smooth, archive

import intgrad
from intgrad.command_line import drawing, explain
from intgrad.command_line import main as cli
from intgrad.pictures.bitmaps import write_columns

PIL = pytest.importorskip("PIL.Image")

FEW = {
    "integrated-gradients": ["--steps=4"],
    "blur": ["--sigma=3", "--steps=4"],
    "guided": ["--steps=4", "--baseline=white"],
    "expected": ["--references=references", "--draws=12", "--seed=1"],
    "smoothgrad": ["--draws=6", "--noise=0.3", "--seed=1"],
}
"""Options of each, for a quick run."""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A model, two photographs and a folder of three references, and the way there."""
    small = Smooth()
    small.body[-1].weight.data.mul_(0.1)  # or every probability would be 0 or 1
    (tmp_path / "model.pt").write_bytes(archive(small, metadata=METADATA))
    for k, name in enumerate(("a.png", "b.png", *(f"references/{j}.png" for j in range(3)))):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 200, (40, 30, 3), dtype=np.uint8)
        PIL.fromarray(pixels).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(method, *options, images=("a.png",), out="out"):
    words = ["--model=model.pt", "--device=cpu", f"--method={method}", f"--out={out}"]
    return cli.main(["explain", *images, *words, *options])


def load(place):
    model = intgrad.load_model(place / "model.pt", device="cpu")
    return model, model.load_image(place / "a.png")


def compute(method, model, image, place):
    """Do the same in Python."""
    common = {"error_map": True, "return_info": True}
    if method == "expected":
        pictures = [model.load_image(place / f"references/{k}.png") for k in range(3)]
        options = {"references": pictures, "draws": 12, "seed": 1}
        return intgrad.expected_gradients(model, image, **options, **common)
    if method == "smoothgrad":
        return intgrad.smoothgrad(model, image, draws=6, noise=0.3, seed=1, **common)
    options = {
        "integrated-gradients": {},
        "blur": {"path": "blur", "sigma": 3},
        "guided": {"path": "guided", "baseline": "white"},
    }
    return intgrad.integrated_gradients(model, image, steps=4, **options[method], **common)


@pytest.mark.parametrize("method", FEW)
def test_what_a_result_holds(method, place):
    assert run(method, *FEW[method], "--arrays=full") == 0
    (record,) = records(place / "out")
    model, image = load(place)
    expected, info = compute(method, model, image, place)
    with np.load(place / "out/a.npz") as arrays:
        np.testing.assert_allclose(arrays["attributions"], expected, rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(arrays["error_map"], info.error_map, rtol=1e-3, atol=1e-8)
        plain = model.gradients(image)
        np.testing.assert_allclose(arrays["gradient"], plain, rtol=1e-4, atol=1e-8)
    assert record["request"]["method"] == method
    for name in ("method", "path", "draws", "evaluations", "baseline"):
        assert record[name] == getattr(info, name)
    assert record["error"] == pytest.approx(info.error, rel=1e-3)
    assert killing.names(place / "out", (*SIZE, 3)) == ["a"]


@pytest.fixture
def drawn(monkeypatch):
    """What the last picture holds."""
    seen = {}

    def write(path, columns, *, keys, caption, **others):
        seen.update(columns=columns[1:], keys=[key.text for key in keys], caption=caption)
        write_columns(path, columns, keys=keys, caption=caption, **others)

    monkeypatch.setattr(drawing, "write_columns", write)
    return seen


@pytest.mark.parametrize(
    ("method", "title", "start"),
    [
        ("integrated-gradients", "Integrated gradients", " on the black baseline"),
        ("blur", "Blur IG", " on the image with a blur of 3 pixels"),
        ("guided", "Guided IG", " on the white baseline"),
        ("expected", "Expected gradients", " on the mean of 3 references"),
        ("smoothgrad", "SmoothGrad", None),
    ],
)
def test_what_is_told_and_drawn(method, title, start, drawn, capsys):
    assert run(method, *FEW[method], "--score=logit") == 0
    told = capsys.readouterr().out
    assert [column.title for column in drawn["columns"]] == [
        "Normal gradients",
        title,
        "Regions",
        "Too uncertain to call: grey",
    ]
    assert drawn["keys"][:2] == ["raises the score", "lowers the score"]
    for text in (told, drawn["caption"]):
        assert (" on the " in text) == (start is not None)
        assert start is None or start in text
        assert "off by about" in text or method == "guided"
    assert "off by about" in drawn["caption"]
    # Regions of a guided path have no estimate of their error, and the text says why.
    assert ("how far they are off is unknown" in told) == (method == "guided")
    assert ("completeness gap" in told) == (start is not None)


def test_smoothgrad_is_no_attribution_of_a_change(drawn, place):
    """It has the gradient's unit, and adds up to nothing."""
    assert run("smoothgrad", *FEW["smoothgrad"]) == 0
    for column in drawn["columns"]:
        assert "per pixel value" in column.bar.label
    (record,) = records(place / "out")
    assert record["baseline_score"] is None
    assert record["delta"] is None


@pytest.mark.parametrize(
    ("kind", "title"), [("square", "SmoothGrad, squared"), ("variance", "VarGrad")]
)
def test_maps_without_a_sign(kind, title, drawn, place):
    """No red, no scale below 0, and no gradient beside them, which has both."""
    assert run("smoothgrad", "--draws=5", f"--kind={kind}") == 0
    columns = drawn["columns"]
    assert [column.title for column in columns] == [title, "Regions", "Too uncertain to call: grey"]
    for column in columns:
        assert column.bar.low == 0 < column.bar.high
        assert "(score units per pixel value)²" in column.bar.label
        red, green = column.bar.picture[0, -1, :2]
        assert green > red
    assert drawn["keys"][0] == "changes the score"
    assert not any("lowers" in text for text in drawn["keys"])
    with np.load(place / "out/a.npz") as arrays:
        assert "gradient" not in arrays
        assert (arrays["attributions"] >= 0).all()


@pytest.mark.parametrize(
    "options",
    [
        ["blur", "--rule=left", "--steps=4"],
        ["guided", "--rule=left", "--steps=4"],
        ["blur", "--tolerance=0.3"],
        ["expected", "--references", "references/0.png", "references/1.png", "--tolerance=0.5"],
        ["smoothgrad", "--tolerance=0.6"],
        ["smoothgrad", "--draws=4", "--segments=5", "--score=logit", "--batch-size=3"],
    ],
    ids=" ".join,
)
def test_options(options, place):
    assert run(*options, images=["a.png", "b.png"]) == 0
    assert killing.names(place / "out", (*SIZE, 3)) == ["a", "b"]
    for record in records(place / "out"):
        if record["tolerance"] is None:
            assert record["rule"] == ("left" if "--rule=left" in options else None)
        else:
            assert record["error"] <= record["tolerance"]
        assert (record["error"] is None) == ("--rule=left" in options)


# ---- What is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["blur", "--baseline=white"],
            "--baseline white means nothing to --method blur: it is for",
        ),
        (["guided", "--tolerance=0.1"], "--tolerance 0.1 means nothing to --method guided"),
        (["smoothgrad", "--steps=9"], "it is for integrated-gradients, blur, guided"),
        (["integrated-gradients", "--noise=0.2"], "it is for smoothgrad"),
        (["expected"], "--method expected needs --references"),
    ],
    ids=" ".join,
)
def test_it_is_said_before_any_work(words, text, place, capsys):
    (place / "model.pt").unlink()  # nobody gets as far as that
    assert run(*words) == 1
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["blur", "--rule=midpoint"], "needs rule='trapezoid', or 'left'"),
        (["blur", "--sigma=-1"], "sigma must be"),
        (["smoothgrad", "--noise=-1"], "noise must be"),
        (["smoothgrad", "--draws=1"], "draws must be at least 2, got 1"),
        (["smoothgrad", "--draws=3", "--kind=variance"], "at least 4"),
        (["expected", "--references=references", "--draws=1"], "draws must be at least 2, got 1"),
        (["expected", "--references=none.png"], "no file 'none.png'"),
        (["expected", "--references=out"], "no file 'out'"),
    ],
    ids=" ".join,
)
def test_what_concerns_all_is_said_once(words, text, capsys):
    assert run(*words, images=["a.png", "b.png"]) == 1
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


def test_a_reference_that_cannot_be_read_is_no_photographs_fault(place, capsys):
    (place / "references/1.png").write_bytes(b"no picture")
    assert run("expected", *FEW["expected"], images=["a.png", "b.png"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("intgrad: --references: 'references/1.png' is not a picture")
    assert error.count("\n") == 1
    assert records(place / "out") == []
    assert not (place / "out/failed.jsonl").exists()


def test_results_are_no_references(place):
    assert run("smoothgrad", "--draws=2", out="references") == 0
    assert run("expected", *FEW["expected"]) == 0
    (record,) = records(place / "out")
    assert record["baseline"] == "3 references"


# ---- Going on where it stopped -------------------------------------------------------------------


@pytest.mark.parametrize("method", FEW)
def test_it_goes_on_with_what_is_unfinished(method, place, capsys):
    assert run(method, *FEW[method]) == 0
    before = (place / "out/a.png").stat().st_mtime_ns
    assert run(method, *FEW[method], images=["a.png", "b.png"]) == 0
    assert "1 of 2 were explained before" in capsys.readouterr().out
    assert (place / "out/a.png").stat().st_mtime_ns == before
    assert killing.names(place / "out", (*SIZE, 3)) == ["a", "b"]


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("blur", "guided", "method was 'blur', and now is 'guided'"),
        ("smoothgrad --noise=0.3", "smoothgrad", "noise was 0.3, and now is 0.15"),
        ("smoothgrad", "smoothgrad --kind=square", "kind was 'mean', and now is 'square'"),
        ("blur --sigma=9", "blur --sigma=8", "sigma was 9.0, and now is 8.0"),
        (
            "expected --references=references",
            "expected --references=references/1.png",
            "references was '3 photographs, ",
        ),
    ],
)
def test_another_request_needs_another_folder(first, second, text, place, capsys):
    method, *options = first.split()
    few = "--steps=2" if method == "blur" else "--draws=4"
    assert run(method, few, *options) == 0
    capsys.readouterr()
    method, *options = second.split()
    few = "--steps=2" if method in ("blur", "guided") else "--draws=4"
    assert run(method, few, *options) == 1
    assert text in capsys.readouterr().err
    assert len(records(place / "out")) == 1


def test_references_that_cannot_be_listed(place, monkeypatch, capsys):
    """What is in that folder would be missing from every answer."""
    found = explain.find(["references"])
    found.unreadable[place / "refs/below"] = "Permission denied"
    monkeypatch.setattr(explain, "find", lambda arguments: found)
    assert run("expected", *FEW["expected"]) == 1
    assert "refs/below': Permission denied" in capsys.readouterr().err
    assert not (place / "out").exists()
