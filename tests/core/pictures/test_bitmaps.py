"""Pages of pixels: what matplotlib would have drawn, but no figure."""

import numpy as np
import pytest

from intgrad.pictures.bitmaps import DPI, write_columns
from intgrad.pictures.colours import NEGATIVE, POSITIVE
from intgrad.pictures.contents import Bar, Column, Key
from intgrad.pictures.figures import draw_columns
from intgrad.pictures.layout import width_for
from intgrad.pictures.lettering import by_font

mpl = pytest.importorskip("matplotlib", reason="pictures use matplotlib's fonts")
Image = pytest.importorskip("PIL.Image", reason="Pillow reads the files")


def read(path):
    with Image.open(path) as file:
        assert file.mode == "RGB"
        return np.asarray(file)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    return np.dstack([255 * x / width, 255 * y / height, 90 + 0 * x]).astype(np.uint8)


def columns_of(picture, titles=("Input", "Normal gradients", "Integrated gradients")):
    ramp = np.linspace(0, 255, 511).astype(np.uint8)[np.newaxis, :, np.newaxis].repeat(3, axis=2)
    bars = [None, *[Bar(ramp, -0.00014, 0.00014, "score units per pixel")] * (len(titles) - 1)]
    return [Column(title, [picture], bar) for title, bar in zip(titles, bars, strict=True)]


KEYS = [Key(POSITIVE, "raises the score"), Key(NEGATIVE, "lowers the score"), Key(None, "words")]
CAPTION = "photo.jpg: tabby 87 %, probability 0.87 here, attributions off by about 3 %"


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (30, 40), (30, 200)])
@pytest.mark.parametrize("caption", [None, CAPTION, 5 * CAPTION])
def test_a_bitmap_is_the_figure(shape, caption, tmp_path):
    columns = columns_of(smooth(*shape), ["Input", "A long title " * 8, "Gradients"])
    options = {"figsize": (9, 6), "keys": KEYS, "caption": caption}
    draw_columns(columns, save=tmp_path / "figure.png", **options)
    write_columns(tmp_path / "bitmap.png", columns, **options)
    with Image.open(tmp_path / "figure.png") as file:
        figure = np.asarray(file.convert("RGB"), float)
    bitmap = read(tmp_path / "bitmap.png").astype(float)
    np.testing.assert_allclose(figure.shape, bitmap.shape, atol=1)
    height, width = np.minimum(figure.shape, bitmap.shape)[:2]
    # Letters may be a pixel off, which means of 16 x 16 pixels forgive; they do not forgive a patch
    # of colour that is missing (41 or more), nor words 6 pixels off (28 or more). Before matplotlib
    # 3.11 a figure's letters are hinted, which is a pixel more.
    most = 22 if mpl.__version_info__ >= (3, 11) else 28
    height, width = height // 16 * 16, width // 16 * 16
    blocks = [
        page[-height:, :width].reshape(height // 16, 16, width // 16, 16, 3).mean(axis=(1, 3))
        for page in (figure, bitmap)
    ]
    assert np.abs(blocks[0] - blocks[1]).max() < most


def test_a_picture_that_fits_is_not_resized(tmp_path):
    picture = noise(267, 400)
    figsize = (width_for(3, 400 / DPI), 600 / DPI)
    write_columns(tmp_path / "x.png", columns_of(picture), figsize=figsize, caption=CAPTION)
    page = read(tmp_path / "x.png")
    windows = np.lib.stride_tricks.sliding_window_view(page[:, :, 0], (8, 8))
    found = np.argwhere((windows == picture[:8, :8, 0]).all(axis=(2, 3)))
    assert len(found) == 3
    for top, left in found:
        np.testing.assert_array_equal(page[top : top + 267, left : left + 400], picture)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a\n\nb", "\u0301", "price $5_ and $6", "caf\udce9", "\u65e5\u672c", "a\tb\x07"],
)
def test_any_text_is_drawn(text, tmp_path):
    write_columns(
        tmp_path / "x.png", columns_of(noise(20, 30), [text] * 2), figsize=(5, 5), caption=text
    )
    assert read(tmp_path / "x.png").shape[1] == 500


def test_letters_come_from_the_first_font_that_has_them(tmp_path):
    plain = by_font("caf\u00e9 5")
    assert [part for _, part in plain] == ["caf\u00e9 5"]
    with mpl.rc_context({"font.family": ["cmr10", "DejaVu Sans"]}):
        parts = by_font("caf\u00e9 5")
        assert "".join(part for _, part in parts) == "caf\u00e9 5"
        assert dict(map(reversed, parts))["caf"].endswith("cmr10.ttf")
        assert dict(map(reversed, parts))["\u00e9"] == plain[0][0]
        write_columns(
            tmp_path / "x.png",
            columns_of(noise(20, 30), ["caf\u00e9"] * 2),
            figsize=(5, 5),
            caption="caf\u00e9 5",
        )
    write_columns(
        tmp_path / "y.png",
        columns_of(noise(20, 30), ["caf\u00e9"] * 2),
        figsize=(5, 5),
        caption="caf\u00e9 5",
    )
    first, second = read(tmp_path / "x.png"), read(tmp_path / "y.png")
    assert first.shape != second.shape or (first != second).any()
