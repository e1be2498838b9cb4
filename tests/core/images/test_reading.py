"""load_image, on files written here."""

import contextlib
import io
import re
import struct
import sys
import types
import zlib

import numpy as np
import pytest

import intgrad
from intgrad.images import reading

PIL = pytest.importorskip("PIL.Image", reason="load_image needs Pillow")
from PIL import ImageCms, ImageOps  # noqa: E402

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def save(folder, array, mode=None, name="x.png", **options):
    path = folder / name
    picture = PIL.fromarray(array) if mode is None else PIL.fromarray(array).convert(mode)
    picture.save(path, **options)
    return path


def test_rgb_is_read_as_it_is(tmp_path):
    image = intgrad.load_image(save(tmp_path, RGB))
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, RGB)
    np.testing.assert_array_equal(intgrad.load_image(str(tmp_path / "x.png")), RGB)


@pytest.mark.parametrize("size", [(3, 4), (6, 9), (13, 2)])
def test_resize_is_nearest_neighbour_as_in_keras(tmp_path, size):
    expected = PIL.fromarray(RGB).resize((size[1], size[0]), PIL.Resampling.NEAREST)
    image = intgrad.load_image(save(tmp_path, RGB), size=size)
    np.testing.assert_array_equal(image, np.asarray(expected))


@pytest.mark.parametrize("size", [299, (299,), (0, 5), (-1, 5), (2.0, 2), "ab", (True, 5)])
def test_size_is_height_and_width(tmp_path, size):
    with pytest.raises(ValueError, match="size must be"):
        intgrad.load_image(save(tmp_path, RGB), size=size)


