"""From the bytes of a picture file to RGB pixels at the size asked for: the one decoder of training, evaluation and prediction.

Pillow decodes (every colour type, EXIF orientation) and resizes with antialiasing. Alpha is dropped, not blended, and 16-bit
channels keep their high byte: so do TensorFlow's decoders and the phone's, and a model should see one picture everywhere.
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


def _stretch(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BILINEAR)


def _crop(image: Image.Image, size: int) -> Image.Image:
    side = max(1, round(min(image.size) * CROP_FRACTION))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return _stretch(image.crop((left, top, left + side, top + side)), size)


def _pad(image: Image.Image, size: int) -> Image.Image:
    longest = max(image.size)  # whole numbers, so that data.serving finds the same size to the pixel
    width, height = (max(1, (2 * side * size + longest) // (2 * longest)) for side in image.size)
    canvas = Image.new("RGB", (size, size))
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    canvas.paste(resized, ((size - width) // 2, (size - height) // 2))
    return canvas


RESIZES: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "stretch": _stretch,  # the whole picture, its aspect ratio lost: what MediaPipe Tasks does on a phone
    "crop": _crop,  # the central square
    "pad": _pad,  # the whole picture, black bars beside it
}


def load_pixels(encoded: bytes, image_size: int, resize: str) -> np.ndarray:
    """Decode and resize one picture.

    Args:
        encoded: the bytes of a picture file.
        image_size: side of the square result, in pixels.
        resize: a key of `RESIZES`.

    Returns:
        uint8 (image_size, image_size, 3), RGB.

    Raises:
        UnreadablePicture: see `decode`.
    """
    return np.asarray(RESIZES[resize](decode(encoded), image_size))
