"""A served model decodes and resizes as training did, inside the graph."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.decoding import RESIZES, load_pixels, reads_alike_in_tensorflow
from data.serving import pixels_in_graph
from tests.pictures import encode, smooth

# pytest undoes the filters that data.decoding sets.
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
    """Traced once for pictures of every format and shape, as in a SavedModel."""
    return tf.function(lambda encoded: pixels_in_graph(encoded, size, resize)).get_concrete_function(
        tf.TensorSpec((), tf.string)
    )


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
        assert reads_alike_in_tensorflow(encoded)
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
    picture = rgba.quantize(20) if mode == "P" else rgba.convert(mode)
    if file_format == "JPEG" or (file_format == "BMP" and mode == "LA"):
        picture = picture.convert("L")

    encoded = encode(picture, file_format)
    if file_format in ("PNG", "JPEG"):
        assert reads_alike_in_tensorflow(encoded)
    if reads_alike_in_tensorflow(encoded):
        check_alike(encoded, 48, "stretch")


def animation(file_format: str) -> bytes:
    frames = [Image.fromarray(smooth(30, 20, seed=seed)) for seed in range(3)]
    return encode(frames[0], file_format, save_all=True, append_images=frames[1:])


def test_an_animated_gif_is_alike() -> None:
    encoded = animation("GIF")
    assert reads_alike_in_tensorflow(encoded)
    check_alike(encoded, 32, "crop")


def gif_on_a_larger_canvas() -> bytes:
    encoded = bytearray(encode(smooth(30, 20), "GIF"))
    encoded[6:10] = struct.pack("<HH", 60, 50)
    return bytes(encoded)


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(animation("WEBP"), id="animated WebP"),
        pytest.param(encode(Image.fromarray(smooth(30, 20)).convert("RGBA").rotate(9), "WEBP"), id="WebP with alpha"),
        pytest.param(encode(Image.fromarray(smooth(30, 20)).quantize(9), "BMP"), id="BMP with a palette"),
        pytest.param(encode(Image.fromarray(smooth(30, 20)).convert("1"), "BMP"), id="BMP of one bit"),
        pytest.param(encode(Image.fromarray(smooth(30, 20)).quantize(9), "GIF", transparency=3), id="transparent GIF"),
        pytest.param(gif_on_a_larger_canvas(), id="GIF on a larger canvas"),
        pytest.param(encode(smooth(30, 20))[:-12], id="PNG without its end"),
        pytest.param(encode(Image.fromarray(smooth(30, 20)).convert("CMYK"), "JPEG"), id="CMYK JPEG"),
    ],
)
def test_what_tensorflow_reads_otherwise_is_known(encoded: bytes) -> None:
    load_pixels(encoded, 32, "stretch")
    assert not reads_alike_in_tensorflow(encoded)
