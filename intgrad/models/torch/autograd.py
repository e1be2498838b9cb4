"""The door to torch that needs no compiler: scores and gradients by Python torch's own autograd.

It is also what every quicker way of running a model is compared with.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._core import ModelError
from ...images.arrays import Float32Array
from ..model import Output
from .backend import quiet_torch
from .copying import holds_graph, move
from .errors import first_line, is_short_memory
from .kept_memory import Lid
from .outputs import apply_output, find_scores
from .switches import float32_on_cuda

Affine = tuple[list[float], list[float]]
"""Scale and offset of the preprocessing, both empty where the module does its own."""

_first_process: list[int] = []
"""The process that made the first model, whose threads torch has started."""


class Autograd:
    """Scores and gradients of a module on pixels, as the core takes them from a callable.

    Parameters
    ----------
    module : torch.nn.Module
        A copy of ours; it is moved to `device`.
    affine : (list of float, list of float)
        The preprocessing.
    are_probabilities : bool
        What the module returns.
    device, dtype
        Where and in what it is computed; float32 if None.
    as_is : bool
        The module's own numbers stay what they are, and `dtype` is that of its pictures.
    channels_last : bool
        Layout of pictures and activations; what torch users have is channels first.
    tf32 : bool
        Whether CUDA multiplies float32 with 10-bit mantissas.

    Attributes
    ----------
    module : torch.nn.Module
    tf32 : bool
    keeps_graph : bool
        Scores alone are computed with a graph behind them too, for modules that ask for one.
    pairs_single : bool
        A single picture is run beside itself, as `ig_torch_options` explains.
    place : str
        Where the scores are in what the module returned last, as `find_scores` says.
    """

    def __init__(
        self,
        module: Any,
        affine: Affine,
        are_probabilities: bool,
        *,
        device: Any = "cpu",
        dtype: Any = None,
        as_is: bool = False,
        channels_last: bool = False,
        tf32: bool = False,
    ) -> None:
        import torch

        if not _first_process:
            _first_process.append(os.getpid())
        self._device = torch.device(device)
        self._dtype = torch.float32 if dtype is None else dtype
        with plain_modes(self._device):  # torch inlines graphs as they would run
            self.module = move(module, self._device, None if as_is else self._dtype)
            self._affine = [
                torch.tensor(part, dtype=torch.float32, device=self._device).view(1, -1, 1, 1)
                for part in affine
                if part
            ]
        self._holds_graph = holds_graph(self.module)
        self._are_probabilities = are_probabilities
        self._channels_last = channels_last
        self.tf32 = tf32
        self._lid = Lid() if self._device.type == "cpu" else None
        self.keeps_graph = False
        self.pairs_single = False
        self.place = ""

    def __call__(
        self, batch: Float32Array, targets: npt.NDArray[np.int64], output: Output
    ) -> tuple[Float32Array, Float32Array]:
        """Return F (n, K) and the gradients (n, T, H, W, C) of F[i, targets[i, t]].

        The T targets of a picture share its forward pass; with none there is no backward pass.

        Raises
        ------
        ModelError
            If the module fails, whatever it raises.
        MemoryError
            If it runs out of memory.
        """
        self._check_process()
        try:
            return self._compute(batch, targets, output)
        except (ModelError, MemoryError):
            raise
        except Exception as error:
            if not is_short_memory(error):
                raise ModelError(f"the model failed: {first_line(error)}") from error
            said = first_line(error)
        # Here the error has gone, and with it what its frames held.
        self._trim()
        raise MemoryError(said)

    def _compute(
        self, batch: Float32Array, targets: npt.NDArray[np.int64], output: Output
    ) -> tuple[Float32Array, Float32Array]:
        import torch

        count, wanted = targets.shape
        with self._modes():
            points = self._preprocess(torch.from_numpy(batch))
            if not wanted:
                with torch.set_grad_enabled(self.keeps_graph):
                    points.requires_grad_(self.keeps_graph)
                    values = apply_output(self.run(points), self._are_probabilities, output)
                none = np.empty((count, 0, *batch.shape[1:]), np.float32)
                return values.detach().cpu().numpy(), none
            if self.pairs_single and count == 1:
                points = torch.cat([points, points])
            points.requires_grad_()
            values = apply_output(self.run(points), self._are_probabilities, output)[:count]
            if self._lid:
                self._lid.close()
            chosen = torch.from_numpy(targets).to(values.device)
            gradients = [
                self._to_pixels(_differentiate(picked, points, t < wanted - 1)[:count])
                for t, picked in enumerate(values.gather(1, chosen).unbind(1))
            ]
        return values.detach().cpu().numpy(), np.stack(gradients, axis=1)

    def use(self, dtype: Any) -> None:
        """Compute in another dtype from here on."""
        self._dtype = dtype
        self.replace(lambda module: move(module, self._device, dtype))

    def replace(self, make: Callable[[Any], Any]) -> None:
        """Run what `make` makes of the module from here on."""
        with self._modes():
            self.module = make(self.module)

    def check_runs(self, channels: int, size: tuple[int, int]) -> None:
        """Run a black picture, or raise what the module raises."""
        import torch

        with self._modes():
            self.run(self._preprocess(torch.zeros(1, *size, channels)).requires_grad_())

    def run(self, points: Any) -> Any:
        """Return the scores (n, K) of preprocessed points (n, C, H, W), a graph behind them."""
        scores, self.place = find_scores(self.module(points), len(points))
        return scores

    def measure_memory(self, count: int, height: int, width: int, channels: int) -> tuple[int, int]:
        """Return as `ig_backend.memory` does: bytes that a batch takes, and bytes that are free.

        Both are 0 on a CPU. The peak is a mark that torch keeps for the whole process.
        """
        from torch import cuda

        device = self._device
        if device.type != "cuda":
            return 0, 0
        cuda.reset_peak_memory_stats(device)
        held = cuda.memory_allocated(device)
        black = np.zeros((count, height, width, channels), np.float32)
        self(black, np.zeros((count, 1), np.int64), "softmax")
        cached = cuda.memory_reserved(device) - cuda.memory_allocated(device)
        return (
            cuda.max_memory_allocated(device) - held,
            cuda.mem_get_info(device)[0] + cached,
        )

    def _modes(self) -> contextlib.AbstractContextManager[None]:
        return plain_modes(self._device, self._holds_graph, self.tf32)

    def _check_process(self) -> None:
        """Refuse what would hang: a fork copies no threads, and CUDA cannot be used there."""
        import torch

        alone = self._device.type == "cpu" and torch.get_num_threads() == 1
        if os.getpid() not in _first_process and not alone:
            raise ModelError(
                "the model failed: libtorch with several threads or CUDA does not survive a fork:"
                " start processes with multiprocessing.get_context('spawn'), or on a CPU call"
                " torch.set_num_threads(1) in this one first"
            )

    def _trim(self) -> None:
        import torch

        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _preprocess(self, pixels: Any) -> Any:
        points = pixels.to(self._device).permute(0, 3, 1, 2)
        if not self._channels_last:
            points = points.contiguous()
        if self._affine:
            scale, offset = self._affine
            if scale.shape[1] not in (1, points.shape[1]):
                raise ModelError(
                    f"preprocess is for {scale.shape[1]} channels, and the image has"
                    f" {points.shape[1]}"
                )
            points = points.mul(scale).add_(offset)
        return points.to(self._dtype).detach()

    def _to_pixels(self, gradients: Any) -> Float32Array:
        """Return gradients (n, C, H, W) of points as those (n, H, W, C) of pixels."""
        gradients = gradients.float()
        if self._affine:
            gradients = gradients * self._affine[0]
        pixels: Float32Array = gradients.permute(0, 2, 3, 1).cpu().numpy()
        return pixels


@contextlib.contextmanager
def plain_modes(device: Any, holds_graph: bool = False, tf32: bool = False) -> Iterator[None]:
    """Run a module as CallScope of csrc/torch does, whatever modes the caller's thread is in."""
    import torch

    jit: Any = torch.jit  # not typed
    with contextlib.ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        modes.enter_context(torch.autocast(device.type, enabled=False))
        # What the module makes anew is there, whatever torch.set_default_device says.
        modes.enter_context(device)
        if holds_graph:
            with quiet_torch():
                modes.enter_context(jit.optimized_execution(False))
        if device.type == "cuda":
            modes.enter_context(float32_on_cuda(tf32))
        yield


def _differentiate(picked: Any, points: Any, again: bool) -> Any:
    """Return the gradient of the sum of `picked`; the graph is kept where it is needed again."""
    import torch

    gradients = None
    if picked.requires_grad:
        (gradients,) = torch.autograd.grad(
            picked.sum(), points, allow_unused=True, retain_graph=again
        )
    if gradients is None:
        raise ModelError(
            "the scores have no gradient path to the image: quantised layers, argmax and what is"
            " detached, or computed under torch.no_grad(), have none"
        )
    return gradients
