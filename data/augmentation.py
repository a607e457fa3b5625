"""Random changes to training pictures that keep their meaning.

Geometry (crop, rotation, flip) is one projective map a picture, so each pixel is interpolated once. All randomness is
stateless: the same seed gives the same batch in any process, which is what makes an interrupted run continue exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the presets are read by `--help`, which must not import TensorFlow
    import tensorflow as tf


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed.

    Attributes:
        flip: mirror half of the pictures left to right.
        min_area: smallest part of the picture that a random crop keeps, in (0, 1]; its aspect ratio varies with it.
        rotation: largest angle, in degrees, either way.
        brightness: largest shift, as a part of the full range.
        contrast: largest change of contrast and of saturation, as a factor: 0.2 gives factors in [0.8, 1.2].
        antialiased_resize: part of the pictures, in [0, 1], that are resized with antialiasing; it is for
            the loader, see `data.pipeline.training_batches`.
    """

    flip: bool = False
    min_area: float = 1.0
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    antialiased_resize: float = 0.0

    def without_flip(self) -> Augmentation:
        """The same for pictures whose mirror image means something else: digits, letters, road signs."""
        return replace(self, flip=False)


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "light": Augmentation(flip=True, min_area=0.8, rotation=5.0, brightness=0.05, contrast=0.1, antialiased_resize=0.5),
    "default": Augmentation(
        flip=True, min_area=0.5, rotation=15.0, brightness=0.1, contrast=0.2, antialiased_resize=0.5
    ),
}


def augment(pixels: tf.Tensor, seed: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Change a batch of pictures, each in its own random way.

    Args:
        pixels: float32 (batch, size, size, 3) in [0, 255].
        seed: integer (2,): the same seed gives the same result.
        augmentation: how far; all but its `antialiased_resize`, which can only be done where pictures are loaded.

    Returns:
        float32, the shape and range of `pixels`.
    """
    if replace(augmentation, antialiased_resize=0.0) == Augmentation():
        return pixels
    return _change_colour(_change_geometry(pixels, seed, augmentation), seed, augmentation)


def _uniform(batch: tf.Tensor, seed: tf.Tensor, stream: int, low: float, high: float) -> tf.Tensor:
    import tensorflow as tf

    # Folded in and not added: seeds of neighbouring batches may differ by one, and must not share their streams.
    return tf.random.stateless_uniform([batch], tf.random.experimental.stateless_fold_in(seed, stream), low, high)


def _change_geometry(pixels: tf.Tensor, seed: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Crop, rotate and flip, as one affine map from output to input coordinates, measured from the centre."""
    import tensorflow as tf

    batch, size = tf.shape(pixels)[0], pixels.shape[1]
    area = _uniform(batch, seed, 1, augmentation.min_area, 1.0)
    log_ratio = tf.minimum(math.log(4 / 3), -tf.math.log(area))  # no crop is longer than the picture
    half_ratio = tf.exp(_uniform(batch, seed, 2, -0.5, 0.5) * log_ratio)
    width, height = tf.sqrt(area) * half_ratio, tf.sqrt(area) / half_ratio  # as parts of the picture's side
    angle = _uniform(batch, seed, 3, -augmentation.rotation, augmentation.rotation) * (math.pi / 180)
    mirrored = _uniform(batch, seed, 4, 0.0, 1.0) < (0.5 if augmentation.flip else 0.0)
    sign = tf.where(mirrored, -1.0, 1.0)
    centre = (size - 1) / 2
    centre_x = centre + _uniform(batch, seed, 5, -0.5, 0.5) * (1 - width) * size
    centre_y = centre + _uniform(batch, seed, 6, -0.5, 0.5) * (1 - height) * size

    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = sign * width * cos, -height * sin
    c, d = sign * width * sin, height * cos
    zero = tf.zeros_like(a)
    maps = tf.stack([a, b, centre_x - (a + b) * centre, c, d, centre_y - (c + d) * centre, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=maps,
        output_shape=[size, size],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )


def _change_colour(pixels: tf.Tensor, seed: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Brightness, contrast (about the picture's mean) and saturation (about each pixel's grey)."""
    import tensorflow as tf

    batch = tf.shape(pixels)[0]

    def draw(stream: int, low: float, high: float) -> tf.Tensor:
        return _uniform(batch, seed, stream, low, high)[:, None, None, None]

    low, high = 1 - augmentation.contrast, 1 + augmentation.contrast
    grey = tf.image.rgb_to_grayscale(pixels)
    pixels = grey + (pixels - grey) * draw(7, low, high)
    mean = tf.reduce_mean(pixels, axis=(1, 2, 3), keepdims=True)
    pixels = mean + (pixels - mean) * draw(8, low, high)
    pixels += draw(9, -augmentation.brightness, augmentation.brightness) * 255
    return tf.clip_by_value(pixels, 0.0, 255.0)
