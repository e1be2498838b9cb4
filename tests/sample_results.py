"""Folders of results without a model: records of any number, with names of any kind."""

import os

import numpy as np
from PIL import Image

import intgrad
from intgrad.pictures.framing import frame
from intgrad.report.views import Maps, make_overview, make_thumbnail, make_view
from intgrad.results import parquet
from intgrad.results.arrays import write_exactly
from intgrad.results.folder import Results
from intgrad.results.records import from_line
from intgrad.results.sources import Source

SHAPE = (28, 24)
REQUEST = {"model": "0" * 64, "target": None, "score": "softmax", "method": "integrated-gradients"}
LABELS = ["cat", "dog", "<b>cup</b> & 'fork' \"", "</script><script>alert(3)</script>", "🦊 fox"]
NAMES = [
    "plain",
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)<!--",
    "quote\"s and 'apostrophes' & amp;",
    "שלום עולם",
    "emoji 🦊🎉",
    "100% #1?a=b+c",
    "{{ 7 * 7 }}",
    "back\\slash",
    "caf\udce9",
]


def make_record(number, label=None, **others):
    """Return what a record says of a photograph, all of it made up but consistent."""
    random = np.random.default_rng(number)
    regions = random.normal(0, 0.02, 16)
    target = number % len(LABELS)
    probability = float(random.uniform(0.1, 1))
    record = {
        "model": "model.pt",
        "top": [[LABELS[target], target, probability], ["other", 9, 0.01]],
        "target": target,
        "label": LABELS[target] if label is None else label,
        "score": probability,
        "baseline_score": 0.1,
        "delta": float(random.normal(0, 0.01)),
        "error": None if number % 7 == 3 else float(random.uniform(0.01, 0.3)),
        "quadrature_error": 0.1,
        "baseline_error": None,
        "regions": {
            "ids": list(range(16)),
            "pixels": [42] * 16,
            "attributions": regions.tolist(),
            "deviations": [0.01] * 16,
            "error": 0.1,
        },
        "unattributable": 0.0,
        "evaluations": 51,
        "method": "integrated_gradients",
        "path": "straight",
        "sigma": None,
        "draws": None,
        "kind": None,
        "noise": None,
        "alphas": [0.0, 0.5, 1.0],
        "rule": "trapezoid",
        "steps": 50,
        "tolerance": None,
        "output": "softmax",
        "baseline": "black",
        "batch_size": 8,
        "precision": "float32",
        "device": "cpu",
        "backend": "libtorch",
        "seed": None,
        "seconds": 0.3,
        "versions": {"intgrad": "0.1.0", "python": "3.11", "numpy": "2.0", "torch": "2.13.0"},
        "note": "half of it is dark" if number % 5 == 4 else None,
        "size": [280, 240],
        "seen": None,
        "fill": 0,
        "steps_of_arrays": {},
    }
    return record | others


def make_arrays(number, scale=1e-3):
    random = np.random.default_rng(number)
    attributions = (scale * random.standard_t(3, (*SHAPE, 3))).astype(np.float32)
    rows, columns = np.indices(SHAPE)
    return {
        "attributions": attributions,
        "gradient": random.normal(0, 1e-4, (*SHAPE, 3)).astype(np.float32),
        "error_map": np.abs(attributions) / 3,
        "pixel_error_map": np.abs(scale * random.normal(0, 0.5, SHAPE)).astype(np.float32),
        "regions": (4 * (rows // 7) + columns // 6).astype(np.int32),
    }


def make_photograph(number, size=(280, 240)):
    rows, columns = np.indices(size)
    return np.stack([rows % 256, columns % 256, (rows + columns + 9 * number) % 256], -1).astype(
        np.uint8
    )


def save_photograph(folder, name, number):
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(make_photograph(number)).save(path)
    return path


def add(results, photograph, number, name=None, arrays=None, **others):
    """Add a photograph to results; return its record."""
    arrays = make_arrays(number) if arrays is None else arrays
    framed = frame(Image.fromarray(make_photograph(number)), None)
    maps = Maps.of(arrays)
    files = {
        "picture": lambda to: Image.fromarray(framed.picture).save(to, "PNG"),
        "arrays": lambda to: write_exactly(to, arrays),
        "view": lambda to: to.write_bytes(make_view(framed, maps)),
        "thumbnail": lambda to: to.write_bytes(make_thumbnail(framed)),
    }
    facts = make_record(number, overview=make_overview(arrays["attributions"]), **others)
    real = os.path.realpath(photograph)
    return results.add(Source(photograph, name or photograph.stem, real), facts, files)


def fill(folder, photographs, names=NAMES, **others):
    """Fill a folder of results with photographs of these names, which are saved."""
    with Results(folder, REQUEST, []) as results:
        for number, name in enumerate(names):
            add(results, save_photograph(photographs, name, number), number, **others)


def records(folder):
    return [from_line(line) for line in (folder / "explained.jsonl").read_text().splitlines()]


def to_parquet(folder, path, rows_in_a_group=4):
    """Write a folder's results as rows, in groups."""
    from pyarrow import parquet as pq

    reading = intgrad.read_results(folder)
    rows = [parquet.make_row(result.record, result.arrays) for result in reading]
    rows += [parquet.make_row(record, {}) for record in reading.failures()]
    pq.write_table(parquet.make_table(rows), path, row_group_size=rows_in_a_group)
