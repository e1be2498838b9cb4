"""The pictures beyond the seed: both signs, styles, grids, the error panel, the sliders."""

import io
import math
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import seed_twin

import intgrad
from intgrad.pictures import lettering, styles
from intgrad.pictures.colours import diverging

mpl = pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
mpl.use("agg")

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.testing.compare import compare_images  # noqa: E402

DATA = Path(__file__).parents[2] / "data/figures"
HEIGHT, WIDTH = 40, 60


def blobs(seed=0, size=(HEIGHT, WIDTH)):
    """A smooth signed map of three channels, strongest in the middle."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    bump = np.exp(-(((y - size[0] / 2) / 9) ** 2 + ((x - size[1] / 2) / 13) ** 2))
    wave = np.sin(x / 4 + generator.uniform(0, 6)) * np.cos(y / 5)
    return (bump * wave)[..., None] * generator.uniform(0.5, 1, 3)


def photograph():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.dstack([4 * x, 6 * y, 255 - 4 * x]).astype(np.uint8)


VALUES, IMAGE = blobs(), photograph()
PAINTER = intgrad.GradVisualizer()


def test_both_signs_are_two_layers_on_one_scale():
    both = PAINTER.process_grads(None, VALUES, polarity="both", overlay=False)
    signs = np.stack([np.clip(VALUES, 0, 1).mean(2), np.clip(-VALUES, 0, 1).mean(2)])
    positive, negative = seed_twin.SeedVisualizer().apply_linear_transformation(signs, 99.9, 0, 0.0)
    np.testing.assert_allclose(both[..., 1], 255 * positive, atol=1e-9)
    np.testing.assert_allclose(both[..., 0], 255 * negative, atol=1e-9)
    assert not both[..., 2].any()
    over = PAINTER.process_grads(IMAGE, VALUES, polarity="both")
    np.testing.assert_allclose(over, np.clip(0.8 * both + IMAGE, 0, 255), atol=1e-9)


def test_vmax_takes_the_place_of_the_percentiles():
    shown = PAINTER.process_grads(None, VALUES, overlay=False, vmax=0.25)
    expected = np.clip(np.clip(VALUES, 0, 1).mean(2) / 0.25, 0, 1)
    np.testing.assert_allclose(shown[..., 1], 255 * expected, atol=1e-9)


def test_regions_can_be_ranked_by_attribution():
    """A large faint region and a small strong one, of which one is to be kept."""
    values = np.zeros((20, 20))
    values[2:12, 2:12] = 0.01
    values[15:18, 15:18] = 5.0
    by_pixels = PAINTER.draw_outlines(values, percentage=50)
    by_attribution = PAINTER.draw_outlines(values, percentage=50, rank="attribution")
    assert by_pixels[2, 2]
    assert not by_pixels[15, 15]
    assert by_attribution[15, 15]
    assert not by_attribution[2, 2]
    picture = PAINTER.process_grads(
        None,
        np.dstack([values] * 3),
        outlines=True,
        overlay=False,
        rank="attribution",
        outlines_component_percentage=50,
        clip=None,
    )
    assert picture[15, 15, 1] == 255
    assert not picture[:12, :12].any()


GREEN, RED = (0, 255, 0), (255, 0, 0)
SHADES = diverging(GREEN, RED)


def lightness(colours):
    """CIE L* by scikit-image."""
    color = pytest.importorskip("skimage.color", reason="the reference for lightness")
    return color.rgb2lab(np.asarray(colours, np.uint8)[np.newaxis])[0, :, 0]


@pytest.mark.parametrize(
    "colours",
    [(GREEN, RED), (RED, GREEN), ((178, 24, 43), (33, 102, 172)), ((255, 255, 0), (0, 0, 128))],
)
def test_shades_are_darker_the_further_from_zero_and_alike_on_both_sides(colours):
    shades = diverging(*colours)
    middle = len(shades) // 2
    np.testing.assert_array_equal(shades[middle], 255)
    light = lightness(shades)
    negative, positive = light[middle::-1], light[middle:]
    assert (np.diff(positive) < 0.6).all()
    assert (np.diff(negative) < 0.6).all()
    assert positive[-1] < 32
    np.testing.assert_allclose(positive, negative, atol=0.7)
    np.testing.assert_allclose(positive, np.linspace(100, positive[-1], len(positive)), atol=0.7)
    for side, colour in zip((shades[middle + 60 :], shades[: middle - 60]), colours, strict=True):
        strongest = np.flatnonzero(np.array(colour) == max(colour))
        assert (side[:, strongest].min(axis=1) >= side.max(axis=1)).all()


def test_heat_is_symmetric_about_zero():
    values = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]])
    colours = styles.heat(values, 2.0, SHADES).astype(int)
    mirrored = styles.heat(-values, 2.0, diverging(RED, GREEN)).astype(int)
    np.testing.assert_array_equal(colours, mirrored)
    green, red = colours[0, 4], colours[0, 0]
    assert green[1] > max(green[0], green[2])
    assert red[0] > max(red[1], red[2])
    np.testing.assert_array_equal(colours[0, 2], 255)
    for factor in (3, 1e300):
        beyond = styles.heat(factor * values, 2.0, SHADES)
        np.testing.assert_array_equal(beyond[0, [0, 4]], colours[0, [0, 4]])
    tiny = styles.heat(1e-300 * values, 2e-300, SHADES)
    np.testing.assert_array_equal(tiny, colours)


def test_masked_and_blended():
    values = np.array([[0.0, 0.5, -1.0, 7.0]])
    image = np.full((1, 4, 3), 200, np.uint8)
    np.testing.assert_array_equal(styles.masked(image, values, 1.0)[0, :, 0], [0, 100, 200, 200])
    blended = styles.blended(image, values, 1.0, SHADES)
    np.testing.assert_array_equal(blended[0, 0], [227, 227, 227])  # grey, lightened
    np.testing.assert_array_equal(blended[0, 2:], styles.heat(values, 1.0, SHADES)[0, 2:])


def test_what_is_not_trusted_is_grey():
    values = np.array([[1.0, -1.0, 0.1, 0.0]])
    deviations = np.array([[0.4, 0.6, 0.04, 0.0]])
    shown = styles.trusted(values, deviations, 2.0, 1.0, SHADES)
    assert [tuple(p) == (160, 160, 160) for p in shown[0]] == [False, True, False, True]
    np.testing.assert_array_equal(shown[0, 0], styles.heat(values, 1.0, SHADES)[0, 0])


def test_scale_survives_maps_of_zeros():
    assert styles.scale_of(np.zeros((3, 3))) == 1
    single = np.zeros((100, 100))
    single[0, 0] = 5  # so few that the percentile does not see it
    assert styles.scale_of(single) == 5


@pytest.mark.parametrize("style", styles.STYLES)
@pytest.mark.parametrize("polarity", ["positive", "negative", "both"])
def test_every_style_draws_zeros_and_constants(style, polarity):
    for constant in (0.0, 0.3, -0.3):
        flat = np.full(IMAGE.shape, constant)
        PAINTER.visualize(IMAGE, flat, flat, polarity, style=style, show=False)


def shown_pictures(figure):
    return [np.asarray(panel.images[0].get_array()) for panel in figure.axes]


def words(figure):
    return [text.get_text() for text in figure.texts]


def test_visualize_returns_a_figure_that_pyplot_does_not_know():
    before = plt.get_fignums()
    figure = PAINTER.visualize(IMAGE, VALUES, VALUES, show=False)
    assert plt.get_fignums() == before
    assert [panel.get_title() for panel in figure.axes] == [
        "Input",
        "Normal gradients",
        "Integrated gradients",
    ]
    photo, gradients, attributions = shown_pictures(figure)
    np.testing.assert_array_equal(photo, IMAGE)
    expected = PAINTER.process_grads(IMAGE, VALUES).astype(np.uint8)
    np.testing.assert_array_equal(gradients, expected)
    np.testing.assert_array_equal(attributions, expected)


def test_visualize_shows_when_told_to(monkeypatch):
    calls = []
    monkeypatch.setattr(plt, "show", lambda: calls.append(plt.get_fignums()))
    figure = PAINTER.visualize(IMAGE, VALUES, VALUES)
    assert len(calls) == 1
    assert figure.number in calls[0]
    plt.close(figure)


def test_visualize_saves_and_draws_into_axes(tmp_path):
    PAINTER.visualize(IMAGE, VALUES, VALUES, show=False, save=tmp_path / "x.png")
    PAINTER.visualize(IMAGE, VALUES, VALUES, show=False, save=os.fspath(tmp_path / "x.pdf"))
    assert (tmp_path / "x.png").stat().st_size > 1000
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
    own = mpl.figure.Figure()
    axes = own.subplots(1, 3)
    titles = ["a", "b", "c"]
    assert PAINTER.visualize(IMAGE, VALUES, VALUES, show=False, axes=axes, titles=titles) is own
    assert [panel.get_title() for panel in axes] == titles


def test_a_batch_shares_the_scale_of_each_column():
    images = np.stack([IMAGE, IMAGE])
    values = np.stack([VALUES, VALUES / 10])
    for style in styles.STYLES:
        figure = PAINTER.visualize(
            images, values, 3 * values, "both", style=style, show=False, figsize=(9, 2)
        )
        assert figure.get_size_inches()[1] <= 2 * 2 + 1e-9
        drawn = shown_pictures(figure)
        assert len(drawn) == 6
        for strong, faint in (drawn[1::3], drawn[2::3]):
            bare = IMAGE if style == "overlay" else styles.heat(0 * VALUES[..., 0], 1, SHADES)
            if style in ("overlay", "heat"):
                away = [np.abs(shown - bare.astype(float)).mean() for shown in (strong, faint)]
                assert away[1] < 0.3 * away[0]
        if style == "heat":  # each column by its own scale
            np.testing.assert_allclose(drawn[1].astype(int), drawn[2].astype(int), atol=1)


def test_the_error_panel():
    deviations = np.abs(VALUES.mean(axis=2)) * np.linspace(0.1, 0.9, WIDTH)
    figure = PAINTER.visualize(
        IMAGE, VALUES, VALUES, style="heat", polarity="both", error=deviations, k=2, show=False
    )
    assert figure.axes[3].get_title() == "Too uncertain to call: grey"
    assert "too uncertain to call: within 2 standard deviations of 0" in words(figure)
    panel = shown_pictures(figure)[3]
    grey = (panel == 160).all(axis=2)
    assert not grey[:, : WIDTH // 2 - 1].any()
    assert grey[:, WIDTH // 2 + 1 :].all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"style": "cubist"}, "style must be 'overlay' or 'heat' or .* got 'cubist'"),
        ({"polarity": "neutral"}, "polarity must be .* got 'neutral'"),
        ({"style": "heat", "vmax": 0}, "vmax must be positive, got 0"),
        ({"vmax": -1.0}, "vmax must be positive, got -1.0"),
        ({"rank": "size"}, "rank must be 'pixels' or 'attribution', got 'size'"),
        ({"error": np.zeros((3, 3))}, r"error must match the image, .* got shape \(3, 3\)"),
        ({"error": np.full((HEIGHT, WIDTH), np.nan)}, "error must be finite"),
        ({"error": np.zeros((HEIGHT, WIDTH)), "k": 0}, "k must be positive, got 0"),
        ({"style": "heat", "vmax": (1, 2, 3)}, r"vmax must be a number or two, .* got \(1, 2, 3\)"),
        ({"image": IMAGE[..., :2]}, r"image must have 1, 3 or 4 channels .* \(40, 60, 2\)"),
        (
            {"image": np.repeat(IMAGE, 5, axis=2), "style": "blended"},
            r"\(40, 60, 15\): pass three of its channels, such as image\[..., \[3, 2, 1\]\]",
        ),
        ({"titles": ["one"]}, r"titles must be 3, one for each panel, got \['one'\]"),
        ({"gradients": VALUES[:-1]}, r"gradients must match the image"),
        (
            {"integrated_gradients": VALUES[0]},
            r"integrated_gradients must have 3 or 4 dimensions, got shape \(60, 3\): pass"
            r" integrated_gradients\[\.\.\., None\]",
        ),
        ({"image": IMAGE[..., 0]}, r"got shape \(40, 60\): pass image\[\.\.\., None\]"),
        ({"image": np.zeros((0, 4, 3))}, r"image must not be empty, got shape \(0, 4, 3\)"),
        ({"figsize": (math.nan, 3)}, "figsize must be finite, got nan"),
        ({"figsize": (3, math.inf)}, "figsize must be finite, got inf"),
        ({"figsize": (0, 3)}, "figsize must be positive, got 0"),
        ({"figsize": (3, -1)}, "figsize must be positive, got -1"),
        ({"save": ""}, "save must name a file, got ''"),
        ({"save": Path("/")}, r"save must name a file, got PosixPath\('/'\)"),
    ],
)
def test_what_is_wrong_is_said(options, text):
    arguments = {"image": IMAGE, "gradients": VALUES, "integrated_gradients": VALUES}
    with pytest.raises(ValueError, match=text):
        PAINTER.visualize(**{**arguments, "show": False, **options})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"figsize": 5}, r"figsize must be \(width, height\) in inches, got 5"),
        ({"figsize": (1, 2, 3)}, r"figsize must be .* got \(1, 2, 3\)"),
        ({"figsize": ("a", 2)}, "figsize must be a number, got 'a'"),
        ({"clip": "x"}, "clip must be a number, or None to keep all, got 'x'"),
        ({"gradients": None, "integrated_gradients": None}, "needs gradients or integrated_gr"),
        ({"save": b"x.png"}, "save must be a path, got b'x.png'"),
        ({"titles": 5}, "titles must be a sequence of str, one for each panel, got 5"),
        ({"titles": "abc"}, "titles must be a sequence of str, one for each panel, got 'abc'"),
        ({"axes": [1, 2, 3]}, "axes must be matplotlib.axes.Axes, got .*1"),
    ],
)
def test_what_is_of_a_wrong_type_is_said(options, text):
    arguments = {"image": IMAGE, "gradients": VALUES, "integrated_gradients": VALUES}
    with pytest.raises(TypeError, match=text):
        PAINTER.visualize(**{**arguments, "show": False, **options})


QUARTERS = np.arange(HEIGHT)[:, None] // 20 * 2 + np.arange(WIDTH) // 30


class Quarters:
    """What `info.regions` has, of four: up, down, nothing, and hardly down."""

    labels = QUARTERS
    attributions = np.array([2.0, -1.0, 0.0, -0.1])
    deviations = np.array([0.1, 0.1, 0.1, 0.1])


def test_regions_are_coloured_hatched_and_outlined():
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    certain = np.abs(Quarters.attributions) > 2 * Quarters.deviations
    shades = diverging((0, 255, 0), (255, 0, 0))
    picture = styles.regional(image, QUARTERS, Quarters.attributions, certain, 2.0, shades)
    np.testing.assert_array_equal(picture[:, 29], np.broadcast_to(styles.OUTLINE, (HEIGHT, 3)))
    np.testing.assert_array_equal(picture[19], np.broadcast_to(styles.OUTLINE, (WIDTH, 3)))
    inside = [picture[:19, :29], picture[:19, 30:], picture[20:, :29], picture[20:, 30:]]
    grey = int(styles.to_grey(image)[0, 0])
    for part, end, strength in zip(inside[:2], shades[[-1, 0]], [1, 0.5], strict=True):
        opacity = styles.OPAQUE * strength
        expected = (1 - opacity) * (127 + 50) + opacity * end.astype(float)
        np.testing.assert_allclose(part, np.broadcast_to(expected, part.shape), atol=1)
    assert inside[0][0, 0].argmax() == 1  # green
    assert inside[1][0, 0].argmax() == 0  # red
    for part in inside[2:]:
        colours = {tuple(colour) for colour in part.reshape(-1, 3).tolist()}
        assert colours == {styles.UNCERTAIN, (grey, grey, grey)}


def test_regions_have_a_panel_of_their_own():
    options = {"style": "blended", "polarity": "both", "regions": Quarters, "show": False}
    figure = PAINTER.visualize(IMAGE, VALUES, VALUES, error=np.ones((HEIGHT, WIDTH)), **options)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[3:] == ["Regions", "Too uncertain to call: grey"]
    words = " ".join(text.get_text() for text in figure.texts)
    assert "score units per region" in words
    assert "within 2 standard deviations" in words
    several = PAINTER.visualize(
        [IMAGE, IMAGE], None, [VALUES, VALUES], **{**options, "regions": [Quarters, Quarters]}
    )
    assert len([axes for axes in several.axes if axes.images]) >= 6


def test_regions_without_deviations_are_all_coloured():
    class Unknown(Quarters):
        deviations = np.full(4, np.nan)

    figure = PAINTER.visualize(IMAGE, None, VALUES, regions=Unknown, show=False)
    panel = next(axes for axes in figure.axes if axes.get_title() == "Regions")
    picture = np.asarray(panel.images[0].get_array())
    assert not (picture == styles.UNCERTAIN).all(axis=-1).any()


@pytest.mark.parametrize(
    ("regions", "kind", "text"),
    [
        (QUARTERS, TypeError, "regions must be info.regions"),
        ([], ValueError, "regions must be those of 1 images, got 0"),
        ([Quarters] * 2, ValueError, "regions must be those of 1 images, got 2"),
    ],
)
def test_what_are_no_regions(regions, kind, text):
    with pytest.raises(kind, match=text):
        PAINTER.visualize(IMAGE, None, VALUES, regions=regions, show=False)
    with pytest.raises(ValueError, match=r"regions must be of \(39, 60\) pixels, got \(40, 60\)"):
        PAINTER.visualize(IMAGE[1:], None, VALUES[1:], regions=Quarters, show=False)


def test_axes_must_be_as_many_as_panels():
    axes = mpl.figure.Figure().subplots(1, 2)
    with pytest.raises(ValueError, match="axes must be 1 x 3"):
        PAINTER.visualize(IMAGE, VALUES, VALUES, axes=axes, show=False)


# ---- What is shown, and how ----------------------------------------------------------------------


def test_either_map_may_be_missing():
    titles = ["Input", "Integrated gradients"]
    for arguments in ((IMAGE, None, VALUES), (IMAGE,)):
        named = {} if len(arguments) == 3 else {"integrated_gradients": VALUES}
        figure = PAINTER.visualize(*arguments, show=False, **named)
        assert [panel.get_title() for panel in figure.axes] == titles
        drawn = shown_pictures(figure)[1]
        np.testing.assert_array_equal(drawn, PAINTER.process_grads(IMAGE, VALUES).astype(np.uint8))
    figure = PAINTER.visualize(IMAGE, VALUES, show=False, style="heat", vmax=(0.5, None))
    assert [panel.get_title() for panel in figure.axes] == ["Input", "Normal gradients"]
    assert "0.5" in words(figure)
    for arguments, text in (
        ((IMAGE,), "needs gradients or integrated_gradients, got neither"),
        ((IMAGE, VALUES), "error is that of integrated_gradients, and they are None"),
    ):
        with pytest.raises(TypeError, match=text):
            PAINTER.visualize(*arguments, show=False, error=VALUES[..., 0] ** 2)


@pytest.mark.parametrize("style", styles.STYLES)
def test_the_opacity_of_a_photograph_is_left_out(style):
    opaque = np.dstack([IMAGE, np.full(IMAGE.shape[:2], 9, IMAGE.dtype)])
    figures = [
        PAINTER.visualize(image, VALUES, VALUES, "both", style=style, show=False)
        for image in (IMAGE, opaque)
    ]
    for expected, found in zip(*map(shown_pictures, figures), strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match=r"got \(40, 60, 4\): image\[\.\.\., :3\] leaves out"):
        PAINTER.process_grads(opaque, VALUES)


@pytest.mark.parametrize("style", styles.STYLES)
def test_maps_of_any_number_of_channels_over_a_photograph(style):
    many = np.repeat(VALUES[..., :1], 13, axis=2)
    figure = PAINTER.visualize(IMAGE, many, VALUES[..., :1], style=style, show=False)
    gradients, attributions = shown_pictures(figure)[1:]
    np.testing.assert_allclose(gradients.astype(int), attributions, atol=1)
    picture = PAINTER.process_grads(IMAGE, many)
    np.testing.assert_allclose(picture, PAINTER.process_grads(IMAGE, VALUES[..., :1]), atol=1e-6)


@pytest.mark.parametrize("style", styles.STYLES)
def test_grey_images_are_shown_grey(style):
    grey = IMAGE[..., :1]
    figure = PAINTER.visualize(grey, VALUES, VALUES, style=style, show=False)
    photo, *drawn = shown_pictures(figure)
    np.testing.assert_array_equal(photo, np.repeat(grey, 3, axis=2))
    whole = PAINTER.visualize(photo, VALUES, VALUES, style=style, show=False)
    for ours, expected in zip(drawn, shown_pictures(whole)[1:], strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_a_fourth_channel_is_not_shown():
    rgba = np.dstack([IMAGE, np.full(IMAGE.shape[:2], 9, np.uint8)])
    figure = PAINTER.visualize(rgba, VALUES, VALUES, style="masked", show=False)
    np.testing.assert_array_equal(shown_pictures(figure)[0], IMAGE)


def test_an_image_of_many_channels_cannot_be_laid_under():
    many = np.repeat(IMAGE, 5, axis=2)
    with pytest.raises(ValueError, match=r"pass three channels, image\[..., \[3, 2, 1\]\]"):
        PAINTER.process_grads(many, VALUES)


@pytest.mark.parametrize(
    ("image", "advice"),
    [
        (IMAGE / 255, r"pass 255 \* image$"),
        (IMAGE / 127.5 - 1, r"pass 127.5 \* \(image \+ 1\)"),
        (IMAGE > 100, r"pass 255 \* image$"),
        (np.uint16(IMAGE) * 257, r"pass image / 257"),
    ],
    ids=["0..1", "-1..1", "bool", "16 bits"],
)
def test_an_image_that_is_no_photograph_is_warned_of_once(image, advice):
    def check(call):
        with pytest.warns(UserWarning, match=advice) as caught:
            call()
        assert [each.filename for each in caught] == [__file__]

    check(lambda: PAINTER.process_grads(image, VALUES))
    for style in styles.STYLES:
        check(lambda: PAINTER.visualize(image, VALUES, VALUES, style=style, show=False))  # noqa: B023
    check(
        lambda: PAINTER.visualize(np.stack([image] * 3), None, np.stack([VALUES] * 3), show=False)
    )
    pytest.importorskip("ipywidgets", reason="explore needs ipywidgets")
    check(lambda: intgrad.explore(image, VALUES, VALUES))
    PAINTER.process_grads(image, VALUES, overlay=False)  # which does not show it


# ---- Colours -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("positive", "negative"), [(GREEN, RED), ((178, 24, 43), (33, 102, 172))])
def test_one_colour_has_one_meaning_in_every_style(positive, negative):
    """Where the map is positive every style is drawn towards the positive colour."""
    values = np.zeros((8, 8, 3))
    values[:4], values[4:] = 0.5, -0.5
    painter = intgrad.GradVisualizer(positive, negative)
    grey = np.full((8, 8, 3), 128, np.uint8)
    for style in ("overlay", "heat", "blended"):
        figure = painter.visualize(
            grey, None, values, "both", style=style, error=np.full((8, 8), 0.01), show=False
        )
        for drawn in shown_pictures(figure)[1:]:
            for rows, colour in ((slice(4), positive), (slice(4, 8), negative)):
                tint = drawn[rows].reshape(-1, 3).astype(float) - drawn[rows].mean()
                wanted = np.array(colour) - np.mean(colour)
                assert (tint @ wanted > 0).all()
                assert (tint.argmax(axis=1) == wanted.argmax()).all()


@pytest.mark.parametrize("options", [{"style": "heat"}, {"style": "blended"}, {"error": True}])
def test_heat_maps_need_colours_of_three_components(options):
    if "error" in options:
        options = {"error": VALUES[..., 0] ** 2}
    for colour in ((255,), (0, 255, 0, 255)):
        painter = intgrad.GradVisualizer(negative_channel=colour)
        with pytest.raises(ValueError, match="negative_channel must have three components"):
            painter.visualize(IMAGE, VALUES, VALUES, show=False, **options)
        painter.visualize(IMAGE, VALUES, VALUES, show=False)  # positive ones, overlaid


def test_keys_say_what_the_colours_mean():
    def keys(*polarity, **options):
        figure = PAINTER.visualize(IMAGE, VALUES, VALUES, *polarity, show=False, **options)
        patches = [artist.get_facecolor()[:3] for artist in figure.artists if has_face(artist)]
        return words(figure), np.array(patches)

    def has_face(artist):
        return isinstance(artist, mpl.patches.Rectangle)

    texts, patches = keys("both")
    assert texts == ["raises the score", "lowers the score"]
    np.testing.assert_array_equal(patches, [[0, 1, 0], [1, 0, 0]])
    assert keys()[0] == ["raises the score"]
    assert keys("negative")[0] == ["lowers the score"]
    assert keys(style="masked")[0] == ["bright: raises the score"]
    assert keys("both", style="masked")[0] == ["bright: changes the score"]
    texts, patches = keys("both", style="heat", error=VALUES[..., 0] ** 2, k=3)
    assert "too uncertain to call: within 3 standard deviations of 0" in texts
    assert (patches[:2].argmax(axis=1) == [1, 0]).all()
    np.testing.assert_allclose(patches[2], 160 / 255)


@pytest.mark.parametrize(
    ("polarity", "ends"),
    [("both", ["-0.25", "0", "0.25"]), ("positive", ["0", "0.25"]), ("negative", ["-0.25", "0"])],
)
@pytest.mark.parametrize("style", ["heat", "blended"])
def test_scales_have_a_unit(polarity, ends, style):
    figure = PAINTER.visualize(
        IMAGE, VALUES, VALUES, polarity, style=style, vmax=0.25, show=False, figsize=(15, 8)
    )
    texts = words(figure)
    assert "score units per pixel value, mean over channels" in texts
    assert "score units per pixel, mean over channels" in texts
    assert sorted(text for text in texts if text in ends) == sorted(2 * ends)
    bars = [artist for artist in figure.artists if hasattr(artist, "get_array")]
    assert len(bars) == 2
    strip = np.asarray(bars[0].get_array())[0]
    if style == "heat":
        expected = styles.heat(np.array([[float(ends[0]), float(ends[-1])]]), 0.25, SHADES)[0]
        np.testing.assert_array_equal(strip[[0, -1]], expected)


# ---- Layout --------------------------------------------------------------------------------------

SHAPES = [(40, 60), (60, 40), (20, 200), (200, 20), (50, 50), (7, 9)]


def saved(figure, folder, **options):
    from PIL import Image

    figure.savefig(folder / "saved.png", **options)
    with Image.open(folder / "saved.png") as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("figsize", [(15, 8), (12, 3), (4, 9)])
@pytest.mark.parametrize("count", [1, 3])
def test_figures_have_no_white_bands(shape, figsize, count, tmp_path):
    dark = np.full((count, *shape, 3), 40, np.uint8)
    values = np.repeat(blobs(size=shape)[None], count, axis=0)
    figure = PAINTER.visualize(
        dark, values, values, "both", style="blended", figsize=figsize, show=False, caption="a b c"
    )
    width, height = figure.get_size_inches()
    assert width <= max(figsize[0], 4) + 1e-9
    assert height <= count * max(figsize[1], 2.5) + 1e-9
    boxes = [panel.get_window_extent() for panel in figure.axes]
    for box in boxes:
        assert box.height / box.width == pytest.approx(shape[0] / shape[1], rel=1e-6)
    for left, right in pairwise(boxes[:3]):
        readable = max(120 - left.width, 0)  # pixels that a title needs over a narrow picture
        assert right.x0 - left.x1 <= readable + 10.01
    pixels = saved(figure, tmp_path)
    ink = (pixels < 250).any(axis=2)
    blank_rows = np.flatnonzero(ink.any(axis=1))
    assert blank_rows[0] <= 25
    assert len(pixels) - 1 - blank_rows[-1] <= 25
    blank = np.flatnonzero(~ink.any(axis=1))
    runs = np.split(blank, np.flatnonzero(np.diff(blank) > 1) + 1)
    assert max(len(run) for run in runs) <= 25


def test_nothing_overlaps():
    """Titles, ticks, labels, keys and caption, in the narrowest columns and the widest words."""
    long = "a very long title of_a_photograph_with_no_spaces_in_its_name.jpg: " * 3
    for shape in SHAPES:
        values = blobs(size=shape)
        image = np.full((*shape, 3), 100, np.uint8)
        figure = PAINTER.visualize(
            image,
            values,
            values,
            "both",
            style="heat",
            error=np.abs(values[..., 0]),
            caption=long,
            titles=[long] * 4,
            show=False,
            figsize=(10, 4),
        )
        figure.canvas.draw()
        drawn = [panel.title for panel in figure.axes] + figure.texts
        boxes = [text.get_window_extent() for text in drawn]
        boxes += [panel.get_window_extent() for panel in figure.axes]
        page = figure.bbox
        for index, box in enumerate(boxes):
            assert page.x0 - 1 <= box.x0
            assert box.x1 <= page.x1 + 1
            assert page.y0 - 1 <= box.y0
            assert box.y1 <= page.y1 + 1
            for other in boxes[index + 1 :]:
                across = min(box.x1, other.x1) - max(box.x0, other.x0)
                along = min(box.y1, other.y1) - max(box.y0, other.y0)
                assert min(across, along) <= 2.5, (shape, box, other)


ODD_NAMES = [
    "b $^$ c",
    "price $5_ and $6",
    "caf\udce9",
    "\u65e5\u672c",
    "a\tb\x07",
    r"\frac{1}{2}$",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_text_is_drawn_as_it_is(name, tmp_path):
    figure = PAINTER.visualize(
        IMAGE, VALUES, VALUES, titles=[name] * 3, caption=name, show=False, save=tmp_path / "x.png"
    )
    if name.isprintable() and name.isascii():
        assert figure.axes[0].get_title() == name
        assert words(figure)[-1] == name
    for suffix in ("pdf", "svg"):
        PAINTER.visualize(
            IMAGE, VALUES, VALUES, titles=[name] * 3, show=False, save=tmp_path / f"x.{suffix}"
        )
    own = mpl.figure.Figure()
    PAINTER.visualize(
        IMAGE,
        VALUES,
        VALUES,
        titles=[name] * 3,
        show=False,
        axes=own.subplots(1, 3),
        save=tmp_path / "own.png",
    )


def test_letters_are_as_wide_as_matplotlib_draws_them():
    figure = mpl.figure.Figure()
    text = figure.text(0, 0, "Integrated gradients, 0.25 and more", fontsize=12)
    figure.canvas.draw()
    drawn = text.get_window_extent().width / figure.dpi
    assert lettering.width_of(text.get_text(), 12) == pytest.approx(drawn, rel=0.05)
    words = "one two three four " * 5
    broken = lettering.fit(words, 1.0, 10, most=3).split("\n")
    assert len(broken) == 3
    assert broken[-1].endswith("\N{HORIZONTAL ELLIPSIS}")
    assert all(lettering.width_of(line, 10) <= 1.0 for line in broken)
    assert lettering.fit("one", 1.0, 10, most=3) == "one"
    assert lettering.fit("", 1.0, 10, most=3) == ""


def test_a_saved_figure_is_drawn_once_and_stays_whole(tmp_path, monkeypatch):
    drawn = []
    draw = mpl.figure.Figure.draw
    monkeypatch.setattr(
        mpl.figure.Figure, "draw", lambda self, renderer: [drawn.append(self), draw(self, renderer)]
    )
    large = np.random.default_rng(0).integers(0, 256, (700, 1000, 3), dtype=np.uint8)
    values = blobs(size=large.shape[:2])
    figure = PAINTER.visualize(large, None, values, show=False, save=tmp_path / "x.png")
    assert len(drawn) == 1
    np.testing.assert_array_equal(shown_pictures(figure)[0], large)
    few = saved(figure, tmp_path)
    from PIL import Image

    with Image.open(tmp_path / "x.png") as picture:
        ours = np.asarray(picture.convert("RGB"))
    assert ours.shape == few.shape
    # Averages either way, of other windows.
    assert abs(ours.astype(float).mean() - few.astype(float).mean()) < 1


def test_figures_are_saved_from_threads(tmp_path):
    def draw(index):
        path = tmp_path / f"{index}.png"
        PAINTER.visualize(IMAGE, VALUES, blobs(3), style="heat", show=False, save=path)
        return path.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(draw, range(12)))
    assert set(drawn) == {draw("alone")}
    assert plt.get_fignums() == []


FIGURES = {
    "overlay": {"clip_above_percentile": 99},
    "outlines": {
        "clip_above_percentile": 95,
        "clip_below_percentile": 28,
        "morphological_cleanup": True,
        "outlines": True,
        "polarity": "both",
    },
    "heat": {"style": "heat", "polarity": "both", "error": np.full((HEIGHT, WIDTH), 0.1)},
    "masked": {"style": "masked"},
    "blended": {"style": "blended", "polarity": "both"},
}


@pytest.mark.skipif(mpl.__version_info__ < (3, 11), reason="letters and places are those of 3.11")
@pytest.mark.parametrize("name", FIGURES)
def test_figures_look_as_they_did(name, tmp_path):
    """Against the committed pictures; root mean square of 3 in 255 allows for other fonts.

    After a wanted change: INTGRAD_NEW_FIGURES=1 pytest -k look_as, and look at what it wrote.
    """
    options = {"figsize": (9, 4), "show": False, **FIGURES[name]}
    found = tmp_path / f"{name}.png"
    PAINTER.visualize(IMAGE, VALUES, blobs(3), save=found, **options)
    if os.environ.get("INTGRAD_NEW_FIGURES"):
        DATA.mkdir(exist_ok=True)
        (DATA / f"{name}.png").write_bytes(found.read_bytes())
    assert compare_images(DATA / f"{name}.png", found, tol=3) is None


# ---- Sliders -------------------------------------------------------------------------------------


def decode(picture):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(picture.value)))


def test_explore_redraws_as_the_sliders_move():
    pytest.importorskip("ipywidgets", reason="explore needs ipywidgets")
    box = intgrad.explore(IMAGE, VALUES, 2 * VALUES)
    controls, shown = box.controls, box.pictures
    np.testing.assert_array_equal(decode(shown["Photograph"]), IMAGE)

    def expected(values, **options):
        return PAINTER.process_grads(IMAGE, values, clip=None, **options).astype(np.uint8)

    def check(**options):
        for name, values in (("Gradients", VALUES), ("Integrated gradients", 2 * VALUES)):
            np.testing.assert_array_equal(decode(shown[name]), expected(values, **options))

    options = {"clip_above_percentile": 99, "clip_below_percentile": 0}
    check(**options)
    controls["percentiles"].value = (28, 95)
    options = {"clip_above_percentile": 95, "clip_below_percentile": 28}
    check(**options)
    controls["polarity"].value = "both"
    check(polarity="both", **options)
    controls["cleanup"].value = 3
    options |= {"polarity": "both", "morphological_cleanup": True}
    check(**options)
    controls["outlines"].value = True
    controls["outlined"].value = 50
    check(outlines=True, outlines_component_percentage=50, **options)
    controls["overlay"].value = False
    check(outlines=True, outlines_component_percentage=50, overlay=False, **options)


def test_a_notebook_draws_the_figure_that_comes_back():
    figure = intgrad.GradVisualizer().visualize(IMAGE, VALUES, VALUES, show=False)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_explore_does_not_frame_the_picture():
    """Noise everywhere, cleaned up, is one region that fills the picture."""
    pytest.importorskip("ipywidgets", reason="explore needs ipywidgets")
    noise = np.random.default_rng(5).normal(0, 1, IMAGE.shape)
    box = intgrad.explore(IMAGE, noise, noise)
    for name, value in {
        "polarity": "both",
        "cleanup": 2,
        "outlines": True,
        "overlay": False,
        "percentiles": (0, 99),
    }.items():
        box.controls[name].value = value
    shown = decode(box.pictures["Integrated gradients"])
    for edge in (shown[0], shown[-1], shown[:, 0], shown[:, -1]):
        assert not edge.any()
    options = {"polarity": "both", "morphological_cleanup": True, "structure": np.ones((2, 2))}
    framed = PAINTER.process_grads(
        None, noise, clip_above_percentile=99, outlines=True, overlay=False, clip=None, **options
    )
    assert framed[0].any(axis=1).mean() > 0.9  # as in the example
    np.testing.assert_array_equal(shown[1:-1, 1:-1], framed[1:-1, 1:-1])


def test_explore_shows_grey_images():
    pytest.importorskip("ipywidgets", reason="explore needs ipywidgets")
    box = intgrad.explore(IMAGE[..., :1], VALUES, VALUES)
    np.testing.assert_array_equal(
        decode(box.pictures["Photograph"]), np.repeat(IMAGE[..., :1], 3, axis=2)
    )
