"""What torch's errors say, in a line, and what helps."""

from __future__ import annotations

import re

RAISED = re.compile(r"\s*[\w.]*(Error|Exception): ")
ADVICE = ". Remove calls to Python functions before export"  # of torch's, to whoever traces
MISSING = re.compile(r"missing \d+ required (positional|keyword-only) argument")
# The last is cuDNN's, when memory was too short for the workspace of every algorithm it tried.
SHORT = re.compile(
    "can't allocate memory|out of memory|std::bad_alloc|STATUS_ALLOC_FAILED"
    "|unable to find an engine to execute this computation"
)
FIXED = re.compile(r"Constraints violated \(batch\)")
FUSED = re.compile(r"derivative for aten::\w*(multi_head_attention|transformer_encoder)")


def first_line(error: BaseException) -> str:
    """Return the part of an error that says what went wrong, without the traceback in its text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if RAISED.match(line)]
    line = (raised[-1:] or lines or [type(error).__name__])[0]
    return line.partition(ADVICE)[0] + _remedy(str(error))


def _remedy(text: str) -> str:
    if FUSED.search(text):
        return (
            " (attention was traced under torch.no_grad(), as a fused operator that has no"
            " derivative: trace it with torch.backends.mha.set_fastpath_enabled(False), or give"
            " load_model the module itself)"
        )
    if "checkpoint" in text.lower() and "reentrant" in text.lower():
        return " (torch.utils.checkpoint can be differentiated so only with use_reentrant=False)"
    if FIXED.search(text):
        return (
            " (the module fixes how many pictures it takes, as a loop over them or"
            " int(x.shape[0]) does)"
        )
    if MISSING.search(text):
        return (
            " (a model is given one tensor, of pictures (n, C, H, W): wrap it in a module whose"
            " forward(x) passes the rest)"
        )
    return ""


def is_short_memory(error: BaseException) -> bool:
    """Say whether torch ran out of memory; its CPU allocator raises a plain RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    is_cuda = type(error).__name__ == "OutOfMemoryError"
    return is_cuda or (isinstance(error, RuntimeError) and bool(SHORT.search(str(error))))
