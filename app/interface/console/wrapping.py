"""Wrap text into lines, never within a word or a path."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len

from app.interface.events import unmarked


def wrap(text: str, width: int, *, break_words: bool = False) -> list[str]:
    """Wrap text into lines of at most `width` columns.

    Args:
        text: a paragraph.
        width: columns; a letter may take two.
        break_words: whether a word longer than a line, such as a path, is broken after a slash, a dot or similar characters,
            or anywhere if necessary; otherwise it stays whole, on a line that is too long.

    Examples:
        >>> wrap("Train a model on labelled images.", 16)
        ['Train a model on', 'labelled images.']
        >>> wrap("runs/fruit/export/model.tflite", 16, break_words=True)
        ['runs/fruit/', 'export/', 'model.tflite']
    """
    width = max(width, 2)
    lines, line = [], ""
    for part in _parts(text, width if break_words else None):
        if line.strip() and cell_len((line + part).rstrip()) > width:
            lines.append(line)
            line = ""
        line += part
    return [unmarked(one.rstrip()) for one in (*lines, line)]


# Units after which text can be broken: words; the folders of a path; parts of a name; letters.
_PARTS = (r"^\s+|\S+\s*", r"[^/\\]*[/\\]+\s*|[^/\\]+", r"[^._=,-]*[._=,-]+\s*|[^._=,-]+", r".")


def _parts(text: str, width: int | None, level: int = 0) -> Iterator[str]:
    """Yield words with the spaces after them, and the parts of words that are too long."""
    for part in re.findall(_PARTS[level], text):
        if width is None or cell_len(part.rstrip()) <= width:
            yield part
        else:
            yield from _parts(part, width, level + 1)
