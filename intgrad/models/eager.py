"""A torch module as it is: eager autograd, what every quicker way is compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import ModelError
from ..images.arrays import Float32Array
from .copying import holds_graph, move
from .errors import first_line
from .model import Output
from .scores import apply_output, find_scores
from .torch_backend import quiet_torch

Affine = tuple[list[float], list[float]]
"""Scale and offset of the preprocessing, both empty where the module does its own."""


class Eager:
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

    Attributes
    ----------
    module : torch.nn.Module
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
    ) -> None:
        import torch

        self._device = torch.device(device)
        self._dtype = torch.float32 if dtype is None else dtype
        with torch.inference_mode(False):
            self.module = move(module, self._device, None if as_is else self._dtype)
            self._affine = [
                torch.tensor(part, dtype=torch.float32, device=self._device).view(1, -1, 1, 1)
                for part in affine
                if part
            ]
        self._holds_graph = holds_graph(self.module)
        self._are_probabilities = are_probabilities
        self._channels_last = channels_last
        self.pairs_single = False
        self.place = ""

    def __call__(
        self, batch: Float32Array, targets: npt.NDArray[np.int64], output: Output
    ) -> tuple[Float32Array, Float32Array]:
        """Return F (n, K) and the gradients (n, H, W, C) of F[i, targets[i]].

        Raises
        ------
        ModelError
            If the module fails, whatever it raises.
        MemoryError
            If it runs out of memory.
        """
        import torch

        try:
            return self._compute(batch, targets, output)
        except (ModelError, MemoryError):
            raise
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)) from error
        except Exception as error:
            raise ModelError(f"the model failed: {first_line(error)}") from error

    def _compute(
        self, batch: Float32Array, targets: npt.NDArray[np.int64], output: Output
    ) -> tuple[Float32Array, Float32Array]:
        import torch

        count = len(batch)
        with plain_modes(self._device, self._holds_graph):
            points = self._preprocess(torch.from_numpy(batch))
            if self.pairs_single and count == 1:
                points = torch.cat([points, points])
            points.requires_grad_()
            values = apply_output(self.run(points), self._are_probabilities, output)
            chosen = torch.from_numpy(targets).to(values.device)
            picked = values[:count].gather(1, chosen[:, None])
            gradients = _differentiate(picked, points)[:count].float()
            if self._affine:
                gradients = gradients * self._affine[0]
        return (
            values[:count].detach().cpu().numpy(),
            np.ascontiguousarray(gradients.permute(0, 2, 3, 1).cpu().numpy()),
        )

    def check_runs(self, channels: int, size: tuple[int, int]) -> None:
        """Run a black picture, or raise what the module raises."""
        import torch

        with plain_modes(self._device, self._holds_graph):
            self.run(self._preprocess(torch.zeros(1, *size, channels)).requires_grad_())

    def run(self, points: Any) -> Any:
        """Return the scores (n, K) of preprocessed points (n, C, H, W), a graph behind them."""
        scores, self.place = find_scores(self.module(points), len(points))
        return scores

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
            points = points * scale + offset
        return points.to(self._dtype).detach().clone()


@contextlib.contextmanager
def plain_modes(device: Any, holds_graph: bool = False) -> Iterator[None]:
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
        yield


def _differentiate(picked: Any, points: Any) -> Any:
    import torch

    gradients = None
    if picked.requires_grad:
        (gradients,) = torch.autograd.grad(picked.sum(), points, allow_unused=True)
    if gradients is None:
        raise ModelError(
            "the scores have no gradient path to the image: quantised layers, argmax and what is"
            " detached, or computed under torch.no_grad(), have none"
        )
    return gradients
