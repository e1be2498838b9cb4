"""Opening a model of torch: from an archive, a program or a module to a Model that was tried."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from ..._caller import caller_level, warn
from ..archive import check_archive
from ..facts import Facts, given_facts, read_facts
from ..model import Model
from ..presets.recognising import settle
from ..wanted import Score, Wanted
from .backend import (
    check_devices,
    import_torch,
    is_archive,
    is_module,
    is_program,
    quiet_numbers,
    quiet_torch,
)
from .copying import check_lent
from .exported import find_facts, open_program
from .layers import Layers
from .original import Original, find_original
from .probe import Findings, probe
from .reversing import reverse_channels
from .running import Running, find_quickest
from .score import add_score, check_score, name_score


def open_model(source: Any, wanted: Wanted) -> Model:
    """Open an archive, a program or a module, as `load_model` says, which also says what fails."""
    given, asked = source, wanted
    if wanted.score is not None:
        check_score(wanted.score, wanted.scores, wanted.multilabel, wanted.backend)
        wanted = replace(wanted, scores="logits", multilabel=False, backend="autograd")
    prepared, wanted = settle(wanted)
    source, facts, is_pt2 = _read(source, wanted)
    import_torch()
    devices = check_devices(wanted.device, wanted.precision)
    if is_pt2:
        source = open_program(source, facts.name)
    if is_program(source):
        facts = find_facts(source, facts)
    if facts.transform is None:
        facts = replace(facts, transform=prepared.transform)
    with quiet_torch() if isinstance(source, bytes) else quiet_numbers():
        original = find_original(source, facts.name)
        if original.is_lent:
            for device in devices:
                check_lent(source, device, wanted.precision, wanted.backend)
        original = _change(original, prepared.channel_order, wanted.score)
        running = find_quickest(
            original, facts, prepared.affine, devices, wanted.precision, wanted.backend
        )
    findings = probe(
        running.handles[0],
        running.kind,
        running.takes_batches,
        wanted.precision,
        are_classes=wanted.score is None,
    )
    for text in findings.remarks:
        warn(text, caller_level())
    model = _make_model(running, findings, wanted, devices)
    if is_module(given):
        shape = (1, running.kind.channels, *running.kind.facts.input_size)
        model._layers = Layers(given, lambda module: open_model(module, asked), shape)
    return model


def _read(source: Any, wanted: Wanted) -> tuple[Any, Facts, bool]:
    """Return a program, a module or an archive (bytes), what is known of it, and if it is a .pt2.

    Without torch: what is wrong with a file is said where there is none, too.
    """
    given = (wanted.preprocess, wanted.input_size, wanted.scores)
    is_pt2 = False
    if is_archive(source):
        source, name = _read_file(source)
        described = check_archive(source, name, wanted.sha256)
        is_pt2 = described.format == "pt2"
        facts = read_facts(described.metadata, name, *given)
    else:
        if wanted.sha256 is not None:
            raise ValueError("sha256 pins an archive, and a module was given")
        name = f"the module {type(source).__name__}"
        facts = given_facts("the exported program" if is_program(source) else name, *given)
    return source, facts.update(wanted.channels, wanted.multilabel), is_pt2


def _read_file(source: Any) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "the archive"
    with open(source, "rb") as file:
        return file.read(), repr(os.fspath(source))


def _change(original: Original, channel_order: str, score: Score | None) -> Original:
    """Return modules that take RGB, and return the score that is asked for."""
    if channel_order == "BGR":
        original = original.changed(reverse_channels)
    if score is not None:
        original = original.changed(lambda module: add_score(module, score))
    return original


def _make_model(running: Running, findings: Findings, wanted: Wanted, devices: list[str]) -> Model:
    facts, labels = running.kind.facts, wanted.labels
    score = None if wanted.score is None else name_score(wanted.score)
    if labels is None and score is None:
        labels = facts.labels
    elif labels is None and score is not None and findings.num_classes == 1:
        labels = (score,)
    model = Model(
        running.handles,
        device=", ".join(devices),
        input_size=facts.input_size,
        channels=running.kind.channels,
        labels=labels,
        num_classes=findings.num_classes,
        precision=wanted.precision,
        scores=facts.scores,
        multilabel=findings.multilabel,
        takes_batches=findings.takes_batches,
        backend=running.backend,
        backend_reason=running.reason,
        score=score,
        transform=facts.transform,
    )
    model._check_labels()
    return model