def test_grey_becomes_rgb(tmp_path):
    image = intgrad.load_image(save(tmp_path, RGB[..., 0]))
    np.testing.assert_array_equal(image, RGB[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("kind", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(tmp_path, kind):
    rgba = np.dstack([RGB, np.linspace(0, 255, 54).reshape(6, 9).astype(np.uint8)])
    picture = PIL.fromarray(rgba).convert(kind)
    picture.save(tmp_path / "x.png")
    solid = np.float64(np.asarray(picture.convert("RGBA")))
    alpha = solid[..., 3:] / 255
    expected = alpha * solid[..., :3] + (1 - alpha) * 255
    np.testing.assert_allclose(intgrad.load_image(tmp_path / "x.png"), expected, atol=1)


def test_transparent_palette(tmp_path):
    picture = PIL.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.save(tmp_path / "x.png", transparency=0)
    image = intgrad.load_image(tmp_path / "x.png")
    np.testing.assert_array_equal(image[0], [[255, 255, 255], [40, 50, 60]])


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "P", "1", "L"])
@pytest.mark.parametrize("channels", [3, 1])
def test_modes_are_converted_as_pillow_does(tmp_path, mode, channels):
    path = tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.png")
    PIL.fromarray(RGB).convert(mode).save(path)
    with PIL.open(path) as picture:
        expected = picture.convert("RGB")
    expected = expected if channels == 3 else expected.convert("L")
    image = intgrad.load_image(path, channels=channels)
    np.testing.assert_array_equal(image, np.asarray(expected).reshape(*RGB.shape[:2], channels))


def test_lab(tmp_path):
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    ImageCms.applyTransform(PIL.fromarray(RGB), to_lab).save(tmp_path / "x.tif")
    with PIL.open(tmp_path / "x.tif") as picture:
        assert picture.mode == "LAB"
    np.testing.assert_allclose(intgrad.load_image(tmp_path / "x.tif"), RGB, atol=20)


# ---- Grey ----------------------------------------------------------------------------------------


def test_grey_of_colours_is_luminance(tmp_path):
    image = intgrad.load_image(save(tmp_path, RGB), size=(3, 4), channels=1)
    assert image.shape == (3, 4, 1)
    assert image.dtype == np.float32
    expected = PIL.fromarray(RGB).convert("L").resize((4, 3), PIL.Resampling.NEAREST)
    np.testing.assert_array_equal(image[..., 0], np.asarray(expected))
    grey = save(tmp_path, RGB[..., 0], name="grey.png")
    np.testing.assert_array_equal(intgrad.load_image(grey, channels=1), RGB[..., :1])


@pytest.mark.parametrize("channels", [0, 2, 4, 13, "3", None])
def test_files_are_read_as_one_or_three_channels(tmp_path, channels):
    with pytest.raises(ValueError, match=f"must be 3 .* got {channels!r}: pass other images as"):
        intgrad.load_image(save(tmp_path, RGB), channels=channels)


# ---- More than 8 bits ----------------------------------------------------------------------------

DEEP = np.random.default_rng(2).integers(0, 65536, (6, 9), dtype=np.uint16)
DEEP[0, :4] = 0, 257, 65535, 32896


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(path, kind, data):
    """Put one more chunk before the pixels of a PNG."""
    png = path.read_bytes()
    path.write_bytes(png[:33] + chunk(kind, data) + png[33:])
    return path


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
@pytest.mark.parametrize("channels", [3, 1])
def test_sixteen_bits_keep_their_precision(tmp_path, name, channels):
    image = intgrad.load_image(save(tmp_path, DEEP, name=name), channels=channels)
    assert image.shape == (6, 9, channels)
    assert image.dtype == np.float32
    expected = (DEEP / 257.0).astype(np.float32)
    for channel in range(channels):
        np.testing.assert_array_equal(image[..., channel], expected)
    np.testing.assert_array_equal(image[0, :4, 0], [0, 1, 255, 128])


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bits_are_turned_and_resized(tmp_path, name):
    exif = PIL.Exif()
    exif[0x0112] = 6
    image = intgrad.load_image(save(tmp_path, DEEP, name=name, exif=exif))
    turned = np.float32(np.rot90(DEEP, -1)) / np.float32(257)
    np.testing.assert_array_equal(image[..., 1], turned)
    image = intgrad.load_image(tmp_path / name, size=(3, 2), channels=1)
    small = PIL.fromarray(turned).resize((2, 3), PIL.Resampling.NEAREST)
    np.testing.assert_array_equal(image[..., 0], np.asarray(small))


@pytest.mark.parametrize("values", [[0, 0, 0], [1, 1, 1], [200, 200, 7], [65535, 65535, 65535]])
def test_dark_and_constant_pictures_of_sixteen_bits(tmp_path, values):
    """A file of 16 bits says what white is, however dark it is."""
    for name in ("x.png", "x.tif"):
        image = intgrad.load_image(save(tmp_path, np.array([values], np.uint16), name=name))
        np.testing.assert_array_equal(image[0, :, 0], np.float32(np.array(values) / 257.0))


def tiff(bits, sample_format, data, width, height, photometric=1):
    """An uncompressed grey TIFF, little-endian."""
    tags = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8 + 2 + 9 * 12 + 4),
        (278, 3, height),
        (279, 4, len(data)),
        (339, 3, sample_format),
    ]
    ifd = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + ifd + bytes(4) + data


def test_twelve_bits_have_a_white_of_their_own(tmp_path):
    values = np.array([[0, 4095, 2048, 1]])
    packed = b"".join(
        struct.pack(">I", (a << 12 | b) << 8)[:3] for a, b in values.reshape(-1, 2).tolist()
    )
    (tmp_path / "x.tif").write_bytes(tiff(12, 1, packed, 4, 1))
    image = intgrad.load_image(tmp_path / "x.tif", channels=1)
    np.testing.assert_allclose(image[..., 0], values / 4095 * 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "sample_format", "white"),
    [("u1", 1, 255), ("<u2", 1, 65535), ("<f4", 3, 1.0)],
)
@pytest.mark.parametrize("photometric", [0, 1])
def test_where_white_is_zero(tmp_path, dtype, sample_format, white, photometric):
    """Of 8 bits Pillow sees to it, of more bits it does not."""
    values = np.linspace(0, white, 20).astype(dtype).reshape(4, 5)
    data = tiff(8 * values.itemsize, sample_format, values.tobytes(), 5, 4, photometric)
    (tmp_path / "x.tif").write_bytes(data)
    expected = np.float64(values) / white * 255
    image = intgrad.load_image(tmp_path / "x.tif", channels=1)[..., 0]
    np.testing.assert_allclose(image, expected if photometric else 255 - expected, atol=1e-4)


