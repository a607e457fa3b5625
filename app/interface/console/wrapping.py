"""Breaks text into lines, never within a word or a path."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len

from app.interface.events import unmarked


def wrap(text: str, width: int, *, break_words: bool = False) -> list[str]:
    """Lines of at most `width` columns.

    Args:
        text: a paragraph.
        width: columns; a letter may take two.
        break_words: whether a word, as a path, that is longer than a line is broken after a slash, a dot or the like, or
            wherever it must be; else it stays whole, on a line that is too long.
    """
    width = max(width, 2)
    lines, line = [], ""
    for part in _parts(text, width if break_words else None):
        if line.strip() and cell_len((line + part).rstrip()) > width:
            lines.append(line)
            line = ""
        line += part
    return [unmarked(one.rstrip()) for one in (*lines, line)]


# What a text is made of, to break it after: words; the folders of a path; parts of a name; letters.
_PARTS = (r"^\s+|\S+\s*", r"[^/\\]*[/\\]+\s*|[^/\\]+", r"[^._=,-]*[._=,-]+\s*|[^._=,-]+", r".")


def _parts(text: str, width: int | None, level: int = 0) -> Iterator[str]:
    """Words with the spaces after them, and the parts of those that are too long."""
    for part in re.findall(_PARTS[level], text):
        if width is None or cell_len(part.rstrip()) <= width:
            yield part
        else:
            yield from _parts(part, width, level + 1)
