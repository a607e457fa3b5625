"""Images without labels, for an audit: all images in a folder and its subfolders."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.examples import Examples
from data.image.reading import ImageFiles
from data.labels import MultiLabel
from data.sources.lists import SUFFIXES as LISTS
from data.sources.names import check_key
from data.sources.walking import images_within


def is_unlabelled(text: str) -> bool:
    """Return whether a SOURCE string is a folder of images without a list and without images in subfolders (classes).

    Examples:
        >>> is_unlabelled("images/apple")
        True
        >>> is_unlabelled("images")
        False
    """
    root = Path(os.path.expanduser(text))
    if not root.is_dir():
        return False
    ignored: Counter[str] = Counter()
    parents = {path.parent for path in _images(root, ignored)}
    return parents == {root} and not any(ignored[suffix] for suffix in LISTS)


def open_unlabelled(text: str) -> Examples:
    """List all images of a folder.

    Args:
        text: path of the folder.

    Returns:
        The images, without classes, keyed by their path within the folder. Other files are counted in `ignored`, by kind.

    Raises:
        DataError: there is no such folder, or it holds no images or cannot be read.

    Examples:
        >>> examples = open_unlabelled("images/apple")
        >>> len(examples), examples.class_names
        (8, ())
        >>> open_unlabelled("apple.png")
        Traceback (most recent call last):
            ...
        data.errors.DataError: there is no folder apple.png; images without labels are those of a folder
    """
    root = Path(os.path.expanduser(text))
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; images without labels are those of a folder")
    ignored: Counter[str] = Counter()
    keys = tuple(path.relative_to(root).as_posix() for path in _images(root, ignored))
    for key in keys:
        check_key(key)
    return Examples(
        source=text,
        keys=keys,
        labels=MultiLabel(np.zeros((len(keys), 0), np.float32), ()),
        read=ImageFiles(root, keys),
        ignored=ignored,
    )


def _images(root: Path, ignored: Counter[str]) -> list[Path]:
    try:
        return sorted(images_within(root, ignored))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
