"""Photographs that others are compared with, read when they are needed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import overload

from .._errors import describe
from ..images.arrays import Float32Array
from ..models.model import Model
from ..results.sources import Source

KEPT_BYTES = 2**28
"""What is kept of them in memory; those beyond it are read each time."""


class UnreadableReferenceError(OSError):
    """A reference that cannot be read: no fault of the photograph that it was needed for."""


class References(Sequence[Float32Array]):
    """Photographs as the model's pictures, (H, W, C) pixels.

    Parameters
    ----------
    sources : iterable of Source
        Their files.
    model : Model
    """

    def __init__(self, sources: Iterable[Source], model: Model) -> None:
        self._sources = list(sources)
        self._model = model
        self._kept: dict[int, Float32Array] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._sources)

    @overload
    def __getitem__(self, number: int) -> Float32Array: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Float32Array]: ...

    def __getitem__(self, number: int | slice) -> Float32Array | Sequence[Float32Array]:
        """Return one of them, or several.

        Raises
        ------
        UnreadableReferenceError
            If it cannot be read.
        """
        if isinstance(number, slice):
            return [self[k] for k in range(len(self))[number]]
        pixels = self._kept.get(number)
        if pixels is None:
            pixels = self._read(number)
            if (len(self._kept) + 1) * pixels.nbytes <= KEPT_BYTES:
                self._kept[number] = pixels
        return pixels

    def identify(self) -> str:
        """Say which photographs these are: how many, and a digest of their names and sizes.

        Raises
        ------
        OSError
            If one is not there.
        """
        digest = hashlib.sha256()
        for source in self._sources:
            size = os.stat(source.path).st_size
            digest.update(os.fsencode(f"{source.name}\0{size}\0"))
        return f"{len(self)} photographs, {digest.hexdigest()[:16]}"

    def _read(self, number: int) -> Float32Array:
        try:
            return self._model.load_image(self._sources[number].path)
        except (OSError, ValueError) as error:
            raise UnreadableReferenceError(f"--references: {describe(error)}") from error
