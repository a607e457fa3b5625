"""Image files that are awkward: odd but sound, damaged, or made to do harm; and who must agree on them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from app.prediction.inputs import image_inputs
from app.prediction.predicting import _load
from data.checking import check_images
from data.errors import DataError
from data.examples import Examples
from data.image.augmentation import Augmentation
from data.image.reading import read_image
from data.image.rectangles import load_to_size
from data.image.transform import ImageTransform
from data.labels import SingleLabel
from data.loading import Loader
from tests.augmented import augmented
from tests.images import encode
from tests.raw_files import (
    FILE_OF_A_PHONE,
    FORMAT_OF,
    LARGE,
    PALETTE,
    PIXELS,
    RGB,
    SIZE,
    ZEROS,
    animation,
    bmp,
    broken_second_frame,
    chunk,
    deep,
    exif,
    gif,
    interlaced,
    lossless_jpeg,
    multi_image,
    oriented,
    png,
    segment,
    tiff,
    webp_header,
    webp_of_many_frames,
    with_chunk,
    with_scans,
    with_segments,
    without_adobe,
    ycck,
)

# --- The corpus -------------------------------------------------------------------------------------------------------------


class Awkward(NamedTuple):
    """How to make a file, and what must be said of it: its upright width and height, or a pattern that the reason matches."""

    make: Callable[[], bytes]
    expected: tuple[int, int] | str = SIZE


def _truncated(file_format: str, number: int) -> Awkward:
    def make() -> bytes:
        whole = encode(LARGE, file_format, **{"progressive": True} if file_format == "JPEG" and number % 2 else {})
        return whole[: random.Random(f"{file_format}{number}").randrange(1, len(whole) * 9 // 10)]

    return Awkward(make, "truncated or damaged|not an image in a known format")


CORPUS: dict[str, Awkward] = {
    # Colour types.
    "black and white.png": Awkward(lambda: encode(RGB.convert("1"))),
    "black and white.gif": Awkward(lambda: encode(RGB.convert("1"), "GIF")),
    "black and white.bmp": Awkward(lambda: encode(RGB.convert("1"), "BMP")),
    "grey.png": Awkward(lambda: encode(RGB.convert("L"))),
    "grey.jpg": Awkward(lambda: encode(Image.fromarray(LARGE).convert("L"), "JPEG"), (640, 512)),
    "grey.gif": Awkward(lambda: encode(RGB.convert("L"), "GIF")),
    "grey.bmp": Awkward(lambda: encode(RGB.convert("L"), "BMP")),
    "grey.webp": Awkward(lambda: encode(RGB.convert("L"), "WEBP")),
    "grey of two bits.png": Awkward(lambda: png(8, 2, colour=0, depth=2, rows=b"\0\x1b\x1b\0\xe4\xe4"), (8, 2)),
    "grey of four bits.png": Awkward(lambda: png(4, 2, colour=0, depth=4, rows=b"\0\x1b\x1b\0\xe4\xe4"), (4, 2)),
    "grey with alpha.png": Awkward(lambda: encode(RGB.convert("LA"))),
    "grey with a transparent level.png": Awkward(lambda: encode(RGB.convert("L"), transparency=3)),
    "palette.png": Awkward(lambda: encode(PALETTE)),
    "palette.bmp": Awkward(lambda: encode(PALETTE, "BMP")),
    "palette with a transparent colour.png": Awkward(lambda: encode(PALETTE, transparency=3)),
    "palette with alpha.png": Awkward(lambda: encode(PALETTE, transparency=bytes([0, 128, 255] * 5))),
    "palette that is missing.png": Awkward(lambda: png(4, 2, colour=3, depth=8, rows=bytes(10)), (4, 2)),
    "transparent.gif": Awkward(lambda: encode(PALETTE, "GIF", transparency=3)),
    "colours.bmp": Awkward(lambda: encode(RGB, "BMP")),
    "colours.webp": Awkward(lambda: encode(RGB, "WEBP")),
    "colours with a transparent one.png": Awkward(lambda: encode(RGB, transparency=(1, 2, 3))),
    "colours with alpha.png": Awkward(lambda: encode(RGB.convert("RGBA"))),
    "colours with alpha.bmp": Awkward(lambda: encode(RGB.convert("RGBA"), "BMP")),
    "colours with alpha.webp": Awkward(lambda: encode(RGB.convert("RGBA"), "WEBP", lossless=True)),
    "colours of five bits.bmp": Awkward(lambda: bmp(4, 2, 16, 0, bytes(range(16))), (4, 2)),
    "16 bits of grey.png": Awkward(lambda: deep(0, 1)),
    "16 bits of grey with alpha.png": Awkward(lambda: deep(4, 2)),
    "16 bits of colour.png": Awkward(lambda: deep(2, 3)),
    "16 bits of colour with alpha.png": Awkward(lambda: deep(6, 4)),
    "inverted inks.jpg": Awkward(lambda: encode(Image.fromarray(LARGE).convert("CMYK"), "JPEG"), (640, 512)),
    "inks.jpg": Awkward(lambda: without_adobe(encode(RGB.convert("CMYK"), "JPEG"))),
    "inks as chrominance.jpg": Awkward(lambda: ycck(encode(RGB.convert("CMYK"), "JPEG"))),
    # Ways to store pixels.
    "progressive.jpg": Awkward(lambda: encode(LARGE, "JPEG", progressive=True), (640, 512)),
    "colours a quarter as wide.jpg": Awkward(lambda: encode(LARGE, "JPEG", subsampling="4:1:1"), (640, 512)),
    "lossless.jpg": Awkward(lambda: lossless_jpeg(200, 150), (200, 150)),
    "restarts.jpg": Awkward(lambda: encode(LARGE, "JPEG", restart_marker_blocks=1), (640, 512)),
    "interlaced.png": Awkward(lambda: interlaced(PIXELS)),
    "interlaced.gif": Awkward(lambda: gif(SIZE, (0, 0, *SIZE), interlaced=True)),
    "runs.bmp": Awkward(lambda: bmp(4, 2, 8, 1, b"\4\7\0\0\4\x09\0\1"), (4, 2)),
    "from the top.bmp": Awkward(lambda: bmp(4, -2, 24, 0, bytes(24)), (4, 2)),
    "part of its canvas.gif": Awkward(lambda: gif((50, 40), (5, 6, 20, 10)), (50, 40)),
    "more than its canvas.gif": Awkward(lambda: gif((5, 4), (5, 6, 20, 10)), (25, 16)),
    "animation.gif": Awkward(lambda: animation("GIF")),
    "animation.png": Awkward(lambda: animation("PNG")),
    "animation.webp": Awkward(lambda: animation("WEBP")),
    "animation with a damaged second frame.gif": Awkward(lambda: broken_second_frame(animation("GIF"), b"!\xf9\4")),
    "animation with a damaged second frame.png": Awkward(lambda: broken_second_frame(animation("PNG"), b"fcTL")),
    "several images.jpg": Awkward(multi_image, (640, 512)),
    "several images on their side.jpg": Awkward(lambda: multi_image(exif=exif(oriented(6))), (512, 640)),
    "a film behind it.jpg": Awkward(lambda: encode(LARGE, "JPEG") + bytes(100) + b"\xff\xda\0\0" * 5000, (640, 512)),
    # EXIF.
    **{
        f"orientation {number}.{suffix}": Awkward(
            lambda number=number, suffix=suffix: encode(  # type: ignore[misc]
                PIXELS, FORMAT_OF[suffix], exif=exif(oriented(number))
            ),
            SIZE[::-1] if number in (5, 6, 7, 8) else SIZE,
        )
        for number in range(10)
        for suffix in ("jpg", "png", "webp")
    },
    "on its side and large.jpg": Awkward(lambda: encode(LARGE, "JPEG", exif=exif(oriented(8))), (512, 640)),
    "on its side with 16 bits of grey.png": Awkward(
        lambda: deep(0, 1)[:33] + chunk(b"eXIf", exif(oriented(6))[6:]) + deep(0, 1)[33:], SIZE[::-1]
    ),
    "on its side beside a tag that cannot be written again.jpg": Awkward(
        lambda: encode(PIXELS, "JPEG", exif=exif(oriented(6), (273, 2, 1, b"a\0\0\0"))), SIZE[::-1]
    ),
    "orientation in words.jpg": Awkward(lambda: encode(PIXELS, "JPEG", exif=exif((0x0112, 2, 2, b"6\0\0\0")))),
    "orientation twice.jpg": Awkward(
        lambda: encode(PIXELS, "JPEG", exif=exif((0x0112, 3, 2, b"\6\0\1\0"))), SIZE[::-1]
    ),
    "orientation in XMP.jpg": Awkward(
        lambda: with_segments(segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>')), SIZE[::-1]
    ),
    "damaged EXIF.jpg": Awkward(lambda: encode(PIXELS, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "damaged EXIF.png": Awkward(lambda: with_chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")),
    "damaged EXIF.webp": Awkward(lambda: encode(PIXELS, "WEBP", exif=b"Exif\0\0MM\0*garbage")),
    "EXIF in bad hexadecimal.png": Awkward(lambda: with_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 9\nxyz")),
    # Sizes.
    "one pixel.png": Awkward(lambda: encode(PIXELS[:1, :1]), (1, 1)),
    "one pixel.jpg": Awkward(lambda: encode(PIXELS[:1, :1], "JPEG"), (1, 1)),
    "one pixel.gif": Awkward(lambda: encode(Image.new("L", (1, 1)), "GIF"), (1, 1)),
    "one pixel.bmp": Awkward(lambda: encode(PIXELS[:1, :1], "BMP"), (1, 1)),
    "one pixel.webp": Awkward(lambda: encode(PIXELS[:1, :1], "WEBP"), (1, 1)),
    "one pixel high.png": Awkward(lambda: encode(Image.new("RGB", (500, 1))), (500, 1)),
    "one pixel wide.jpg": Awkward(lambda: encode(Image.new("RGB", (1, 500)), "JPEG"), (1, 500)),
    "20,000 pixels wide.png": Awkward(lambda: encode(Image.new("RGB", (20_000, 3))), (20_000, 3)),
    "20,000 pixels wide.jpg": Awkward(lambda: encode(Image.new("RGB", (20_000, 300)), "JPEG"), (20_000, 300)),
    "65,500 pixels high.jpg": Awkward(lambda: encode(Image.new("RGB", (20, 65_500)), "JPEG"), (20, 65_500)),
    "65,535 pixels wide.png": Awkward(lambda: encode(Image.new("RGB", (65_535, 1))), (65_535, 1)),
    "65,536 pixels wide.png": Awkward(lambda: encode(Image.new("L", (65_536, 1))), "more than 65,535 pixels"),
    "no pixel.png": Awkward(lambda: png(0, 4, colour=2, depth=8, rows=b""), "truncated or damaged"),
    "no height.jpg": Awkward(
        lambda: encode(PIXELS, "JPEG").replace(struct.pack(">HH", *SIZE[::-1]), struct.pack(">HH", 0, SIZE[0])),
        "truncated or damaged",
    ),
    # What is behind an image, or missing.
    **{
        f"garbage behind it.{suffix}": Awkward(
            lambda file_format=file_format: encode(RGB, file_format) + b"garbage" * 99  # type: ignore[misc]
        )
        for suffix, file_format in FORMAT_OF.items()
    },
    **{
        f"truncated {number}.{suffix}": _truncated(file_format, number)
        for number in range(6)
        for suffix, file_format in FORMAT_OF.items()
    },
    "without its last byte.jpg": Awkward(lambda: encode(PIXELS, "JPEG")[:-1], "truncated or damaged"),
    "a damaged checksum.png": Awkward(
        lambda: (whole := encode(PIXELS))[:29] + b"\0\0\0\0" + whole[33:], "truncated or damaged"
    ),
    "empty.jpg": Awkward(lambda: b"", "the file is empty"),
    "zeros.jpg": Awkward(lambda: bytes(1000), "^not an image in a known format"),
    # What is something else.
    "PNG named.jpg": Awkward(lambda: encode(PIXELS)),
    "JPEG named.png": Awkward(lambda: encode(PIXELS, "JPEG")),
    "WebP named.gif": Awkward(lambda: encode(PIXELS, "WEBP")),
    "words.png": Awkward(lambda: b"these are words\n", "^not an image in a known format"),
    "a web page.jpg": Awkward(lambda: b"\n<!DOCTYPE html><html><h1>404</h1></html>", "a web page, not an image"),
    "a web page that tries.jpg": Awkward(
        lambda: b"<!---->" * 140 + b"<html>", "a web page, not an image|^not an image"
    ),
    "SVG.png": Awkward(lambda: b"<?xml version='1.0'?>\n<!-- made -->\n<svg/>", "SVG, not an image"),
    "PDF.jpg": Awkward(lambda: b"%PDF-1.7\n", "PDF, not an image"),
    "TIFF named.jpg": Awkward(lambda: encode(PIXELS, "TIFF")),
    "HEIC.jpg": Awkward(lambda: FILE_OF_A_PHONE % b"heic", "HEIC, not an image"),
    "a header of AVIF.jpg": Awkward(lambda: FILE_OF_A_PHONE % b"avif", "truncated or damaged|AVIF, not an image"),
    # TIFF.
    "black and white.tif": Awkward(lambda: encode(RGB.convert("1"), "TIFF", compression="group4")),
    "palette.tif": Awkward(lambda: encode(PALETTE, "TIFF")),
    "inks.tif": Awkward(lambda: encode(RGB.convert("CMYK"), "TIFF")),
    "colours with alpha.tif": Awkward(lambda: encode(RGB.convert("RGBA"), "TIFF")),
    "16 bits of grey.tif": Awkward(lambda: encode(np.full(SIZE[::-1], 40_000, np.uint16), "TIFF")),
    "whole numbers.tif": Awkward(
        lambda: encode(np.full(SIZE[::-1], 7, np.int32), "TIFF"), "say which are black and white"
    ),
    "fractions.tif": Awkward(
        lambda: encode(np.full(SIZE[::-1], 0.5, np.float32), "TIFF"), "say which are black and white"
    ),
    "several pages.tif": Awkward(lambda: encode(RGB, "TIFF", save_all=True, append_images=[RGB.rotate(90)])),
    "a page that leads back to itself.tif": Awkward(lambda: tiff(*SIZE, PIXELS.tobytes(), loops=True)),
    "on its side.tif": Awkward(lambda: tiff(*SIZE, PIXELS.tobytes(), orientation=6), SIZE[::-1]),
    "truncated.tif": Awkward(lambda: encode(RGB, "TIFF")[:-20], "truncated or damaged"),
    "10 gigapixels.tif": Awkward(lambda: tiff(100_000, 100_000, b""), "179 million pixels"),
    # What is made to do harm.
    "ten gigapixels.png": Awkward(lambda: png(100_000, 100_000, colour=2, depth=8, rows=b""), "179 million pixels"),
    "4 gigapixels.jpg": Awkward(
        lambda: encode(PIXELS, "JPEG").replace(struct.pack(">HH", *SIZE[::-1]), b"\xff\xff\xff\xff"), "179 million"
    ),
    "4 gigapixels.gif": Awkward(lambda: gif((65535, 65535), (0, 0, 1, 1)), "179 million pixels"),
    "a frame of 4 gigapixels.gif": Awkward(lambda: gif((1, 1), (65534, 65534, 1, 1)), "179 million pixels"),
    "268 megapixels.webp": Awkward(lambda: webp_header(16383, 16383), "179 million pixels"),
    "a gigapixel.bmp": Awkward(lambda: bmp(32000, 32000, 8, 1, b"\0\1"), "179 million pixels"),
    "9 megapixels of one colour.png": Awkward(
        lambda: png(3000, 3000, colour=2, depth=8, rows=bytes(9001 * 3000)), (3000, 3000)
    ),
    "runs that skip lines.bmp": Awkward(lambda: bmp(60_000, 100, 8, 1, b"\0\2\xff\xff" * 1000), (60_000, 100)),
    "100 MB of text.png": Awkward(lambda: with_chunk(b"zTXt", b"k\0\0" + ZEROS), "truncated or damaged"),
    "100 MB of other text.png": Awkward(lambda: with_chunk(b"iTXt", b"k\0\1\0\0\0" + ZEROS), "truncated or damaged"),
    "100 MB of profile.png": Awkward(lambda: with_chunk(b"iCCP", b"k\0\0" + ZEROS), "truncated or damaged"),
    "100 MB of EXIF data.png": Awkward(lambda: with_chunk(b"eXIf", b"II*\0" + ZEROS)),
    "EXIF tags that all point to one block.jpg": Awkward(
        lambda: with_segments(
            segment(
                0xE1, exif(*[(number, 7, 50_000, b"\x08\0\0\0") for number in range(1000, 2000)], data=bytes(50_000))
            )
        )
    ),
    "100 KB of EXIF segments.jpg": Awkward(
        lambda: with_segments(*[segment(0xE1, b"Exif\0\0x")] * 10_000), "more than 100 scans or 1,000 segments"
    ),
    "EXIF segments behind an end.jpg": Awkward(
        lambda: b"\xff\xd8\xff\xd9" + segment(0xE1, b"Exif\0\0x") * 10_000, "more than 100 scans or 1,000 segments"
    ),
    "90 scans.jpg": Awkward(lambda: with_scans(80)),
    "1,000 scans.jpg": Awkward(lambda: with_scans(1000), "more than 100 scans or 1,000 segments"),
    "3,000 frames.gif": Awkward(lambda: animation("GIF", 3000)),
    "50,000 frames.webp": Awkward(lambda: webp_of_many_frames(50_000)),
}

# --- Who must agree ---------------------------------------------------------------------------------------------------------

INPUT = 32  # pixels


def stretched(encoded: bytes) -> np.ndarray:
    """An image as `predict` decodes it for a model of `INPUT` pixels."""
    return load_to_size(encoded, INPUT, "stretch")


def decisions(encoded: bytes, path: Path) -> dict[str, str | None]:
    """Why each part of Graft cannot read an image; None where it can. What can be read has pixels, the same everywhere.

    Args:
        encoded: the bytes of the file.
        path: where to write them, for `predict`.
    """
    path.write_bytes(encoded)
    examples = Examples("awkward", ("it",), SingleLabel(np.array([0]), ("a", "b")), lambda index: read_image(path))
    loader = Loader(examples, ImageTransform(INPUT, "stretch"))
    (checked,) = check_images(examples)
    predicted, faults = _load(image_inputs([path]), stretched)
    found: dict[str, str | None] = {"check": checked.fault, "predict": faults[0].fault if faults else None}
    pixels = [one for _, one in predicted]
    augmentation = Augmentation(antialiased_resize=1.0)
    for name, load in {
        "evaluate": lambda: loader.load(0),
        "train, shrunk": lambda: augmented(loader, augmentation).views(0, [(1,)])[0],
        "train, both": lambda: augmented(loader, augmentation).views(0, [None, (1,)])[0],
    }.items():
        try:
            pixels.append(load())
            found[name] = None
        except DataError as error:
            found[name] = str(error).removeprefix("it can no longer be read: ")
    assert all(one.shape == (INPUT, INPUT, 3) and one.dtype == np.uint8 for one in pixels)
    return found
