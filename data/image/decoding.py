"""Decoder of image files: from bytes to RGB pixels of a given size, for training, evaluation and prediction alike.

Pillow decodes every colour type and applies the EXIF orientation. Alpha is dropped, not blended, and 16-bit channels keep
their high byte: TensorFlow's decoders and the phone's do the same, and a model should get the same pixels everywhere.
Where this loses what the image shows, `data.image.preparing` replaces the file before it is decoded.
Images are resized as MediaPipe Tasks does on a phone, so that the reported accuracy is the accuracy on a phone. Training
also uses antialiased images, as other clients make them.

Whether an image is usable depends on its bytes alone: every function of this module decides alike and gives the same
reason. Files crafted to exhaust memory or time are refused, and all threads share one memory allowance.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError, features

from data.errors import UnreadableExample
from data.image.pixel_budget import PixelBudget

_HAS_AVIF = features.check("avif")  # Pillow has it on all but a few systems
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", *(["AVIF"] if _HAS_AVIF else []))
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", *([".avif"] if _HAS_AVIF else [])}
)
LARGEST_IMAGE = 2**29 // 3  # pixels: 179 million, as many as Pillow and TensorFlow take
LARGEST_SIDE = 2**16 - 1  # pixels, as in JPEG and GIF: longer lines make decoders and resizers slow
LARGEST_FILE = 2**28  # bytes
_MOST_SEGMENTS = 1000  # of a JPEG; those with the longest metadata have a few hundred
_MOST_SCANS = 100  # of a JPEG; progressive ones have about ten
_EXIF_ORIENTATION = 0x0112
_TURNS = {  # from EXIF orientation to the transposition that makes an image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", 0xDA, 0xD9
# Markers that a length follows, and the end marker; none of them occurs within the data of a scan.
_JPEG_SEGMENT = re.compile(rb"\xff([\xc0-\xc7\xc9-\xcf\xd9-\xef\xfe])")
_DAMAGED = "truncated or damaged"
_UNKNOWN = f"not an image in a known format ({', '.join(FORMATS)})"
_TOO_LARGE = f"its header announces more than {LARGEST_IMAGE / 1e6:.0f} million pixels"
_TOO_WIDE = f"its header announces a side of more than {LARGEST_SIDE:,} pixels"
_TOO_DEEP = (
    "its pixels are 32-bit numbers, and none of them is known to be white; say which are black and white with --levels"
)
_TOO_OFTEN = f"it has more than {_MOST_SCANS} scans or {_MOST_SEGMENTS:,} segments"
TOO_LONG = f"the file is larger than {LARGEST_FILE >> 20} MB"
# How files that Pillow does not know begin, and what is wrong with them.
_OTHERS = {
    rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP": f"{_DAMAGED} (its header cannot be read)",
    rb"II[*+]\0|MM\0[*+]": f"a TIFF of an unknown kind of pixels, or {_DAMAGED}; save it as 8-bit RGB",
    rb"....ftypavi[fs]": f"{_DAMAGED} (its header cannot be read)" if _HAS_AVIF else f"AVIF, {_UNKNOWN}",
    rb"....ftyp(hei|hev|mif1|msf1)": f"HEIC, {_UNKNOWN}; save it as JPEG",
    rb"%PDF": f"PDF, {_UNKNOWN}",
    rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(svg|!DOCTYPE svg)": f"SVG, {_UNKNOWN}",
    rb"\s*(<!--.*?-->\s*)?<(html|!DOCTYPE html)": f"a web page, {_UNKNOWN}",
}

# Pillow warns about large or slightly odd images. Unusable images raise, and the other warnings do not help the user.
warnings.filterwarnings("ignore", module=r"PIL\..*")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnreadableImage(UnreadableExample):
    """Bytes that are not a complete image in one of `FORMATS`; the text is the reason, in a few words."""


# The largest image takes 2 GB while it is decoded and resized, a WebP 3.7 GB. Several images at once take no more than that.
_BUDGET = PixelBudget(LARGEST_IMAGE)


def decode(encoded: bytes) -> Image.Image:
    """Decode an image file to an upright RGB image; of an animation, the first frame.

    Raises:
        UnreadableImage: not an image, truncated, or larger than `LARGEST_IMAGE`, `LARGEST_SIDE` or `LARGEST_FILE`. Size is
            judged by the header, before decoding.

    Examples:
        >>> image = decode(open("apple.png", "rb").read())
        >>> image.size, image.mode
        ((40, 30), 'RGB')
        >>> decode(b"%PDF-1.7")
        Traceback (most recent call last):
        data.image.decoding.UnreadableImage: PDF, not an image in a known format ...
    """
    with decoded(encoded) as image:
        return image


@contextmanager
def decoded(encoded: bytes) -> Iterator[Image.Image]:
    """Decode as `decode` does, and hold the image's share of the memory allowance until the context ends.

    Examples:
        >>> with decoded(open("apple.png", "rb").read()) as image:
        ...     image.size
        (40, 30)
        >>> with decoded(b"") as image:
        ...     image.size
        Traceback (most recent call last):
        data.image.decoding.UnreadableImage: the file is empty
    """
    with opened(encoded) as image:
        yield loaded(image)


@contextmanager
def opened(encoded: bytes) -> Iterator[Image.Image]:
    """Open an image, reading its header but not its pixels, and reserve memory for the pixels.

    Examples:
        >>> with opened(open("apple.png", "rb").read()) as image:
        ...     image.format, image.size
        ('PNG', (40, 30))
        >>> with opened(b"<svg/>") as image:
        ...     image.size
        Traceback (most recent call last):
        data.image.decoding.UnreadableImage: SVG, not an image in a known format ...
    """
    if not encoded:
        raise UnreadableImage("the file is empty")
    if len(encoded) > LARGEST_FILE:
        raise UnreadableImage(TOO_LONG)
    if encoded.startswith(_JPEG_START):
        _check_segments(encoded)
    # TensorFlow Datasets turns on this switch, for the whole process: half an image would be accepted.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with faults_named():
        image = _open(encoded)
    with image:
        if image.width * image.height > LARGEST_IMAGE:
            raise UnreadableImage(_TOO_LARGE)
        if max(image.size) > LARGEST_SIDE:
            raise UnreadableImage(_TOO_WIDE)
        with _BUDGET.reserved(image.width * image.height):
            yield image


def _open(encoded: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(encoded), formats=FORMATS)
    except UnidentifiedImageError as error:
        start = encoded[:1024]
        reasons = (reason for pattern, reason in _OTHERS.items() if re.match(pattern, start, re.DOTALL | re.IGNORECASE))
        raise UnreadableImage(next(reasons, _UNKNOWN)) from error


@contextmanager
def faults_named() -> Iterator[None]:
    """Turn any error that Pillow raises within the context into an `UnreadableImage`.

    Examples:
        >>> with faults_named():
        ...     raise OSError("broken data stream")
        Traceback (most recent call last):
        data.image.decoding.UnreadableImage: truncated or damaged (broken data stream)
        >>> with faults_named():
        ...     Image.new("RGB", (4, 4)).size
        (4, 4)
    """
    try:
        yield
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(_TOO_LARGE) from error
    except MemoryError as error:
        raise UnreadableImage("there is not enough memory to decode it") from error
    except Exception as error:  # a damaged file can make a decoder raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(f"{_DAMAGED} ({reason})") from error


def _check_segments(encoded: bytes) -> None:
    """Refuse a JPEG that would take hours: each scan passes over the whole image, even if it holds nothing.

    Pillow's time for many segments of EXIF data grows with the square of their number.
    """
    segments = scans = place = 0
    while found := _JPEG_SEGMENT.search(encoded, place):
        place, kind = found.end(), found[1][0]
        if kind == _JPEG_END and scans:
            return  # of the image; phones append a video or a depth map
        segments, scans = segments + 1, scans + (kind == _JPEG_SCAN)
        if segments > _MOST_SEGMENTS or scans > _MOST_SCANS:
            raise UnreadableImage(_TOO_OFTEN)
        if kind != _JPEG_END:
            place += int.from_bytes(encoded[place : place + 2], "big")


def loaded(image: Image.Image, convert: Callable[[Image.Image], Image.Image] | None = None) -> Image.Image:
    """Load the pixels of an image from `opened`, upright and in RGB, or as `convert` converts them.

    Examples:
        >>> with opened(open("apple.png", "rb").read()) as image:
        ...     loaded(image).mode
        'RGB'
        >>> with opened(open("apple.png", "rb").read()) as image:
        ...     loaded(image, lambda image: image.convert("L")).mode
        'L'
    """
    with faults_named():
        image.load()
        converted = (convert or _to_rgb)(image)
        turn = _TURNS.get(_orientation(image))
        return converted if turn is None else converted.transpose(turn)


class Header(NamedTuple):
    """The contents of an image file's header.

    Attributes:
        format: one of `FORMATS`.
        mode: Pillow's mode of the file's pixels.
        is_animated: whether more frames follow.
        orientation: EXIF orientation, from 1 to 8; 1 is upright.
    """

    format: str
    mode: str
    is_animated: bool
    orientation: int


def read_header(encoded: bytes) -> Header:
    """Return the header of an image that `decode` can read.

    Examples:
        >>> read_header(open("apple.png", "rb").read())
        Header(format='PNG', mode='RGB', is_animated=False, orientation=1)
        >>> file = io.BytesIO()
        >>> Image.new("L", (4, 4)).save(file, "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 9)])
        >>> read_header(file.getvalue()).is_animated
        True
    """
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        try:
            is_animated = _has_more(image)
        except Exception:  # GIF looks for a second frame, which may be damaged
            is_animated = True
        if image.format == "MPO":  # a JPEG followed by other views or a depth map, not an animation
            return Header("JPEG", image.mode, False, _orientation(image))
        return Header(image.format or "", image.mode, is_animated, _orientation(image))


def _has_more(image: Image.Image) -> bool:
    """Whether further frames or pages follow."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return bool(image.tag_v2.next != 0)  # counting all pages, Pillow would read all headers
    return bool(getattr(image, "is_animated", False))


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_EXIF_ORIENTATION)
        return found if found in _TURNS else 1
    except Exception:  # damaged EXIF data with intact pixels: shown as stored, as viewers do
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    bits = bits_of(image)
    if bits > 16:
        raise UnreadableImage(_TOO_DEEP)
    if image.mode.startswith("I"):  # more than 8 bits of grey: Pillow's own conversion would clip them to white
        image = Image.fromarray(np.clip(np.asarray(image) >> (bits - 8), 0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def bits_of(image: Image.Image) -> int:
    """Return the bits per channel of a greyscale image with more than 8, else 8, to which Pillow reduces colours.

    Examples:
        >>> bits_of(Image.new("I;16", (4, 4)))
        16
        >>> bits_of(Image.new("RGB", (4, 4)))
        8
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode[0] in "IF":
        return int(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (32,))[0])
    return 16 if image.mode.startswith("I") else 8


def is_transparent(image: Image.Image) -> bool:
    """Whether an image may have transparent parts.

    Examples:
        >>> is_transparent(Image.new("RGBA", (4, 4)))
        True
        >>> is_transparent(Image.new("RGB", (4, 4)))
        False
    """
    try:
        return image.has_transparency_data
    except AssertionError:  # a missing palette, which decoders take for black
        return False
