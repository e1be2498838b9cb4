"""The pictures beyond the seed: both signs, styles, grids, the error panel, the sliders."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import seed_twin

import intgrad
from intgrad.pictures import styles

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


def test_heat_is_symmetric_about_zero():
    values = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]])
    colours = styles.heat(values, 2.0, "both").astype(int)
    mirrored = styles.heat(-values, 2.0, "both").astype(int)
    np.testing.assert_array_equal(colours, mirrored[:, ::-1])
    red, blue = colours[0, 4], colours[0, 0]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert colours[0, 2].min() > 240
    beyond = styles.heat(3 * values, 2.0, "both")
    np.testing.assert_array_equal(beyond[0, [0, 4]], colours[0, [0, 4]])


def test_masked_and_blended():
    values = np.array([[0.0, 0.5, -1.0, 7.0]])
    image = np.full((1, 4, 3), 200, np.uint8)
    np.testing.assert_array_equal(styles.masked(image, values, 1.0)[0, :, 0], [0, 100, 200, 200])
    blended = styles.blended(image, values, 1.0, "both")
    np.testing.assert_array_equal(blended[0, 0], [227, 227, 227])  # grey, lightened
    np.testing.assert_array_equal(blended[0, 3], styles.heat(values, 1.0, "both")[0, 3])
    grey = image[..., :1]
    np.testing.assert_array_equal(
        styles.masked(grey, values, 1.0), styles.masked(image, values, 1.0)
    )


def test_what_is_not_trusted_is_grey():
    values = np.array([[1.0, -1.0, 0.1, 0.0]])
    deviations = np.array([[0.4, 0.6, 0.04, 0.0]])
    shown = styles.trusted(values, deviations, 2.0, 1.0)
    assert [tuple(p) == (160, 160, 160) for p in shown[0]] == [False, True, False, True]


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
    assert tuple(figure.get_size_inches()) == (15, 8)


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
        assert tuple(figure.get_size_inches()) == (9, 4)
        drawn = shown_pictures(figure)
        assert len(drawn) == 6
        for strong, faint in (drawn[1::3], drawn[2::3]):
            bare = IMAGE if style == "overlay" else styles.heat(0 * VALUES[..., 0], 1, "both")
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
    assert figure.axes[3].get_title() == "Beyond 2 sd"
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
        ({"titles": ["one"]}, r"titles must be 3, one for each panel, got \['one'\]"),
        ({"gradients": VALUES[:-1]}, r"gradients must match the image"),
        ({"integrated_gradients": VALUES[0]}, "integrated_gradients must have 3 or 4 dimensions"),
        ({"image": np.zeros((0, 4, 3))}, "image must have 3 or 4 dimensions"),
    ],
)
def test_what_is_wrong_is_said(options, text):
    arguments = {"image": IMAGE, "gradients": VALUES, "integrated_gradients": VALUES}
    with pytest.raises(ValueError, match=text):
        PAINTER.visualize(**{**arguments, "show": False, **options})


def test_axes_must_be_as_many_as_panels():
    axes = mpl.figure.Figure().subplots(1, 2)
    with pytest.raises(ValueError, match="axes must be 1 x 3"):
        PAINTER.visualize(IMAGE, VALUES, VALUES, axes=axes, show=False)


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


@pytest.mark.parametrize("name", FIGURES)
def test_figures_look_as_they_did(name, tmp_path):
    """Against the committed pictures; root mean square of 3 in 255 allows for other fonts.

    After a wanted change: INTGRAD_NEW_FIGURES=1 pytest -k look_as, and look at what it wrote.
    """
    options = {"figsize": (6, 2), "show": False, **FIGURES[name]}
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
