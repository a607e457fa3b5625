"""A few statistics of an image, small enough to keep of every one that was ever read: what an audit is made from.

They are taken while an image is decoded to check it, mostly from a version of it that is 32 pixels wide.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from data.auditing.lost import note_lost
from data.image.decoding import decoded, read_header

# Raised when other statistics are kept, or the same are found in another way; those of other versions are not read.
VERSION = 2

THUMBNAIL = 16  # pixels
_SQUARE = 32  # pixels, as many as a perceptual hash of 64 bits looks at
_LARGEST = 128  # pixels of the longer side, at which it is seen whether an image is sharp
_TILES = 4  # a side

_LOW = 8  # frequencies of a perceptual hash, down and across
_SIGNS = (-1.0) ** np.arange(_LOW)

# A square as it is, and its seven rotations and reflections.
_TURNS = (None, *Image.Transpose)

# One record an image. Width and height are of the upright image, brightness is from 0 to 1, colours from 0 to 255.
STATISTICS = np.dtype(
    [
        ("sha256", "S64"),  # of the file, in hexadecimal
        ("bytes", "u8"),
        ("width", "u4"),
        ("height", "u4"),
        ("format", "S8"),
        ("mode", "S8"),  # of the file's pixels, as Pillow calls it
        ("animated", "?"),
        ("orientation", "u1"),  # EXIF's number; 1 is upright
        ("colour", "f4", 3),  # mean red, green and blue
        ("dark", "f4"),  # 99 % of the pixels are at most so bright
        ("bright", "f4"),  # 95 % of them are at least so bright
        ("sharpness", "f4"),  # of the sharpest part, in levels
        ("hashes", "u8", len(_TURNS)),  # perceptual, of the image turned in each way
        ("thumbnail", "u1", (THUMBNAIL, THUMBNAIL, 3)),
        ("hidden", "u1"),  # on which ground it can be seen, see `data.auditing.lost`
        ("low", "f4"),  # of the values of an image with more than 8 bits a channel, but for a thousandth; else 0
        ("high", "f4"),
    ]
)


def statistics_of(encoded: bytes, sha256: str) -> np.void:
    """Decode an image file and note its statistics.

    Perceptual hashes are pHash's (64 bits: which low frequencies of the image are above their median), as `imagehash` makes
    them, whose phash of all turned images would take longer than decoding.
    Sharpness is the standard deviation of the Laplacian (Pech-Pacheco et al. 2000) in the sharpest of 16 tiles: a
    photograph may be blurred but for its subject.

    Args:
        encoded: the bytes of the file.
        sha256: of these, in hexadecimal.

    Returns:
        A record of `STATISTICS`.

    Raises:
        UnreadableImage: see `data.image.decoding.decode`.
    """
    with decoded(encoded) as image:
        statistics = _statistics_of(image, encoded, sha256)
    note_lost(statistics, encoded)
    return statistics


def _statistics_of(image: Image.Image, encoded: bytes, sha256: str) -> np.void:
    # Antialiased by a triangle: with a box, copies of another size differed three times as much (measured).
    square = image.resize((_SQUARE, _SQUARE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    statistics = np.zeros(1, STATISTICS)[0]
    statistics["sha256"] = sha256.encode()
    statistics["bytes"] = len(encoded)
    statistics["width"], statistics["height"] = image.size
    header = read_header(encoded)
    statistics["format"], statistics["mode"] = header.format.encode(), header.mode.encode()
    statistics["animated"], statistics["orientation"] = header.is_animated, header.orientation
    statistics["colour"] = np.asarray(square).mean(axis=(0, 1))
    grey = square.convert("L")
    statistics["bright"], statistics["dark"] = np.percentile(np.asarray(grey), [5, 99]) / 255
    statistics["sharpness"] = _sharpness(image)
    statistics["hashes"] = _hashes(grey)
    statistics["thumbnail"] = np.asarray(square.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR))
    return statistics


def _sharpness(image: Image.Image) -> float:
    import cv2  # slow to import, as SciPy is

    ratio = max(1.0, max(image.size) / _LARGEST)
    size = (max(_TILES, int(image.width / ratio)), max(_TILES, int(image.height / ratio)))
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BICUBIC, reducing_gap=1.0))
    edges = cv2.Laplacian(grey, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE)
    height, width = (side // _TILES for side in edges.shape)
    tiles = edges[: height * _TILES, : width * _TILES].reshape(_TILES, height, _TILES, width)
    return float(tiles.std(axis=(1, 3)).max())


def _hashes(square: Image.Image) -> np.ndarray:
    from scipy.fft import dctn

    # A mirrored image has the same frequencies, those of odd number with the other sign.
    frequencies = dctn(np.asarray(square, np.float64))[:_LOW, :_LOW]
    swapped, down, across = frequencies.T, _SIGNS[:, None], _SIGNS
    turned = {
        None: frequencies,
        Image.Transpose.FLIP_LEFT_RIGHT: frequencies * across,
        Image.Transpose.FLIP_TOP_BOTTOM: frequencies * down,
        Image.Transpose.ROTATE_90: swapped * down,
        Image.Transpose.ROTATE_180: frequencies * down * across,
        Image.Transpose.ROTATE_270: swapped * across,
        Image.Transpose.TRANSPOSE: swapped,
        Image.Transpose.TRANSVERSE: swapped * down * across,
    }
    each = np.stack([turned[turn] for turn in _TURNS]).reshape(len(_TURNS), -1)
    return np.packbits(each > np.median(each, axis=1, keepdims=True), axis=1).view(">u8")[:, 0]
