"""Perturbed pictures of an image, and their scores: each is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..images.arrays import Float32Array
from ..models.model import Model, Output
from .ranking import Int32Array
from .subjects import Subject

Key = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Mix:
    """A picture to be scored: `other` where `order` is less than `taken`, else `picture`."""

    picture: Float32Array
    other: Float32Array | None = None
    order: Int32Array | None = None
    taken: int = 0

    @property
    def key(self) -> Key:
        """What two that are the same picture have in common, while both are kept."""
        if self.other is None or self.order is None or self.taken <= 0:
            return (id(self.picture),)
        if self.taken >= self.order.size:
            return (id(self.other),)
        return (id(self.picture), id(self.other), id(self.order), self.taken)


class Passes:
    """Scores the pictures of one image.

    Parameters
    ----------
    model : Model
    subject : Subject
        The image, whose own scores are kept for later rounds.
    batch_size : int or None
        Pictures evaluated together.
    """

    def __init__(self, model: Model, subject: Subject, batch_size: int | None) -> None:
        self._model = model
        self._subject = subject
        size = model._batch_size(batch_size, subject.pixels.shape)
        # Passes forward alone keep no activations, and are quicker in larger batches.
        self._batch_size = size if batch_size is not None or size == 1 else 2 * size
        self._own: dict[Output, Float32Array] = {}

    def resolve(self, output: Output | None) -> Output:
        """Return the output that is computed for one that is asked for; None is a probability."""
        return self._model._probabilities_output if output is None else output

    def to_probabilities(self, scores: Float32Array) -> Float32Array:
        """Return the probabilities behind scores of an output of None."""
        return self._model._to_probabilities(scores)

    def score(
        self, output: Output, mixes: Sequence[Mix], update: Callable[[int, int], None] | None
    ) -> Float32Array:
        """Return the scores (n, K) of pictures.

        Raises
        ------
        ModelError
            If the model fails, or gives NaN or inf; the text names the image.
        """
        own = Mix(self._subject.pixels).key
        distinct = {mix.key: mix for mix in mixes}
        if output in self._own:
            distinct.pop(own, None)
        rows = {key: row for row, key in enumerate(distinct)}
        scores = self._compute(output, list(distinct.values()), update)
        if own in rows:
            self._own[output] = scores[rows[own]]
        return np.stack(
            [scores[rows[m.key]] if m.key in rows else self._own[output] for m in mixes]
        )

    def _compute(
        self, output: Output, mixes: list[Mix], update: Callable[[int, int], None] | None
    ) -> Float32Array:
        if not mixes:
            return np.empty((0, 0), np.float32)
        try:
            return _core.mixed_scores(
                self._model._handle, *_pack(mixes), output, self._batch_size, update
            )
        except _core.ModelError as error:
            raise _core.ModelError(f"image {self._subject.index}: {error}") from error


def _pack(mixes: Sequence[Mix]) -> tuple[Float32Array, Int32Array, npt.NDArray[np.int64]]:
    """Return what the core takes: pictures (P, H, W, C), orders (R, H, W), and each mix."""
    pictures: list[Float32Array] = []
    orders: list[Int32Array] = []
    places: dict[int, int] = {}

    def place(array: npt.NDArray[Any], arrays: list[Any]) -> int:
        if id(array) not in places:
            places[id(array)] = len(arrays)
            arrays.append(array)
        return places[id(array)]

    each = np.zeros((len(mixes), 4), np.int64)
    for row, mix in enumerate(mixes):
        each[row, :2] = place(mix.picture, pictures)
        if mix.other is not None and mix.order is not None:
            each[row, 1:] = place(mix.other, pictures), place(mix.order, orders), mix.taken
    if not orders:
        orders.append(np.zeros(pictures[0].shape[:2], np.int32))
    return np.stack(pictures), np.stack(orders), each
