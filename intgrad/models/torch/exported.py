"""Programs of `torch.export`, and the `.pt2` files that hold them.

A `.pt2` is code as much as a TorchScript archive is: torch unpickles what is in it.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

from ..._core import ModelError
from ..facts import Facts
from .errors import first_line

AGAIN = (
    "torch.export.export(model.eval(), (example,),"
    ' dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))'
)
"""What exports a model that takes any number of pictures (n, C, H, W)."""
ONE_INPUT = (
    "class OneInput(torch.nn.Module):\n"
    "    def __init__(self, model): super().__init__(); self.model = model\n"
    "    def forward(self, x): return self.model(x, ...)  # ... is what it takes besides"
)
COMMON_CHANNELS = (1, 3, 4)
UNBOUNDED = 2**31
SMALLEST = 2
"""A batch that torch.export means by any number: 0 and 1 are cases of their own to it."""


def open_program(archive: bytes, name: str) -> Any:
    """Read a `.pt2` that `check_archive` has seen.

    Raises
    ------
    ModelError
        If torch cannot read it, or it holds something else than one program.
    """
    import torch.export

    _check_members(archive, name)
    with _listening() as heard:
        try:
            return torch.export.load(io.BytesIO(archive))
        except Exception as error:  # torch answers with many
            cause = heard[0] if heard else error
            reason = first_line(cause)
            raise ModelError(_explain_unreadable(archive, name, reason)) from cause


def find_facts(program: Any, facts: Facts) -> Facts:
    """Return the facts with what a program fixes, having seen that it takes such pictures.

    Raises
    ------
    ModelError
        If it takes something else than a batch of pictures; the text says what helps.
    """
    name = facts.name
    shape = _picture_shape(program, name)
    count, channels, *size = (side if isinstance(side, int) else None for side in shape)
    if count not in (None, 1):
        raise ModelError(
            f"{name} was exported for batches of {count} and takes no others: export it for any"
            f" number, {AGAIN}"
        )
    wanted = [
        side if fixed is None else fixed for fixed, side in zip(size, facts.input_size, strict=True)
    ]
    if tuple(wanted) != facts.input_size:
        hint = ""
        if size[1] in COMMON_CHANNELS and channels not in COMMON_CHANNELS:
            hint = (
                "; if its pictures are (n, H, W, C), export a module that starts with"
                " x = x.permute(0, 2, 3, 1)"
            )
        raise ModelError(
            f"{name} takes pictures of {wanted[0]} x {wanted[1]} (height x width), got"
            f" input_size={facts.input_size}{hint}"
        )
    if channels is not None and facts.channels not in (None, channels):
        raise ModelError(f"{name} takes {channels} channels, got channels={facts.channels}")
    # What programs of torch 2.4 count; with newer ones the scores change.
    counted = program.graph_signature.buffers_to_mutate.values()
    if any(buffer.endswith("num_batches_tracked") for buffer in counted):
        raise ModelError(
            f"{name} was exported in training mode: its batch normalisations learn from what they"
            f" see: export it again, {AGAIN}"
        )
    least = _bound(program, "lower")
    if count is None and least is not None and least > SMALLEST:
        raise ModelError(
            f"{name} was exported for batches of {least} at least: export it for any number,"
            f" {AGAIN}"
        )
    return facts if channels is None else facts.update(channels, None)


def most_at_once(program: Any) -> int | None:
    """Return how many pictures a program takes at most; None: any number, or one fixed."""
    return _bound(program, "upper")


def _bound(program: Any, side: str) -> int | None:
    """Return the "lower" or "upper" bound of how many pictures a program takes, if it has one."""
    count = _picture_shape(program, "the program")[0]
    if isinstance(count, int):
        return None
    bound = getattr(program.range_constraints.get(count.node.expr), side, None)
    return int(bound) if bound is not None and bound < UNBOUNDED else None


# ---- What is in a file ---------------------------------------------------------------------------


def _check_members(archive: bytes, name: str) -> None:
    """See that there is one program, called as torch.export.save calls it."""
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        members = [member.partition("/")[2] or member for member in zipped.namelist()]
    models = [member for member in members if member.startswith("models/")]
    if not models and any(member.startswith("data/aotinductor/") for member in members):
        raise ModelError(
            f"{name} holds compiled code, which has no gradients: save the program that it was"
            " compiled from, torch.export.save(program, path)"
        )
    if models != ["models/model.json"] and "serialized_exported_program.json" not in members:
        raise ModelError(
            f"{name} must hold one program, as torch.export.save(program, path) writes it, got"
            f" {', '.join(models) or 'none'}"
        )


def _explain_unreadable(archive: bytes, name: str, reason: str) -> str:
    import torch

    writer, schema = _find_writer(archive)
    if writer is None and schema is None:
        return f"{name} cannot be read by torch: {reason}"
    written = f"torch {writer}" if writer else "another torch"
    if writer == torch.__version__:
        return f"{name} cannot be read by torch: {reason}"
    return (
        f"{name} was written by {written} (schema {schema}) and cannot be read by torch"
        f" {torch.__version__}: {reason}; install the torch that wrote it, or export the model"
        " again with this one"
    )


def _find_writer(archive: bytes) -> tuple[str | None, str | None]:
    """Return the version of torch and of the format that a `.pt2` says it is of."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            (member,) = (
                each
                for each in zipped.namelist()
                if each.endswith(("/models/model.json", "serialized_exported_program.json"))
            )
            program = json.loads(zipped.read(member))
        schema = program["schema_version"]
        return program.get("torch_version"), f"{schema['major']}.{schema['minor']}"
    except (ValueError, KeyError, TypeError, AttributeError):  # damage, or what is not known yet
        return None, None


@contextlib.contextmanager
def _listening() -> Iterator[list[BaseException]]:
    """Collect the errors that torch.export logs and does not raise, and keep its log quiet.

    And what torch says of how it reads a file itself: 2.4 of torch.load, 2.9 of its buffer.
    """
    logger, thread = logging.getLogger("torch.export"), threading.get_ident()
    heard: list[BaseException] = []

    def listen(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        if record.exc_info and record.exc_info[1] is not None:
            heard.append(record.exc_info[1])
        return False

    logger.addFilter(listen)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are using `torch.load`", FutureWarning)
            warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
            yield heard
    finally:
        logger.removeFilter(listen)


# ---- What a program takes ------------------------------------------------------------------------


def _picture_shape(program: Any, name: str) -> tuple[Any, ...]:
    """Return the shape (n, C, H, W) of what a program takes; a side that may vary is no int."""
    inputs = program.graph_signature.user_inputs
    if len(inputs) != 1:
        held = ", ".join(map(str, inputs)) or "nothing"
        raise ModelError(
            f"{name} takes {len(inputs)} inputs ({held}), and a model is given one tensor, of"
            f" pictures (n, C, H, W): export a module that passes the rest, {AGAIN}, of\n"
            f"{ONE_INPUT}"
        )
    node = next(node for node in program.graph.nodes if node.name == inputs[0])
    example = node.meta["val"]
    shape = tuple(example.shape)
    if len(shape) != 4:
        raise ModelError(
            f"{name} takes a tensor of shape {shape}, and a model is given pictures (n, C, H, W):"
            f" export the module that takes those, {AGAIN}"
        )
    if not example.is_floating_point():
        raise ModelError(
            f"{name} takes pictures of {example.dtype}, which have no gradient: export it for"
            " float32, an example of pixels.float()"
        )
    return shape
