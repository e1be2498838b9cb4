"""Integration on the devices of a model: all images on one, or a share of them on each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from .. import _core
from ..images.arrays import Float32Array
from ..models.model import Model
from ..models.targets import Targets
from .plan import Plan
from .regions import Segments

Update = Callable[[int, int], None]
"""What is told of progress, with (done, total); total is 0 where nobody knows it."""


def integrate(
    model: Model,
    images: Float32Array,
    baselines: Float32Array,
    targets: Targets,
    segments: Segments | None,
    plan: Plan,
    options: dict[str, Any],
    update: Update | None,
    first_image: int,
) -> dict[str, Any]:
    """Call `_core.integrate`, once for each device that has images to do.

    The core releases the GIL, so that one Python thread a device is enough. An exception in one,
    or Ctrl-C, stops the others within a batch.
    """
    handles = model._handles[: len(images)]

    def run_share(handle: Any, share: slice, progress: Update | None) -> dict[str, Any]:
        return _core.integrate(
            handle,
            images[share],
            baselines if len(baselines) == 1 else baselines[share],
            targets[share],
            first_image=first_image + share.start // options["per_image"],
            progress=progress,
            **options,
            **plan.core_draws(images[share]),
            **(segments[share].core_options() if segments else {}),
        )

    if len(handles) == 1:
        return run_share(handles[0], slice(0, len(images)), update)
    shares = np.array_split(np.arange(len(images)), len(handles))
    watch = _Watch(len(handles), update)

    def run(number: int) -> dict[str, Any]:
        share = slice(shares[number][0], shares[number][-1] + 1)
        return run_share(handles[number], share, watch.follow(number))

    return _join(watch, run, len(handles))


def _join(watch: _Watch, run: Any, count: int) -> dict[str, Any]:
    """Run the shares side by side; the first exception stops them all and is raised."""
    with ThreadPoolExecutor(count, thread_name_prefix="intgrad") as pool:
        futures = [pool.submit(run, number) for number in range(count)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            watch.stop.set()  # of no effect where all are done
    failures = [failure for future in futures if (failure := future.exception()) is not None]
    if failures:
        raise next(failure for failure in failures if not isinstance(failure, _StoppedError))
    parts = [future.result() for future in futures]
    return {name: _concatenate([part[name] for part in parts]) for name in parts[0]}


def _concatenate(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else min(parts)


class _StoppedError(Exception):
    """Another device failed."""


class _Watch:
    """Adds up the progress of several devices, and stops them."""

    def __init__(self, count: int, update: Update | None) -> None:
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._done = [0] * count
        self._totals = [0] * count
        self._update = update

    def follow(self, number: int) -> Update:
        """Return the progress callback of one device."""

        def update(done: int, total: int) -> None:
            if self.stop.is_set():
                raise _StoppedError
            with self._lock:
                self._done[number], self._totals[number] = done, total
                if self._update is not None:
                    self._update(sum(self._done), sum(self._totals))

        return update
