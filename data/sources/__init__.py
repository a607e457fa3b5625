"""Where labelled pictures come from. A source is one file that makes a `PictureSet`, and one row of `SOURCES`."""

from __future__ import annotations

import difflib
import os
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
        open: makes the `PictureSet` from the whole SOURCE string.
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

_PREFIXED = [source.syntax for name, source in SOURCES.items() if name != "folder"]


def absolute_source(text: str) -> str:
    """The same source by a name that holds in any working directory."""
    return os.path.abspath(os.path.expanduser(text)) if text.strip() and _is_folder(text) else text


def open_source(text: str) -> PictureSet:
    """Open a SOURCE string.

    Raises:
        DataError: there is no such source, or it does not hold pictures of at least two classes.
    """
    if not text.strip():
        raise DataError("the source is empty; give a folder, or " + " or ".join(_PREFIXED))
    if _is_folder(text):
        return open_folder(text)
    prefix, _, rest = text.partition(":")
    if prefix not in SOURCES or prefix == "folder":
        near = difflib.get_close_matches(prefix.lower(), [name for name in SOURCES if name != "folder"], n=1)
        hint = f"Did you mean {near[0]}:{rest}?" if near else f"Known sources: a folder, {', '.join(_PREFIXED)}"
        raise DataError(f"unknown kind of source {prefix + ':'!r} in {text!r}. {hint}")
    return SOURCES[prefix].open(text)


def _is_folder(text: str) -> bool:
    prefix, colon, _ = text.partition(":")
    one_letter = len(prefix) == 1  # a Windows drive
    return not colon or one_letter or os.path.isdir(text) or bool({"/", "\\"} & set(prefix))
