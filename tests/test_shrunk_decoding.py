"""Large JPEGs that are only wanted antialiased are decoded smaller: never too small, and close to the whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from data.image.decoding import FORMATS, UnreadableImage, decode
from data.image.resizing import RESIZES, load_each_way, load_pixels
from tests.images import encode, smooth

SIZE = 32
LARGE = smooth(640, 512)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Width and height, as stored, of each JPEG that is decoded, in turn."""
    sizes: list[tuple[int, int]] = []
    load = JpegImagePlugin.JpegImageFile.load

    def watched(image: Image.Image) -> Any:
        sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", watched)
    return sizes


def of_whole_image(encoded: bytes, resize: str, size: int = SIZE) -> np.ndarray:
    """The antialiased pixels that the whole image gives: int (size, size, 3)."""
    return load_each_way(encoded, size, resize, {True, False})[True].astype(int)


@pytest.mark.parametrize(
    ("resize", "size", "expected"),
    [
        ("stretch", (511, 511), (128, 128)),
        ("stretch", (512, 512), (64, 64)),  # twice the 32 that are asked for, and not less
        ("stretch", (5000, 600), (625, 75)),
        ("stretch", (600, 255), (300, 128)),
        ("stretch", (5000, 127), (5000, 127)),  # the shorter side counts
        ("stretch", (100, 100), (100, 100)),
        ("stretch", (128, 128), (64, 64)),
        ("stretch", (127, 127), (127, 127)),
        ("stretch", (20, 20), (20, 20)),
        ("crop", (512, 512), (128, 128)),  # only 448 of them are seen
        ("crop", (5000, 512), (1250, 128)),
        ("crop", (586, 586), (74, 74)),
        ("pad", (512, 64), (64, 8)),  # the longer side counts, and the other becomes 4 of the 32
        ("pad", (64, 511), (16, 128)),
        ("pad", (127, 127), (127, 127)),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_it_is_decoded_as_small_as_leaves_twice_what_is_needed(
    resize: str, size: tuple[int, int], expected: tuple[int, int], turned: bool, decoded: list[tuple[int, int]]
) -> None:
    if turned:
        size, expected = size[::-1], expected[::-1]
    load_pixels(encode(Image.new("RGB", size), "JPEG"), SIZE, resize, antialias=True)
    assert set(decoded) == {expected}


@pytest.mark.parametrize("resize", RESIZES)
def test_whoever_needs_single_pixels_decodes_the_whole_image(resize: str, decoded: list[tuple[int, int]]) -> None:
    encoded = encode(LARGE, "JPEG")
    alone = load_pixels(encoded, SIZE, resize)
    both = load_each_way(encoded, SIZE, resize, {True, False})
    decode(encoded)

    assert set(decoded) == {(640, 512)}
    assert set(both) == {True, False} and (both[False] == alone).all()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("file_format", [one for one in FORMATS if one != "JPEG"])
def test_other_formats_are_decoded_whole(file_format: str, resize: str) -> None:
    encoded = encode(LARGE, file_format)
    assert (load_pixels(encoded, SIZE, resize, antialias=True) == of_whole_image(encoded, resize)).all()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(640, 512), (512, 640), (520, 513), (601, 599), (1023, 1025), (150, 149)])
def test_it_lies_close_to_what_the_whole_image_gives(
    size: tuple[int, int], resize: str, decoded: list[tuple[int, int]]
) -> None:
    encoded = encode(smooth(*size), "JPEG", quality=95)
    found = load_pixels(encoded, SIZE, resize, antialias=True)
    assert decoded[0] < size and found.shape == (SIZE, SIZE, 3) and found.dtype == np.uint8
    assert np.abs(found - of_whole_image(encoded, resize)).mean() < 1


def test_nothing_is_moved() -> None:
    """A slope shows a shift: by a tenth of a pixel, 0.8 levels."""
    slope = np.broadcast_to(np.linspace(0, 255, 1601)[None, :, None], (1601, 1601, 3)).astype(np.uint8)
    for pixels in (slope, slope.transpose(1, 0, 2)):
        for resize in RESIZES:
            encoded = encode(np.ascontiguousarray(pixels), "JPEG", quality=98)
            moved = load_pixels(encoded, SIZE, resize, antialias=True) - of_whole_image(encoded, resize)
            assert abs(moved.mean()) < 0.3 and np.abs(moved).max() <= 2


MAKE: dict[str, Callable[[], bytes]] = {
    "greyscale": lambda: encode(Image.fromarray(LARGE).convert("L"), "JPEG", quality=95),
    "inks": lambda: encode(Image.fromarray(LARGE).convert("CMYK"), "JPEG", quality=95),
    "progressive": lambda: encode(LARGE, "JPEG", quality=95, progressive=True),
    "whole colours": lambda: encode(LARGE, "JPEG", quality=95, subsampling=0),
}


@pytest.mark.parametrize("kind", MAKE)
def test_jpegs_of_every_kind_are_shrunk_alike(kind: str, decoded: list[tuple[int, int]]) -> None:
    encoded = MAKE[kind]()
    found = load_pixels(encoded, SIZE, "stretch", antialias=True)
    assert decoded[0] == (80, 64)
    assert np.abs(found - of_whole_image(encoded, "stretch")).mean() < 1


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("resize", RESIZES)
def test_it_is_upright(resize: str, orientation: int, decoded: list[tuple[int, int]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = encode(LARGE, "JPEG", quality=95, exif=exif)
    found = load_pixels(encoded, SIZE, resize, antialias=True)
    assert decoded[0] < (640, 512)
    assert np.abs(found - of_whole_image(encoded, resize)).mean() < 1


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.99])
def test_a_truncated_file_is_unreadable_at_any_size(kept: float) -> None:
    encoded = encode(LARGE, "JPEG")
    with pytest.raises(UnreadableImage):
        load_pixels(encoded[: int(len(encoded) * kept)], SIZE, "stretch", antialias=True)
    with pytest.raises(UnreadableImage, match="the file is empty"):
        load_pixels(b"", SIZE, "stretch", antialias=True)
