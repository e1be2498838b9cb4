"""Programs of `torch.export`, and the `.pt2` files that hold them.

A `.pt2` is code as much as a TorchScript archive is: torch unpickles what is in it.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

from .._core import ModelError
from .errors import first_line
from .facts import Facts

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
GRAPH_DEVICES = ("aten::to", "aten::_to_copy")
"""The operators that may have their device among their positional arguments."""


def is_program(source: Any) -> bool:
    """Say whether `source` is a `torch.export.ExportedProgram`, without importing torch."""
    export = sys.modules.get("torch.export")  # there is no program without it
    return export is not None and isinstance(source, export.ExportedProgram)


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
    return facts if channels is None else facts.update(channels, None)


def read_program(program: Any) -> Any:
    """Return a program as a module of pictures that shares no memory with it.

    Its weights have no gradients. It is in the mode that it was exported in, which cannot change.
    """
    import torch

    with torch.inference_mode(False):  # autograd takes no tensor that was made in it
        graph = program.module()
        _own_tensors(graph)
        for part in graph_modules(graph):
            _drop_assertions(part)
    return _make_module(graph, program)


def graph_modules(module: Any) -> Iterator[Any]:
    """Yield the graphs in a module that `torch.fx` made."""
    import torch

    return (part for part in module.modules() if isinstance(part, torch.fx.GraphModule))


def move_graphs(module: Any, device: Any) -> None:
    """Have the graphs in a module make their tensors on another device than they were traced on."""
    import torch

    for part in graph_modules(module):
        changed = False
        for node in part.graph.nodes:
            if isinstance(node.kwargs.get("device"), torch.device):
                node.kwargs = {**node.kwargs, "device": device}
                changed = True
            schema = getattr(node.target, "_schema", None)
            if schema is not None and schema.name in GRAPH_DEVICES:
                node.args = tuple(
                    device if isinstance(each, torch.device) else each for each in node.args
                )
                changed = True
        if changed:
            part.recompile()


def export_module(module: Any, example: Any, extra_files: dict[str, str], any_batch: bool) -> bytes:
    """Write a module as a `.pt2`.

    Parameters
    ----------
    module : torch.nn.Module
        A copy of ours.
    example : torch.Tensor
        (2, C, H, W) where it takes any number of pictures, else (1, C, H, W).
    extra_files : dict
        What else is put into the archive.
    any_batch : bool
        Whether it takes any number.

    Raises
    ------
    ModelError
        If torch.export refuses it.
    """
    import torch.export

    buffer = io.BytesIO()
    shapes = ({0: torch.export.Dim("batch", min=1)},) if any_batch else None
    try:
        program = torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)
        torch.export.save(program, buffer, extra_files=extra_files)
    except Exception as error:  # the module's own, or torch's for what it cannot hold
        raise ModelError(
            f"{type(module).__name__} cannot be exported: {first_line(error)}"
        ) from error
    return buffer.getvalue()


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
    written = f"torch {writer}" if writer else "an older torch"
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
    """Collect the errors that torch.export logs and does not raise, and keep its log quiet."""
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


# ---- A program as a module -----------------------------------------------------------------------


def _own_tensors(graph: Any) -> None:
    """Give a graph tensors of its own, on the CPU; constants become buffers, which move with it."""
    import torch

    owned: dict[int, Any] = {}

    def own(tensor: Any) -> Any:
        if id(tensor) not in owned:
            copied = tensor.detach().clone().cpu()
            if isinstance(tensor, torch.nn.Parameter):
                copied = torch.nn.Parameter(copied, requires_grad=False)
            owned[id(tensor)] = copied
        return owned[id(tensor)]

    for part in graph.modules():
        for held in (part._parameters, part._buffers):
            held.update({key: own(value) for key, value in held.items() if value is not None})
        loose = [key for key, value in vars(part).items() if isinstance(value, torch.Tensor)]
        for key in loose:
            value = vars(part).pop(key)
            part.register_buffer(key, own(value), persistent=False)


def _drop_assertions(graph: Any) -> None:
    """Take out what holds a graph to the types and the device that it was traced in."""
    import torch

    asserting = torch.ops.aten._assert_tensor_metadata.default
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target is asserting:
            graph.graph.erase_node(node)
    graph.recompile()


def _make_module(graph: Any, program: Any) -> Any:
    """Return a module that is given its pictures as a model is: by position, however many."""
    import torch
    from torch.utils._pytree import tree_map, tree_unflatten

    spec, most = program.call_spec.in_spec, _most_at_once(program)

    class Program(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.graph = graph

        def forward(self, pictures: Any) -> Any:
            if most is None or len(pictures) <= most:
                return self.run(pictures)
            parts = [self.run(part) for part in pictures.split(most)]
            return tree_map(lambda *pieces: torch.cat(pieces), *parts)

        def run(self, pictures: Any) -> Any:
            arguments, keywords = tree_unflatten([pictures], spec)
            return self.graph(*arguments, **keywords)

        def train(self, mode: bool = True) -> Any:
            return self  # it has one mode, that of its export

    return Program()


def _most_at_once(program: Any) -> int | None:
    """Return how many pictures a program takes at most, where that is not any number."""
    shape = _picture_shape(program, "")
    symbol = getattr(getattr(shape[0], "node", None), "expr", None)
    bound = program.range_constraints.get(symbol)
    most = getattr(bound, "upper", None)
    try:
        return int(most) if most is not None and most < 2**31 else None
    except (TypeError, ValueError, OverflowError):
        return None
