"""Memory stays flat over hundreds of calls of a real model, and for half an hour of all sorts."""

import os
import random
import time

import espresso
import numpy as np
import pytest
from resident import resident_bytes
from skimage import data

import intgrad

MINUTES = float(os.environ.get("INTGRAD_SOAK_MINUTES", "30"))
MIB = 2**20


def test_two_hundred_calls_of_a_real_model(kitchen, say):
    image = np.random.default_rng(0).uniform(0, 255, (299, 299, 3))

    def work(count):
        for k in range(count):
            intgrad.integrated_gradients(kitchen, image, k % 6, steps=4)
            with pytest.raises(IndexError):
                intgrad.integrated_gradients(kitchen, image, 6, steps=4)
        return resident_bytes()

    before = work(20)
    after = work(200)
    say(f"- 200 calls of an Xception, 4 steps, an error each: {(after - before) / MIB:+.1f} MiB")
    assert after - before < 16 * MIB


class Soak:
    """One user who does a bit of everything."""

    def __init__(self, folder):
        # Traced once: torch keeps every trace for good (pytorch#35600).
        self.archive = folder / "lite0.pt"
        intgrad.save_model(espresso.load_module(), self.archive, **espresso.FACTS)
        self.load()
        self.image = espresso.square(data.chelsea())
        self.chance = random.Random(0)

    def explain(self):
        options = self.chance.choice(
            [
                {"steps": 8, "error_map": True, "gradient": True},
                {"tolerance": 0.5, "output": "logit"},
                {"steps": 3, "baseline": "uniform"},
                {"steps": 4, "rule": "gauss-legendre", "batch_size": self.chance.randint(1, 7)},
            ]
        )
        intgrad.integrated_gradients(self.model, self.image, return_info=True, **options)

    def stream(self):
        images = (self.image for _ in range(3))
        assert len(list(intgrad.iter_integrated_gradients(self.model, images, steps=2))) == 3

    def draw(self):
        gradient = np.random.default_rng(0).normal(size=self.image.shape)
        intgrad.GradVisualizer().process_grads(
            self.image, gradient, clip_above_percentile=95, clip_below_percentile=28, outlines=True
        )

    def fail(self):
        with pytest.raises(ValueError, match="finite"):
            intgrad.integrated_gradients(self.model, self.image * np.nan, 1)
        with pytest.raises(intgrad.ModelError):
            intgrad.load_model(b"PK not an archive")

    def load(self):
        self.model = intgrad.load_model(self.archive)

    def step(self):
        actions = [self.explain] * 6 + [self.stream, self.draw, self.fail] + [self.load]
        self.chance.choice(actions)()


def test_soak(say, tmp_path):
    soak, sizes, calls = Soak(tmp_path), [], 0
    end = time.monotonic() + 60 * MINUTES
    for _ in range(60):
        soak.step()
    next_sample = time.monotonic()
    while time.monotonic() < end:
        soak.step()
        calls += 1
        if time.monotonic() >= next_sample:
            sizes.append(resident_bytes() / MIB)
            next_sample += 60 * MINUTES / 30
    say(f"- soak: {calls} calls of all sorts in {MINUTES:g} minutes; MiB resident, at even times:")
    say("  " + ", ".join(f"{size:.0f}" for size in sizes))
    third = len(sizes) // 3
    assert max(sizes[-third:]) - max(sizes[third : 2 * third]) < 24
