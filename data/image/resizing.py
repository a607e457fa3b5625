"""From an image file to RGB pixels of one size, resized as MediaPipe Tasks does on a phone or with antialiasing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from PIL import Image

from data.image import decoding
from data.image.decoding import UnreadableImage

CROP_FRACTION = 0.875  # of the shorter side: the centre crop that ImageNet networks are evaluated with
_SCALES = (8, 4, 2)  # by which JPEG decoders divide an image's size at no cost

Box = tuple[int, int, int, int]  # left, top, right and bottom, in pixels


class Fit(NamedTuple):
    """The part of an image that is used, and the size at which it is drawn in the middle of a square; the rest is black.

    Attributes:
        box: the part of the image.
        width: width of the drawn part, in pixels.
        height: height of the drawn part, in pixels.
    """

    box: Box
    width: int
    height: int


# From the width and height of an image, and the side of the square that it fits into.
FitOf = Callable[[int, int, int], Fit]


def _stretch(width: int, height: int, size: int) -> Fit:
    return Fit((0, 0, width, height), size, size)


def _crop(width: int, height: int, size: int) -> Fit:
    return Fit(central_square(width, height), size, size)


def central_square(width: int, height: int) -> Box:
    """Return the box that `crop` uses in an image of this size: left, top, right and bottom, in pixels.

    Examples:
        >>> central_square(80, 40)
        (22, 2, 57, 37)
        >>> central_square(1, 1)
        (0, 0, 1, 1)
    """
    side = max(1, round(min(width, height) * CROP_FRACTION))
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _pad(width: int, height: int, size: int) -> Fit:
    longest = max(width, height)  # whole numbers, so that data.image.serving finds the same size to the pixel
    drawn_width, drawn_height = (max(1, (2 * side * size + longest) // (2 * longest)) for side in (width, height))
    return Fit((0, 0, width, height), drawn_width, drawn_height)


RESIZES: dict[str, FitOf] = {
    "stretch": _stretch,  # the whole image, its aspect ratio lost: what MediaPipe Tasks does on a phone
    "crop": _crop,  # the central square
    "pad": _pad,  # the whole image, black bars beside it
}


def load_pixels(encoded: bytes, image_size: int, resize: str, *, antialias: bool = False) -> np.ndarray:
    """Decode and resize one image.

    Args:
        encoded: the bytes of an image file.
        image_size: side of the square result, in pixels.
        resize: a key of `RESIZES`.
        antialias: resize with antialiasing, sampling at pixel centres. Otherwise resize as MediaPipe Tasks does on a phone:
            between the nearest four pixels only, from corner to corner.

    Returns:
        uint8 (image_size, image_size, 3), RGB.

    Raises:
        UnreadableImage: see `decode`.

    Examples:
        >>> encoded = open("apple.png", "rb").read()
        >>> load_pixels(encoded, 16, "stretch", antialias=True).shape
        (16, 16, 3)
        >>> load_pixels(encoded, 16, "pad")[0, 0].tolist()  # the image is wider than high
        [0, 0, 0]
    """
    return load_each_way(encoded, image_size, resize, {antialias})[antialias]


def load_each_way(
    encoded: bytes, image_size: int, resize: str, ways: Collection[bool], *, spare: Collection[bool] = ()
) -> dict[bool, np.ndarray]:
    """Decode one image once, and resize it with antialiasing, without it, or both.

    If only the antialiased pixels of a JPEG are needed, it is decoded at a half, quarter or eighth of its size, where that
    leaves at least twice the pixels of the result: the decoder then averages pixels in place of the resize, and skips most
    of its work. These antialiased pixels differ by a fraction of a level from those of the whole image, which are made when
    the other pixels are needed, too. They differ by more where EXIF turns the image and its sides are not multiples of 8.

    Args:
        encoded: the bytes of an image file.
        image_size: side of the square result, in pixels.
        resize: a key of `RESIZES`.
        ways: the values of `antialias` that are needed, see `load_pixels`.
        spare: further values of `antialias`, which are included if the same decode serves them.

    Returns:
        From each value of `antialias` to uint8 (image_size, image_size, 3), RGB.

    Raises:
        UnreadableImage: see `decode`.

    Examples:
        >>> encoded = open("apple.png", "rb").read()
        >>> sorted(load_each_way(encoded, 16, "crop", {True, False}))
        [False, True]
        >>> sorted(load_each_way(encoded, 16, "crop", {True}, spare={False}))  # a PNG is always decoded whole
        [False, True]
    """
    if False not in ways:
        with suppress(UnreadableImage):  # some kinds of JPEG cannot be decoded at a smaller size
            return _load_each_way(encoded, image_size, RESIZES[resize], ways, spare, shrink=True)
    return _load_each_way(encoded, image_size, RESIZES[resize], ways, spare, shrink=False)


def _load_each_way(
    encoded: bytes, size: int, fit_of: FitOf, ways: Collection[bool], spare: Collection[bool], *, shrink: bool
) -> dict[bool, np.ndarray]:
    with decoding.opened(encoded) as image:
        whole = image.size
        scale = _draft(image, fit_of(*whole, size)) if shrink else 1
        upright = decoding.loaded(image)
        on_its_side = upright.size != image.size
        fit = fit_of(*(whole[::-1] if on_its_side else whole), size)
        ways = {*ways, *spare} if scale == 1 else ways
        drawn = {way: _antialiased(upright, fit, scale) if way else draw_bilinear(upright, fit) for way in ways}
    return {way: _in_square(pixels, size) for way, pixels in drawn.items()}


def _draft(image: Image.Image, fit: Fit) -> int:
    """Have a JPEG decoded at the smallest size with at least twice the pixels needed; return by what factor it is smaller."""
    left, top, right, bottom = fit.box
    excess = min((right - left) // (2 * fit.width), (bottom - top) // (2 * fit.height))
    scale = next((scale for scale in _SCALES if scale <= excess), 1)
    drafted = image.draft("RGB", (image.width // scale, image.height // scale))
    return scale if drafted else 1  # other formats have no such option


def draw_bilinear(image: Image.Image, fit: Fit) -> np.ndarray:
    """Return the part of an image that `fit` selects, resized as MediaPipe Tasks does: uint8 (fit.height, fit.width, 3).

    Examples:
        >>> image = Image.new("RGB", (8, 8), "red")
        >>> draw_bilinear(image, Fit((0, 0, 8, 8), width=4, height=2)).shape
        (2, 4, 3)
        >>> draw_bilinear(image, Fit((2, 2, 6, 6), width=1, height=1)).tolist()
        [[[255, 0, 0]]]
    """
    import cv2  # slow to import, and `--help` reads this module

    # MediaPipe maps corner to corner: pixel i of the result lies at i * scale, between the nearest four pixels. Other resizes
    # place it at (i + 1/2) * scale - 1/2, and average when they shrink. MediaPipe uses OpenCV, and so does this function.
    left, top, right, bottom = fit.box
    seen = np.asarray(image)[top:bottom, left:right]
    scales = np.array([[(right - left) / fit.width, 0, 0], [0, (bottom - top) / fit.height, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(seen, scales, (fit.width, fit.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _antialiased(image: Image.Image, fit: Fit, scale: int) -> np.ndarray:
    """Resize with antialiasing an image that is smaller by `scale` than the image that `fit` is for."""
    left, top, right, bottom = (edge / scale for edge in fit.box)
    size = (fit.width, fit.height)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom)))


def _in_square(pixels: np.ndarray, size: int) -> np.ndarray:
    height, width, _ = pixels.shape
    if height == width == size:
        return pixels
    square = np.zeros((size, size, 3), np.uint8)
    left, top = (size - width) // 2, (size - height) // 2
    square[top : top + height, left : left + width] = pixels
    return square
