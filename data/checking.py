"""Reads every picture once before a run starts, so that a damaged file is named at once and not after an hour."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from data.decoding import UnreadablePicture, decode
from data.errors import DataError
from data.pictures import PictureSet

_LISTED = 20  # names in an error message


@dataclass(frozen=True)
class Checked:
    """What one picture is worth: its SHA-256, and why it cannot be read, if it cannot."""

    key: str
    sha256: str
    fault: str | None


def check_pictures(pictures: PictureSet, known: Collection[str] = ()) -> Iterator[Checked]:
    """Read every picture and decode it, several at a time; yields in the order of the set.

    Args:
        pictures: the pictures.
        known: SHA-256, in hexadecimal, of pictures that were decoded before, which need not be decoded again.
    """

    def check(index: int) -> Checked:
        key, digest, fault = pictures.keys[index], "", None
        try:
            encoded = pictures.encoded(index)
            digest = hashlib.sha256(encoded).hexdigest()
            if digest not in known:
                decode(encoded)
        except (UnreadablePicture, OSError) as error:
            fault = str(error) or type(error).__name__
        return Checked(key, digest, fault)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(check, range(len(pictures)))


def readable_only(pictures: PictureSet, checked: Sequence[Checked], *, skip_unreadable: bool) -> PictureSet:
    """The set without its unreadable pictures, and with the digests of the others.

    Raises:
        DataError: there are unreadable pictures and `skip_unreadable` is False; the text names them.
    """
    faults = [one for one in checked if one.fault]
    pictures = replace(pictures, digests=tuple(one.sha256 for one in checked))
    if not faults:
        return pictures
    if not skip_unreadable:
        raise DataError(f"{describe(faults)}\nRepair or remove them, or leave them out with --skip-unreadable")
    readable = [index for index, one in enumerate(checked) if not one.fault]
    lost = set(pictures.labels.tolist()) - set(pictures.labels[readable].tolist())
    if lost:
        names = ", ".join(repr(pictures.class_names[label]) for label in sorted(lost))
        raise DataError(f"no picture of class {names} can be read; repair or remove the class")
    return pictures.subset(readable)


def describe(faults: Sequence[Checked]) -> str:
    """The unreadable pictures and their faults, one a line."""
    lines = [f"  {one.key}: {one.fault}" for one in faults[:_LISTED]]
    if len(faults) > _LISTED:
        lines.append(f"  … and {len(faults) - _LISTED} more")
    plural = "picture" if len(faults) == 1 else "pictures"
    return "\n".join([f"{len(faults)} {plural} cannot be read:", *lines])


def fingerprint(checked: Sequence[Checked]) -> str:
    """One SHA-256 over the names and contents of all pictures, whatever their order."""
    lines = sorted(f"{one.key}\0{one.sha256}\n" for one in checked)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
