"""Killing `intgrad explain` at random moments, and starting it again."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from intgrad.results.records import from_line


def records(out):
    """Return the records in a folder of results."""
    return [from_line(line) for line in (out / "explained.jsonl").read_text().splitlines()]


def names(out, shape):
    """Return what results are called, having looked at each."""
    for record in records(out):
        with Image.open(out / record["picture"]) as picture:
            assert np.asarray(picture.convert("RGB")).std() > 1
        with np.load(out / record["arrays"]) as arrays:
            assert arrays["attributions"].shape == shape
    return [record["picture"].removesuffix(".png") for record in records(out)]


def run_until_done(folder, out, *options, most_between):
    """Explain a folder, killed again and again after up to `most_between` results more.

    Returns how often it was killed before it was done.
    """
    command = [sys.executable, "-m", "intgrad", "explain", folder, "--out", out, *options]

    def count_finished():
        file = out / "explained.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    moments, kills = random.Random(1), 0
    while True:
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[1])
        wanted = count_finished() + moments.randint(1, most_between)
        while run.poll() is None and count_finished() < wanted:
            time.sleep(0.005)
        time.sleep(moments.random() * 0.2)
        if run.poll() is not None:
            assert run.returncode == 0
            return kills
        run.kill()
        run.wait()
        kills += 1
