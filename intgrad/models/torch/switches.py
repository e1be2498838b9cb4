"""Torch's TF32 switches, which are the whole process's, for as long as our calls run.

    with float32_on_cuda(tf32=False):
        ...  # float32 is computed in IEEE here; other threads' calls that want so run beside it

csrc/torch/precision.hpp does the same for the other door.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any


class Turnstile:
    """Lets calls of one wish run side by side, and makes those of the other wait till they left.

    `setting` has `set(wish)` and `restore()`, called by the first to enter and the last to leave.
    A call must not enter twice: a waiting call of the other wish would block it for ever.
    """

    def __init__(self, setting: Any) -> None:
        self._setting = setting
        self._changed = threading.Condition()
        self._wish = False
        self._inside = 0
        self._waiting = [0, 0]

    @contextlib.contextmanager
    def hold(self, wish: bool) -> Iterator[None]:
        """Hold the setting as `wish` has it."""
        with self._changed:
            self._waiting[wish] += 1
            try:
                self._changed.wait_for(lambda: self._is_free(wish))
                if not self._inside:
                    self._set(wish)
                self._wish = wish
                self._inside += 1
            finally:
                self._waiting[wish] -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()  # who wakes still waits for the lock
                if not self._inside:
                    self._setting.restore()

    def _set(self, wish: bool) -> None:
        try:
            self._setting.set(wish)
        except BaseException:
            self._setting.restore()  # what was set by then
            raise

    def _is_free(self, wish: bool) -> bool:
        # Who wants it as it is leaves the turn to a call of the other wish, which might else wait
        # for ever.
        return not self._waiting[not wish] if wish == self._wish else not self._inside


class Tf32Switches:
    """TF32 in convolutions, recurrent layers and matrix products of CUDA.

    Through torch's newer switches where it has them (from 2.9 on): reading its older ones raises
    where a user has mixed the two.
    """

    def __init__(self) -> None:
        from torch import backends

        self._name: str
        self._values: tuple[Any, Any]
        cudnn, matmul = backends.cudnn, backends.cuda.matmul
        if hasattr(cudnn, "conv"):
            self._name, self._values = "fp32_precision", ("ieee", "tf32")
            # First the one that all follow whose own is not set: torch cannot unset theirs.
            self._switches = [cudnn, cudnn.conv, cudnn.rnn, matmul]
        else:
            self._name, self._values = "allow_tf32", (False, True)
            self._switches = [cudnn, matmul]
        self._before: list[tuple[Any, Any]] = []

    def set(self, tf32: bool) -> None:
        """Switch what is not as it is wished."""
        self._before = []
        if all(self._is_tf32(each) == tf32 for each in self._switches[1:]) and self._agree(tf32):
            return
        for each in self._switches:
            if self._is_tf32(each) != tf32:
                before = getattr(each, self._name)
                setattr(each, self._name, self._values[tf32])
                self._before.append((each, before))

    def restore(self) -> None:
        """Put back what was switched, what the others follow last."""
        for each, before in reversed(self._before):
            if each is self._switches[0] and self._name == "fp32_precision":
                # It may have followed another, and is to go on so where that gives the same.
                setattr(each, self._name, "none")
                if getattr(each, self._name) == before:
                    continue
            setattr(each, self._name, before)

    def _is_tf32(self, switch: Any) -> bool:
        return bool(getattr(switch, self._name) == self._values[True])

    def _agree(self, tf32: bool) -> bool:
        """Say whether the first switch matters: the newer one is only followed."""
        return self._name == "fp32_precision" or self._is_tf32(self._switches[0]) == tf32


_turnstile: list[Turnstile] = []


@contextlib.contextmanager
def float32_on_cuda(tf32: bool) -> Iterator[None]:
    """Compute float32 on CUDA in IEEE or TF32."""
    if not _turnstile:
        _turnstile.append(Turnstile(Tf32Switches()))
    with _turnstile[0].hold(tf32):
        yield
