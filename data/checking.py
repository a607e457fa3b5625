"""Reads every image once before a run starts, so that a damaged file is named at once and not after an hour.

What that pass sees of an image is noted (`data.auditing.statistics`), so that an audit costs no other.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from data.auditing.statistics import STATISTICS, statistics_of
from data.cache.image_statistics import KnownStatistics
from data.errors import DataError
from data.examples import Examples
from data.image.decoding import UnreadableImage

_LISTED = 20  # names in an error message


@dataclass(frozen=True)
class ImageCheck:
    """What one image is worth.

    Attributes:
        key: its name.
        sha256: of its file, in hexadecimal; empty if that cannot be read.
        fault: why it cannot be read, if it cannot.
        statistics: a record of `data.auditing.statistics.STATISTICS`, if it can.
        is_new: whether it was decoded now; else its statistics were known.
    """

    key: str
    sha256: str
    fault: str | None
    statistics: np.void | None = field(default=None, compare=False, repr=False)
    is_new: bool = field(default=False, compare=False, repr=False)


def check_images(examples: Examples, known: KnownStatistics | None = None) -> Iterator[ImageCheck]:
    """Read every image and decode it, several at a time; yields in the order of the set.

    Args:
        examples: the images.
        known: statistics of images that were decoded before, which need not be decoded again.
    """
    known = known or KnownStatistics()

    def check(index: int) -> ImageCheck:
        key, digest = examples.keys[index], ""
        try:
            encoded = examples.read(index)
            digest = hashlib.sha256(encoded).hexdigest()
            statistics = known.get(digest)
            if statistics is not None:
                return ImageCheck(key, digest, None, statistics)
            return ImageCheck(key, digest, None, statistics_of(encoded, digest), is_new=True)
        except (UnreadableImage, OSError) as error:
            return ImageCheck(key, digest, str(error) or type(error).__name__)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(check, range(len(examples)))


def readable_only(examples: Examples, checked: Sequence[ImageCheck], *, skip_unreadable: bool) -> Examples:
    """The set without its unreadable images, and with the digests of the others.

    Raises:
        DataError: there are unreadable images and `skip_unreadable` is False; the text names them.
    """
    faults = [one for one in checked if one.fault]
    examples = replace(examples, digests=tuple(one.sha256 for one in checked))
    if not faults:
        return examples
    if not skip_unreadable:
        raise DataError(f"{describe(faults)}\nRepair or remove them, or leave them out with --skip-unreadable")
    readable = [index for index, one in enumerate(checked) if not one.fault]
    lost = lost_classes(examples, readable)
    if lost:
        names = ", ".join(map(repr, lost))
        raise DataError(f"no image of class {names} can be read; repair or remove the class")
    return examples.subset(readable)


def lost_classes(examples: Examples, kept: Sequence[int]) -> list[str]:
    """The classes that have images, and none among those at `kept`."""
    lost = np.setdiff1d(examples.labels.used(), examples.labels.taken(kept).used())
    return [examples.class_names[label] for label in lost]


def statistics_among(checked: Sequence[ImageCheck]) -> np.ndarray:
    """The statistics of the images that can be read, in their order: `STATISTICS` (n,)."""
    return np.array([one.statistics for one in checked if one.statistics is not None], STATISTICS)


def describe(faults: Sequence[ImageCheck]) -> str:
    """The unreadable images and their faults, one a line."""
    lines = [f"  {one.key}: {one.fault}" for one in faults[:_LISTED]]
    if len(faults) > _LISTED:
        lines.append(f"  … and {len(faults) - _LISTED} more")
    plural = "image" if len(faults) == 1 else "images"
    return "\n".join([f"{len(faults)} {plural} cannot be read:", *lines])


def fingerprint(checked: Sequence[ImageCheck]) -> str:
    """One SHA-256 over the names and contents of all images, whatever their order."""
    lines = sorted(f"{one.key}\0{one.sha256}\n" for one in checked)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
