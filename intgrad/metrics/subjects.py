"""What is measured: images, their targets, and maps of them, checked before any work."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .._caller import caller_level
from ..attribution.baselines import make_baselines
from ..attribution.remarks import Remarks
from ..images.arrays import Float32Array, to_float32, to_real_array
from ..models.model import Model
from .ranking import Float64Array, Int32Array, Reduce, rank, reduce_channels

Made = TypeVar("Made")
SAME = 0.01
"""How far apart two maps may be that are the same but for rounding."""
Explain = Callable[[Model, Any, Any], Any]
"""From a model, images and targets to attributions: as `integrated_gradients` is called."""


class Shared:
    """What several metrics need of the same thing, made once."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def shared(self, key: Any, make: Callable[[], Made]) -> Made:
        """Return what is kept under a key."""
        if key not in self._made:
            self._made[key] = make()
        found: Made = self._made[key]
        return found

    def latest(self, key: Any, number: int, make: Callable[[], Made]) -> Made:
        """Return what belongs to a round; that of the round before is dropped."""
        if self._made.get(key, (None,))[0] != number:
            self._made.pop(key, None)
            self._made[key] = (number, make())
        found: Made = self._made[key][1]
        return found


class Map(Shared):
    """What one method says of one image.

    Attributes
    ----------
    name : str
        Of the method.
    values : numpy.ndarray
        (H, W, C) float32; C is 1 where the method says nothing of channels.
    explain : callable or None
        What made it, where that is known.
    """

    def __init__(self, name: str, values: Float32Array, explain: Explain | None) -> None:
        super().__init__()
        self.name = name
        self.values = values
        self.explain = explain

    def relevance(self, reduce: Reduce) -> Float64Array:
        """Return (H, W), what it says of each pixel."""
        return self.shared(("relevance", reduce), lambda: reduce_channels(self.values, reduce))

    def is_flat(self, reduce: Reduce) -> bool:
        """Say whether it makes no difference between pixels, so that they have no ranks."""
        relevance = self.relevance(reduce)
        rounding = self.values.shape[2] * np.finfo(np.float32).eps * np.abs(self.values).max()
        return bool(np.ptp(relevance) <= rounding)

    def ranks(self, reduce: Reduce, seed: int) -> Int32Array:
        """Return (H, W), the rank of each pixel, 0 for the most relevant."""
        return self.shared(("ranks", reduce, seed), lambda: rank(self.relevance(reduce), seed))


class Subject(Shared):
    """One image, its target, and the maps of it, by the names of their methods.

    Attributes
    ----------
    model : Model
    index : int
        Of the image among all.
    pixels : numpy.ndarray
        (H, W, C) float32.
    target : int
    maps : dict of str to Map
    """

    def __init__(
        self,
        model: Model,
        index: int,
        pixels: Float32Array,
        target: int,
        maps: Mapping[str, Map],
    ) -> None:
        super().__init__()
        self.model, self.index, self.pixels = model, index, pixels
        self.target, self.maps = target, maps

    def generator(self, seed: int, *numbers: int) -> np.random.Generator:
        """Return what draws perturbations: the same for all maps, another for another image.

        It goes by the pixels, so that an image has the same draws alone and in a batch.
        """
        return np.random.default_rng([seed, zlib.crc32(self.pixels.data), *numbers])


