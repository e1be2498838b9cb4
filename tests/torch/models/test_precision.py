"""Which precision float32 is computed in: what needs no GPU to be shown."""

import contextlib
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import compiling
import numpy as np
import pytest
import torch
from small_models import FACTS, SIZE, Smooth, archive

import intgrad
from intgrad.models.torch.switches import Tf32Switches, Turnstile


@pytest.mark.libtorch
@pytest.mark.unsanitized
def test_driver(tmp_path):
    """Compiles tests/c/precision.cpp with torch, and runs it."""
    folder = Path(torch.__file__).parent
    newest = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13)
    flags = [
        f"-std=c++{20 if newest else 17}",
        "-isystem",
        folder / "include",
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
    ]
    libraries = [f"-L{folder / 'lib'}", f"-Wl,-rpath,{folder / 'lib'}", "-ltorch_cpu", "-lc10"]
    sources = ["tests/c/precision.cpp"]
    compiling.run(
        compiling.compile_program(tmp_path, "precision", sources, flags, "c++", libraries)
    )


@pytest.mark.libtorch
def test_the_convolutions_of_a_trace_ask_the_switches():
    """Traced, they are aten::_convolution with the switch of that day as an argument."""
    model = intgrad.load_model(archive(Smooth()), device="cpu", **FACTS)
    with torch.profiler.profile() as profile:
        model.predict(np.zeros((*SIZE, 3), np.float32))
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["aten::conv2d"] == counts["aten::_convolution"] == 2


# ---- The turnstile of Python's door, as tests/c/precision.cpp tries that of C++ ------------------


class Watched:
    """A setting that sees whether it is used as it should be."""

    def __init__(self):
        self.value, self.changes, self.failing = None, 0, ""

    def set(self, wish):
        assert self.value is None
        self.value = wish
        self.changes += 1
        self.fail_if_told("set")

    def restore(self):
        assert self.value is not None
        self.value = None
        self.fail_if_told("restore")

    def fail_if_told(self, step):
        """Fail once, if this is the step to fail at."""
        if step == self.failing:
            self.failing = ""
            raise RuntimeError("the setting is frozen")


@pytest.fixture
def setting():
    return Watched()


@pytest.fixture
def turnstile(setting):
    return Turnstile(setting)


class Caller(threading.Thread):
    """Enters with a wish, and stays until it is told to leave."""

    def __init__(self, turnstile, wish):
        super().__init__(daemon=True)
        self.turnstile, self.wish = turnstile, wish
        self.entered, self.left = threading.Event(), threading.Event()
        self.start()

    def run(self):
        with self.turnstile.hold(self.wish):
            self.entered.set()
            self.left.wait(60)

    def leave(self):
        self.left.set()
        self.join(60)
        assert not self.is_alive()


def wait_until(is_so):
    for _ in range(6000):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to pass")


