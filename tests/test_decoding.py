"""Image files of every kind become the right RGB pixels, and what is not a whole image is refused quickly."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, features
from scipy.ndimage import map_coordinates

from data.image.decoding import FORMATS, SUFFIXES, UnreadableImage, decode
from data.image.resizing import RESIZES, load_pixels
from tests.images import encode, smooth
from tests.raw_files import png

# pytest undoes the filters that data.image.decoding sets.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PIXELS = smooth(40, 30)
RGB = Image.fromarray(PIXELS)
RANDOM = np.random.default_rng(0)
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def pixels_of(encoded: bytes) -> np.ndarray:
    return np.asarray(decode(encoded)).astype(int)


def difference(encoded: bytes, expected: np.ndarray) -> int:
    pixels = pixels_of(encoded)
    assert pixels.shape == expected.shape
    return int(np.abs(pixels - expected).max())


def in_three_channels(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


# --- Formats and colour types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_format", "tolerance", "options"),
    [
        ("PNG", 0, {}),
        ("BMP", 0, {}),
        ("JPEG", 12, {"quality": 95, "subsampling": 0}),
        ("JPEG", 12, {"quality": 95, "subsampling": 0, "progressive": True}),
        ("WEBP", 0, {"lossless": True}),
        ("TIFF", 0, {}),
        ("TIFF", 0, {"compression": "tiff_lzw"}),
        ("TIFF", 0, {"compression": "tiff_adobe_deflate"}),
        ("TIFF", 12, {"compression": "jpeg", "quality": 95}),
        pytest.param("AVIF", 25, {"quality": 95, "subsampling": "4:4:4"}, marks=needs_avif),
    ],
)
def test_every_format_gives_its_pixels(file_format: str, tolerance: int, options: dict) -> None:
    assert difference(encode(PIXELS, file_format, **options), PIXELS) <= tolerance


def test_formats_and_suffixes_are_those_of_the_promise() -> None:
    assert set(FORMATS) - {"AVIF"} == {"JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"}
    assert {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"} <= SUFFIXES
    assert ("AVIF" in FORMATS) == (".avif" in SUFFIXES) == features.check("avif")


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(file_format: str) -> None:
    red, *others = [Image.new("RGB", (16, 12), colour) for colour in ("red", "lime", "blue")]
    encoded = encode(red, file_format, save_all=True, append_images=others)
    assert difference(encoded, np.asarray(red)) <= 4


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"transparency": bytes([0, 128, 255] * 5)}])
def test_a_palette_gives_its_colours_whatever_is_transparent(options: dict) -> None:
    palette = RGB.quantize(15)
    assert difference(encode(palette, **options), np.asarray(palette.convert("RGB"))) == 0


def test_a_gif_gives_its_palette_colours() -> None:
    palette = RGB.quantize(15)
    assert difference(encode(palette, "GIF"), np.asarray(palette.convert("RGB"))) == 0


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "WEBP"])
def test_alpha_is_dropped_and_not_blended(file_format: str) -> None:
    image = RGB.copy()
    image.putalpha(Image.fromarray(PIXELS[..., 0]))
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    assert difference(encode(image, file_format, **options), PIXELS) == 0


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_greyscale_has_three_equal_channels(mode: str) -> None:
    assert difference(encode(RGB.convert(mode)), in_three_channels(np.asarray(RGB.convert("L")))) == 0


def test_greyscale_jpeg_has_three_equal_channels() -> None:
    encoded = encode(RGB.convert("L"), "JPEG", quality=95)
    assert difference(encoded, in_three_channels(np.asarray(RGB.convert("L")))) <= 4


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF"])
def test_one_bit_is_black_and_white(file_format: str) -> None:
    image = RGB.convert("1")
    expected = in_three_channels(np.asarray(image) * 255)
    assert set(np.unique(expected)) == {0, 255}
    assert difference(encode(image, file_format), expected) == 0


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (4, 2), (2, 3), (6, 4)], ids=["L", "LA", "RGB", "RGBA"])
def test_sixteen_bits_keep_their_high_byte(colour: int, channels: int) -> None:
    levels = RANDOM.integers(0, 65536, (9, 11, channels)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    high = (levels >> 8).astype(int)
    expected = high[..., :3] if channels > 2 else in_three_channels(high[..., 0])
    assert difference(png(11, 9, colour=colour, depth=16, rows=rows), expected) <= 1


def test_cmyk_jpeg_has_the_colours_that_its_inks_give() -> None:
    inks = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 255], [0, 128, 128, 0]])
    expected = np.array([[255] * 3, [0, 255, 255], [255, 0, 255], [255, 255, 0], [0] * 3, [255, 127, 127]])
    squares = np.repeat(np.repeat(inks[None], 16, axis=0), 16, axis=1).astype(np.uint8)
    encoded = encode(Image.fromarray(squares, "CMYK"), "JPEG", quality=95, subsampling=0)
    assert np.abs(pixels_of(encoded)[8, 8::16] - expected).max() <= 8


# --- EXIF ---------------------------------------------------------------------------------------------------------------

UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # by the EXIF standard: what a viewer has to do
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", pytest.param("AVIF", marks=needs_avif)])
def test_exif_orientation_is_applied(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = pixels_of(encode(PIXELS, file_format))
    encoded = encode(PIXELS, file_format, exif=exif)

    assert difference(encoded, UPRIGHT[orientation](stored)) == 0


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"x" * 60000,
    ],
)
def test_damaged_exif_is_no_fault(exif: bytes) -> None:
    encoded = encode(PIXELS, "JPEG", exif=exif)
    assert difference(encoded, pixels_of(encode(PIXELS, "JPEG"))) == 0


@pytest.mark.parametrize("seed", range(40))
def test_random_exif_is_no_fault(seed: int) -> None:
    random = np.random.default_rng(seed)
    exif = bytearray(b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIHH", 4, 0x0112, 3, 1, 6, 0) + random.bytes(60))
    for place in random.integers(6, len(exif), 3):
        exif[place] = 255 if seed % 2 else 0
    encoded = encode(PIXELS, "JPEG", exif=bytes(exif))

    assert decode(encoded).size in {(40, 30), (30, 40)}


# --- What is not a whole image ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0.02, 0.1, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_truncated_file_is_unreadable(file_format: str, kept: float) -> None:
    encoded = encode(smooth(300, 200), file_format)
    with pytest.raises(UnreadableImage):
        decode(encoded[: int(len(encoded) * kept)])


@pytest.mark.parametrize("cut", [1, 2, 3, 10, 100])
def test_a_jpeg_without_its_last_bytes_is_unreadable(cut: int) -> None:
    with pytest.raises(UnreadableImage, match="truncated"):
        decode(encode(smooth(300, 200), "JPEG")[:-cut])


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "the file is empty"),
        (b"these are words, not an image", "not an image in a known format"),
        (b"\xff\xd8\xff", "not an image in a known format|truncated"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image in a known format"),
        (encode(PIXELS, "TIFF")[:-20], "truncated or damaged"),
        (bytes(1000), "not an image in a known format"),
    ],
)
def test_what_is_not_an_image_is_unreadable(encoded: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason) as caught:
        decode(encoded)
    assert "\n" not in str(caught.value)


# --- Sizes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (20_000, 2), (2, 20_000), (64, 64), (31, 33), (33, 31)])
def test_any_shape_gives_the_size_asked_for(resize: str, size: tuple[int, int], antialias: bool) -> None:
    image = Image.new("RGB", size, (200, 100, 50))
    pixels = load_pixels(encode(image), 32, resize, antialias=antialias)

    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    assert set(map(tuple, pixels.reshape(-1, 3).tolist())) - {(0, 0, 0)} == {(200, 100, 50)}


def bands(width: int, height: int, axis: int) -> bytes:
    """Red, green and blue stripes of equal width along an axis."""
    length = (height, width)[axis]
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)[np.arange(length) * 3 // length]
    lines = colours[None] if axis == 1 else colours[:, None]
    return encode(np.ascontiguousarray(np.broadcast_to(lines, (height, width, 3))))


@pytest.mark.parametrize("axis", [0, 1])
def test_stretch_keeps_the_whole_image(axis: int) -> None:
    pixels = load_pixels(bands(300, 150, axis), 30, "stretch")
    line = pixels[:, 15] if axis == 0 else pixels[15]
    assert line[[1, 15, 28]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_crop_keeps_the_middle_of_the_shorter_side_at_its_aspect_ratio() -> None:
    wide = load_pixels(bands(480, 160, 1), 32, "crop")  # 140 of the middle 160 columns are kept
    assert (wide == [0, 255, 0]).all()

    image = Image.new("RGB", (400, 200), "black")
    image.paste((255, 255, 255), (150, 50, 250, 150))  # a square in the middle, 100 of the 175 that are kept
    white = np.argwhere(load_pixels(encode(image), 70, "crop")[..., 0] > 127)
    assert np.abs(white.min(axis=0) - 15).max() <= 1  # from corner to corner: not quite the middle
    assert np.abs(white.max(axis=0) - white.min(axis=0) - 39).max() <= 1


@pytest.mark.parametrize(
    ("size", "filled"), [((80, 40), (slice(8, 24), slice(None))), ((40, 80), (slice(None), slice(8, 24)))]
)
def test_pad_keeps_the_whole_image_between_black_bars(size: tuple[int, int], filled: tuple[slice, slice]) -> None:
    pixels = load_pixels(encode(Image.new("RGB", size, "white")), 32, "pad")
    expected = np.zeros((32, 32, 3))
    expected[filled] = 255
    assert (pixels == expected).all()


@pytest.mark.parametrize("resize", RESIZES)
def test_shrinking_is_antialiased_only_when_asked(resize: str) -> None:
    checks = np.indices((224, 224)).sum(axis=0) % 2 * 255  # not 256: between four checks, plain is their mean as well
    encoded = encode(in_three_channels(checks).astype(np.uint8))
    antialiased, plain = (load_pixels(encoded, 32, resize, antialias=antialias) for antialias in (True, False))

    assert np.abs(antialiased.astype(int) - 127.5).max() < 8
    assert np.abs(plain.astype(int) - 127.5).max() > 90
    assert (load_pixels(encoded, 32, resize) == plain).all()


def noise(width: int, height: int) -> np.ndarray:
    """The hardest image to shrink alike: uint8 (height, width, 3)."""
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def resized_bilinear(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """What MediaPipe does, by another hand: float (height, width, 3)."""
    rows = np.arange(height) * pixels.shape[0] / height
    columns = np.arange(width) * pixels.shape[1] / width
    places = np.meshgrid(rows, columns, indexing="ij")
    return np.stack(
        [map_coordinates(one.astype(float), places, order=1, mode="nearest") for one in np.moveaxis(pixels, 2, 0)], 2
    )


@pytest.mark.parametrize(
    "size",
    [(300, 200), (64, 64), (65, 64), (63, 33), (33, 32), (500, 9), (9, 500), (1, 700), (700, 1), (40, 32), (8, 8)],
)
def test_the_phone_interpolates_from_corner_to_corner(size: tuple[int, int]) -> None:
    pixels = noise(*size)
    found = load_pixels(encode(pixels), 32, "stretch", antialias=False)
    assert np.abs(found - resized_bilinear(pixels, 32, 32)).max() < 0.51


def test_the_phone_keeps_what_each_way_of_resizing_keeps() -> None:
    pixels = noise(160, 80)
    expected = {
        "stretch": resized_bilinear(pixels, 32, 32),
        "crop": resized_bilinear(pixels[5:75, 45:115], 32, 32),  # 70 of the shorter side's 80
        "pad": np.pad(resized_bilinear(pixels, 32, 16), ((8, 8), (0, 0), (0, 0))),
    }
    assert set(expected) == set(RESIZES)
    for resize, reference in expected.items():
        assert np.abs(load_pixels(encode(pixels), 32, resize, antialias=False) - reference).max() < 0.51


@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_an_image_at_size_is_the_same_either_way(resize: str) -> None:
    encoded = encode(noise(32, 32))
    assert (load_pixels(encoded, 32, resize) == load_pixels(encoded, 32, resize, antialias=True)).all()


@pytest.mark.parametrize("resize", RESIZES)
def test_orientation_counts_before_the_resize(resize: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.fromarray(np.rot90(PIXELS, -1))
    assert (load_pixels(encode(RGB, exif=exif), 16, resize) == load_pixels(encode(upright), 16, resize)).all()
