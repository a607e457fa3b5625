"""What is made of image files before they are decoded, where decoding would lose what is to be seen.

Alpha that is dropped leaves a black drawing on transparent ground all black; 12 bits in a file of 16 are nearly black, since
decoders keep the high byte. An image that an option concerns is replaced by a file in 8-bit RGB before anything reads it: then
training, evaluation, verification and caches, which go by a file's bytes, all see the same.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageColor, TiffImagePlugin

from data.errors import DataError
from data.image.decoding import LARGEST_FILE, UnreadableImage, bits_of, loaded, opened

_LEVELS = re.compile(r"(-?[\d.]+(?:e[+-]?\d+)?)\s*[-,:]\s*(-?[\d.]+(?:e[+-]?\d+)?)")
_PNG_DEPTH = 24  # the place of the bits of a channel in a PNG file


@dataclass(frozen=True)
class Preparation:
    """Options for images whose pixels are not plain 8-bit RGB; without any, files stay as they are.

    Attributes:
        background: RGB that shows through where an image is transparent; None drops the transparency.
        levels: of images with more than 8 bits a channel, the values that become black and white, with all others between
            them or cut off; None keeps the high byte.
    """

    background: tuple[int, int, int] | None = None
    levels: tuple[float, float] | None = None

    @classmethod
    def parse(cls, background: str | None, levels: str | None) -> Preparation:
        """Read the texts of options, such as "white" and "0-4095".

        Raises:
            DataError: one of them is no colour, or no two numbers in ascending order.
        """
        return cls(
            None if background is None else _parse_colour(background),
            None if levels is None else _parse_levels(levels),
        )

    def __call__(self, encoded: bytes) -> bytes:
        """The file to decode in place of this one: the same, or one in 8-bit RGB.

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
            return _encode(upright)

    def applied_to(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """The same for what reads the file of image `i`."""
        return read if self == PLAIN else PreparedReader(read, self)

    def _convert(self, image: Image.Image, encoded: bytes, is_deep: bool) -> Image.Image:
        if is_deep:
            assert self.levels is not None
            low, high = self.levels
            values = (deep_values(image, encoded) - low) / (high - low)
            if values.ndim == 3 and values.shape[2] == 4:  # alpha has levels of its own
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
        """The bytes of the file of an example."""
        return self.preparation(self.read(index))


PLAIN = Preparation()  # leaves every file as it is


def depth_of(image: Image.Image, encoded: bytes) -> int:
    """Bits of a channel of an image from `data.image.decoding.opened`, as stored."""
    if image.format == "PNG":
        return encoded[_PNG_DEPTH]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))))
    return bits_of(image)


def is_transparent(image: Image.Image) -> bool:
    """Whether an image has parts that may be transparent."""
    try:
        return image.has_transparency_data
    except AssertionError:  # a palette that is missing, which decoders take for black
        return False


def deep_values(image: Image.Image, encoded: bytes) -> np.ndarray:
    """The values of an image with more than 8 bits a channel, as stored.

    Args:
        image: loaded, not turned.
        encoded: its file: Pillow reads only greyscale with so many bits.

    Returns:
        float32 (height, width) or (height, width, 3 or 4), RGB.
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


def _encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    # BMP is fast and always the same; what would be too large a file is compressed.
    is_small = 3 * image.width * image.height < LARGEST_FILE - 2**20
    image.save(file, **({"format": "BMP"} if is_small else {"format": "PNG", "compress_level": 1}))
    return file.getvalue()


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