def test_everyone_gets_what_they_want(turnstile, setting):
    wrong = []

    def work(k):
        for i in range(500):
            wish = bool((k + i // 50) % 2)
            with turnstile.hold(wish):
                if setting.value is not wish:
                    wrong.append((k, i))

    threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert (wrong, setting.value) == ([], None)


def test_the_same_wish_runs_side_by_side_and_the_other_has_its_turn(turnstile, setting):
    first, second = Caller(turnstile, False), Caller(turnstile, False)
    assert first.entered.wait(60)
    assert second.entered.wait(60)
    other = Caller(turnstile, True)
    wait_until(lambda: turnstile._waiting == [0, 1])
    late = Caller(turnstile, False)
    wait_until(lambda: turnstile._waiting == [1, 1])
    first.leave()
    assert not other.entered.wait(0.05)
    assert not late.entered.is_set()
    assert (setting.value, setting.changes) == (False, 1)
    second.leave()
    assert other.entered.wait(60)
    assert not late.entered.wait(0.05)
    assert setting.value is True
    other.leave()
    assert late.entered.wait(60)
    late.leave()
    assert (setting.value, setting.changes) == (None, 3)


def test_what_raises_inside_leaves(turnstile, setting):
    with pytest.raises(ZeroDivisionError), turnstile.hold(True):
        raise ZeroDivisionError
    assert setting.value is None
    with turnstile.hold(False):
        assert setting.value is False


@pytest.mark.parametrize("failing", ["set", "restore"])
def test_a_setting_that_fails_leaves_it_free(turnstile, setting, failing):
    """For those as well who wait for their turn meanwhile."""
    first = Caller(turnstile, False)
    assert first.entered.wait(60)
    failed = threading.Event()

    def fail():
        with contextlib.suppress(RuntimeError), turnstile.hold(True):
            pass
        failed.set()

    threading.Thread(target=fail, daemon=True).start()
    wait_until(lambda: turnstile._waiting == [0, 1])
    late = Caller(turnstile, False)
    wait_until(lambda: turnstile._waiting == [1, 1])
    # Its own restore goes well: the next to set or to restore is the one that fails.
    restore = setting.restore

    def restore_and_fail_from_here_on():
        setting.restore = restore
        restore()
        setting.failing = failing

    setting.restore = restore_and_fail_from_here_on
    first.leave()
    assert failed.wait(60)
    assert late.entered.wait(60)
    late.leave()
    assert setting.value is None


# ---- Torch's switches ----------------------------------------------------------------------------


class Newer:
    """A switch of torch 2.9 and later: it follows another until it is set."""

    def __init__(self, own, follows=None):
        self.own, self.follows, self.frozen = own, follows, False

    @property
    def fp32_precision(self):
        follows = self.own == "none" and self.follows is not None
        return self.follows.fp32_precision if follows else self.own

    @fp32_precision.setter
    def fp32_precision(self, value):
        if self.frozen:
            raise RuntimeError("not allowed to set cudnn flags after disable_global_flags")
        self.own = value

    @property
    def allow_tf32(self):
        raise AssertionError("the older switch raises where a user has mixed the two")


def newer(monkeypatch, conv, rnn, matmul, every="none", generic="none"):
    above = Newer(every, Newer(generic))
    above.conv, above.rnn = Newer(conv, above), Newer(rnn, above)
    cuda = SimpleNamespace(matmul=Newer(matmul, above))
    monkeypatch.setattr(torch, "backends", SimpleNamespace(cudnn=above, cuda=cuda))
    return [above, above.conv, above.rnn, cuda.matmul]


def older(monkeypatch, cudnn, matmul):
    switches = SimpleNamespace(allow_tf32=cudnn), SimpleNamespace(allow_tf32=matmul)
    cuda = SimpleNamespace(matmul=switches[1])
    monkeypatch.setattr(torch, "backends", SimpleNamespace(cudnn=switches[0], cuda=cuda))
    return switches


@pytest.mark.parametrize("wish", [False, True])
@pytest.mark.parametrize("cudnn", [False, True])
@pytest.mark.parametrize("matmul", [False, True])
def test_older_switches(monkeypatch, cudnn, matmul, wish):
    switches = older(monkeypatch, cudnn, matmul)
    found = Tf32Switches()
    found.set(wish)
    assert [each.allow_tf32 for each in switches] == [wish, wish]
    found.restore()
    assert [each.allow_tf32 for each in switches] == [cudnn, matmul]


@pytest.mark.parametrize("wish", [False, True])
@pytest.mark.parametrize("generic", ["none", "ieee", "tf32"])
@pytest.mark.parametrize("every", ["none", "ieee", "tf32"])
@pytest.mark.parametrize(
    "own",
    [("tf32", "tf32", "none"), ("none",) * 3, ("ieee", "tf32", "none"), ("none", "none", "ieee")],
    ids="-".join,
)
def test_newer_switches(monkeypatch, own, every, generic, wish):
    switches = newer(monkeypatch, *own, every, generic)
    before = [each.fp32_precision for each in switches]
    found = Tf32Switches()
    found.set(wish)
    for each in switches[1:]:
        assert (each.fp32_precision == "tf32") is wish
    found.restore()
    assert [each.fp32_precision for each in switches] == before


def test_a_frozen_switch_leaves_the_others_as_they_were(monkeypatch):
    switches = newer(monkeypatch, "tf32", "tf32", "none")
    switches[2].frozen = True
    turnstile = Turnstile(Tf32Switches())
    with pytest.raises(RuntimeError, match="not allowed to set"), turnstile.hold(False):
        pass
    assert [each.fp32_precision for each in switches] == ["none", "tf32", "tf32", "none"]
    switches[2].frozen = False
    with turnstile.hold(False):
        assert switches[1].fp32_precision == "ieee"


REAL = """
import torch
from intgrad.models.torch.switches import Tf32Switches

cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul

def allowed():
    return [cudnn.allow_tf32, matmul.allow_tf32]

def read():
    if not hasattr(cudnn, "conv"):
        return allowed()
    return [each.fp32_precision == "tf32" for each in (cudnn.conv, cudnn.rnn, matmul)]

def set_and_restore(before):
    assert read() == before, (read(), before)
    for wish in (False, True):
        switches = Tf32Switches()
        switches.set(wish)
        assert read() == [wish] * len(before), (read(), wish)
        switches.restore()
        assert read() == before, (read(), before)

old = not hasattr(cudnn, "conv")
set_and_restore([True, False] if old else [True, True, False])  # as torch has them
assert allowed() == [True, False]
cudnn.allow_tf32, matmul.allow_tf32 = False, True
set_and_restore([False, True] if old else [False, False, True])
assert allowed() == [False, True]
if not old:  # and the newer ones, which make reading the older ones raise
    cudnn.conv.fp32_precision = "tf32"
    set_and_restore([True, False, True])
    matmul.fp32_precision = "ieee"
    set_and_restore([True, False, False])
print("restored")
"""


def test_torchs_own_switches():
    """In a process of their own: torch cannot unset one."""
    command = [sys.executable, "-W", "error", "-c", REAL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "restored\n", done.stderr