class Subjects:
    """All images, one after the other.

    Parameters
    ----------
    model, images, targets
        As in `integrated_gradients`, but one target for each image.
    maps : dict of str to array_like or callable
        (H, W, C) or (H, W) of a single image, (N, H, W, C) or (N, H, W) of N; or what makes them,
        called as `integrated_gradients` is.
    explain : dict of str to callable
        What made those that are given as arrays, where that is known.

    Raises
    ------
    TypeError, ValueError, IndexError
        If anything has the wrong shape, is not finite, or a map is the same everywhere.
    """

    def __init__(
        self,
        model: Model,
        images: Any,
        targets: Any,
        maps: Mapping[str, Any],
        explain: Mapping[str, Explain],
    ) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"model must come from intgrad.load_model, got {type(model).__name__}")
        self.model = model
        self.remarks = Remarks()
        self.images, self.single = model._to_batch(images, stacklevel=caller_level() + 2)
        _check_finite(self.images, "images")
        self._maps = {
            name: None if callable(values) else self._check_map(values, name)
            for name, values in maps.items()
        }
        model._find_classes(self.images.shape[1:])
        indices, many = model._resolve_targets(targets, self.images)
        if many:
            raise ValueError(
                f"targets must be one class for each image, got {indices.shape[1]} for each:"
                " measure them one after the other"
            )
        self.targets = indices[:, 0]
        made = {name: function for name, function in maps.items() if callable(function)}
        self._explain: dict[str, Explain] = {**explain, **made}

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.images)

    def __iter__(self) -> Iterator[Subject]:
        """Yield them in their order."""
        for index, pixels in enumerate(self.images):
            maps = {
                name: Map(name, self.maps_of(name)[index], self._explain.get(name))
                for name in self.names
            }
            yield Subject(self.model, index, pixels, int(self.targets[index]), maps)

    @property
    def names(self) -> tuple[str, ...]:
        """What the maps are called."""
        return tuple(self._maps)

    def maps_of(self, name: str) -> Float32Array:
        """Return the maps (N, H, W, C) of a method, once they are made; C may be 1."""
        maps = self._maps[name]
        assert maps is not None
        return maps

    def explainer_of(self, name: str) -> Explain | None:
        """Return what makes the maps of a method, where that is known."""
        return self._explain.get(name)

    def make_maps(self) -> Iterator[tuple[str, Float32Array]]:
        """Yield the maps of each method by its name: those that were given, then those made."""
        for name, maps in sorted(self._maps.items(), key=lambda item: item[1] is None):
            if maps is None:
                made = run(self._explain[name], self.model, self.images, self.targets)
                maps = self._maps[name] = self._check_map(made, name, is_batch=True)
            yield name, maps

    def explain_again(self, name: str, some: slice) -> Float32Array:
        """Return the maps of some images, once what makes them has made them again.

        Raises
        ------
        ValueError
            If it makes others.
        """
        maps = self.maps_of(name)[some]
        again = run(self._explain[name], self.model, self.images[some], self.targets[some])
        if again.shape != maps.shape:
            raise ValueError(
                f"explain must return attributions in the shape of {name}, {maps.shape}, got"
                f" {again.shape}"
            )
        norm = float(np.linalg.norm(maps.astype(np.float64)))
        change = float(np.linalg.norm(again.astype(np.float64) - maps)) / norm
        if change > SAME:
            raise ValueError(
                f"explain does not give {name} again: what it makes of the same images is"
                f" {change:.0%} off; give the function that made them, with its options, and with"
                " a seed where it draws at random (functools.partial)"
            )
        return maps

    def _check_map(self, values: Any, name: str, *, is_batch: bool = False) -> Float32Array:
        """Return (N, H, W, C) float32, C being that of the images or 1."""
        array = to_real_array(values, name, expected="real numbers")
        if self.single and not is_batch:
            array = array[np.newaxis]
        shape = self.images.shape
        if array.shape not in (shape, shape[:3]):
            expected = shape[1:] if self.single else shape
            raise ValueError(
                f"{name} must have the shape of the images, {expected}, or without channels,"
                f" {expected[:-1]}, got {np.shape(values)}"
            )
        maps = to_float32(array if array.ndim == 4 else array[..., np.newaxis])
        _check_finite(maps, name)
        for number, each in enumerate(maps):
            if each.min() == each.max():
                raise ValueError(
                    f"{name} of image {number} is {each.flat[0]:g} everywhere: it says nothing of"
                    " which pixel matters"
                )
        return maps


def tell_baseline(baseline: Any) -> str:
    """Return what to call a baseline in a text."""
    return f"{baseline}" if isinstance(baseline, str | int | float) else "given"


def run(
    explain: Explain, model: Model, images: Float32Array, targets: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    """Return the attributions of images (n, H, W, C) for a target each, without their info.

    Raises
    ------
    TypeError, ValueError
        If they have another shape than the images, or are not finite.
    """
    found = explain(model, images, targets.tolist())
    name = getattr(explain, "__name__", "explain")
    maps = to_real_array(found[0] if isinstance(found, tuple) else found, name)
    if maps.shape not in (images.shape, images.shape[:3]):
        raise ValueError(
            f"{name} must return attributions in the shape of the images, {images.shape}, or"
            f" without channels, got {maps.shape}"
        )
    maps = maps if maps.ndim == 4 else maps[..., np.newaxis]
    _check_finite(maps, name)
    return maps


def check_explainers(subjects: Subjects, metric: str) -> None:
    """Raise a TypeError where a metric would have to make maps and does not know how."""
    for name in subjects.names:
        if not callable(subjects.explainer_of(name)):
            raise TypeError(
                f"{metric} explains images itself, and has to know what made {name}: give a"
                " function that is called as explain(model, images, targets), such as"
                " intgrad.integrated_gradients or functools.partial of it, got"
                f" {subjects.explainer_of(name)!r}"
            )


class Baseline:
    """One picture for each image, as `integrated_gradients` takes them.

    Raises
    ------
    TypeError, ValueError
        If `baseline` is none, or a stack.
    """

    def __init__(self, subjects: Subjects, baseline: Any, seed: int = 0) -> None:
        self._name = baseline if isinstance(baseline, str) else None
        self._source, self._seed = baseline, seed
        images = subjects.images if self._name is None else subjects.images[:1]
        self._pixels = make_baselines(baseline, images, seed, subjects.remarks).pixels
        if self._pixels.shape[1] != 1:
            raise ValueError(f"baseline must be one picture, got {self._pixels.shape[1]}")

    def of(self, subject: Subject) -> Float32Array:
        """Return (H, W, C), the same array for all that ask the same."""
        name, pixels = self._name, self._pixels

        def make() -> Float32Array:
            if name is None:
                return np.asarray(pixels[subject.index if len(pixels) > 1 else 0, 0])
            made = make_baselines(name, subject.pixels[np.newaxis], self._seed, Remarks())
            return np.asarray(made.pixels[0, 0])

        return subject.shared(("baseline", name or id(self._source), self._seed), make)


def _check_finite(pictures: npt.NDArray[Any], name: str) -> None:
    wrong = np.argwhere(~np.isfinite(pictures))
    if len(wrong):
        number, *place = wrong[0].tolist()
        value = pictures[tuple(wrong[0])]
        raise ValueError(f"{name} must be finite, got {value} in image {number} at {tuple(place)}")
