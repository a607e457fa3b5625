"""Where labelled pictures come from. A source is one file that makes a `PictureSet`, and one row of `SOURCES`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from data.errors import DataError
from data.pictures import PictureSet
from data.sources.folder import open_folder
from data.sources.sample import open_sample
from data.sources.tfds import open_tfds


@dataclass(frozen=True)
class Source:
    """One kind of source.

    Attributes:
        syntax: what the user writes.
        description: what it is, in a few words.
        open: makes the `PictureSet` from what follows the prefix.
    """

    syntax: str
    description: str
    open: Callable[[str], PictureSet]


# By prefix ("sample" in "sample:digits"); a string without a prefix is a folder.
SOURCES: dict[str, Source] = {
    "folder": Source("FOLDER", "a folder for each class, or train/validation/test over such folders", open_folder),
    "sample": Source("sample:digits", "1,797 handwritten digits that come with scikit-learn", open_sample),
    "tfds": Source("tfds:NAME[/CONFIG]", "an image classification set of TensorFlow Datasets", open_tfds),
}


def open_source(text: str) -> PictureSet:
    """Open a SOURCE string.

    Raises:
        DataError: there is no such source, or it does not hold pictures of at least two classes.
    """
    prefix, colon, rest = text.partition(":")
    if not colon or len(prefix) == 1:  # one letter is a Windows drive
        return open_folder(text)
    if prefix not in SOURCES or prefix == "folder":
        near = difflib.get_close_matches(prefix, [name for name in SOURCES if name != "folder"], n=1)
        hint = (
            f"Did you mean {near[0]}:{rest}?"
            if near
            else "Known sources: " + ", ".join(source.syntax for source in SOURCES.values())
        )
        raise DataError(f"unknown kind of source {prefix + ':'!r} in {text!r}. {hint}")
    return SOURCES[prefix].open(text)
