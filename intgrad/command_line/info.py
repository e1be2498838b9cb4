"""`intgrad info`: what an archive says of itself."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..models.archive import check_archive


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what `intgrad info` takes."""
    parser.add_argument("model", type=Path, help="a TorchScript archive")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command; what it raises, `main` tells."""
    metadata = check_archive(options.model.read_bytes(), str(options.model), None)
    if metadata is None:
        print(
            f"{options.model}: a TorchScript archive without intgrad.json; load_model needs to be"
        )
        print("told its preprocess, input_size and scores")
        return
    labels = metadata.get("labels")
    if labels and len(labels) > 10:
        metadata["labels"] = [*labels[:5], f"... {len(labels) - 6} more ...", labels[-1]]
    print(json.dumps(metadata, indent=2, ensure_ascii=False))