@pytest.mark.parametrize("photometric", [0, 1])
def test_where_white_is_zero_in_a_compressed_file(tmp_path, photometric):
    options = {"compression": "tiff_adobe_deflate", "tiffinfo": {262: photometric}}
    path = save(tmp_path, DEEP, name="x.tif", **options)
    with PIL.open(path) as picture:
        assert picture.tag_v2[262] == photometric
    image = intgrad.load_image(path)[..., 1]
    np.testing.assert_allclose(image, (DEEP if photometric else 65535 - DEEP) / 257, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 255, 7], [0, 255, 7]), ([0, 32767, 300], [0, 255, 300 / 32767 * 255])],
)
def test_signed_integers_of_sixteen_bits(tmp_path, values, expected):
    (tmp_path / "x.tif").write_bytes(tiff(16, 2, np.array(values, "<i2").tobytes(), 3, 1))
    np.testing.assert_allclose(intgrad.load_image(tmp_path / "x.tif")[0, :, 0], expected, rtol=1e-6)
    (tmp_path / "x.tif").write_bytes(tiff(16, 2, np.array([-1, 0, 5], "<i2").tobytes(), 3, 1))
    with pytest.raises(ValueError, match=r"holds values in -1..5, .* 0..255 or 0..32767: scale"):
        intgrad.load_image(tmp_path / "x.tif")


@pytest.mark.parametrize(("scale", "factor"), [(1.0, 255.0), (255.0, 1.0)])
def test_floats(tmp_path, scale, factor):
    values = np.random.default_rng(3).random((6, 9), np.float32) * np.float32(scale)
    image = intgrad.load_image(save(tmp_path, values, name="x.tif"))
    assert image.shape == (6, 9, 3)
    np.testing.assert_allclose(image[..., 2], values * factor, rtol=1e-6)
    assert 100 < image.mean() < 155


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 255, 128, 7], [0, 255, 128, 7]),
        ([0, 65535, 257, 128], [0, 255, 1, 128 / 257]),
        ([5, 5, 5, 5], [5, 5, 5, 5]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),
        ([256, 256, 256, 256], [256 / 257] * 4),
    ],
)
def test_integers_of_32_bits(tmp_path, values, expected):
    path = save(tmp_path, np.array([values], np.int32), name="x.tif")
    np.testing.assert_allclose(intgrad.load_image(path)[0, :, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("values", [[0, 0], [0.25, 0.25], [1, 1]])
def test_constant_floats(tmp_path, values):
    path = save(tmp_path, np.array([values], np.float32), name="x.tif")
    np.testing.assert_allclose(intgrad.load_image(path)[0, :, 0], np.array(values) * 255)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.float32([[-1, 1]]), r"holds values in -1..1, and is understood in 0..1 or 0..255"),
        (np.float32([[0, 300]]), r"holds values in 0..300, .* pass an array in 0..255"),
        (np.float32([[0, np.nan]]), "holds NaN or inf"),
        (np.float32([[0, np.inf]]), "holds NaN or inf"),
        (np.int32([[0, 65536]]), r"holds values in 0..65536, .* in 0..255 or 0..65535"),
        (np.int32([[-3, 20]]), r"holds values in -3..20"),
    ],
)
def test_a_range_that_nobody_knows_is_refused(tmp_path, values, text):
    with pytest.raises(ValueError, match=f"x.tif' {text}"):
        intgrad.load_image(save(tmp_path, values, name="x.tif"))


def test_transparent_grey_of_sixteen_bits(tmp_path):
    path = with_chunk(save(tmp_path, DEEP), b"tRNS", struct.pack(">H", 257))
    assert intgrad.load_image(path)[0, :3, 0].tolist() == [0, 255, 255]


