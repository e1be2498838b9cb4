"""Damaged files, given to whatever reads them: every one ends in one of our exceptions.

    python tests/fuzz/fuzz_files.py [libFuzzer's options] [FOLDER of inputs]

Archives for `load_model` are damaged as they lie: what is made to do harm, with checksums that are
right, is code and not covered (SECURITY.md). Our own description in them, and the configuration of
Keras files, are changed and zipped again with new checksums. HDF5 is left whole: its library can be
made to loop for ever, out of Python's reach.
"""

import io
import os
import random
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["intgrad"]):
    import intgrad
    from intgrad.images import reading  # noqa: F401
    from intgrad.models import archive  # noqa: F401
    from intgrad.models.torch import opening, writing  # noqa: F401
    from intgrad.xception import keras_config, keras_weights  # noqa: F401

import contextlib

import demo_files
import h5py
import numpy as np
import small_models

SCRATCH = Path(tempfile.mkdtemp(prefix="intgrad-fuzz-"))
OURS = ("/extra/intgrad.json", "config.json")
"""Members that our own code reads."""


def test_one_input(data):
    """Give the bytes to both readers."""
    with contextlib.suppress(intgrad.ModelError, ValueError):
        intgrad.load_model(data, device="cpu")
    path = SCRATCH / "model.keras"
    path.write_bytes(data)
    with contextlib.suppress(ValueError):
        keras_weights.read(path)


def mutate(data, max_size, seed):
    """Change bytes anywhere, or those of one of our members."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        try:
            return _mutate_member(data, max_size, chance)
        except Exception:  # no zip any more
            pass
    return atheris.Mutate(data, max_size)


def _mutate_member(data, max_size, chance):
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        mine = chance.choice([name for name in members if name.endswith(OURS)])
        members[mine] = atheris.Mutate(members[mine], max(len(members[mine]) + 16, 64))
        for name, content in members.items():
            new.writestr(name, content)
    return buffer.getvalue() if len(buffer.getvalue()) <= max_size else data


def write_seeds(folder):
    """Write small files of every kind that is read."""
    folder.mkdir(parents=True, exist_ok=True)
    described = small_models.archive(small_models.Smooth(), metadata=small_models.METADATA)
    (folder / "described.pt").write_bytes(described)
    (folder / "plain.pt").write_bytes(small_models.archive(small_models.Smooth()))
    weights = io.BytesIO()
    with h5py.File(weights, "w") as h5:
        for stem in ("conv2d", "batch_normalization", "separable_conv2d", "dense"):
            for number in range(4):
                h5[f"layers/{stem}/vars/{number}"] = np.ones((2,) * (4 - number), np.float32)
    cache = Path(os.environ.get("INTGRAD_CACHE", ".cache"))
    with zipfile.ZipFile(demo_files.fetch(cache) / demo_files.MODEL) as real:
        config = real.read("config.json")
    with zipfile.ZipFile(folder / "tiny.keras", "w") as keras:
        keras.writestr("config.json", config)
        keras.writestr("model.weights.h5", weights.getvalue())


def main():
    """Fuzz, from the seeds and from what the folders of inputs hold."""
    warnings.simplefilter("ignore")
    seeds = SCRATCH / "seeds"
    write_seeds(seeds)
    atheris.Setup([*sys.argv, str(seeds)], test_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
