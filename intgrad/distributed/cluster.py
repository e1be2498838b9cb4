"""How many workers a cluster has room for."""

from __future__ import annotations

import math
from typing import Any

from .._optional import require

FOR_READING = 1.0
"""CPUs that no worker may take: tasks that read and write need one, or all wait for ever."""
ROUNDING = 1e-9
"""Of shares of a GPU: ten times 0.1 fit."""


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
        If the cluster, which Ray must be connected to, has no room for them: a worker is on one
        machine.
    """
    if workers < 1 or cpus <= 0 or gpus < 0:
        raise ValueError(
            f"workers, cpus must be positive, got {workers} of {cpus} CPUs, {gpus} GPUs"
        )
    machines = _machines()
    total, total_gpus = (sum(each.get(kind, 0.0) for each in machines) for kind in ("CPU", "GPU"))
    if workers * cpus > total - FOR_READING:
        raise ValueError(
            f"{workers} workers of {cpus:g} CPUs need {workers * cpus:g}, and one more for reading"
            f" photographs, which would wait for ever: the cluster has {total:g}. Take fewer"
            " workers, or fewer CPUs for each"
        )
    if workers * gpus > total_gpus:
        raise ValueError(
            f"{workers} workers of {gpus:g} GPUs need {workers * gpus:g}: the cluster has"
            f" {total_gpus:g}"
        )
    room = _count_room(machines, cpus, gpus)
    if workers > room:
        sizes = ", ".join(
            f"{each.get('CPU', 0.0):g} CPUs and {each.get('GPU', 0.0):g} GPUs" for each in machines
        )
        raise ValueError(
            f"{workers} workers of {cpus:g} CPUs and {gpus:g} GPUs would wait for ever: the"
            f" machines of the cluster, of {sizes}, have room for {room}, and a CPU for reading"
        )


def count_workers(cpus: float = 1, gpus: float = 0) -> int:
    """Return how many workers of so many CPUs and GPUs the cluster has room for, at least one."""
    if cpus <= 0 or gpus < 0:
        raise ValueError(f"a worker needs CPUs, got {cpus} of them and {gpus} GPUs")
    return max(1, _count_room(_machines(), cpus, gpus))


def _count_room(machines: list[dict[str, float]], cpus: float, gpus: float) -> int:
    """Return how many workers find room, where one of the machines keeps a CPU for reading."""

    def fit(machine: dict[str, float], taken: float) -> int:
        most = (machine.get("CPU", 0.0) - taken) / cpus
        if gpus:
            most = min(most, machine.get("GPU", 0.0) / gpus)
        return math.floor(max(most, 0.0) + ROUNDING)

    room = sum(fit(machine, 0.0) for machine in machines)
    lost = [
        fit(machine, 0.0) - fit(machine, FOR_READING)
        for machine in machines
        if machine.get("CPU", 0.0) >= FOR_READING
    ]
    return room - min(lost) if lost else 0


def _machines() -> list[dict[str, float]]:
    """Return what each machine of the cluster has."""
    ray: Any = require("ray", "ray[data]", "intgrad.distributed", extra="ray")
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
