"""From the bytes of a picture file to RGB pixels at the size asked for: the one decoder of training, evaluation and prediction.

Pillow decodes every colour type, and minds EXIF orientation. Alpha is dropped, not blended, and 16-bit
channels keep their high byte: so do TensorFlow's decoders and the phone's, and a model should see one picture everywhere.
It is resized as MediaPipe Tasks does on a phone, so that the accuracy that is reported is the one that a phone gets; training
also sees antialiased pictures, as other clients make them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp"})
_EXIF_ORIENTATION = 0x0112
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
CROP_FRACTION = 0.875  # of the shorter side: the centre crop that ImageNet networks are evaluated with
_SCALES = (8, 4, 2)  # by which JPEG decoders divide a picture's size at no cost

# Pillow warns of large or slightly odd pictures; what cannot be used raises, and the rest is of no interest to the user.
warnings.filterwarnings("ignore", module=r"PIL\..*")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnreadablePicture(ValueError):  # noqa: N818 - it names the thing
    """Bytes that are not a whole picture in one of `FORMATS`; the text is the reason, in a few words."""


def decode(encoded: bytes) -> Image.Image:
    """Decode a picture file, upright and in RGB; the first frame of an animation.

    Raises:
        UnreadablePicture: not a picture, truncated, or larger than Pillow's limit against decompression bombs
            (179 million pixels, judged from the header before anything is decoded).
    """
    with _opened(encoded) as image:
        return _loaded(image)


@contextmanager
def _opened(encoded: bytes) -> Iterator[Image.Image]:
    """A picture whose header is read and whose pixels are not; what fails within makes it an `UnreadablePicture`."""
    if not encoded:
        raise UnreadablePicture("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise UnreadablePicture("its header announces more than 179 million pixels") from error
    except Image.UnidentifiedImageError as error:
        raise UnreadablePicture(f"not a picture in a known format ({', '.join(FORMATS)})") from error
    except Exception as error:  # a damaged file can make a decoder raise nearly anything, and all of it means the same
        raise UnreadablePicture(f"truncated or damaged ({error})") from error


def _loaded(image: Image.Image) -> Image.Image:
    image.load()
    return _to_rgb(_upright(image))


def reads_alike_in_tensorflow(encoded: bytes) -> bool:
    """Whether TensorFlow's decoders give these pixels too.

    They know no EXIF orientation, convert CMYK otherwise, take palettes of BMP for greyscale, fill transparent parts of a GIF,
    refuse WebP that is animated or has alpha, and refuse files without an end mark.

    Args:
        encoded: the bytes of a picture that `decode` can read.
    """
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        fills_canvas = bool(image.tile) and image.tile[0][1] == (0, 0, *image.size)
        if image.mode == "CMYK" or image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
            return False
        return {
            "PNG": _PNG_END in encoded,
            "BMP": encoded[28:30] == b"\x18\0",  # 24 bits a pixel
            "GIF": fills_canvas and "transparency" not in image.info and encoded.endswith(b"\0;"),
            "WEBP": image.mode == "RGB" and not getattr(image, "is_animated", False),
        }.get(image.format or "", True)


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(_EXIF_ORIENTATION, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image  # which would be a copy, and copies take time
    except Exception:  # damaged EXIF data beside sound pixels: shown as stored, as viewers do
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale: Pillow's own conversion would clip it to white
        image = Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


Box = tuple[int, int, int, int]  # left, top, right and bottom, in pixels


class Fit(NamedTuple):
    """Which part of a picture is seen, and how large it is drawn in the middle of a square; what is left is black.

    Attributes:
        box: that part.
        width: of what is drawn, in pixels, as `height`.
    """

    box: Box
    width: int
    height: int


# From the width and height of a picture, and the side of the square that it is to fit into.
FitOf = Callable[[int, int, int], Fit]


def _stretch(width: int, height: int, size: int) -> Fit:
    return Fit((0, 0, width, height), size, size)


def _crop(width: int, height: int, size: int) -> Fit:
    return Fit(central_square(width, height), size, size)


def central_square(width: int, height: int) -> Box:
    """What `crop` looks at: left, top, right and bottom, in pixels, of a picture of this width and height."""
    side = max(1, round(min(width, height) * CROP_FRACTION))
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _pad(width: int, height: int, size: int) -> Fit:
    longest = max(width, height)  # whole numbers, so that data.serving finds the same size to the pixel
    drawn_width, drawn_height = (max(1, (2 * side * size + longest) // (2 * longest)) for side in (width, height))
    return Fit((0, 0, width, height), drawn_width, drawn_height)


RESIZES: dict[str, FitOf] = {
    "stretch": _stretch,  # the whole picture, its aspect ratio lost: what MediaPipe Tasks does on a phone
    "crop": _crop,  # the central square
    "pad": _pad,  # the whole picture, black bars beside it
}


def load_pixels(encoded: bytes, image_size: int, resize: str, *, like_phone: bool = True) -> np.ndarray:
    """Decode and resize one picture.

    Args:
        encoded: the bytes of a picture file.
        image_size: side of the square result, in pixels.
        resize: a key of `RESIZES`.
        like_phone: resize as MediaPipe Tasks does on a phone, between the nearest four pixels only, from corner to corner;
            else with antialiasing, from the middle of pixels.

    Returns:
        uint8 (image_size, image_size, 3), RGB.

    Raises:
        UnreadablePicture: see `decode`.
    """
    return load_each_way(encoded, image_size, resize, {like_phone})[like_phone]


def load_each_way(encoded: bytes, image_size: int, resize: str, ways: Collection[bool]) -> dict[bool, np.ndarray]:
    """Decode one picture once, and resize it in one way or both.

    A JPEG of which only antialiased pixels are wanted is decoded at a half, quarter or eighth of its size where that
    leaves twice what is needed: the decoder then averages, which the resize would have done, and skips most of its work.
    That gives antialiased pixels which differ from those of the whole picture, as they come with those like a phone's,
    by a fraction of a level; by more where EXIF turns it and its sides are no multiples of 8.

    Args:
        encoded: the bytes of a picture file.
        image_size: side of the square result, in pixels.
        resize: a key of `RESIZES`.
        ways: the values of `like_phone` that are wanted, see `load_pixels`.

    Returns:
        By way, uint8 (image_size, image_size, 3), RGB.

    Raises:
        UnreadablePicture: see `decode`.
    """
    if True in ways:
        image, scale = decode(encoded), 1
        fit = RESIZES[resize](*image.size, image_size)
    else:
        image, fit, scale = _decode_shrunk(encoded, RESIZES[resize], image_size)
    drawn = {way: _like_phone(image, fit) if way else _antialiased(image, fit, scale) for way in ways}
    return {way: _in_square(pixels, image_size) for way, pixels in drawn.items()}


def _decode_shrunk(encoded: bytes, fit_of: FitOf, size: int) -> tuple[Image.Image, Fit, int]:
    """As `decode`, but a JPEG as small as leaves twice the pixels that are needed.

    Returns:
        The picture, how the whole one fits, and by how much the picture is smaller than that.
    """
    with _opened(encoded) as image:
        whole = image.size
        (left, top, right, bottom), width, height = fit = fit_of(*whole, size)
        excess = min((right - left) // (2 * width), (bottom - top) // (2 * height))
        scale = next((scale for scale in _SCALES if scale <= excess), 1)
        drafted = image.draft("RGB", (image.width // scale, image.height // scale))
        upright = _loaded(image)
        if upright.size != image.size:  # it was stored on its side
            fit = fit_of(*whole[::-1], size)
        return upright, fit, scale if drafted else 1  # other formats know no such thing


def _like_phone(image: Image.Image, fit: Fit) -> np.ndarray:
    import cv2  # slow to import, and `--help` reads this module

    # MediaPipe maps corner to corner: pixel i of the result is what lies at i * scale, between the nearest four pixels, where
    # other resizes take what lies at (i + 1/2) * scale - 1/2, and average when they shrink. It uses OpenCV, and so does this.
    left, top, right, bottom = fit.box
    seen = np.asarray(image)[top:bottom, left:right]
    scales = np.array([[(right - left) / fit.width, 0, 0], [0, (bottom - top) / fit.height, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(seen, scales, (fit.width, fit.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _antialiased(image: Image.Image, fit: Fit, scale: int) -> np.ndarray:
    """For an image that is smaller by `scale` than the one that `fit` is for."""
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
