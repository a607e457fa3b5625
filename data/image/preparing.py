"""Changes to image files before decoding, for images that plain decoding would spoil.

A black drawing on a transparent ground is all black once alpha is dropped; 12 bits in a 16-bit file are nearly black, since
decoders keep the high byte. An image that an option applies to is replaced by a file in 8-bit RGB before anything reads it.
Training, evaluation, verification and caches, which depend on a file's bytes, then all use the same image.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageColor, TiffImagePlugin

from data.errors import DataError
from data.image.decoding import UnreadableImage, bits_of, is_transparent, loaded, opened
from data.image.encoding import encode_image

_LEVELS = re.compile(r"(-?[\d.]+(?:e[+-]?\d+)?)\s*[-,:]\s*(-?[\d.]+(?:e[+-]?\d+)?)")
_PNG_DEPTH = 24  # position of the bits per channel in a PNG file


@dataclass(frozen=True)
class Preparation:
    """Options for images whose pixels are not plain 8-bit RGB; without options, files stay as they are.

    Attributes:
        background: RGB shown where an image is transparent; None drops the transparency.
        levels: for images with more than 8 bits per channel, the values that become black and white. Values between them are
            scaled, values beyond are clipped. None keeps the high byte.
    """

    background: tuple[int, int, int] | None = None
    levels: tuple[float, float] | None = None

    @classmethod
    def parse(cls, background: str | None, levels: str | None) -> Preparation:
        """Parse the texts of options, such as "white" and "0-4095".

        Raises:
            DataError: a text is not a colour, or not two numbers in ascending order.
        """
        return cls(
            None if background is None else _parse_colour(background),
            None if levels is None else _parse_levels(levels),
        )

    def __call__(self, encoded: bytes) -> bytes:
        """Return the file to decode in place of this file: the same, or a file in 8-bit RGB.

        Raises:
            UnreadableImage: see `data.image.decoding.decode`.
        """
        if self == PLAIN:
            return encoded
        with opened(encoded) as image:
            is_deep = self.levels is not None and depth_of(image, encoded) > 8
            if not is_deep and (self.background is None or not is_transparent(image)):
                return encoded
            upright = loaded(image, partial(self._convert, encoded=encoded, is_deep=is_deep))
            return encode_image(upright)

    def applied_to(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Return a reader that prepares the files that `read` returns."""
        return read if self == PLAIN else PreparedReader(read, self)

    def _convert(self, image: Image.Image, encoded: bytes, is_deep: bool) -> Image.Image:
        if is_deep:
            assert self.levels is not None
            low, high = self.levels
            values = (deep_values(image, encoded) - low) / (high - low)
            if values.ndim == 3 and values.shape[2] == 4:  # alpha keeps its full range
                values[..., 3] = deep_values(image, encoded)[..., 3] / (2.0**16 - 1)
            image = Image.fromarray(np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8))
        if self.background is None or not is_transparent(image):
            return image.convert("RGB")
        ground = Image.new("RGBA", image.size, self.background)
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


@dataclass(frozen=True)
class PreparedReader:
    """Reads image files and prepares them."""

    read: Callable[[int], bytes]
    preparation: Preparation

    def __call__(self, index: int) -> bytes:
        """Return the prepared bytes of an example's file."""
        return self.preparation(self.read(index))


PLAIN = Preparation()  # leaves every file as it is


def depth_of(image: Image.Image, encoded: bytes) -> int:
    """Return the bits per channel of an image from `data.image.decoding.opened`, as stored.

    Examples:
        >>> encoded = open("apple.png", "rb").read()
        >>> with opened(encoded) as image:
        ...     depth_of(image, encoded)
        8
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("I;16", (4, 4)).save(file, "PNG")
        >>> with opened(file.getvalue()) as image:
        ...     depth_of(image, file.getvalue())
        16
    """
    if image.format == "PNG":
        return encoded[_PNG_DEPTH]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))))
    return bits_of(image)


def deep_values(image: Image.Image, encoded: bytes) -> np.ndarray:
    """Return the values of an image with more than 8 bits per channel, as stored.

    Args:
        image: loaded, not turned.
        encoded: its file. OpenCV reads it for colour images, since Pillow reads only greyscale with so many bits.

    Returns:
        float32 (height, width) or (height, width, 3 or 4), RGB.

    Examples:
        >>> deep_values(Image.new("I;16", (3, 2), 4095), b"").tolist()
        [[4095.0, 4095.0, 4095.0], [4095.0, 4095.0, 4095.0]]
        >>> deep_values(Image.new("RGB", (3, 2)), b"no image")
        Traceback (most recent call last):
        data.image.decoding.UnreadableImage: its kind of deep pixels cannot be read; save it as 16-bit PNG
    """
    if image.mode[0] in "IF":
        return np.asarray(image, np.float32)
    import cv2  # slow to import, and `--help` reads this module

    values = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.shape[:2] != image.size[::-1]:
        raise UnreadableImage("its kind of deep pixels cannot be read; save it as 16-bit PNG")
    if values.ndim == 2:
        return values.astype(np.float32)
    return values[..., [2, 1, 0, 3][: values.shape[2]]].astype(np.float32)


def _parse_colour(text: str) -> tuple[int, int, int]:
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise DataError(f"{text!r} is no colour; name one, such as white, black or '#f0f0f0'") from error


def _parse_levels(text: str) -> tuple[float, float]:
    found = _LEVELS.fullmatch(text.strip())
    try:
        low, high = (float(one) for one in found.groups()) if found else (0.0, 0.0)
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise DataError(f"{text!r} is no range of values; give the values of black and white, such as 0-4095")
    return low, high
