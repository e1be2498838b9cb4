"""The command line, end to end on the demo's model."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import demo_files
import numpy as np
import pytest
from small_models import METADATA, SIZE, Smooth, archive

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
    assert "fork: softmax 0.7518 at the image, 0.2233 on the black baseline" in printed
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
    assert "estimated error: unknown" in printed
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
        (["info", str(Path(__file__).parent)], "command_line': Is a directory"),
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


# ---- Archives that do not say how they are used --------------------------------------------------


def test_info_says_what_to_tell(tmp_path, capsys):
    (tmp_path / "m.pt").write_bytes(archive(Smooth()))
    assert cli.main(["info", str(tmp_path / "m.pt")]) == 0
    printed = capsys.readouterr().out
    for text in ("--preprocess", "--size", "--scores", "intgrad.save_model"):
        assert text in printed


@pytest.mark.parametrize(
    ("affine", "text"),
    [
        ({"scale": [1 / 127.5], "offset": [-1.0]}, "pixels / 127.5 - 1, in the graph"),
        ({"scale": [1 / 255], "offset": [0]}, "pixels / 255 + 0, in the graph"),
        (
            {
                "scale": [1 / (255 * s) for s in (0.229, 0.224, 0.225)],
                "offset": [-m / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))],
            },
            "(pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], in the graph",
        ),
        ({"scale": [], "offset": []}, "none: the network takes pixels 0..255"),
        (None, "in the graph, not recorded"),
        ({"scale": 3}, "in the graph, not recorded"),
        ("imagenet", "in the graph, not recorded"),
        ({"scale": [0, 1], "offset": [1, 2]}, "in the graph, not recorded"),
    ],
)
def test_info_names_the_preprocessing(affine, text, tmp_path, capsys):
    metadata = METADATA if affine is None else {**METADATA, "preprocess": affine}
    (tmp_path / "m.pt").write_bytes(archive(Smooth(), metadata=metadata))
    assert cli.main(["info", str(tmp_path / "m.pt")]) == 0
    assert json.loads(capsys.readouterr().out)["preprocess"] == text


def explain_plain(folder, *options):
    model, photograph = folder / "plain.pt", folder / "in.png"
    if not model.exists():
        model.write_bytes(archive(Smooth()))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    PIL.fromarray(pixels).save(photograph)
    command = ["explain", str(photograph), "--model", str(model), "--steps", "2"]
    command += ["--device", "cpu", "--arrays", "full", "--out", str(folder / "out")]
    return cli.main([*command, *options])


SAID = {
    "--preprocess": ["imagenet"],
    "--size": list(map(str, SIZE)),
    "--scores": ["logits"],
}


def flatten(said):
    return [word for option, values in said.items() for word in (option, *values)]


@pytest.mark.parametrize("missing", [["--preprocess"], ["--size", "--scores"], list(SAID)], ids=str)
def test_what_is_missing_is_named(missing, tmp_path, capsys):
    said = {option: values for option, values in SAID.items() if option not in missing}
    assert explain_plain(tmp_path, *flatten(said)) == 1
    error = capsys.readouterr().err
    assert f"give {' and '.join(missing)}, or write it with intgrad.save_model" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "preprocess"),
    [
        ("imagenet", "imagenet"),
        ("xception", "xception"),
        ("none", "none"),
        ("0.0078431 -1", (0.0078431, -1)),
        ("0.02,0.03,0.04 -2,-2.1,1e-1", ([0.02, 0.03, 0.04], [-2, -2.1, 0.1])),
    ],
)
def test_an_archive_that_is_told_how_it_is_used(text, preprocess, tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join("vwxyz"))
    said = flatten({**SAID, "--preprocess": [text], "--labels": [str(tmp_path / "labels.txt")]})
    assert explain_plain(tmp_path, *said) == 0
    facts = {"input_size": SIZE, "scores": "logits", "device": "cpu"}
    model = intgrad.load_model(
        tmp_path / "plain.pt", preprocess=preprocess, labels=list("vwxyz"), **facts
    )
    image = intgrad.load_image(tmp_path / "in.png", size=SIZE)
    expected = intgrad.integrated_gradients(model, image, steps=2)
    with np.load(tmp_path / "out/in.npz") as arrays:
        np.testing.assert_allclose(arrays["attributions"], expected, rtol=1e-5, atol=1e-9)
    record = json.loads((tmp_path / "out/explained.jsonl").read_text())
    assert record["label"] == model.top(image, 1)[0][0]
    assert record["request"]["size"] == list(SIZE)


def test_what_was_said_belongs_to_the_request(tmp_path, capsys):
    assert explain_plain(tmp_path, *flatten(SAID)) == 0
    assert explain_plain(tmp_path, *flatten(SAID)) == 0
    assert "1 of 1 were explained before" in capsys.readouterr().out
    assert explain_plain(tmp_path, *flatten({**SAID, "--preprocess": ["none"]})) == 1
    assert "preprocess was 'imagenet', and now is 'none'" in capsys.readouterr().err
    assert explain_plain(tmp_path, *flatten(SAID), "--labels=a,b,c,d,e") == 1
    assert "labels was None, and now is ['a'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["imagnet", "1", "1 2 3", "1,x 2", "1,2", "", "0.1,, 0"])
def test_preprocessing_that_is_none(text, tmp_path, capsys):
    with pytest.raises(SystemExit) as raised:
        explain_plain(tmp_path, "--preprocess", text)
    assert raised.value.code == 2
    assert f"{text!r} is neither imagenet, xception, none nor 'SCALE OFFSET'" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (["--preprocess", "imagenet"], "preprocess"),
        (["--size", "5", "5"], "takes input_size=(12, 10)"),
        (["--scores", "probabilities"], "gives scores='logits'"),
        (["--labels", "a,b"], "got 2"),
    ],
)
def test_an_archive_is_not_contradicted(said, text, tmp_path, capsys):
    (tmp_path / "m.pt").write_bytes(archive(Smooth(), metadata=METADATA))
    command = ["explain", "none.png", "--model", str(tmp_path / "m.pt"), *said]
    assert cli.main([*command, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 1
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_labels_in_a_file_of_whatever_editor(encoding, tmp_path):
    file = tmp_path / "labels.txt"
    file.write_bytes("é\r\nb\r\nc\r\nd\r\ne".encode(encoding))
    said = [*flatten(SAID), "--labels", str(file), "--target", "é"]
    assert explain_plain(tmp_path, *said) == 0
    assert json.loads((tmp_path / "out/explained.jsonl").read_text())["label"] == "é"


def test_labels_that_are_no_text(tmp_path, capsys):
    (tmp_path / "labels.txt").write_bytes(b"caf\xe9")
    assert explain_plain(tmp_path, *flatten(SAID), "--labels", str(tmp_path / "labels.txt")) == 1
    assert "labels.txt' is no text in UTF-8" in capsys.readouterr().err


def test_info_where_letters_cannot_be_printed(tmp_path):
    labels = ["é", "日本", "caf\udce9", "d", "e"]
    (tmp_path / "m.pt").write_bytes(archive(Smooth(), metadata={**METADATA, "labels": labels}))
    for encoding in ("ascii", "utf-8"):
        run = subprocess.run(
            [sys.executable, "-m", "intgrad", "info", tmp_path / "m.pt"],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(run.stdout)["labels"] == labels


def test_a_long_list_of_labels_is_no_file(tmp_path):
    labels = ["a label of many words " * 20 + str(k) for k in range(5)]
    assert explain_plain(tmp_path, *flatten(SAID), "--labels", ",".join(labels)) == 0
    record = json.loads((tmp_path / "out/explained.jsonl").read_text())
    assert record["label"] in labels


# ---- ImageNet weights that were fetched by other means -------------------------------------------


def test_weights_from_a_file(tmp_path, capsys, monkeypatch):
    from intgrad import xception
    from intgrad.xception import imagenet

    file = tmp_path / "weights.h5"
    file.write_bytes(b"weights")
    out = tmp_path / "out.pt"
    assert cli.main(["convert", "imagenet", str(out), "--weights", str(file)]) == 1
    error = capsys.readouterr().err
    assert "weights.h5' is not Keras's xception_weights_tf_dim_ordering_tf_kernels.h5" in error
    assert "expected 0a58e3b7378bc2990ea3b43d5981f1f6" in error
    assert not out.exists()

    given = {}

    def convert(source, destination, **options):
        given.update(options, source=source)
        return {"input_size": [299, 299], "scores": "logits"}

    monkeypatch.setattr(imagenet, "IMAGENET_HASH", "md5:" + hashlib.md5(b"weights").hexdigest())
    monkeypatch.setattr(xception, "convert", convert)
    assert cli.main(["convert", "imagenet", str(out), "--weights", str(file)]) == 0
    assert given["source"] == file
    assert len(given["labels"]) == 1000
    assert "espresso" in given["labels"]


@pytest.mark.parametrize(
    ("source", "weights", "text"),
    [
        ("mine.h5", __file__, "--weights is for 'imagenet', and 'mine.h5' was to be converted"),
        ("imagenet", "none.h5", "there is no file 'none.h5'"),
    ],
)
def test_weights_that_make_no_sense(source, weights, text, tmp_path, capsys):
    assert cli.main(["convert", source, str(tmp_path / "o.pt"), "--weights", weights]) == 1
    assert text in capsys.readouterr().err


CONFIG = {"input_size": (3, *SIZE), "crop_pct": 0.8, "interpolation": "bicubic"}


def test_photographs_are_prepared_as_the_archive_says(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    PIL.fromarray(pixels).save(tmp_path / "in.png")
    intgrad.save_model(Smooth(), tmp_path / "m.pt", preprocess=CONFIG, scores="logits")
    command = ["explain", str(tmp_path / "in.png"), "--model", str(tmp_path / "m.pt")]
    command += ["--steps=2", "--device=cpu", "--arrays=full", "--out", str(tmp_path / "out")]
    assert cli.main(command) == 0
    model = intgrad.load_model(tmp_path / "m.pt", device="cpu")
    image = model.load_image(tmp_path / "in.png")
    nearest = intgrad.load_image(tmp_path / "in.png", size=SIZE)
    assert not np.array_equal(image, nearest)
    expected = intgrad.integrated_gradients(model, image, steps=2)
    with np.load(tmp_path / "out/in.npz") as arrays:
        np.testing.assert_allclose(arrays["attributions"], expected, rtol=1e-5, atol=1e-9)
    capsys.readouterr()
    assert cli.main(["info", str(tmp_path / "m.pt")]) == 0
    told = json.loads(capsys.readouterr().out)["transform"]
    assert told == "resized to cover 15 x 12 (bicubic), the middle 12 x 10"


def test_a_file_says_how_photographs_are_prepared(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    said = flatten({"--preprocess": [str(tmp_path / "config.json")], "--scores": ["logits"]})
    assert explain_plain(tmp_path, *said) == 0
    model = intgrad.load_model(
        tmp_path / "plain.pt", preprocess=CONFIG, scores="logits", device="cpu"
    )
    expected = intgrad.integrated_gradients(model, model.load_image(tmp_path / "in.png"), steps=2)
    with np.load(tmp_path / "out/in.npz") as arrays:
        np.testing.assert_allclose(arrays["attributions"], expected, rtol=1e-5, atol=1e-9)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "crop_pct": 1}))
    assert explain_plain(tmp_path, *said) == 1
    assert "preprocess was {" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        explain_plain(tmp_path, "--preprocess", str(tmp_path / "none.json"))
    assert "No such file" in capsys.readouterr().err
