"""Find images that are the same file, or show the same: also turned, mirrored, resized, or encoded again.

The limits were chosen on 6,850 photographs (flowers and Office-Caltech) and changed copies of 400 of them. Copies in another
size, quality or format, turned or mirrored, differ in at most 4 of 64 bits and by 4.3 levels, or in 10 bits and by 5.8 levels
if they were resized without antialiasing. Pairs of different photographs within the limits show the same thing from the same
place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

_MOST_BITS = 6  # of 64, in which perceptual hashes differ
_MOST_LEVELS = 6.0  # of 255, root mean square between thumbnails
_MOST_CONTRAST = 0.15  # the same difference, as a share of the standard deviation of the flatter image's pixels
_MOST_BRIGHTNESS = 3.0  # levels, between mean brightnesses; resized copies differ by up to 2
_LEAST_CONTRAST = 2.0  # levels; an image with less is one colour, and its hashes are chance
_ROWS, _COLUMNS = 64, 4096  # compared at once: 2 MB of bits, which fit the processor's cache
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Duplicates(NamedTuple):
    """Groups of images. All images of a group have the same number: the position of its first image.

    Attributes:
        exact: int64 (n,); images of a group are the same file, byte for byte.
        upright: int64 (n,); images of a group show the same, neither turned nor mirrored.
        shown: int64 (n,); images of a group show the same: equal files, their near duplicates, and so on.
    """

    exact: np.ndarray
    upright: np.ndarray
    shown: np.ndarray


def find_duplicates(statistics: np.ndarray) -> Duplicates:
    """Group images that are the same file, or show the same.

    Perceptual hashes find candidates and thumbnails decide. Candidates are sought among images of similar mean brightness,
    which no turn changes: a few per cent of all pairs of photographs, compared by NumPy in blocks.

    Args:
        statistics: `data.auditing.statistics.STATISTICS` (n,).

    Examples:
        >>> from pathlib import Path
        >>> from PIL import Image, ImageOps
        >>> from data.auditing.statistics import STATISTICS, statistics_of
        >>> ImageOps.mirror(Image.open("apple.png")).save("mirrored.png")
        >>> apple, mirrored = (statistics_of(Path(name).read_bytes(), name) for name in ("apple.png", "mirrored.png"))
        >>> find_duplicates(np.array([mirrored, apple, apple], STATISTICS)).exact.tolist()
        [0, 1, 1]
        >>> find_duplicates(np.array([mirrored, apple, apple], STATISTICS)).shown.tolist()
        [0, 0, 0]
    """
    _, first, same = np.unique(statistics["sha256"], return_index=True, return_inverse=True)
    exact = first[same].astype(np.int64)
    upright, shown = exact.copy(), exact.copy()
    files = np.sort(first)  # one image each
    contrast = _contrast(statistics)
    files = files[contrast[files] >= _LEAST_CONTRAST]
    brightness = statistics["colour"][files] @ _LUMA
    order = np.argsort(brightness, kind="stable")
    files = files[order]
    hashes = np.ascontiguousarray(statistics["hashes"][files])
    for rows, columns, turn in _alike(hashes, brightness[order]):
        one, other = files[rows], files[columns]
        groups = (shown,) if turn else (upright, shown)
        apart = groups[0][one] != groups[0][other]  # skips pairs within a group, whose number is quadratic
        for start in range(0, int(apart.sum()), _COLUMNS):
            some = slice(start, start + _COLUMNS)
            _join(groups, statistics, contrast, one[apart][some], other[apart][some], turn)
    return Duplicates(exact, upright, shown)


def _join(
    groups: Sequence[np.ndarray],
    statistics: np.ndarray,
    contrast: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    turn: int,
) -> None:
    """Merge the groups of each pair that shows the same, in each array of `groups`."""
    limit = np.minimum(_MOST_LEVELS, _MOST_CONTRAST * np.minimum(contrast[one], contrast[other]))
    thumbnails = statistics["thumbnail"]
    differences = thumbnails[one].astype(np.float32) - _turned(thumbnails[other], turn)
    same = np.sqrt(np.mean(np.square(differences), axis=(1, 2, 3))) <= limit
    for first, second in zip(one[same], other[same], strict=True):
        for numbers in groups:
            low, high = sorted((numbers[first], numbers[second]))
            if low != high:
                numbers[numbers == high] = low


def _contrast(statistics: np.ndarray) -> np.ndarray:
    """Compute the standard deviation of the pixels of each thumbnail, mean of the three colours: float32 (n,), in levels."""
    blocks = (statistics["thumbnail"][start : start + _COLUMNS] for start in range(0, len(statistics), _COLUMNS))
    contrasts = [block.std(axis=(1, 2), dtype=np.float32).mean(axis=1) for block in blocks]
    return np.concatenate(contrasts) if contrasts else np.zeros(0, np.float32)


def _alike(hashes: np.ndarray, brightness: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield pairs with similar hashes, in blocks, and the turn of the second image for which they are similar.

    Args:
        hashes: uint64 (n, turns).
        brightness: float (n,), ascending.
    """
    ends = np.searchsorted(brightness, brightness + _MOST_BRIGHTNESS, side="right")
    for top in range(0, len(hashes), _ROWS):
        rows = hashes[top : top + _ROWS, :1]
        end = int(ends[top : top + _ROWS].max())
        for left in range(top, end, _COLUMNS):
            columns = hashes[left : min(left + _COLUMNS, end)]
            for turn in range(hashes.shape[1]):
                row, column = np.nonzero(np.bitwise_count(rows ^ columns[:, turn]) <= _MOST_BITS)
                later = top + row < left + column
                if later.any():
                    yield top + row[later], left + column[later], turn


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Turn square images, (n, side, side, 3), as Pillow does; `turn` is a position in `data.auditing.statistics._TURNS`."""
    match turn:
        case 0:
            return pixels
        case 1:  # FLIP_LEFT_RIGHT
            return pixels[:, :, ::-1]
        case 2:  # FLIP_TOP_BOTTOM
            return pixels[:, ::-1]
        case 3 | 4 | 5:  # ROTATE_90, ROTATE_180, ROTATE_270
            return np.rot90(pixels, turn - 2, axes=(1, 2))
        case 6:  # TRANSPOSE
            return pixels.swapaxes(1, 2)
        case _:  # TRANSVERSE
            return np.rot90(pixels, 2, axes=(1, 2)).swapaxes(1, 2)
