"""Label files as people and tools write them: one name per line, in label order, in any common encoding."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from app.interface.errors import UsageError

LARGEST = 2**24  # bytes: a million names; packed files may be made to fill the memory
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x19\x1b\x7f]")  # not in names, unlike separators
_REPLACEMENT = "\ufffd"  # of bytes that are no character
# UTF-32 comes first, since its byte order mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


def read_label_file(path: Path) -> tuple[tuple[str, ...], str]:
    """Read a label file.

    Returns:
        As `parse_names`.

    Raises:
        UsageError: the file does not exist or cannot be read.

    Examples:
        >>> read_label_file(Path("runs/fruit/export/labels.txt"))
        (('apple', 'banana', 'cherry'), '')
        >>> read_label_file(Path("no_such.txt"))
        Traceback (most recent call last):
        app.interface.errors.UsageError: there is no label file no_such.txt
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no label file {path}") from None
    except OSError as error:
        raise UsageError(f"the label file {path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise UsageError(f"{path} is no label file: it is larger than {LARGEST >> 20} MB")
    names, guessed = parse_names(content)
    text = "".join(names)
    if _CONTROL.search(text) or (b"\0" in content and _REPLACEMENT in text):
        raise UsageError(f"{path} is not a text file; name a file with a class name a line")
    return names, guessed


def parse_names(content: bytes) -> tuple[tuple[str, ...], str]:
    """Return the names in a label file, and the encoding if it was guessed, otherwise "".

    Examples:
        >>> parse_names(b"apple")
        (('apple',), '')
        >>> parse_names("Äpfel".encode("utf-16-le"))
        (('Äpfel',), 'UTF-16-LE')
    """
    encoding, guessed = _encoding(content)
    text = content.decode(encoding, errors="replace").replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    # Not splitlines(), which also splits at separators that a class name may contain.
    return tuple(text.split("\n")) if text else (), guessed


def unique_names(names: Sequence[str], taken: Sequence[str] = ()) -> tuple[str, ...]:
    """Make names unique: names that occur more than once or are taken get the class's number appended.

    Args:
        names: a name for each class, in label order; an empty name becomes "class NUMBER".
        taken: reserved names.

    Examples:
        >>> unique_names(["crane", "apple", "crane"])
        ('crane (class 0)', 'apple', 'crane (class 2)')
        >>> unique_names(["apple", ""])
        ('apple', 'class 1')
    """
    counts = Counter([*names, *taken])
    found = [
        f"class {label}" if not name.strip() else f"{name} (class {label})" if counts[name] > 1 else name
        for label, name in enumerate(names)
    ]
    return tuple(found) if len({*found}) == len(found) else unique_names(found)


def _encoding(content: bytes) -> tuple[str, str]:
    """Return the encoding of a text, and its description if it was guessed."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding, ""
    if b"\0" in content:
        # In UTF-16, most letters have a zero byte: the second byte in little-endian order.
        encoding = "utf-16-le" if content[1::2].count(0) >= content[::2].count(0) else "utf-16-be"
        return encoding, encoding.upper()
    try:
        content.decode()
        return "utf-8", ""
    except UnicodeDecodeError:
        pass
    try:
        content.decode("cp1252")
        return "cp1252", "Windows-1252 (Latin-1)"
    except UnicodeDecodeError:
        return "latin-1", "Latin-1"
