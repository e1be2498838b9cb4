"""Integrated gradients of any number of images, a few at a time."""

from __future__ import annotations

import itertools
import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .._caller import caller_level
from .._core import ModelError
from .._optional import ProgressBar
from ..images.arrays import Float32Array
from ..models.model import Model, squeeze
from ..models.targets import is_target, resolve_targets
from .call import check_seed, compute
from .info import make_infos
from .items import check_many, check_one
from .options import Options, complete, takes_options
from .plan import Plan
from .regions import make_segments
from .remarks import Remarks
from .sampling import Sampling

if TYPE_CHECKING:
    from typing_extensions import Unpack

CHUNK_BYTES = 2**28
"""What the images and results that are worked on together may take."""

Show = Callable[[float], None]
"""Is told how many images are done, the part of one included."""


@takes_options()
def iter_integrated_gradients(
    model: Model,
    images: Iterable[Any],
    targets: Any = None,
    **options: Unpack[Options],
) -> Iterator[tuple[Float32Array, Any]]:
    """Attribute the scores of many images, one after the other.

    Takes no more images than it works on, so that memory stays the same for ten and for a million:
    `images` may be a generator or a memory map. On a GPU, and of a callable, batches are filled
    across images; on a CPU each image has its own, and the bits that it has alone.

    Parameters
    ----------
    model : Model
        From `load_model`.
    images : iterable of array_like
        (H, W, C) each, values 0..255. Sizes may differ if the model takes any.
    targets : int, str or iterable, optional
        One class for all images, or an iterable of one entry for each: a class, or a sequence of
        several. Each image's top class if None.
    **options
        Those of `Options`.

    Yields
    ------
    attributions : numpy.ndarray
        float32 (H, W, C), or (T, H, W, C) where the image has several targets.
    info : AttributionInfo or list of AttributionInfo
        `info.seconds` is the time of the images that were worked on together, over their number.

    Raises
    ------
    TypeError, ValueError, IndexError, ModelError
        As `integrated_gradients`, with the image's number; the images before it are yielded first.

    Warns
    -----
    UserWarning
        As `integrated_gradients`; of each kind but images that seem to be no pixels once, at the
        first image that it concerns.
    """
    chosen = complete(iter_integrated_gradients, options)
    return iterate(model, images, targets, chosen)


def iterate(
    model: Model,
    images: Iterable[Any],
    targets: Any,
    options: dict[str, Any],
    sampling: Sampling | None = None,
) -> Iterator[tuple[Float32Array, Any]]:
    """Iterate by any method: what functions of the public have in common.

    `options` holds all `Options`; `sampling` draws the paths, if they are drawn.
    """
    plan = Plan.check(model, options, return_info=True, sampling=sampling)
    check_many(images)
    if targets is not None and _is_one(targets):
        resolve_targets(targets, 1, model.labels, model.num_classes)
    elif isinstance(targets, Sized):
        count = len(images) if isinstance(images, Sized) else None
        if count not in (None, len(targets)):
            raise ValueError(f"targets must be one for each of {count} images, got {len(targets)}")
    seed = check_seed(options["seed"])
    seed = secrets.randbits(32) if seed is None else seed
    stream = _Stream(model, plan, options["baseline"], options["segments"], seed)
    return _iterate(stream, images, targets, options["progress"])


def _iterate(
    stream: _Stream, images: Iterable[Any], targets: Any, progress: bool
) -> Iterator[tuple[Float32Array, Any]]:
    total = len(images) if isinstance(images, Sized) else 0
    with ProgressBar(progress, "image") as bar:

        def show(done: float) -> None:
            if bar.update is not None:
                bar.update(round(done, 1), total)

        for chunk in stream.chunks(images, targets):
            for done, result in enumerate(stream.explain(chunk, show), chunk.first + 1):
                show(done)
                yield result


@dataclass(frozen=True)
class _Chunk:
    """Images of one shape that are worked on together."""

    first: int
    images: list[Float32Array]  # (1, H, W, C) each
    targets: list[Any]

    def fits(self, image: Float32Array, target: Any) -> bool:
        """Say whether an image is like those that are there."""
        return (
            self.images[0].shape == image.shape
            and (self.targets[0] is None) == (target is None)
            and np.shape(self.targets[0]) == np.shape(target)
        )

    def split(self) -> Iterator[_Chunk]:
        """Yield a chunk for each image."""
        for k, (image, target) in enumerate(zip(self.images, self.targets, strict=True)):
            yield _Chunk(self.first + k, [image], [target])


