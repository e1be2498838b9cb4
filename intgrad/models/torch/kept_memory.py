"""Memory that stays with the process, for the speed of Python's torch on a CPU."""

from __future__ import annotations

from typing import Any

# Of mallopt(3), as malloc.h numbers them.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
PAD_BYTES = 2**28

LID_BYTES = 30 * 2**20
"""Larger than the holes among activations; blocks of 32 MiB and more never lie in glibc's heap."""


class Lid:
    """A block above the activations of a model on a CPU, so that the next batch finds them mapped.

    glibc gives the end of its heap back to the system whenever enough of it is free, and asks for
    it anew, a page fault for every 4 KiB of every activation. Below a block that is in use it does
    not. Nothing is written to this one, so that it takes addresses and no memory. What a batch has
    taken is kept until the model goes.
    """

    def __init__(self) -> None:
        self._block: Any = None

    def close(self) -> None:
        """Put the lid above what is there now, which a batch does when it has most."""
        import torch

        make_storage: Any = torch.UntypedStorage  # not typed
        self._block = make_storage(LID_BYTES, device="cpu")


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, so that every batch finds its memory mapped.

    The C library gives large blocks back to the system when they are freed and asks for them anew,
    a page fault for every 4 KiB of every activation. `backend="autograd"` on a CPU is quicker where
    they are kept (`benchmarks/doors.py` measures it); "libtorch" keeps its own, and gains nothing.

    It holds for the whole process and for good, whoever allocates: its memory stays at its peak.

    Returns
    -------
    bool
        False where the C library is not glibc, and nothing is changed.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    most = 2**31 - 1
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, most), (TOP_PAD, PAD_BYTES))
    return {mallopt(name, value) for name, value in settings} == {1}
