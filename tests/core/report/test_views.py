"""What the page reads of a photograph: numbers in images, and what is lost of them."""

import base64
import io
import itertools

import numpy as np
import pytest

PIL = pytest.importorskip("PIL.Image", reason="the report needs Pillow")
import sample_results  # noqa: E402

from intgrad.images.transform import Box  # noqa: E402
from intgrad.pictures.framing import frame  # noqa: E402
from intgrad.report.scripts import call, read_call, to_json  # noqa: E402
from intgrad.report.views import (  # noqa: E402
    CELLS,
    THUMBNAIL,
    Maps,
    make_overview,
    make_thumbnail,
    make_view,
)

pytestmark = pytest.mark.unsanitized

FRAMED = frame(PIL.fromarray(sample_results.make_photograph(0)), None)


def decode(url):
    return np.asarray(PIL.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def numbers(view):
    """Return the maps as the page reads them."""
    height, found = view["height"], {}
    rest = decode(view["maps"]).astype(float)
    for name, levels in view["levels"].items():
        found[name] = None
        if view["limits"][name] is not None:
            codes, rest = rest[:height], rest[height:]
            root = (codes - 128) / levels
            found[name] = view["limits"][name] * root * np.abs(root)
    assert not len(rest)
    return found


def labels_of(view):
    upper, lower = np.split(decode(view["labels"]).astype(int), 2)
    return 256 * upper + lower


def view_of(*maps, framed=FRAMED):
    (view,) = read_call(make_view(framed, Maps(*maps)))
    return view


def maps_of(number):
    arrays = sample_results.make_arrays(number)
    return (
        arrays["attributions"].mean(axis=2),
        arrays["pixel_error_map"],
        arrays["gradient"].mean(axis=2),
        arrays["regions"],
    )


def test_values_are_kept_as_is_said():
    attributions, deviations, gradient, labels = maps_of(1)
    view = view_of(attributions, deviations, gradient, labels)
    found = numbers(view)
    for name, exact in (
        ("attributions", attributions),
        ("deviations", deviations),
        ("gradient", gradient),
    ):
        largest, levels = np.abs(exact).max(), view["levels"][name]
        # Half a code, of which the square is v + sqrt(v * largest) / levels and a little.
        allowed = np.sqrt(np.abs(exact) * largest) / levels + largest / (2 * levels) ** 2
        assert (np.abs(found[name] - exact) <= allowed * 1.0001).all(), name
        assert ((found[name] == 0) | (np.sign(found[name]) == np.sign(exact))).all()
    np.testing.assert_array_equal(labels_of(view), labels)
    assert view["part"] == {"top": 0, "left": 0, "height": 280, "width": 240}


def test_many_regions():
    labels = np.arange(300 * 200).reshape(300, 200)
    view = view_of(np.zeros((300, 200)), None, None, labels)
    np.testing.assert_array_equal(labels_of(view), labels)


def test_what_is_not_there():
    view = view_of(maps_of(0)[0], None, None, None)
    assert view["limits"]["deviations"] is view["limits"]["gradient"] is view["labels"] is None


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-300])
def test_maps_that_say_nothing(value):
    found = numbers(view_of(np.full((5, 4), value), np.full((5, 4), np.nan), None, None))
    expected = value if np.isfinite(value) else 0
    np.testing.assert_allclose(found["attributions"], expected)
    np.testing.assert_array_equal(found["deviations"], 0)


def test_a_part_of_the_photograph():
    framed = frame(PIL.fromarray(sample_results.make_photograph(0)), Box(50, 20, 250, 220))
    view = view_of(*maps_of(0), framed=framed)
    assert view["part"] == {
        name: getattr(framed, name) for name in ("top", "left", "height", "width")
    }
    assert decode(view["photograph"]).shape == framed.picture.shape
    thumbnail = PIL.open(io.BytesIO(make_thumbnail(framed)))
    assert max(thumbnail.size) == THUMBNAIL
    assert thumbnail.width / thumbnail.height == pytest.approx(
        framed.width / framed.height, rel=0.02
    )


@pytest.mark.parametrize("shape", [(299, 299, 3), (16, 16, 1), (37, 20, 2), (3, 5, 1)], ids=str)
def test_an_overview_has_sums_of_cells(shape):
    attributions = np.random.default_rng(0).normal(size=shape)
    overview = make_overview(attributions)
    codes = np.frombuffer(base64.b64decode(overview["cells"]), np.int8).reshape(CELLS, CELLS)
    rows, columns = (np.arange(CELLS + 1) * n // CELLS for n in shape[:2])
    expected = [
        [
            attributions[a : max(b, a + 1), c : max(d, c + 1)].sum()
            for c, d in itertools.pairwise(columns)
        ]
        for a, b in itertools.pairwise(rows)
    ]
    np.testing.assert_allclose(
        codes * overview["limit"] / 127, expected, atol=overview["limit"] / 253
    )


def test_an_overview_of_nothing():
    assert make_overview(np.zeros((20, 20, 3)))["limit"] == 0


@pytest.mark.parametrize("text", ["</script>", "<!--", "\u2028", "caf\udce9", "🦊", "\0"])
def test_scripts_hold_any_text(text):
    script = call("add", 3, [text])
    assert b"<" not in script
    assert script.isascii()
    assert read_call(script) == [3, [text]]
    assert "<" not in to_json({text: text})


@pytest.mark.parametrize("script", [b"", b"intgrad.add(1", b"alert(1);\n", b"intgrad.add(1,[);\n"])
def test_what_is_no_script_of_ours(script):
    with pytest.raises(ValueError):  # noqa: PT011
        read_call(script)