@dataclass(frozen=True)
class _Stream:
    model: Model
    plan: Plan
    baseline: Any
    segments: Any
    seed: int
    remarks: Remarks = field(default_factory=lambda: Remarks("; not said again of later images"))

    def chunks(self, images: Iterable[Any], targets: Any) -> Iterator[_Chunk]:
        """Group the images as they come; one that is no image after those before it."""
        chunk: _Chunk | None = None
        for number, (image, target) in enumerate(_pair(images, targets)):
            try:
                array = self._to_array(image)
            except (TypeError, ValueError) as error:
                if chunk is not None:
                    yield chunk
                _raise_numbered(error, number)
            if chunk is not None and not chunk.fits(array, target):
                yield chunk
                chunk = None
            if chunk is None:
                chunk = _Chunk(number, [], [])
            chunk.images.append(array)
            chunk.targets.append(target)
            if len(chunk.images) >= self._most(array, target):
                yield chunk
                chunk = None
        if chunk is not None:
            yield chunk

    def _to_array(self, image: Any) -> Float32Array:
        """Return (1, H, W, C); a copy, because a generator may use its array again."""
        check_one(image)
        batch, single = self.model._to_batch(image, stacklevel=caller_level() + 2)
        if not single:
            raise ValueError(f"must be an image (H, W, C), got shape {batch.shape}")
        return batch.copy()

    def _most(self, image: Float32Array, target: Any) -> int:
        """Return how many images make the last batch, which may be short, matter little."""
        batch_size = self.model._batch_size(self.plan.batch_size, image.shape[1:])
        # With a tolerance an image asks for few points at a time, and others have to fill a batch.
        fixed = self.plan.tolerance is None and self.plan.curve.path != "guided"
        points = self.plan.draws.count if self.plan.draws else self.plan.steps
        if fixed:
            enough = max(16 * batch_size // points, 4)
        else:
            enough = batch_size * math.ceil(4 / batch_size)
        targets: int = math.prod(np.shape(target)) or 1
        results = (1 + self.plan.error_map + self.plan.gradient) * targets
        most = CHUNK_BYTES // (image.nbytes * (1 + results))
        return max(1, min(enough * len(self.model._handles), most))

    def explain(self, chunk: _Chunk, show: Show) -> Iterator[tuple[Float32Array, Any]]:
        """Yield the results of a chunk; if one image of it fails, of those before it."""
        try:
            results = self._compute(chunk, show)
        except (IndexError, TypeError, ValueError) as error:
            if len(chunk.images) == 1:
                _raise_numbered(error, chunk.first)
            for single in chunk.split():
                yield from self.explain(single, show)
            return
        yield from results

    def _compute(self, chunk: _Chunk, show: Show) -> Iterator[tuple[Float32Array, Any]]:
        started = time.perf_counter()

        def update(done: int, total: int) -> None:
            if total:
                show(chunk.first + len(chunk.images) * done / total)

        batch = np.concatenate(chunk.images)
        baselines = self.plan.make_baselines(
            self.baseline, batch, self.seed, self.remarks, each=False
        )
        segments = make_segments(self.segments, batch, each=False)
        targets = None if chunk.targets[0] is None else chunk.targets
        indices, many = self.model._resolve_targets(targets, batch, chunk.first)
        result = compute(
            self.model,
            batch,
            baselines,
            indices,
            segments,
            self.plan,
            update,
            self.remarks,
            chunk.first,
        )
        seconds = (time.perf_counter() - started) / len(batch)
        infos = make_infos(self.model, result, indices, baselines, segments, self.plan, seconds)
        attributions = squeeze(result["attributions"], False, many)
        return zip(attributions, infos if many else [row[0] for row in infos], strict=True)


def _raise_numbered(error: Exception, number: int) -> NoReturn:
    """Raise one of our errors with the image's number, which the core's text holds already.

    A callable's own exceptions are left as they are.
    """
    text = str(error)
    if text.startswith("image ") or type(error) not in (
        IndexError,
        TypeError,
        ValueError,
        ModelError,
    ):
        raise error
    raise type(error)(f"image {number}: {text}") from error


def _pair(images: Iterable[Any], targets: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each image with its target, or None."""
    if _is_one(targets):
        return zip(images, itertools.repeat(targets))
    return _zip_targets(images, iter(targets))


def _is_one(targets: Any) -> bool:
    """Say whether it is one target for all images, or None."""
    return not isinstance(targets, Iterable) or (isinstance(targets, Sized) and is_target(targets))


def _zip_targets(images: Iterable[Any], targets: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    end = object()
    for number, image in enumerate(images):
        target = next(targets, end)
        if target is end:
            raise ValueError(f"targets ended before image {number}")
        yield image, target
