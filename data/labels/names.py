"""Names of classes: in which form they are kept, in which order, and which cannot be."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from data.errors import DataError

SEPARATOR = "|"  # between several labels of an example, in text


def clean_name(name: str) -> str:
    """The name of a class without blanks around it, in Unicode's composed form (NFC), which macOS does not write."""
    return unicodedata.normalize("NFC", name).strip()


def order_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Different names in alphabetical order; whole numbers by their size."""
    distinct = set(names)
    whole = all(name.removeprefix("-").isdecimal() and name.isascii() for name in distinct)
    return tuple(sorted(distinct, key=lambda name: (int(name), name)) if whole else sorted(distinct))


def check_class_name(name: str, where: str, *, may_separate: bool = True) -> None:
    """Check that a name can be one line of a text file.

    Args:
        name: of a class.
        where: it is written, for the error.
        may_separate: it may hold a `SEPARATOR`, since an example has one class only.

    Raises:
        DataError: it cannot.
    """
    if name.splitlines() != [name] or name.encode(errors="ignore").decode() != name:
        raise DataError(f"{where} {name!r} has a line break in its name, or is not text; rename it")
    if not may_separate and SEPARATOR in name:
        raise DataError(f"{where} {name!r} has a {SEPARATOR} in it, which separates labels; rename it")
