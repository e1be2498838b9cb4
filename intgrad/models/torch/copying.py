"""Copies of torch modules: what intgrad works with, so that the user's own stays as it is."""

from __future__ import annotations

import contextlib
import copy
import io
from types import FunctionType
from typing import Any

from ..._core import ModelError
from . import torchscript
from .backend import quiet_torch
from .errors import first_line
from .graphs import move_graphs


class CopyError(ModelError):
    """A module that cannot be copied; it can still be used itself."""


def copy_module(module: Any) -> Any:
    """Return a copy in evaluation mode, without gradients for parameters.

    Raises
    ------
    CopyError
        If it cannot be copied.
    ModelError
        If it cannot be explained.
    """
    import torch

    try:
        with torch.inference_mode(False):  # autograd takes no tensor that was made in it
            return _settle(_deep_copy(module))
    except CopyError as error:
        raise CopyError(f"{type(module).__name__} cannot be copied ({error})") from error
    except ModelError as error:
        raise ModelError(f"{type(module).__name__} cannot be explained yet: {error}") from error
    except Exception as error:  # what a module's attributes raise when they are copied
        raise CopyError(
            f"{type(module).__name__} cannot be copied ({first_line(error)})"
        ) from error


def check_lent(module: Any, device: str, precision: str, backend: str | None) -> None:
    """Check that a module can be used itself, as it is, as is asked for.

    Raises
    ------
    ModelError
        If that needs changes of it, which are the user's to make.
    """
    name = type(module).__name__
    for option, value in (("precision", precision), ("backend", backend)):
        if value in ("bfloat16", "libtorch"):
            raise ModelError(
                f"{name} cannot be copied, so that it is used as it is: {option}={value!r} would"
                " change it"
            )
    if any(part.training for part in module.modules()):
        raise ModelError(
            f"{name} cannot be copied, so that it is used itself, and is in training mode: call its"
            " eval() first"
        )
    import torch

    wanted = torch.empty(0, device=device).device  # with its index
    found = {each.device for each in [*module.parameters(), *module.buffers()]}
    if found - {wanted}:
        places = ", ".join(map(str, found))
        raise ModelError(
            f"{name} cannot be copied, so that it is used where it is, on {places}, and"
            f" device={device!r} was asked for"
        )


def read_graph(archive: bytes, name: str) -> Any:
    """Return an archive as a module, in the state of `copy_module`.

    Raises
    ------
    ModelError
        If torch cannot read it.
    """
    import torch

    jit: Any = torch.jit  # not typed
    try:
        with quiet_torch(), torch.inference_mode(False):
            return _settle(jit.load(io.BytesIO(archive), map_location="cpu"))
    except Exception as error:  # torch answers with many
        raise ModelError(f"{name} cannot be read by torch: {first_line(error)}") from error


def find_dtypes(module: Any) -> list[Any]:
    """Return the dtypes of a module's real numbers, each once, as they come.

    They are those of its parameters; a frozen graph has none, and its weights among its constants.
    """
    weights = [*module.parameters()]
    if not weights and torchscript.is_graph(module):
        weights = torchscript.find_weights(module)
    return list(dict.fromkeys(each.dtype for each in weights if each.is_floating_point()))


def move(module: Any, device: Any, dtype: Any) -> Any:
    """Move a module, its real numbers to a dtype and complex ones to complex64; None: as they are.

    Integers are always left as they are.
    """
    import torch

    def convert(tensor: Any) -> Any:
        if tensor.is_inference():  # autograd takes none
            tensor = tensor.clone()
        kind = tensor.dtype
        if dtype is not None and tensor.is_floating_point():
            kind = dtype
        elif dtype is not None and tensor.is_complex():
            kind = torch.complex64
        return tensor.to(device, kind)

    with torch.inference_mode(False):
        if dtype is not None:
            for graph in torchscript.find_graphs(module):
                foreign = [each for each in find_dtypes(graph) if each != torch.float32]
                torchscript.convert(graph, dtype, foreign[0] if foreign else None)
        move_graphs(module, device)
        return module._apply(convert)


def _settle(module: Any) -> Any:
    import torch

    for parameter in module.parameters():
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise ModelError("it has lazy layers: run it once, on a picture of the right size")
        parameter.requires_grad_(False)
    with contextlib.suppress(NotImplementedError):  # an exported program has one mode, its own
        module.eval()
    return module


def _deep_copy(module: Any) -> Any:
    """Copy a module; graphs in it by way of a file, because deepcopy leaves them half made.

    A closure in the place of `forward` is not copied, and would run the original.
    """
    module = _uncompiled(module)
    for part in module.modules():
        if _holds_module(vars(part).get("forward")) and _uncompiled(part) is part:
            raise CopyError(f"forward of its {type(part).__name__} was replaced by a function")
    copies = {id(graph): _reload(graph) for graph in torchscript.find_graphs(module)}
    try:
        twin = copy.deepcopy(module, dict(copies))
    except Exception:
        twin = copy.deepcopy(module, copies | _stand_ins(module))
    for part in twin.modules():
        for name, child in part.named_children():
            setattr(part, name, _uncompiled(child))
        if getattr(part, "_compiled_call_impl", None) is not None:
            part._compiled_call_impl = None
    return twin


def _holds_module(function: Any) -> bool:
    """Say whether a function's closure reaches a module, which is the original's."""
    import torch

    if not isinstance(function, FunctionType):
        return False
    for cell in function.__closure__ or ():
        held = getattr(cell.cell_contents, "__self__", cell.cell_contents)
        if isinstance(held, torch.nn.Module) or _holds_module(held):
            return True
    return False


def _uncompiled(module: Any) -> Any:
    """Return what `torch.compile` was given: its code is for the user's own calls."""
    return getattr(module, "_orig_mod", module)


def _stand_ins(module: Any) -> dict[int, Any]:
    """Return what deepcopy is to take for attributes that it cannot copy.

    Tensors computed from parameters, as weight norm and pruning keep them, are copied without
    their graph. What cannot be copied at all, such as a lock, is shared; a list or a dict that
    holds one is copied all the same.
    """
    import torch

    modules = {id(part): part for part in module.modules()}
    kept: dict[int, Any] = {}

    def look_at(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            kept[id(value)] = value.detach().clone()
            return
        try:
            copy.deepcopy(value, dict(modules))
        except Exception:
            if not isinstance(value, dict | list | tuple):
                kept[id(value)] = value
                return
            for each in value.values() if isinstance(value, dict) else value:
                look_at(each)

    for part in modules.values():
        for value in vars(part).values():
            look_at(value)
    return kept


def holds_graph(module: Any) -> bool:
    """Say whether a module is a ScriptModule or has one in it."""
    return next(torchscript.find_graphs(module), None) is not None


def _reload(graph: Any) -> Any:
    import torch

    jit: Any = torch.jit  # not typed
    buffer = io.BytesIO()
    with quiet_torch():
        jit.save(graph, buffer)
        buffer.seek(0)
        return jit.load(buffer, map_location="cpu")
