"""Random changes to training images that keep their meaning.

Geometry (crop, rotation, flip) is one affine map per image, so each pixel is interpolated once. Colour (saturation, contrast,
brightness) is a second map. RandAugment and random erasing follow. All randomness comes from the generator that is passed in:
the same seed gives the same image in any process, so an interrupted run continues exactly.

Images are augmented one at a time, outside TensorFlow, and not by Keras' layers: each view has its own seed, so the outputs of
the frozen layers can be cached, and OpenCV and Pillow are several times as fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from data.image.randaugment import rand_augment

_GREY = np.array([0.299, 0.587, 0.114])  # luma of ITU-R BT.601
_LONGEST_RATIO = 4 / 3  # of the sides of a crop
_SMALLEST_ERASED, _LARGEST_ERASED = 0.02, 0.4  # parts of the image's area; all from the paper of `_erased`
_LONGEST_ERASED_RATIO = 1 / 0.3


@dataclass(frozen=True)
class Augmentation:
    """How strongly images are changed.

    Attributes:
        flip: mirror half of the images left to right.
        min_area: smallest part of the image that a random crop keeps, in (0, 1]; its aspect ratio varies with it.
        rotation: largest angle in either direction, in degrees.
        brightness: largest shift, as a part of the full range.
        contrast: largest change of contrast and of saturation, as a factor: 0.2 gives factors in [0.8, 1.2].
        operations: number of operations of `data.image.randaugment.OPERATIONS` applied to each image.
        magnitude: strength of these operations, in [0, 1].
        erasing: part of the images, in [0, 1], in which a rectangle is replaced by noise.
        antialiased_resize: part of the images, in [0, 1], that are resized with antialiasing. The loader applies it, see
            `data.loading.Loader.views`.
        live: draw new views in every epoch, which rules out a cache of views.
    """

    flip: bool = False
    min_area: float = 1.0
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    operations: int = 0
    magnitude: float = 0.0
    erasing: float = 0.0
    antialiased_resize: float = 0.0
    live: bool = False

    def without_flip(self) -> Augmentation:
        """Return the same augmentation without mirroring, for images such as digits, letters and road signs."""
        return replace(self, flip=False)

    @property
    def changes_pixels(self) -> bool:
        """Whether images are changed after they are loaded."""
        return replace(self, antialiased_resize=0.0, live=False) != Augmentation()


_DEFAULT = Augmentation(flip=True, min_area=0.5, rotation=15.0, brightness=0.1, contrast=0.2, antialiased_resize=0.5)
AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "light": Augmentation(flip=True, min_area=0.8, rotation=5.0, brightness=0.05, contrast=0.1, antialiased_resize=0.5),
    "default": _DEFAULT,
    "strong": Augmentation(flip=True, min_area=0.5, operations=2, magnitude=0.5, erasing=0.25, antialiased_resize=0.5),
    "live": replace(_DEFAULT, live=True),
}


def augment(pixels: np.ndarray, random: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
    """Change an image randomly.

    Args:
        pixels: uint8 (size, size, 3), RGB.
        random: source of all draws. Those of geometry and colour come first, and their number does not depend on the
            augmentation.
        augmentation: how strongly. `antialiased_resize` is ignored, since it applies where images are loaded.

    Returns:
        uint8, the shape of `pixels`; `pixels` itself if the augmentation changes nothing.

    Examples:
        >>> pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
        >>> augment(pixels, np.random.default_rng(0), AUGMENTATIONS["default"]).shape
        (3, 3, 3)
        >>> augment(pixels, np.random.default_rng(0), AUGMENTATIONS["none"]) is pixels
        True
    """
    if not augmentation.changes_pixels:
        return pixels
    import cv2  # slow to import, and `--help` reads this module

    draws = random.uniform(-1.0, 1.0, 9)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    geometry = _geometry(draws[:6], len(pixels), augmentation)
    pixels = cv2.warpAffine(pixels, geometry, pixels.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
    pixels = cv2.transform(pixels, _colour(draws[6:], np.array(cv2.mean(pixels)[:3]), augmentation))
    if augmentation.operations:
        pixels = rand_augment(pixels, random, operations=augmentation.operations, magnitude=augmentation.magnitude)
    return _erased(pixels, random) if augmentation.erasing and random.random() < augmentation.erasing else pixels


def _geometry(draws: np.ndarray, size: int, augmentation: Augmentation) -> np.ndarray:
    """Return crop, rotation and flip as an affine map (2, 3) from output to input coordinates; `draws` is (6,) in [-1, 1)."""
    for_area, for_ratio, for_angle, for_side, for_x, for_y = draws.tolist()
    area = 1 - (1 - augmentation.min_area) * (for_area + 1) / 2
    log_ratio = min(math.log(_LONGEST_RATIO), -math.log(area))  # no crop is longer than the image
    half_ratio = math.exp(for_ratio / 2 * log_ratio)
    width, height = math.sqrt(area) * half_ratio, math.sqrt(area) / half_ratio  # as parts of the image's side
    angle = math.radians(for_angle * augmentation.rotation)
    sign = -1.0 if augmentation.flip and for_side < 0 else 1.0
    centre = (size - 1) / 2
    centre_x = centre + for_x / 2 * (1 - width) * size
    centre_y = centre + for_y / 2 * (1 - height) * size

    cos, sin = math.cos(angle), math.sin(angle)
    a, b = sign * width * cos, -height * sin
    c, d = sign * width * sin, height * cos
    return np.array([[a, b, centre_x - (a + b) * centre], [c, d, centre_y - (c + d) * centre]])


def _colour(draws: np.ndarray, means: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    """Return saturation about each pixel's grey, then contrast about the image's mean, then brightness, as one map (3, 4).

    Args:
        draws: (3,) in [-1, 1).
        means: (3,), means of the image's channels.
        augmentation: how strongly.
    """
    saturation, contrast = 1 + augmentation.contrast * draws[:2]
    saturated = saturation * np.eye(3) + (1 - saturation) * _GREY  # each row adds its part of the grey
    mean = (saturated @ means).mean()  # the image's mean after saturation, since the map is linear
    shift = (1 - contrast) * mean + draws[2] * augmentation.brightness * 255
    return np.column_stack([contrast * saturated, np.full(3, shift)])


def _erased(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Random erasing (Zhong et al. 2020, https://arxiv.org/abs/1708.04896): noise in a rectangle within the image."""
    size = len(pixels)
    area = random.uniform(_SMALLEST_ERASED, _LARGEST_ERASED)
    log_ratio = min(math.log(_LONGEST_ERASED_RATIO), -math.log(area))  # no side is longer than the image's
    half_ratio = math.exp(random.uniform(-log_ratio, log_ratio) / 2)
    width, height = (max(1, round(math.sqrt(area) * size * factor)) for factor in (half_ratio, 1 / half_ratio))
    left, top = random.integers(size - width + 1), random.integers(size - height + 1)
    erased = pixels.copy()  # Pillow's pixels are read-only
    erased[top : top + height, left : left + width] = random.integers(256, size=(height, width, 3), dtype=np.uint8)
    return erased
