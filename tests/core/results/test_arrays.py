"""Arrays in files: exact, or rounded to steps that are said."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from intgrad.results.arrays import STEPS, round_off, write_compactly, write_exactly

pytestmark = pytest.mark.unsanitized


def heavy(seed, shape=(40, 30, 3), size=1e-5):
    """Numbers as those of a map: a few are far larger than most."""
    return (size * np.random.default_rng(seed).standard_t(3, shape)).astype(np.float32)


def arrays_of(seed=0):
    return {
        "attributions": heavy(seed),
        "gradient": heavy(seed + 1, size=3.0),
        "error_map": np.abs(heavy(seed + 2)),
        "pixel_error_map": np.abs(heavy(seed + 3, (40, 30))),
        "regions": np.arange(1200, dtype=np.int32).reshape(40, 30),
    }


@pytest.mark.parametrize("write", [write_exactly, write_compactly])
def test_what_is_written_is_read(write, tmp_path):
    arrays = arrays_of()
    write(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz") as found:
        assert sorted(found) == sorted(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_rounding_is_what_is_said():
    arrays = arrays_of()
    rounded, steps = round_off(arrays)
    assert sorted(steps) == sorted(STEPS)
    assert rounded["regions"] is arrays["regions"]
    for name, step in steps.items():
        exact = arrays[name].astype(float)
        rms = math.sqrt(np.mean(exact**2))
        assert rms / STEPS[name] / 2 < step <= rms / STEPS[name]
        assert math.log2(step).is_integer()
        assert rounded[name].dtype == np.float32
        np.testing.assert_array_equal(rounded[name], step * np.rint(exact / step))
        assert np.abs(rounded[name] - exact).max() <= step / 2
    loss = np.linalg.norm(rounded["attributions"] - arrays["attributions"])
    assert (
        loss <= np.linalg.norm(arrays["attributions"]) / STEPS["attributions"] / math.sqrt(12) * 1.1
    )


@given(
    npst.arrays(
        np.float32,
        st.tuples(*[st.integers(0, 4)] * 2),
        elements=st.floats(width=32, allow_nan=True),
    )
)
def test_any_numbers(values):
    """Rounded within half a step, or, where nothing sensible can be said of them, not at all."""
    with np.errstate(over="ignore"):
        rounded, steps = round_off({"attributions": values})
    if "attributions" in steps:
        with np.errstate(over="ignore"):
            difference = np.abs(rounded["attributions"].astype(float) - values)
        assert (difference <= steps["attributions"] / 2).all()
        assert np.isfinite(values).all()
    else:
        assert rounded["attributions"] is values
        tops = np.abs(values) > 0.98 * np.finfo(np.float32).max  # rounded up, they are infinite
        assert not np.isfinite(values).all() or not values.any() or tops.any()


def test_the_largest_numbers_stay():
    values = np.array([[np.finfo(np.float32).max]])
    rounded, steps = round_off({"attributions": values})
    assert rounded["attributions"] is values
    assert steps == {}


@pytest.mark.parametrize("scale", [1e-38, 1e-44, 1e30])
def test_numbers_at_the_ends_of_float32(scale):
    values = (heavy(0, size=1.0) * np.float32(scale)).astype(np.float32)
    rounded, steps = round_off({"attributions": values})
    assert (
        np.abs(rounded["attributions"].astype(float) - values) <= steps["attributions"] / 2
    ).all()


def test_a_compact_file_is_small(tmp_path):
    """Noise without any structure, of which a network's maps have some."""
    arrays = {name: heavy(k, (299, 299, 3)) for k, name in enumerate(("attributions", "gradient"))}
    arrays["error_map"] = np.abs(heavy(3, (299, 299, 3)))
    write_exactly(tmp_path / "exact.npz", arrays)
    write_compactly(tmp_path / "compact.npz", round_off(arrays)[0])
    sizes = [(tmp_path / f"{name}.npz").stat().st_size for name in ("compact", "exact")]
    assert sizes[0] < sizes[1] / 2.4
