"""The decoder of `data.image.decoding` as TensorFlow operations, for a model that takes encoded images."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from data.image.headers_in_graph import orientation
from data.image.resizing import CROP_FRACTION


def pixels_in_graph(encoded: tf.Tensor, image_size: int, resize: str) -> tf.Tensor:
    """Decode and resize one image inside a graph, upright by its EXIF orientation.

    The pixels equal those of `data.image.resizing.load_pixels` up to rounding of the last bit, unless one of
    `data.image.headers_in_graph.refusals` holds.

    Args:
        encoded: scalar string, the bytes of a JPEG, PNG, GIF (first frame), BMP or WebP file.
        image_size: side of the square result, in pixels.
        resize: a key of `data.image.resizing.RESIZES`.

    Returns:
        float32 (image_size, image_size, 3), RGB in [0, 255].

    Examples:
        >>> pixels_in_graph(tf.io.read_file("apple.png"), 16, "crop").shape
        TensorShape([16, 16, 3])
        >>> pixels_in_graph(tf.io.read_file("apple.png"), 16, "pad")[0, 0].numpy().tolist()  # a black bar
        [0.0, 0.0, 0.0]
    """
    pixels = tf.cast(_turned(_decode(encoded), orientation(encoded)), tf.float32)
    pixels = _RESIZES[resize](pixels, image_size)
    return tf.ensure_shape(tf.clip_by_value(pixels, 0.0, 255.0), (image_size, image_size, 3))


def _decode(encoded: tf.Tensor) -> tf.Tensor:
    # The accurate DCT gives exactly Pillow's pixels; decode_image has no such option.
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )


def _turned(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Return the pixels upright, (height, width, 3), given the EXIF orientation from 1 to 8."""
    pixels = tf.ensure_shape(pixels, (None, None, 3))
    on_its_side = orientation >= 5
    pixels = tf.cond(on_its_side, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    mirrored, upside_down = (tf.reduce_any(orientation == numbers) for numbers in ((2, 3, 6, 7), (3, 4, 7, 8)))
    pixels = tf.cond(mirrored, lambda: pixels[:, ::-1], lambda: pixels)
    return tf.cond(upside_down, lambda: pixels[::-1], lambda: pixels)


def _stretch(pixels: tf.Tensor, size: int) -> tf.Tensor:
    return _resize(pixels, size, size)


def _resize(pixels: tf.Tensor, height: tf.Tensor | int, width: tf.Tensor | int) -> tf.Tensor:
    """Resize from corner to corner between the nearest four pixels, rounded, as `data.image.decoding` does with OpenCV."""
    left_top, right_top = _neighbours(pixels, width, axis=1)
    rows = left_top + (right_top - left_top) * _fractions(pixels, width, axis=1)[None, :, None]
    upper, lower = _neighbours(rows, height, axis=0)
    return tf.floor(upper + (lower - upper) * _fractions(pixels, height, axis=0)[:, None, None] + 0.5)


def _places(pixels: tf.Tensor, size: tf.Tensor | int, axis: int) -> tf.Tensor:
    scale = tf.cast(tf.shape(pixels)[axis], tf.float64) / tf.cast(size, tf.float64)
    return tf.range(tf.cast(size, tf.float64), dtype=tf.float64) * scale


def _fractions(pixels: tf.Tensor, size: tf.Tensor | int, axis: int) -> tf.Tensor:
    places = _places(pixels, size, axis)
    return tf.cast(places - tf.floor(places), tf.float32)


def _neighbours(pixels: tf.Tensor, size: tf.Tensor | int, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
    before = tf.cast(tf.floor(_places(pixels, size, axis)), tf.int32)
    after = tf.minimum(before + 1, tf.shape(pixels)[axis] - 1)
    return tf.gather(pixels, before, axis=axis), tf.gather(pixels, after, axis=axis)


def _crop(pixels: tf.Tensor, size: int) -> tf.Tensor:
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
    side = tf.maximum(1, tf.cast(tf.round(tf.cast(tf.minimum(height, width), tf.float32) * CROP_FRACTION), tf.int32))
    top, left = (height - side) // 2, (width - side) // 2
    return _stretch(pixels[top : top + side, left : left + side], size)


def _pad(pixels: tf.Tensor, size: int) -> tf.Tensor:
    sides = tf.shape(pixels, out_type=tf.int64)[:2]
    longest = tf.reduce_max(sides)
    resized = tf.cast(tf.maximum((2 * sides * size + longest) // (2 * longest), 1), tf.int32)
    top, left = (size - resized[0]) // 2, (size - resized[1]) // 2
    return tf.image.pad_to_bounding_box(_resize(pixels, resized[0], resized[1]), top, left, size, size)


_RESIZES: dict[str, Callable[[tf.Tensor, int], tf.Tensor]] = {"stretch": _stretch, "crop": _crop, "pad": _pad}
