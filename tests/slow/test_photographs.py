"""Sixty photographs and a real network through `intgrad explain`, killed at least ten times."""

import demo_files
import espresso
import killing
import numpy as np
from PIL import Image
from skimage import data

import intgrad
from intgrad import xception

COUNT = 60


def write_photographs(folder, kitchen):
    """Write photographs of many shapes: scikit-image's and the kitchen's, and smaller copies."""
    folder.mkdir()
    pictures = [Image.fromarray(each()) for each in (data.astronaut, data.chelsea, data.coffee)]
    pictures += [Image.open(path).convert("RGB") for path in sorted(kitchen.glob("*.jpg"))]
    for k in range(COUNT):
        picture = pictures[k % len(pictures)]
        size = [side * 5 // (5 + k // len(pictures)) for side in picture.size]
        picture.resize(size).save(folder / f"{k:02}.{'jpg' if k % 2 else 'png'}")


def test_sixty_photographs_killed_ten_times(demo_wheel, tmp_path, say):
    folder, out, archive = tmp_path / "photographs", tmp_path / "out", tmp_path / "lite0.pt"
    write_photographs(folder, demo_wheel / demo_files.PHOTOGRAPHS)
    labels = xception.imagenet_labels()
    intgrad.save_model(espresso.load_module(), archive, labels=labels, **espresso.FACTS)
    options = ["--model", archive, "--device", "cpu", "--steps", "16"]
    kills = killing.run_until_done(folder, out, *options, most_between=6)
    say(f"- {COUNT} photographs through `intgrad explain`, killed {kills} times: each there once")
    assert kills >= 10
    assert sorted(killing.names(out, (*espresso.SIZE, 3))) == [f"{k:02}" for k in range(COUNT)]
    assert len(list(out.iterdir())) == 2 * COUNT + 3
    assert all(np.isfinite(record["error"]) for record in killing.records(out))
