"""Names that mean something to several sources, or that no source may give."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from data.errors import DataError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}


def check_key(key: str) -> None:
    """Raise `DataError` for a picture's name that cannot be written to a text file."""
    if "\r" in key or key.encode(errors="ignore").decode() != key:
        raise DataError(f"the name {key!r} is not UTF-8 or has a carriage return; rename the file or its folder")


def existing_file(text: str) -> Path:
    """The path of a file that a user named.

    Raises:
        DataError: there is no such file; the text names the nearest.
    """
    path = Path(os.path.expanduser(text))
    try:
        if path.is_file():
            return path
        siblings = [one.name for one in path.parent.iterdir() if one.is_file()] if path.parent.is_dir() else []
    except (OSError, ValueError) as error:  # too long, with a NUL, or in a folder that may not be read
        raise DataError(f"{text} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    near = difflib.get_close_matches(path.name, siblings, n=1)
    hint = f"Did you mean {path.parent / near[0]}?" if near else "Check the path"
    raise DataError(f"there is no file {path}. {hint}")
