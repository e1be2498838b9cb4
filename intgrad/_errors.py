"""What was raised, in words."""

from __future__ import annotations


def describe(error: BaseException) -> str:
    """Say what was raised, in words."""
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:
            return error.strerror
        name = repr(str(error.filename))
        missing = isinstance(error, FileNotFoundError)
        return f"there is no file {name}" if missing else f"{name}: {error.strerror}"
    return str(error) or type(error).__name__
