"""Fonts for names in any script: the system's fonts, for letters that the font of the plots lacks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import matplotlib
from matplotlib.font_manager import FontEntry, FontProperties, fontManager
from matplotlib.ft2font import FT2Font

from app.interface.events import print_text

_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")  # categories of Unicode that need no glyph
_MOST_FONTS = 5  # the names of a data set hardly use more scripts


@contextmanager
def fonts_for(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Draw plots within this context with fonts that have the letters of these names.

    Gives:
        The names as they can be drawn: names with letters that no font has become "class 3", by their position.

    Examples:
        >>> with fonts_for(["apple", "pear"]) as names:
        ...     names
        ('apple', 'pear')
        >>> with fonts_for([]) as names:
        ...     names
        ()
    """
    families, missing = _find_fonts("".join(sorted(set("".join(names)))))
    shown = tuple(f"class {number}" if missing & set(name) else name for number, name in enumerate(names))
    with matplotlib.rc_context({"font.family": [*matplotlib.rcParams["font.family"], *families]}):
        yield shown


def undrawable(names: Sequence[str]) -> list[str]:
    """Return the names with letters that no font of this system has.

    Examples:
        >>> undrawable(["apple", "pear"])
        []
        >>> undrawable(["Äpfel", "naïve"])
        []
    """
    _, missing = _find_fonts("".join(sorted(set("".join(names)))))
    return [name for name in names if missing & set(name)]


def print_undrawable(class_names: Sequence[str]) -> None:
    """Print which names the plots cannot show.

    Examples:
        >>> from app.interface.events import listening
        >>> with listening(lambda event: print(event.text), alone=True):
        ...     print_undrawable(("apple", chr(0x10FFFD)))  # for private use: no font has it
        Note: no font on this system has the letters of ...; the plots call these classes by number, ...
        >>> heard = []
        >>> with listening(heard.append, alone=True):
        ...     print_undrawable(("apple", "pear"))
        >>> heard
        []
    """
    names = undrawable(class_names)
    if names:
        others = f" and {len(names) - 1:,} other {'name' if len(names) == 2 else 'names'}" if len(names) > 1 else ""
        print_text(
            f"Note: no font on this system has the letters of {names[0]!r}{others}; the plots call these classes by number, "
            "from class 0, in the order of classes.txt. Install a font that has them, such as Noto Sans.",
        )


@cache
def _find_fonts(letters: str) -> tuple[list[str], set[str]]:
    """Return families with the letters that the plots' own font lacks, and the letters that no family has."""
    missing = {one for one in letters if unicodedata.category(one) not in _UNSEEN}
    missing -= _letters_of(fontManager.findfont(FontProperties(), rebuild_if_missing=False), 0, missing)
    families: list[str] = []
    while missing and len(families) < _MOST_FONTS:
        found = {entry.name: _letters_of(entry.fname, entry.index, missing) for entry in _upright_fonts()}
        best = max(sorted(found), key=lambda name: len(found[name]), default=None)
        if best is None or not found[best]:
            break
        families.append(best)
        missing -= found[best]
    return families, missing


def _upright_fonts() -> list[FontEntry]:
    """Return the fonts that a family's name stands for in a plot, except the one that has a box for every letter."""
    fonts = [one for one in fontManager.ttflist if not one.name.startswith("Last Resort")]
    return [one for one in fonts if one.style == "normal" and one.weight in (400, "normal", "regular")]


def _letters_of(path: str, index: int, letters: set[str]) -> set[str]:
    """Return the letters that a font file can draw."""
    try:
        font = FT2Font(path, face_index=index)
        known = set(map(chr, font.get_charmap())) & letters
        for one in known:
            font.load_char(ord(one))  # emoji fonts hold images, which cannot be drawn
    except (OSError, RuntimeError):
        return set()
    return known
