"""Check every image once before a run starts, so that a damaged file is reported at once and not after an hour.

The same pass computes the statistics of each image (`data.auditing.statistics`), so that an audit needs no other pass.
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
    """The result of checking one image.

    Attributes:
        key: name of the image.
        sha256: SHA-256 of the file, in hexadecimal; empty if the file cannot be read.
        fault: why the image cannot be read; None if it can.
        statistics: a record of `data.auditing.statistics.STATISTICS`; None if the image cannot be read.
        is_new: whether the image was decoded now; False if its statistics were known.
    """

    key: str
    sha256: str
    fault: str | None
    statistics: np.void | None = field(default=None, compare=False, repr=False)
    is_new: bool = field(default=False, compare=False, repr=False)


def check_images(examples: Examples, known: KnownStatistics | None = None) -> Iterator[ImageCheck]:
    """Read and decode every image, several at a time; yield the results in the order of the set.

    Args:
        examples: the images.
        known: statistics of images that were decoded before and are not decoded again.

    Examples:
        >>> from data.sources.folder import open_folder
        >>> examples = open_folder("images")
        >>> next(check_images(examples)).fault is None
        True
        >>> next(check_images(replace(examples, read=lambda index: b""))).fault
        'the file is empty'
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
    """Return the set without its unreadable images, and with the digests of the others.

    Raises:
        DataError: there are unreadable images and `skip_unreadable` is False, or a class has no readable image.

    Examples:
        >>> from data.sources.folder import open_folder
        >>> examples = open_folder("images").subset([0, 1, 8])
        >>> checked = [ImageCheck(key, "", None) for key in examples.keys]
        >>> checked[0] = replace(checked[0], fault="truncated")
        >>> readable_only(examples, checked, skip_unreadable=True).keys
        ('apple/01.png', 'banana/00.png')
        >>> readable_only(examples, checked, skip_unreadable=False)
        Traceback (most recent call last):
            ...
        data.errors.DataError: 1 image cannot be read:
          apple/00.png: truncated
        Repair or remove them, or leave them out with --skip-unreadable
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
    """Return the classes that have images, but none among those at `kept`.

    Examples:
        >>> from data.sources.folder import open_folder
        >>> examples = open_folder("images")
        >>> lost_classes(examples, kept=range(8, 24))
        ['apple']
        >>> lost_classes(examples, kept=range(7, 24))
        []
    """
    lost = np.setdiff1d(examples.labels.used(), examples.labels.taken(kept).used())
    return [examples.class_names[label] for label in lost]


def statistics_among(checked: Sequence[ImageCheck]) -> np.ndarray:
    """Return the statistics of the readable images, in their order: `STATISTICS` (n,).

    Examples:
        >>> from data.sources.folder import open_folder
        >>> checked = list(check_images(open_folder("images")))
        >>> statistics_among(checked).shape
        (24,)
        >>> statistics_among([ImageCheck("torn.png", "", "truncated")]).shape
        (0,)
    """
    return np.array([one.statistics for one in checked if one.statistics is not None], STATISTICS)


def describe(faults: Sequence[ImageCheck]) -> str:
    """Return a text with the unreadable images and their faults, one per line; at most 20 are named.

    Examples:
        >>> print(describe([ImageCheck("apple/00.png", "", "the file is empty")]))
        1 image cannot be read:
          apple/00.png: the file is empty
        >>> describe([ImageCheck(f"{number}.png", "", "truncated") for number in range(25)]).splitlines()[-1]
        '  … and 5 more'
    """
    lines = [f"  {one.key}: {one.fault}" for one in faults[:_LISTED]]
    if len(faults) > _LISTED:
        lines.append(f"  … and {len(faults) - _LISTED} more")
    plural = "image" if len(faults) == 1 else "images"
    return "\n".join([f"{len(faults)} {plural} cannot be read:", *lines])


def fingerprint(checked: Sequence[ImageCheck]) -> str:
    """Return one SHA-256 over the names and contents of all images, independent of their order.

    Examples:
        >>> one, other = ImageCheck("a.png", "01", None), ImageCheck("b.png", "02", None)
        >>> fingerprint([one, other]) == fingerprint([other, one])
        True
        >>> fingerprint([one]) == fingerprint([replace(one, key="c.png")])
        False
    """
    lines = sorted(f"{one.key}\0{one.sha256}\n" for one in checked)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
