"""RandAugment (Cubuk et al. 2020, https://arxiv.org/abs/1909.13719): a few operations drawn from a table, all of one strength.

Operations on colours are Pillow's, as in AutoAugment, the source of the paper's operations. Operations that move pixels leave
grey behind, as in AutoAugment: with borders mirrored, a 0 that is moved becomes an 8. Keras' layer `RandAugment` is not used:
it carries out all of its operations to keep one, has its own generator, and by default turns images by up to half a turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_LARGEST_ANGLE = 30.0  # degrees; this and the following values are AutoAugment's largest magnitudes
_LARGEST_SHEAR = 0.3
_LARGEST_SHIFT = 0.45  # of the side
_LARGEST_ENHANCEMENT = 0.9  # factors from 0.1 to 1.9
_MOST_BITS_LOST = 4
_GREY = (128, 128, 128)

# From pixels, uint8 (size, size, 3), and a strength in [-1, 1] to changed pixels of the same type and shape. Operations
# without a direction ignore the sign. Strength 0 changes nothing, except for the two operations without a strength.
Operation = Callable[[np.ndarray, float], np.ndarray]


def _by_pillow(change: Callable[..., Image.Image], pixels: np.ndarray, *arguments: float) -> np.ndarray:
    return np.asarray(change(Image.fromarray(pixels), *arguments))


def _enhanced(
    enhancement: Callable[[Image.Image], ImageEnhance._Enhance], pixels: np.ndarray, strength: float
) -> np.ndarray:
    return np.asarray(enhancement(Image.fromarray(pixels)).enhance(1 + _LARGEST_ENHANCEMENT * strength))


def _rotated(pixels: np.ndarray, strength: float) -> np.ndarray:
    angle = math.radians(_LARGEST_ANGLE * strength)
    cos, sin = math.cos(angle), math.sin(angle)
    return _warped(pixels, ((cos, -sin), (sin, cos)))


def _warped(pixels: np.ndarray, linear: Sequence[Sequence[float]], shift: Sequence[float] = (0.0, 0.0)) -> np.ndarray:
    """Apply a linear map (2, 2) about the middle, then a shift (x, y) in parts of the side, from output to input places."""
    import cv2  # slow to import, and `--help` reads this module

    middle = np.full(2, (len(pixels) - 1) / 2)
    offset = middle - np.array(linear) @ middle + np.array(shift) * len(pixels)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    affine = np.column_stack([linear, offset])
    return cv2.warpAffine(pixels, affine, pixels.shape[1::-1], flags=flags, borderValue=_GREY)


_SAME = ((1.0, 0.0), (0.0, 1.0))
OPERATIONS: dict[str, Operation] = {
    "identity": lambda pixels, strength: pixels,
    "autocontrast": lambda pixels, strength: _by_pillow(ImageOps.autocontrast, pixels),
    "equalize": lambda pixels, strength: _by_pillow(ImageOps.equalize, pixels),
    "rotate": _rotated,
    "solarize": lambda pixels, strength: _by_pillow(ImageOps.solarize, pixels, 256 * (1 - abs(strength))),
    "color": lambda pixels, strength: _enhanced(ImageEnhance.Color, pixels, strength),
    "posterize": lambda pixels, strength: _by_pillow(
        ImageOps.posterize, pixels, 8 - round(_MOST_BITS_LOST * abs(strength))
    ),
    "contrast": lambda pixels, strength: _enhanced(ImageEnhance.Contrast, pixels, strength),
    "brightness": lambda pixels, strength: _enhanced(ImageEnhance.Brightness, pixels, strength),
    "sharpness": lambda pixels, strength: _enhanced(ImageEnhance.Sharpness, pixels, strength),
    "shear_x": lambda pixels, strength: _warped(pixels, ((1.0, _LARGEST_SHEAR * strength), (0.0, 1.0))),
    "shear_y": lambda pixels, strength: _warped(pixels, ((1.0, 0.0), (_LARGEST_SHEAR * strength, 1.0))),
    "translate_x": lambda pixels, strength: _warped(pixels, _SAME, (_LARGEST_SHIFT * strength, 0.0)),
    "translate_y": lambda pixels, strength: _warped(pixels, _SAME, (0.0, _LARGEST_SHIFT * strength)),
}


def rand_augment(pixels: np.ndarray, random: np.random.Generator, *, operations: int, magnitude: float) -> np.ndarray:
    """Apply operations drawn from `OPERATIONS`, one after the other; an operation may be drawn twice.

    Args:
        pixels: uint8 (size, size, 3), RGB.
        random: source of all draws.
        operations: number of operations; the paper's N.
        magnitude: their strength, in [0, 1], in a random direction; the paper's M, as a part of its largest.

    Returns:
        uint8, the shape of `pixels`; `pixels` itself if nothing changes.

    Examples:
        >>> pixels = np.full((8, 8, 3), 100, np.uint8)
        >>> rand_augment(pixels, np.random.default_rng(0), operations=2, magnitude=0.5).shape
        (8, 8, 3)
        >>> rand_augment(pixels, np.random.default_rng(0), operations=0, magnitude=0.5) is pixels
        True
    """
    chosen = random.integers(len(OPERATIONS), size=operations)
    directions = random.choice((-1.0, 1.0), size=operations)
    for operation, direction in zip(chosen, directions, strict=True):
        pixels = tuple(OPERATIONS.values())[operation](pixels, float(direction * magnitude))
    return pixels
