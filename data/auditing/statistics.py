"""A few statistics of an image, small enough to keep for every image ever read: the data of an audit.

They are computed while an image is decoded to check it, mostly from a version that is 32 pixels wide.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from data.auditing.lost import note_lost
from data.image.decoding import decoded, read_header

# Increased when the statistics or their computation change; statistics of other versions are not read.
VERSION = 2

THUMBNAIL = 16  # pixels
_SQUARE = 32  # pixels, from which a perceptual hash of 64 bits is computed
_LARGEST = 128  # pixels of the longer side, at which sharpness is measured
_TILES = 4  # per side

_LOW = 8  # frequencies of a perceptual hash, down and across
_SIGNS = (-1.0) ** np.arange(_LOW)

# The identity, and the seven other rotations and reflections of a square.
_TURNS = (None, *Image.Transpose)

# One record per image. Width and height are of the upright image, brightness is in [0, 1], colours are in [0, 255].
STATISTICS = np.dtype(
    [
        ("sha256", "S64"),  # of the file, in hexadecimal
        ("bytes", "u8"),
        ("width", "u4"),
        ("height", "u4"),
        ("format", "S8"),
        ("mode", "S8"),  # Pillow's mode of the file
        ("animated", "?"),
        ("orientation", "u1"),  # EXIF value; 1 is upright
        ("colour", "f4", 3),  # mean red, green and blue
        ("dark", "f4"),  # 99 % of the pixels are at most this bright
        ("bright", "f4"),  # 95 % of the pixels are at least this bright
        ("sharpness", "f4"),  # of the sharpest tile, in levels
        ("hashes", "u8", len(_TURNS)),  # perceptual hashes, one for each turn in `_TURNS`
        ("thumbnail", "u1", (THUMBNAIL, THUMBNAIL, 3)),
        ("hidden", "u1"),  # the background that shows the image, see `data.auditing.lost`
        ("low", "f4"),  # 0.1st percentile of the values of an image with more than 8 bits per channel; else 0
        ("high", "f4"),  # the 99.9th percentile
    ]
)


def statistics_of(encoded: bytes, sha256: str) -> np.void:
    """Decode an image file and compute its statistics.

    Perceptual hashes are those of pHash (64 bits: which low frequencies of the image are above their median), as in
    `imagehash`, whose `phash` of all turned images would take longer than decoding.
    Sharpness is the standard deviation of the Laplacian (Pech-Pacheco et al. 2000) in the sharpest of 16 tiles: a
    photograph may be blurred except for its subject.

    Args:
        encoded: the bytes of the file.
        sha256: SHA-256 of the file, in hexadecimal.

    Returns:
        A record of `STATISTICS`.

    Raises:
        UnreadableImage: see `data.image.decoding.decode`.

    Examples:
        >>> from pathlib import Path
        >>> statistics = statistics_of(Path("apple.png").read_bytes(), sha256="0" * 64)
        >>> int(statistics["width"]), int(statistics["height"]), statistics["mode"].item()
        (40, 30, b'RGB')
        >>> statistics["hashes"].shape, statistics["thumbnail"].shape
        ((8,), (16, 16, 3))
    """
    with decoded(encoded) as image:
        statistics = _statistics_of(image, encoded, sha256)
    note_lost(statistics, encoded)
    return statistics


def _statistics_of(image: Image.Image, encoded: bytes, sha256: str) -> np.void:
    # Antialiased by a triangle filter: with a box filter, resized copies differed three times as much (measured).
    square = image.resize((_SQUARE, _SQUARE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    statistics: np.void = np.zeros(1, STATISTICS)[0]
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

    # A mirrored image has the same frequencies, the odd ones with the opposite sign.
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
