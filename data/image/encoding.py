"""Images in memory as files, without loss, so that whatever reads files reads them too; and image files as plain PNG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from data.image.decoding import LARGEST_FILE, decode, faults_named, is_transparent

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_DEEP_MODES = ("I", "F")  # 32-bit numbers
_HEADER = 2**20  # bytes, more than any header


def encode_image(image: Image.Image) -> bytes:
    """Return a file with the pixels of an image as PIL shows them: without metadata, such as an EXIF orientation.

    Images in 8-bit RGB become BMP, which is fast and deterministic, unless that would exceed the largest file.

    Raises:
        UnreadableImage: the pixels cannot be loaded.

    Examples:
        >>> encode_image(Image.new("RGB", (4, 4)))[:2]
        b'BM'
        >>> encode_image(Image.new("RGBA", (4, 4)))[1:4]
        b'PNG'
    """
    file = io.BytesIO()
    with faults_named():
        image.load()
        if image.mode in _DEEP_MODES:
            Image.fromarray(np.asarray(image)).save(file, "TIFF")
            return file.getvalue()
        is_plain = not is_transparent(image)
        if image.mode not in _PNG_MODES:
            image = image.convert("RGB" if is_plain else "RGBA")
        is_small = 3 * image.width * image.height < LARGEST_FILE - _HEADER
        if image.mode == "RGB" and is_plain and is_small:
            image.save(file, "BMP")
        else:
            image.save(file, "PNG", compress_level=1, exif=b"")
    return file.getvalue()


def plain_png(encoded: bytes, longest: int) -> bytes:
    """Return an image file as an upright PNG in 8-bit RGB without metadata, which every decoder reads alike.

    Args:
        encoded: content of an image file.
        longest: longest side of the result, in pixels; larger images are shrunk.

    Raises:
        UnreadableImage: see `data.image.decoding.decode`.

    Examples:
        >>> encoded = open("apple.png", "rb").read()
        >>> decode(plain_png(encoded, longest=20)).size
        (20, 15)
        >>> decode(plain_png(encoded, longest=100)) == decode(encoded)
        True
    """
    image = decode(encoded)
    image.thumbnail((longest, longest))
    file = io.BytesIO()
    # From its pixels alone: Pillow would also write the colour profile, which some decoders apply.
    Image.fromarray(np.asarray(image)).save(file, "PNG")
    return file.getvalue()
