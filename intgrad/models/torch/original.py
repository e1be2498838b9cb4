"""Where modules to be run come from: a program, an archive, or the user's own module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .backend import is_program
from .copying import CopyError, copy_module, read_graph
from .graphs import read_program


@dataclass(frozen=True)
class Original:
    """Where modules to be run come from.

    Attributes
    ----------
    read : callable
        Gives a module of ours, a new one each time; or always the user's own, where it is lent.
    archive : bytes or None
        The TorchScript archive that they are read from.
    is_lent : bool
        The module cannot be copied, and is left as it is.
    """

    read: Callable[[], Any]
    archive: bytes | None = None
    is_lent: bool = False

    def changed(self, change: Callable[[Any], Any]) -> Original:
        """Return these as `change` makes them."""
        return replace(self, read=lambda: change(self.read()), archive=None)


def find_original(source: Any, name: str) -> Original:
    """Return where copies of an archive (bytes), a program or a module come from."""
    if isinstance(source, bytes):
        return Original(lambda: read_graph(source, name), source)
    if is_program(source):
        return Original(lambda: read_program(source))
    try:
        first = [copy_module(source)]
    except CopyError:
        return Original(lambda: source, is_lent=True)
    return Original(lambda: first.pop() if first else copy_module(source))
