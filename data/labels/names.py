"""Names of classes: their form, their order, and which names are refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from data.errors import DataError

SEPARATOR = "|"  # between the labels of an example, in text


def clean_name(name: str) -> str:
    """Return the name of a class without surrounding spaces, in Unicode's composed form (NFC), which macOS does not write.

    Examples:
        >>> clean_name(" cat ")
        'cat'
        >>> clean_name(unicodedata.normalize("NFD", "café")) == "café"
        True
    """
    return unicodedata.normalize("NFC", name).strip()


def order_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct names in alphabetical order, or in numerical order if all are whole numbers.

    Examples:
        >>> order_classes(["owl", "cat", "owl"])
        ('cat', 'owl')
        >>> order_classes(["10", "9", "-1"])
        ('-1', '9', '10')
    """
    distinct = set(names)
    whole = all(name.removeprefix("-").isdecimal() and name.isascii() for name in distinct)
    return tuple(sorted(distinct, key=lambda name: (int(name), name)) if whole else sorted(distinct))


def check_class_name(name: str, where: str, *, may_separate: bool = True) -> None:
    """Check that the name of a class fits on one line of a text file.

    Args:
        name: name of a class.
        where: where the name is written, for the error.
        may_separate: whether the name may contain `SEPARATOR`, as where each example has only one class.

    Raises:
        DataError: the name has a line break, is not valid text, or has a `SEPARATOR` that it may not contain.

    Examples:
        >>> check_class_name("cat|dog", "the class folder") is None
        True
        >>> check_class_name("cat|dog", "the column", may_separate=False)
        Traceback (most recent call last):
            ...
        data.errors.DataError: the column 'cat|dog' has a | in it, which separates labels; rename it
    """
    if name.splitlines() != [name] or name.encode(errors="ignore").decode() != name:
        raise DataError(f"{where} {name!r} has a line break in its name, or is not text; rename it")
    if not may_separate and SEPARATOR in name:
        raise DataError(f"{where} {name!r} has a {SEPARATOR} in it, which separates labels; rename it")
