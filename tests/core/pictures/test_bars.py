"""plot_regions: bars of what regions made of the score."""

import numpy as np
import pytest

import intgrad
from intgrad.attribution.regions import Regions
from intgrad.pictures import styles

mpl = pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
mpl.use("agg")

from matplotlib.collections import LineCollection  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

PAINTER = intgrad.GradVisualizer()
VALUES = np.array([0.5, -2.0, 0.1, 3.0, -0.4, 0.0])
DEVIATIONS = np.array([0.1, 0.5, 0.2, 2.0, np.nan, 0.0])


def regions(values=VALUES, deviations=DEVIATIONS):
    count = len(values)
    labels = np.arange(2 * count, dtype=np.int32).reshape(2, count) // 2
    ids = 10 * np.arange(count)
    return Regions(labels, ids, np.full(count, 2), values, deviations, 0.1)


def bars(axes):
    """Return (name, value, colour, hatch) of each bar from top to bottom."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    patches = sorted(axes.patches, key=lambda patch: patch.get_y())
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first on top
    return [
        (
            name,
            patch.get_width(),
            tuple(np.rint(255 * np.array(patch.get_facecolor()))),
            patch.get_hatch(),
        )
        for name, patch in zip(names, patches, strict=True)
    ]


def plot(*arguments, **options):
    return PAINTER.plot_regions(*arguments, show=False, **options)


def test_the_largest_come_first_and_the_uncertain_are_grey_and_hatched():
    figure = plot(regions())
    found = bars(figure.axes[0])
    assert [name for name, *_ in found] == [f"region {k}" for k in (30, 10, 0, 40, 20, 50)]
    assert [value for _, value, *_ in found] == [3.0, -2.0, 0.5, -0.4, 0.1, 0.0]
    grey = (*styles.UNCERTAIN, 255)
    assert [hatch is not None for *_, hatch in found] == [True, False, False, False, True, True]
    assert [colour == grey for *_, colour, _ in found] == [True, False, False, False, True, True]
    colours = [colour for *_, colour, _ in found]
    assert colours[1] == colours[3] != colours[2]
    assert colours[1][0] == max(colours[1][:3])  # red lowers
    assert colours[2][1] == max(colours[2][:3])  # green raises
    keys = {text.get_text(): patch for text, patch in key_of(figure)}
    assert tuple(np.rint(255 * np.array(keys["raises the score"]))) == colours[2]
    assert tuple(np.rint(255 * np.array(keys["lowers the score"]))) == colours[1]
    assert any("within 2 standard deviations" in key for key in keys)


def key_of(figure):
    (legend,) = figure.legends
    return [
        (text, patch.get_facecolor())
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    ]


def test_error_bars_are_one_deviation():
    axes = plot(regions()).axes[0]
    (lines,) = (each for each in axes.collections if isinstance(each, LineCollection))
    found = {round(y): (a, b) for (a, y), (b, _) in lines.get_segments()}
    assert found.keys() == {0, 1, 2, 4, 5}  # not the fourth, whose deviation is unknown
    for row, value, deviation in [(0, 3.0, 2.0), (1, -2.0, 0.5), (2, 0.5, 0.1), (4, 0.1, 0.2)]:
        np.testing.assert_allclose(found[row], [value - deviation, value + deviation])
    assert "1 standard deviation" in axes.get_xlabel()
    assert axes.get_xlabel().startswith("score units per region")


def test_k_says_what_is_uncertain():
    hatched = [hatch is not None for *_, hatch in bars(plot(regions(), k=1.0).axes[0])]
    assert hatched == [False, False, False, False, True, True]


def test_the_rest_is_one_bar():
    found = bars(plot(regions(), most=2).axes[0])
    assert [name for name, *_ in found] == ["region 30", "region 10", "4 others"]
    assert found[-1][1] == pytest.approx(0.2)
    assert bars(plot(regions(), most=5).axes[0])[-1][0] == "1 other"
    assert len(bars(plot(regions(), most=6).axes[0])) == 6


def test_unknown_deviations_have_neither_bars_nor_words():
    figure = plot(regions(deviations=np.full(6, np.nan)))
    assert figure.axes[0].get_xlabel() == "score units per region"
    assert not any(hatch for *_, hatch in bars(figure.axes[0])[:5])
    figure.draw_without_rendering()  # and no warning


def test_it_is_saved_and_drawn_into_axes(tmp_path):
    pil = pytest.importorskip("PIL.Image")
    for suffix in ("png", "pdf", "svg"):
        plot(regions(), save=tmp_path / f"bars.{suffix}", title="$5 of 3")
        assert (tmp_path / f"bars.{suffix}").stat().st_size > 1000
    plot(regions(), save=tmp_path / "short.png", most=2)
    with pil.open(tmp_path / "bars.png") as all_of_them, pil.open(tmp_path / "short.png") as short:
        assert short.size[0] == all_of_them.size[0]
        assert short.size[1] < all_of_them.size[1]
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot(regions(), axes=right, title="mine", save=tmp_path / "both.png") is figure
    assert right.get_title() == "mine"
    assert not left.patches
    assert not figure.legends
    assert (tmp_path / "both.png").exists()


def test_the_regions_are_named_in_the_image():
    """Each name stands on a pixel of its region, and only of those that have a bar."""
    image = np.full((2, 6, 3), 90, np.uint8)
    figure = plot(regions(), image, most=4)
    beside, panel = figure.axes
    assert len(bars(panel)) == 5
    assert beside.images[0].get_array().shape == (2, 6, 3)
    places = {int(text.get_text()): text.get_position() for text in beside.texts}
    assert sorted(places) == [0, 10, 30, 40]
    for name, (x, y) in places.items():
        assert regions().labels[y, x] == name // 10
    axes = Figure().subplots(1, 2)
    plot(regions(), image, axes=axes)
    assert axes[0].images
    assert axes[1].patches


def test_nothing_is_cut_off():
    """Every word lies within the figure, the longest names and keys too."""
    long = regions()
    long = Regions(
        long.labels, long.ids + 10**15, *(vars(long)[name] for name in list(vars(long))[2:])
    )
    figure = plot(long, k=2.25)
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    texts = [*figure.axes[0].get_yticklabels(), *figure.legends[0].get_texts()]
    for text in [*texts, figure.axes[0].title, figure.axes[0].xaxis.label]:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height


WRONG = [
    ({"regions": VALUES}, TypeError, "regions must be info.regions, .* got array"),
    ({"k": 0}, ValueError, "k must be positive, got 0"),
    ({"most": 0}, ValueError, "most must be at least 1, got 0"),
    ({"most": 2.5}, TypeError, "most must be an int, got 2.5"),
    ({"axes": "left"}, TypeError, "axes must be matplotlib.axes.Axes, got .*'left'"),
    ({"axes": Figure().subplots(1, 2)}, ValueError, "axes must be 1, got 2"),
    ({"image": np.zeros((2, 6, 3), np.uint8)}, ValueError, "axes must be 2, got 1"),
    ({"image": np.zeros((3, 6, 3)), "axes": None}, ValueError, r"of \(3, 6\) pixels, got \(2, 6\)"),
    ({"image": np.zeros((2, 6)), "axes": None}, ValueError, "image must have 3 or 4 dimensions"),
    ({"save": 3}, TypeError, "save must be a path, got 3"),
]


@pytest.mark.parametrize(("options", "kind", "text"), WRONG)
def test_what_is_wrong_is_said_before_anything_is_drawn(options, kind, text):
    axes = Figure().subplots()
    asked = {"regions": regions(), "axes": axes, "show": False} | options
    with pytest.raises(kind, match=text):
        PAINTER.plot_regions(**asked)
    assert not axes.patches


def test_colours_must_be_of_three_components():
    with pytest.raises(ValueError, match="positive_channel must have three components"):
        intgrad.GradVisualizer((1, 2)).plot_regions(regions(), show=False)