# ---- Orientation ---------------------------------------------------------------------------------

UPRIGHT = {
    1: RGB,
    2: RGB[:, ::-1],
    3: RGB[::-1, ::-1],
    4: RGB[::-1],
    5: RGB.swapaxes(0, 1),
    6: np.rot90(RGB, -1),
    7: np.rot90(RGB, 2).swapaxes(0, 1),
    8: np.rot90(RGB),
}
FORMATS = {
    "x.png": {},
    "x.tif": {},
    "x.jpg": {"quality": 95, "subsampling": 0},
    "x.webp": {"lossless": True},
}


def block(orientation, *others, order="<", kind=3):
    """An EXIF block; the other tags are (tag, type, count, 4 bytes)."""
    packed = {1: "B3x", 3: "H2x", 4: "I"}[kind]
    entries = [(0x0112, kind, 1, struct.pack(order + packed, orientation)), *others]
    ifd = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in sorted(entries))
    start = b"II*\0" if order == "<" else b"MM\0*"
    size = struct.pack(order + "H", len(entries))
    return b"Exif\0\0" + start + struct.pack(order + "I", 8) + size + ifd + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", FORMATS)
def test_exif_orientation_is_applied(tmp_path, name, orientation):
    exif = PIL.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, RGB, name=name, exif=exif, **FORMATS[name])
    image = intgrad.load_image(path)
    with PIL.open(path) as picture:
        np.testing.assert_array_equal(image, np.asarray(ImageOps.exif_transpose(picture)))
    atol = 0 if name != "x.jpg" else 60
    np.testing.assert_allclose(image, UPRIGHT[orientation], atol=atol)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("options", [{"order": ">"}, {"kind": 4}, {"kind": 1}])
def test_every_way_to_write_an_orientation(tmp_path, orientation, options):
    path = save(tmp_path, RGB, exif=block(orientation, **options))
    np.testing.assert_array_equal(intgrad.load_image(path), UPRIGHT[orientation])


