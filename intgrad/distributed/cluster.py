"""How many workers a cluster has room for."""

from __future__ import annotations

from typing import Any

from .._optional import require

FOR_READING = 1.0
"""CPUs that no worker may take: tasks that read and write need one, or all wait for ever."""


def check_workers(workers: int, cpus: float = 1, gpus: float = 0) -> None:
    """See that workers leave a CPU to the tasks that read and write, which otherwise never start.

    Parameters
    ----------
    workers : int
        `concurrency` of `Dataset.map_batches`.
    cpus, gpus : float
        `num_cpus` and `num_gpus` of it, for each.

    Raises
    ------
    ValueError
        If the cluster, which Ray must be connected to, has no room for them.
    """
    resources = _resources()
    total = resources.get("CPU", 0.0)
    if workers < 1 or cpus <= 0 or gpus < 0:
        raise ValueError(
            f"workers, cpus must be positive, got {workers} of {cpus} CPUs, {gpus} GPUs"
        )
    if workers * cpus > total - FOR_READING:
        raise ValueError(
            f"{workers} workers of {cpus:g} CPUs need {workers * cpus:g}, and one more for reading"
            f" photographs, which would wait for ever: the cluster has {total:g}. Take fewer"
            " workers, or fewer CPUs for each"
        )
    if workers * gpus > resources.get("GPU", 0.0):
        raise ValueError(
            f"{workers} workers of {gpus:g} GPUs need {workers * gpus:g}: the cluster has"
            f" {resources.get('GPU', 0.0):g}"
        )


def count_workers(cpus: float = 1, gpus: float = 0) -> int:
    """Return how many workers of so many CPUs and GPUs the cluster has room for, at least one."""
    if cpus <= 0 or gpus < 0:
        raise ValueError(f"a worker needs CPUs, got {cpus} of them and {gpus} GPUs")
    resources = _resources()
    most = (resources.get("CPU", 0.0) - FOR_READING) / cpus
    if gpus:
        most = min(most, resources.get("GPU", 0.0) / gpus)
    return max(1, int(most))


def _resources() -> dict[str, float]:
    ray: Any = require("ray", "ray[data]", "intgrad.distributed", extra="ray")
    return dict(ray.cluster_resources())
