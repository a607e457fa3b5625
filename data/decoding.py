"""From the bytes of a picture file to RGB pixels at the size asked for: the one decoder of training, evaluation and prediction.

Pillow decodes every colour type, and minds EXIF orientation. Alpha is dropped, not blended, and 16-bit
channels keep their high byte: so do TensorFlow's decoders and the phone's, and a model should see one picture everywhere.
It is resized as MediaPipe Tasks does on a phone, so that the accuracy that is reported is the one that a phone gets; training
also sees antialiased pictures, as other clients make them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp"})
_EXIF_ORIENTATION = 0x0112
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
CROP_FRACTION = 0.875  # of the shorter side: the centre crop that ImageNet networks are evaluated with

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
    if not encoded:
        raise UnreadablePicture("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            image.load()
            return _to_rgb(_upright(image))
    except Image.DecompressionBombError as error:
        raise UnreadablePicture("its header announces more than 179 million pixels") from error
    except Image.UnidentifiedImageError as error:
        raise UnreadablePicture(f"not a picture in a known format ({', '.join(FORMATS)})") from error
    except Exception as error:  # a damaged file can make a decoder raise nearly anything, and all of it means the same
        raise UnreadablePicture(f"truncated or damaged ({error})") from error


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
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data beside sound pixels: shown as stored, as viewers do
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale: Pillow's own conversion would clip it to white
        image = Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8))
    return image.convert("RGB")


def _resized(image: Image.Image, width: int, height: int, like_phone: bool) -> Image.Image:
    if not like_phone:
        return image.resize((width, height), Image.Resampling.BILINEAR)
    import cv2  # slow to import, and `--help` reads this module

    # MediaPipe maps corner to corner: pixel i of the result is what lies at i * scale, between the nearest four pixels, where
    # other resizes take what lies at (i + 1/2) * scale - 1/2, and average when they shrink. It uses OpenCV, and so does this.
    scales = np.array([[image.width / width, 0, 0], [0, image.height / height, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(np.asarray(image), scales, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return Image.fromarray(pixels)


def _stretch(image: Image.Image, size: int, like_phone: bool) -> Image.Image:
    return _resized(image, size, size, like_phone)


def _crop(image: Image.Image, size: int, like_phone: bool) -> Image.Image:
    return _resized(image.crop(central_square(*image.size)), size, size, like_phone)


def central_square(width: int, height: int) -> tuple[int, int, int, int]:
    """What `crop` looks at: left, top, right and bottom, in pixels, of a picture of this width and height."""
    side = max(1, round(min(width, height) * CROP_FRACTION))
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _pad(image: Image.Image, size: int, like_phone: bool) -> Image.Image:
    longest = max(image.size)  # whole numbers, so that data.serving finds the same size to the pixel
    width, height = (max(1, (2 * side * size + longest) // (2 * longest)) for side in image.size)
    canvas = Image.new("RGB", (size, size))
    canvas.paste(_resized(image, width, height, like_phone), ((size - width) // 2, (size - height) // 2))
    return canvas


RESIZES: dict[str, Callable[[Image.Image, int, bool], Image.Image]] = {
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
    return np.asarray(RESIZES[resize](decode(encoded), image_size, like_phone))
