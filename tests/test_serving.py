"""A served model decodes and resizes as training did, inside the graph."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from data.image.headers_in_graph import refusals
from data.image.preparing import Preparation
from data.image.resizing import RESIZES, load_pixels
from data.image.serving import pixels_in_graph
from tests.images import encode, smooth
from tests.test_awkward import READABLE

# pytest undoes the filters that data.image.decoding sets.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SIZES = [(150, 97), (97, 150), (30, 21), (48, 48), (5, 3), (700, 9), (54, 3), (1, 1)]
FORMATS = {
    "JPEG": {"quality": 90},
    "progressive JPEG": {"quality": 70, "progressive": True},
    "PNG": {},
    "BMP": {},
    "GIF": {},
    "WEBP": {"quality": 90},
}


@cache
def graph(size: int, resize: str) -> tf.types.experimental.GenericFunction:
    """Traced once for images of every format and shape, as in a SavedModel."""
    return tf.function(lambda encoded: pixels_in_graph(encoded, size, resize)).get_concrete_function(
        tf.TensorSpec((), tf.string)
    )


@cache
def refusing() -> tf.types.experimental.GenericFunction:
    return tf.function(refusals).get_concrete_function(tf.TensorSpec((), tf.string))


def reasons(encoded: bytes) -> list[str]:
    """Why a file is refused."""
    return [reason for reason, holds in refusing()(tf.constant(encoded)).items() if holds]


def check_alike(encoded: bytes, size: int, resize: str) -> None:
    expected = load_pixels(encoded, size, resize).astype(float)
    served = graph(size, resize)(tf.constant(encoded))

    assert served.dtype == tf.float32 and served.shape == (size, size, 3)
    difference = np.abs(served.numpy() - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.2


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("name", FORMATS)
def test_pixels_are_those_of_training(name: str, resize: str) -> None:
    for number, (width, height) in enumerate(SIZES):
        encoded = encode(smooth(width, height, seed=number), name.split()[-1], **FORMATS[name])
        assert reasons(encoded) == []
        check_alike(encoded, 48, resize)


@pytest.mark.parametrize("size", [32, 225, 260])
def test_bars_are_as_wide_as_in_training(size: int) -> None:
    for longest in (18, 36, 54, 90, 333):  # 3 of 54 becomes 12.5 of 225: a half must be rounded alike
        for shortest in (1, 3, 7, longest - 1):
            check_alike(encode(np.full((shortest, longest, 3), 255, np.uint8)), size, "pad")
            check_alike(encode(np.full((longest, shortest, 3), 255, np.uint8)), size, "pad")


def test_pixels_stay_in_range_beside_hard_edges() -> None:
    checks = (np.indices((20, 20)).sum(axis=0) % 2 * 255).astype(np.uint8)
    served = graph(48, "stretch")(encode(Image.fromarray(checks).convert("RGB")))
    assert tf.reduce_min(served) >= 0 and tf.reduce_max(served) <= 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
@pytest.mark.parametrize("file_format", ["PNG", "GIF", "JPEG", "BMP", "WEBP"])
def test_other_colour_types_are_alike_or_known_not_to_be(file_format: str, mode: str) -> None:
    rgba = Image.fromarray(smooth(60, 40)).convert("RGBA")
    rgba.putalpha(Image.fromarray(smooth(60, 40, seed=1)[..., 0]))
    image = rgba.quantize(20) if mode == "P" else rgba.convert(mode)
    if file_format == "JPEG" or (file_format == "BMP" and mode == "LA"):
        image = image.convert("L")

    encoded = encode(image, file_format)
    if file_format in ("PNG", "JPEG"):
        assert reasons(encoded) == []
    if not reasons(encoded):
        check_alike(encoded, 48, "stretch")


def animation(file_format: str) -> bytes:
    frames = [Image.fromarray(smooth(30, 20, seed=seed)) for seed in range(3)]
    return encode(frames[0], file_format, save_all=True, append_images=frames[1:])


def test_an_animated_gif_is_alike() -> None:
    encoded = animation("GIF")
    assert reasons(encoded) == []
    check_alike(encoded, 32, "crop")


def gif_on_a_larger_canvas() -> bytes:
    encoded = bytearray(encode(smooth(30, 20), "GIF"))
    encoded[6:10] = struct.pack("<HH", 60, 50)
    return bytes(encoded)


IMAGE = Image.fromarray(smooth(30, 20))
BMP, GIF = "a BMP with a palette or transparency", "a GIF that is transparent or smaller than its canvas"
UNKNOWN = "not a JPEG, PNG, GIF, BMP or WebP file"
REFUSED = {
    "animated WebP": (animation("WEBP"), "an animated WebP"),
    "WebP with alpha": (encode(IMAGE.convert("RGBA").rotate(9), "WEBP"), "a WebP with transparency"),
    "lossless WebP": (encode(IMAGE.convert("RGBA").rotate(9), "WEBP", lossless=True), "a WebP with transparency"),
    "BMP with a palette": (encode(IMAGE.quantize(9), "BMP"), BMP),
    "BMP of one bit": (encode(IMAGE.convert("1"), "BMP"), BMP),
    "transparent GIF": (encode(IMAGE.quantize(9), "GIF", transparency=3), GIF),
    "GIF on a larger canvas": (gif_on_a_larger_canvas(), GIF),
    "GIF without its end": (encode(IMAGE, "GIF")[:-1], "a GIF without its end"),
    "PNG without its end": (encode(IMAGE)[:-12], "a PNG without its end"),
    "CMYK": (encode(IMAGE.convert("CMYK"), "JPEG"), "a JPEG in CMYK"),
    "TIFF": (encode(IMAGE, "TIFF"), UNKNOWN),
    "a letter": (b"x", UNKNOWN),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_tensorflow_reads_otherwise_is_refused(kind: str) -> None:
    encoded, reason = REFUSED[kind]
    assert reason in reasons(encoded)


@pytest.mark.parametrize("name", READABLE)
def test_awkward_files_are_alike_or_refused(name: str) -> None:
    encoded = READABLE[name].make()
    if not reasons(encoded):
        with suppress(tf.errors.InvalidArgumentError):  # TensorFlow's decoder refuses it by itself
            check_alike(encoded, 48, "stretch")


# --- Which way is up --------------------------------------------------------------------------------------------------


def tagged(orientation: int, *, big_endian: bool = False, before: tuple[int, ...] = ()) -> bytes:
    """EXIF data with an orientation behind other tags."""
    order = ">" if big_endian else "<"
    tags = [(number, 3, 1, 5) for number in before] + [(0x0112, 3, 1, orientation)]
    table = b"".join(struct.pack(f"{order}HHIHH", *tag, 0) for tag in tags)
    start = b"MM\0*" if big_endian else b"II*\0"
    return start + struct.pack(f"{order}IH", 8, len(tags)) + table + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_photos_are_upright(file_format: str, orientation: int) -> None:
    for big_endian, before in ((False, ()), (True, (0x010F, 0x0110))):
        exif = tagged(orientation, big_endian=big_endian, before=before)
        encoded = encode(smooth(60, 41, seed=3), file_format, exif=b"Exif\0\0" + exif)
        assert reasons(encoded) == []
        check_alike(encoded, 48, "crop")


def with_segments(*segments: bytes) -> bytes:
    """A JPEG with APP1 segments at its beginning."""
    encoded = encode(smooth(60, 41, seed=3), "JPEG", quality=90)
    parts = b"".join(b"\xff\xe1" + struct.pack(">H", len(one) + 2) + one for one in segments)
    return encoded[:2] + parts + encoded[2:]


XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf tiff:Orientation="%d"/></x:xmpmeta>'
SEGMENTS = {
    "XMP alone": [XMP % 6],
    "EXIF before XMP": [b"Exif\0\0" + tagged(8), XMP % 6],
    "XMP before EXIF": [XMP % 6, b"Exif\0\0" + tagged(3)],
    "EXIF without it": [b"Exif\0\0" + tagged(1).replace(b"\x12\x01", b"\x10\x01"), XMP % 6],
    "no number that there is": [b"Exif\0\0" + tagged(9)],
    "cut off": [b"Exif\0\0" + tagged(6)[:12]],
    "empty": [b"Exif\0\0"],
    "not of this kind": [b"Exif\0\0XX" + tagged(6)[2:]],
    "far behind others": [b"other" * 12000, b"Exif\0\0" + tagged(6)],
}


@pytest.mark.parametrize("kind", SEGMENTS)
def test_the_orientation_is_the_one_that_training_finds(kind: str) -> None:
    check_alike(with_segments(*SEGMENTS[kind]), 48, "stretch")


@pytest.mark.parametrize("seed", range(20))
def test_damaged_exif_data_stop_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    exif = bytearray(b"Exif\0\0" + tagged(6) + random.bytes(60))
    for place in random.integers(6, len(exif), 3):
        exif[place] = 255 if seed % 2 else 0
    served = graph(48, "stretch")(tf.constant(encode(smooth(40, 30), "JPEG", exif=bytes(exif))))
    assert served.shape == (48, 48, 3)


@pytest.mark.parametrize(
    ("mode", "background", "levels", "expected"),
    [
        ("RGB", "white", "0-4095", []),
        ("RGBA", "white", None, ["a PNG with transparency, which was filled in training"]),
        ("LA", "white", None, ["a PNG with transparency, which was filled in training"]),
        ("P", "white", None, ["a PNG with transparency, which was filled in training"]),
        ("RGBA", None, "0-4095", []),
        ("I;16", None, "0-4095", ["a PNG of 16 bits, which was stretched in training"]),
        ("I;16", "white", None, []),
    ],
)
def test_what_training_has_filled_or_stretched_is_refused(
    mode: str, background: str | None, levels: str | None, expected: list[str]
) -> None:
    if mode == "I;16":
        encoded = encode(Image.fromarray(np.full((8, 8), 4000, np.uint16)))
    elif mode == "P":
        encoded = encode(Image.new("P", (8, 8)), transparency=0)
    else:
        encoded = encode(Image.new(mode, (8, 8)))
    found = refusals(tf.constant(encoded), Preparation.parse(background, levels))
    assert [reason for reason, holds in found.items() if holds] == expected


def test_the_name_of_transparency_elsewhere_in_a_png_is_none() -> None:
    file, text = io.BytesIO(), PngInfo()
    text.add_text("Comment", "tRNS")
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=text)
    found = refusals(tf.constant(file.getvalue()), Preparation.parse("white", None))
    assert [reason for reason, holds in found.items() if holds] == []
