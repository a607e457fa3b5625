"""Names that have a meaning in several sources, and names that no source may use."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.errors import DataError

# Folders that systems and programs add. Names that start with a dot are hidden anyway.
SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
)

_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(
        ("validation", "valid", "validate", "validating", "val", "vld", "dev", "development"), "validation"
    ),
    **dict.fromkeys(("test", "testing", "tst", "holdout"), "test"),
    **dict.fromkeys(("eval", "evaluation"), "eval"),
}
_FILLERS = frozenset(
    {
        *(
            "set",
            "sets",
            "data",
            "dataset",
            "datasets",
            "split",
            "splits",
            "sample",
            "samples",
            "part",
            "seg",
            "all",
            "full",
        ),
        *("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos"),
        *("folder", "dir", "file", "files", "the", "my", "new", "final"),
    }
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_A-Za-z]+")
_GLUED = re.compile("(.+?)(set|data|images|imgs)")


def split_word(name: str) -> str:
    """Return the split that the name of a folder or list means: one of `data.examples.SPLITS`, `eval`, or "".

    Besides its split word (train, val, dev …) a name may have a number and words such as "set" or "images".

    Examples:
        >>> split_word("training_set"), split_word("Test1"), split_word("seg_train"), split_word("valset")
        ('train', 'test', 'train', 'validation')
        >>> split_word("trainer"), split_word("train station")
        ('', '')
    """
    words = [word.casefold() for word in _WORDS.findall(name) if not word.isdigit()]
    glued = [_GLUED.fullmatch(word) for word in words]
    words = [match[1] if match and match[1] in _SPLIT_WORDS else word for word, match in zip(words, glued, strict=True)]
    telling = [word for word in words if word not in _FILLERS]
    return _SPLIT_WORDS.get(telling[0], "") if len(telling) == 1 else ""


def splits_of(names: Sequence[str]) -> list[str]:
    """Return the split that each of several names beside each other means, or "".

    "eval" is the test split if no other name is, else validation.

    Examples:
        >>> splits_of(["train", "dev", "eval"])
        ['train', 'validation', 'test']
        >>> splits_of(["train", "eval", "test", "apples"])
        ['train', 'validation', 'test', '']
    """
    words = [split_word(name) for name in names]
    evaluation = "validation" if "test" in words else "test"
    return [evaluation if word == "eval" else word for word in words]


def spellings(names: Iterable[str]) -> list[list[str]]:
    """Return groups of names that differ only in case, spaces, hyphens and underscores.

    Examples:
        >>> spellings(["Rose", "rose", "tulip", "sea-rose", "sea rose"])
        [['Rose', 'rose'], ['sea rose', 'sea-rose']]
        >>> spellings(["rose", "roses"])
        []
    """
    alike = defaultdict(list)
    for name in names:
        alike[re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name)).casefold().strip()].append(name)
    return [sorted(group) for group in alike.values() if len(group) > 1]


def check_key(key: str) -> None:
    r"""Raise `DataError` for the name of an image that cannot be written to a text file.

    Examples:
        >>> check_key("apple/00.png") is None
        True
        >>> check_key("torn\r.png")
        Traceback (most recent call last):
            ...
        data.errors.DataError: the name 'torn\r.png' is not UTF-8 or has a carriage return; rename the file or its folder
    """
    if "\r" in key or key.encode(errors="ignore").decode() != key:
        raise DataError(f"the name {key!r} is not UTF-8 or has a carriage return; rename the file or its folder")


def existing_file(text: str) -> Path:
    """Return the path of a file that the user named.

    Raises:
        DataError: there is no such file; the message suggests the nearest name.

    Examples:
        >>> existing_file("apple.png").name
        'apple.png'
        >>> existing_file("appel.png")
        Traceback (most recent call last):
            ...
        data.errors.DataError: there is no file appel.png. Did you mean apple.png?
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
