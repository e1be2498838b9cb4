"""What a TorchScript archive or a `.pt2` says of itself, read before torch sees it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .._core import ModelError
from ..images.transform import ImageTransform

METADATA = "intgrad.json"
"""The extra file that makes an archive self-describing; `intgrad convert` writes it."""
EXTRA = re.compile(rf"[^/]+/extra/{re.escape(METADATA)}|extra_files/{re.escape(METADATA)}")
"""Where it is; the second in a `.pt2` of torch 2.7 and older."""
EXPANSION_BYTES = 2**28
"""By how much an archive may grow when it is unpacked: weights are stored as they are, and only
code and constants are compressed."""


Format = Literal["torchscript", "pt2"]

FORMATS: dict[Format, str] = {"torchscript": "TorchScript archive", "pt2": ".pt2"}
"""What they are called."""
MARKS: dict[Format, tuple[str, ...]] = {
    "pt2": ("archive_format", "serialized_exported_program.json"),  # the second up to torch 2.7
    "torchscript": ("constants.pkl",),
}
"""The members that tell a format, in the archive's folder or, of old, beside each other."""


@dataclass(frozen=True)
class Description:
    """What an archive is.

    Attributes
    ----------
    format : {"torchscript", "pt2"}
        What wrote it: `torch.jit.save` or `torch.export.save`.
    metadata : dict or None
        Its `intgrad.json`, if it has one.
    """

    format: Format
    metadata: dict[str, Any] | None


def check_archive(archive: bytes, name: str, sha256: str | None) -> Description:
    """Verify an archive, find what it is, and read its `intgrad.json`.

    torch does not verify the checksums of the zip file: damaged weights would load in silence.

    Raises
    ------
    ModelError
        If the archive is damaged, neither TorchScript nor a `.pt2`, or not the one that `sha256`
        pins.
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
            own = [member for member in members if EXTRA.fullmatch(member)]
            metadata = zipped.read(own[0]) if own and damaged is None else None
    except Exception as error:  # zipfile answers damage with nearly any of them
        raise ModelError(
            f"{name} is no .pt2 and no TorchScript archive, or is damaged: {error}"
        ) from error
    if damaged is not None:
        raise ModelError(f"{name} is damaged: the checksum of {damaged!r} does not match")
    format = _find_format(members, name)
    return Description(format, None if metadata is None else _parse_metadata(metadata, name))


def check_format(format: Any, destination: Path) -> Format:
    """Return the format that is meant, by the destination if None, or raise a ValueError."""
    if format is None:
        return "pt2" if destination.suffix.lower() == ".pt2" else "torchscript"
    for known in FORMATS:
        if format == known:
            return known
    raise ValueError(f"format must be 'torchscript', 'pt2' or None, got {format!r}")


def _find_format(members: list[str], name: str) -> Format:
    """Tell the format by what the archive holds, whatever the file is called."""
    records = {member.rpartition("/")[2] for member in members if member.count("/") < 2}
    for format, marks in MARKS.items():
        if records.intersection(marks):
            return format
    raise ModelError(
        f"{name} is no .pt2 and no TorchScript archive (torch.save was perhaps used to write it, or"
        " it is cut off):"
        " intgrad.save_model(model, path, ...) writes either of a torch module, and"
        " torch.export.save(torch.export.export(model.eval(), (example,)), path) the second. Of a"
        " Keras model, intgrad.adapters.from_keras makes what load_model takes"
    )


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