def test_orientation_in_xmp_as_pillow_reads_it(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    path = save(tmp_path, RGB, name="x.webp", lossless=True, xmp=xmp)
    with PIL.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(intgrad.load_image(path), expected)


# A tag of every kind of trouble: of a wrong type, of no type, or with data that are not there.
ODD_TAGS = {
    "description is a rational": (0x10E, 5, 1, b"\x26\0\0\0"),
    "width is text": (0x100, 2, 4, b"abc\0"),
    "unit is text": (0x128, 2, 4, b"abc\0"),
    "positioning is a double": (0x213, 12, 1, b"\x08\0\0\0"),
    "resolution is text": (0x11A, 2, 4, b"abc\0"),
    "resolution is a byte": (0x11A, 1, 1, b"\x26\0\0\0"),
    "resolution is nothing": (0x11A, 2, 1, b"\0\0\0\0"),
    "resolution is undefined": (0x11A, 7, 1, b"\x26\0\0\0"),
    "artist lies beyond the end": (0x13B, 2, 99, b"\xff\xff\0\0"),
    "description lies beyond the end": (0x10E, 2, 99, b"\xff\xff\0\0"),
    "description has a huge count": (0x10E, 12, 0xFFFFFFFF, b"\x08\0\0\0"),
    "type is unknown": (0x10E, 77, 1, b"\0\0\0\0"),
    "the EXIF pointer leads nowhere": (0x8769, 4, 1, b"\xff\xff\xff\xff"),
    "the EXIF pointer is text": (0x8769, 2, 4, b"abc\0"),
    "the GPS pointer is a loop": (0x8825, 4, 1, b"\x08\0\0\0"),
}


@pytest.mark.parametrize("tag", ODD_TAGS)
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp"])
def test_a_photograph_is_turned_whatever_its_other_tags_hold(tmp_path, tag, name):
    unit = (0x128, 3, 1, b"\x02\0\0\0")  # without one Pillow asks for no resolution
    exif = block(6, ODD_TAGS[tag], *([unit] if ODD_TAGS[tag][0] == 0x11A else []))
    path = save(tmp_path, RGB, name=name, exif=exif, **FORMATS[name])
    np.testing.assert_allclose(
        intgrad.load_image(path), UPRIGHT[6], atol=60 if name == "x.jpg" else 0
    )


@pytest.mark.parametrize("tag", [tag for tag in ODD_TAGS if "width" not in tag])
def test_a_tiff_is_turned_whatever_its_other_tags_hold(tmp_path, tag):
    if "huge" in tag and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow opens such a file from 13 on")
    grey = RGB[..., 0]
    entries = [
        (256, 3, 1, struct.pack("<I", 9)),
        (257, 3, 1, struct.pack("<I", 6)),
        (258, 3, 1, struct.pack("<I", 8)),
        (259, 3, 1, struct.pack("<I", 1)),
        (262, 3, 1, struct.pack("<I", 1)),
        (0x112, 3, 1, struct.pack("<I", 6)),
        (273, 4, 1, struct.pack("<I", 512)),
        (278, 3, 1, struct.pack("<I", 6)),
        (279, 4, 1, struct.pack("<I", grey.size)),
        ODD_TAGS[tag],
    ]
    ifd = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in sorted(entries))
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + ifd + bytes(4)
    (tmp_path / "x.tif").write_bytes(data.ljust(512, b"\0") + grey.tobytes())
    if tag == "description lies beyond the end":  # Pillow reads no further
        with pytest.raises(ValueError, match="x.tif'"):
            intgrad.load_image(tmp_path / "x.tif", channels=1)
    else:
        image = intgrad.load_image(tmp_path / "x.tif", channels=1)
        np.testing.assert_array_equal(image[..., 0], np.rot90(grey, -1))


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_block_is_no_exception(tmp_path, name):
    """Bytes of a sound block overwritten at random, and blocks cut short."""
    generator = np.random.default_rng(4)
    sound = block(6, *(ODD_TAGS[tag] for tag in list(ODD_TAGS)[:2]))
    blocks = [sound[:length] for length in range(6, len(sound), 3)]
    for _ in range(60):
        damaged = bytearray(sound)
        for position in generator.integers(6, len(sound), 3):
            damaged[position] = generator.integers(256)
        blocks.append(bytes(damaged))
    encoded = io.BytesIO()
    kind = {"x.jpg": "JPEG", "x.png": "PNG", "x.webp": "WEBP", "x.tif": "TIFF"}[name]
    for each in blocks:
        encoded.seek(0)
        encoded.truncate()
        options = {} if name == "x.tif" else {"exif": each}
        PIL.fromarray(RGB).save(encoded, kind, **options, **FORMATS[name])
        data = bytearray(encoded.getvalue())
        if name == "x.tif":  # its tags are those of the file
            for position in generator.integers(8, 180, 3):
                data[position] = generator.integers(256)
        (tmp_path / name).write_bytes(data)
        if name == "x.tif":  # some of its tags say where the pixels are
            with contextlib.suppress(ValueError):
                intgrad.load_image(tmp_path / name)
        else:
            assert intgrad.load_image(tmp_path / name).shape in ((6, 9, 3), (9, 6, 3))


# ---- What cannot be read -------------------------------------------------------------------------


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no.png"):
        intgrad.load_image(tmp_path / "no.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"text.png' is not a picture"):
        intgrad.load_image(tmp_path / "text.png")
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for name in ("x.png", "x.jpg"):
        path = save(tmp_path, noise, name=name)
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ValueError, match=f"{name}' is damaged"):
            intgrad.load_image(path)


