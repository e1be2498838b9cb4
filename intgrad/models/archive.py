"""What a TorchScript archive says of itself, read before libtorch sees it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

from .._core import ModelError
from ..images.transform import ImageTransform

METADATA = "intgrad.json"
"""The extra file that makes an archive self-describing; `intgrad convert` writes it."""
EXPANSION_BYTES = 2**28
"""By how much an archive may grow when it is unpacked: weights are stored as they are, and only
code and constants are compressed."""


def check_archive(archive: bytes, name: str, sha256: str | None) -> dict[str, Any] | None:
    """Verify an archive and read its `intgrad.json`.

    libtorch does not verify the checksums of the zip file: damaged weights would load in silence.

    Returns
    -------
    dict or None
        The metadata; None if the archive has none.

    Raises
    ------
    ModelError
        If the archive is damaged, no TorchScript, or not the one that `sha256` pins.
    """
    if sha256 is not None:
        found = hashlib.sha256(archive).hexdigest()
        if found != str(sha256).lower():
            raise ModelError(f"{name} has the sha256 {found}, expected {sha256}")
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            unpacked = sum(member.file_size for member in zipped.infolist())
            if unpacked > len(archive) + EXPANSION_BYTES:
                raise ValueError(f"{len(archive):,} bytes would unpack to {unpacked:,}")
            damaged = zipped.testzip()
            members = zipped.namelist()
            own = [member for member in members if member.endswith(f"/extra/{METADATA}")]
            metadata = zipped.read(own[0]) if own and damaged is None else None
    except Exception as error:  # zipfile answers damage with nearly any of them
        raise ModelError(f"{name} is no TorchScript archive, or is damaged: {error}") from error
    if damaged is not None:
        raise ModelError(f"{name} is damaged: the checksum of {damaged!r} does not match")
    if any(member.endswith("/archive_format") for member in members):
        raise ModelError(
            f"{name} was written by torch.export, and is no TorchScript archive: pass the module"
            " that torch.export.load(path).module() gives"
        )
    if not any(member.endswith("/constants.pkl") for member in members):
        raise ModelError(
            f"{name} is no TorchScript archive (torch.save was perhaps used to write it):"
            " torch.jit.save(torch.jit.trace(model.eval(), example), path) writes one. Of a Keras"
            " model, intgrad.adapters.from_keras makes what load_model takes"
        )
    return None if metadata is None else _parse_metadata(metadata, name)


def _parse_metadata(text: bytes, name: str) -> dict[str, Any]:
    try:
        metadata = json.loads(text)
        if metadata["format"] != 1:
            raise ModelError(
                f"{name} was written by a newer intgrad (format {metadata['format']!r}):"
                " pip install --upgrade intgrad"
            )
        height, width = metadata["input_size"]
        labels = metadata.get("labels")
        transform = metadata.get("transform")
        fine = (
            all(isinstance(n, int) and n > 0 for n in (height, width))
            and metadata["scores"] in ("logits", "probabilities")
            and (labels is None or all(isinstance(label, str) for label in labels))
            and isinstance(metadata.get("channels", 1), int)
            and metadata.get("channels", 1) > 0
            and metadata.get("multilabel") in (None, True, False)
            and (
                transform is None
                or ImageTransform.from_dict(transform).crop_size == (height, width)
            )
        )
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{name} has an unreadable {METADATA}: {error!r}") from error
    if not fine:
        raise ModelError(f"{name} has an {METADATA} that makes no sense: {metadata!r}")
    return dict(metadata)
