"""The core as it was built: one file for every Python, and modules that share nothing."""

import gc
import importlib.util
import sys
import sysconfig
import weakref
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest

from intgrad import _core

GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")
# Modules and types, in 3.13 without a GIL.
IMMORTAL = not GIL and sys.version_info < (3, 14)


def test_one_build_for_every_python_that_has_a_gil():
    suffix = ".abi3.so" if GIL else sysconfig.get_config_var("EXT_SUFFIX")
    loadable = [Path(_core.__file__).with_name(f"_core{each}") for each in EXTENSION_SUFFIXES]
    assert [path.name for path in loadable if path.exists()] == [f"_core{suffix}"]


def test_a_second_module_has_a_state_of_its_own_and_goes_away():
    spec = importlib.util.spec_from_file_location("intgrad._core", _core.__file__)
    second = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(second)
    assert second.ModelError is not _core.ModelError
    images = np.zeros((1, 2, 2, 3), np.float32)
    for core in (_core, second):
        model = core.callable_model(lambda batch, targets: None)
        with pytest.raises(core.ModelError, match="must return"):
            core.scores(model, images, "logit", 1, None)
    seen = [weakref.ref(each) for each in (second, second.ModelError, type(model))]
    del core, model, second
    gc.collect()
    assert [each() for each in seen] == [None, None, None] or IMMORTAL
