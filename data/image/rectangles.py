"""Decoder for models with images that are not square, which resizes as MediaPipe Tasks does."""

from __future__ import annotations

import numpy as np

from data.image.decoding import decoded
from data.image.resizing import CROP_FRACTION, Fit, draw_bilinear, load_pixels


def load_to_size(encoded: bytes, size: int | tuple[int, int], resize: str) -> np.ndarray:
    """Decode and resize one image.

    Args:
        encoded: the bytes of an image file.
        size: side of the result, or its height and width, in pixels.
        resize: a key of `data.image.resizing.RESIZES`; "crop" keeps the aspect ratio of the result, "pad" that of the image.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        UnreadableImage: see `data.image.decoding.decode`.

    Examples:
        >>> encoded = open("apple.png", "rb").read()
        >>> load_to_size(encoded, (16, 32), "crop").shape
        (16, 32, 3)
        >>> load_to_size(encoded, 16, "stretch").shape
        (16, 16, 3)
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height == width:
        return load_pixels(encoded, height, resize)
    with decoded(encoded) as image:
        pixels = draw_bilinear(image, _fit(*image.size, height, width, resize))
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return canvas


def _fit(width: int, height: int, new_height: int, new_width: int, resize: str) -> Fit:
    scales = (new_width / width, new_height / height)
    if resize == "pad":
        return Fit((0, 0, width, height), *(max(1, round(side * min(scales))) for side in (width, height)))
    if resize == "stretch":
        return Fit((0, 0, width, height), new_width, new_height)
    seen_width, seen_height = (max(1, round(CROP_FRACTION * side / max(scales))) for side in (new_width, new_height))
    left, top = (width - seen_width) // 2, (height - seen_height) // 2
    return Fit((left, top, left + seen_width, top + seen_height), new_width, new_height)