def test_large_pictures_are_refused_before_decoding(tmp_path, monkeypatch):
    path = save(tmp_path, RGB)
    monkeypatch.setattr(reading, "MAX_PIXELS", 53)
    with pytest.raises(ValueError, match="too large: 6 x 9 pixels, and the limit is 53"):
        intgrad.load_image(path)
    monkeypatch.setattr(PIL, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(ValueError, match="too large"):
        intgrad.load_image(path)


def test_chunks_that_are_too_large(tmp_path):
    for kind, start in ((b"zTXt", b"Comment\0\0"), (b"iCCP", b"icc\0\0")):
        data = start + zlib.compress(bytes(3_000_000))
        with pytest.raises(ValueError, match=r"x.png' .* Pillow takes: (?i:decompressed data)"):
            intgrad.load_image(with_chunk(save(tmp_path, RGB), kind, data))


def photograph_jpeg():
    encoded = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    PIL.fromarray(noise).save(encoded, "JPEG", exif=block(6), icc_profile=bytes(5000))
    return encoded.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000"])
def test_files_cut_short_are_value_errors_that_name_them(tmp_path, kind):
    encoded = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    PIL.fromarray(noise).save(encoded, kind)
    whole = photograph_jpeg() if kind == "JPEG" else encoded.getvalue()
    for part in np.linspace(0, 0.9, 40):
        (tmp_path / "cut").write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ValueError, match=r"/cut' is (damaged, .*: .|not a picture)"):
            intgrad.load_image(tmp_path / "cut")


@pytest.mark.parametrize("error", [OSError, SyntaxError, struct.error, IndexError, RuntimeError])
@pytest.mark.parametrize("where", ["open", "load"])
def test_whatever_pillow_raises(tmp_path, monkeypatch, error, where):
    path = save(tmp_path, RGB)

    def fail(*arguments):
        raise error

    if where == "open":
        monkeypatch.setattr(PIL, "open", fail)
    else:
        monkeypatch.setattr(PIL.Image, "convert", fail)
    with pytest.raises(ValueError, match=rf"x.png' is damaged, .*: {error.__name__}"):
        intgrad.load_image(path)


def test_no_memory_is_no_damage(tmp_path, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(PIL.Image, "convert", fail)
    with pytest.raises(MemoryError):
        intgrad.load_image(save(tmp_path, RGB))


def test_what_open_raises_stays(tmp_path):
    with pytest.raises(IsADirectoryError):
        intgrad.load_image(tmp_path)


HEIC = b"\0\0\0\x18ftypheic" + bytes(99)
AVIF = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif" + bytes(99)


@pytest.mark.parametrize(
    ("name", "data", "advice"),
    [
        ("IMG_1.HEIC", HEIC, "pip install pillow-heif"),
        ("no_suffix", HEIC, "pip install pillow-heif"),
        ("x.heif", bytes(99), "pip install pillow-heif"),
        ("x.avif", bytes(99), "pip install pillow-avif-plugin"),
        ("mif1.jpg", AVIF, "pip install pillow-avif-plugin"),
    ],
)
def test_formats_that_need_a_plugin(tmp_path, monkeypatch, name, data, advice):
    for plugin in ("pillow_heif", "pillow_avif"):
        monkeypatch.setitem(sys.modules, plugin, None)
    known = dict(PIL.registered_extensions())
    for suffix in reading.SUFFIXES:
        known.pop(suffix, None)
    monkeypatch.setattr(PIL, "registered_extensions", lambda: known)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name}' is not a picture .* {re.escape(advice)}$"):
        intgrad.load_image(tmp_path / name)


def test_a_plugin_that_is_installed_is_used(tmp_path, monkeypatch):
    PIL.init()
    for table in ("OPEN", "EXTENSION", "ID"):
        monkeypatch.setattr(PIL, table, getattr(PIL, table).copy())

    def register():
        PIL.register_open(
            "HEIF", lambda file, name: PIL.fromarray(RGB), lambda prefix: prefix[4:8] == b"ftyp"
        )

    plugin = types.ModuleType("pillow_heif")
    plugin.register_heif_opener = register
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    (tmp_path / "x.heic").write_bytes(HEIC)
    np.testing.assert_array_equal(intgrad.load_image(tmp_path / "x.heic"), RGB)
