"""The meaning of text in the cells of a column: numbers, missing values, lists, several labels. Ambiguous text is an error."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Sequence

from data.errors import DataError
from data.labels.names import SEPARATOR, clean_name

# As in pandas, except for None, which is the name of a class ("no damage") as often as a missing value.
MISSING = frozenset(
    [
        "nan",
        "NaN",
        "NAN",
        "NULL",
        "null",
        "Null",
        "N/A",
        "n/a",
        "NA",
        "#N/A",
        "#NA",
        "<NA>",
        "-nan",
        "-NaN",
        "#DIV/0!",
        "#VALUE!",
        "#REF!",
        "1.#QNAN",
        "-1.#QNAN",
        "1.#IND",
    ]
)
_GROUPED = r"[+-]?(?:\d{{1,3}}(?:{0}\d{{3}})+|\d+)(?:{1}\d+)?"
_DECIMAL_COMMA, _DECIMAL_POINT = (re.compile(_GROUPED.format(*signs)) for signs in ((r"\.", ","), (",", r"\.")))
_ENTITY = re.compile(r"&(?:[A-Za-z]\w*|#\d+|#x[\da-fA-F]+);")
_FEWEST_WORDS = 8  # cells of several words; with fewer, the words are not taken for labels


def cleaned(cells: Sequence[object]) -> list[object]:
    """Normalise cells: text is trimmed and in NFC, a missing value is "", and lists written as text are lists.

    Examples:
        >>> cleaned([" cat ", "N/A", None])
        ['cat', '', '']
        >>> cleaned(["['cat', 'dog']", "['owl']"])
        [['cat', 'dog'], ['owl']]
    """
    texts = [_clean(cell) for cell in cells]
    lists = [_literal(cell) for cell in texts]
    are_lists = any(one is not None for one in lists) and all(
        one is not None or cell == "" for one, cell in zip(lists, texts, strict=True)
    )
    return [one or "" for one in lists] if are_lists else texts


def _clean(cell: object) -> object:
    if isinstance(cell, str):
        text = clean_name(cell)
        return "" if text in MISSING else text
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return [_clean(part) for part in cell] if isinstance(cell, list) else cell


def _literal(cell: object) -> list[object] | None:
    """Parse a list that Python or JSON wrote as text, such as ['a', 'b']; None if it is not a list."""
    if not isinstance(cell, str) or (cell[:1] + cell[-1:]) not in ("[]", "()", "{}"):
        return None
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return [_clean(part) for part in value] if isinstance(value, list | tuple | set) else None


def read_numbers(cells: Sequence[object], *, comma_separates: bool, certain: bool) -> list[object]:
    """Rewrite numbers with a decimal comma or with separators of thousands into the form that Python reads.

    Args:
        cells: from `cleaned`.
        comma_separates: whether a comma within a cell may separate labels.
        certain: whether the user says that the cells are numbers.

    Returns:
        The rewritten cells; the same cells if some text is not a number.

    Raises:
        DataError: the cells can be read in two ways.

    Examples:
        >>> read_numbers(["1.234,5", "0,25"], comma_separates=False, certain=False)
        ['1234.5', '0.25']
        >>> read_numbers(["1,5", "2,5"], comma_separates=True, certain=False)
        Traceback (most recent call last):
            ...
        data.errors.DataError: labels such as '1,5' may be numbers with a decimal comma, or several labels; ...
    """
    texts = [cell for cell in cells if isinstance(cell, str) and cell]
    with_comma = [text for text in texts if "," in text]
    readings = [all(pattern.fullmatch(text) for text in texts) for pattern in (_DECIMAL_COMMA, _DECIMAL_POINT)]
    if not with_comma or not any(readings):
        return list(cells)
    example = with_comma[0]
    if not certain and comma_separates and not any("." in text or text.count(",") > 1 for text in texts):
        raise DataError(
            f"labels such as {example!r} may be numbers with a decimal comma, or several labels; "
            "say which: --task regression, or --task multi_label"
        )
    if all(readings):
        raise DataError(
            f"numbers such as {example!r} may have a decimal comma, or thousands: write them without, as in "
            f"{example.replace(',', '')} or {example.replace(',', '.')}"
        )
    dropped, point = (".", ",") if readings[0] else (",", ".")
    return [cell.replace(dropped, "").replace(point, ".") if isinstance(cell, str) else cell for cell in cells]


def find_separator(cells: Sequence[object]) -> str | None:
    """Return the separator between the labels of a cell, or None if each cell is one class.

    A `|` always separates. A `;` separates if a part occurs in several cells. A comma separates if its parts recur so often
    that there are fewer parts than cells, and cells hold different numbers of parts: "tench, Tinca tinca" is one name.

    Raises:
        DataError: a cell may be one class or several labels.

    Examples:
        >>> find_separator(["cat, dog", "cat", "dog, owl", "owl"])
        ','
        >>> find_separator(["tench, Tinca tinca", "goldfish, Carassius auratus"]) is None
        True
    """
    distinct = list(dict.fromkeys(cell for cell in cells if isinstance(cell, str) and cell))
    if any(SEPARATOR in text for text in distinct):
        return SEPARATOR
    for sign in (";", ","):
        with_sign = [text for text in distinct if sign in _ENTITY.sub("", text)]
        if not with_sign:
            continue
        counts = Counter(part for text in distinct for part in parts_of(text, sign))
        if sign == ";" and max(counts.values()) > 1:
            return sign
        comes_again = len(counts) < len(distinct) or min(counts.values()) > 1
        if comes_again and any(text in counts for text in distinct):
            return sign
        if comes_again or sign == ";":
            _ask(with_sign[0], sign)
    words = {word for text in distinct for word in text.split()}
    spaced = [text for text in distinct if " " in text]
    if len(spaced) >= _FEWEST_WORDS and 2 * len(words) <= len(distinct):
        _ask(spaced[0], " ")
    return None


def _ask(example: str, sign: str) -> None:
    raise DataError(
        f"labels such as {example!r} may be one class each, or several labels with {sign!r} between them; "
        f"say which: --task single_label, or --label-separator '{sign}'"
    )


def parts_of(text: str, separator: str | None) -> list[str]:
    """Split a cell into its labels. A `;` that ends an HTML entity (`AT&amp;T`) does not separate.

    Examples:
        >>> parts_of("cat| dog |", "|")
        ['cat', 'dog']
        >>> parts_of("AT&amp;T; bank", ";")
        ['AT&amp;T', 'bank']
    """
    if not separator:
        return [text] if text else []
    if separator == ";":
        entities = _ENTITY.findall(text)
        rest = iter(entities)
        parts = _ENTITY.sub("\0", text).split(";")
        parts = [re.sub("\0", lambda _: next(rest), part) for part in parts]
    else:
        parts = text.split(separator)
    return [part.strip() for part in parts if part.strip()]


def text_of(cell: object) -> str | None:
    """Return a cell as the name of a class, "" if it is empty, or None if it cannot be a name.

    Examples:
        >>> text_of("cat"), text_of(3.0), text_of(True)
        ('cat', '3', 'true')
        >>> text_of(["cat"]) is None
        True
    """
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return str(cell) if isinstance(cell, str | int) else None


def number_of(cell: object) -> float | None:
    """Return a cell as a number, which may be NaN or infinite; None if it is not a number.

    Examples:
        >>> number_of("1e3"), number_of(7)
        (1000.0, 7.0)
        >>> number_of("1_000") is None
        True
    """
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    if isinstance(cell, str) and ("_" in cell or not cell.isascii()):  # `float` would accept 1_000
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return math.inf if isinstance(cell, int) else None


def is_whole(cell: object) -> bool:
    """Return whether a cell is a whole number.

    Examples:
        >>> is_whole("3"), is_whole(3.0)
        (True, True)
        >>> is_whole("3.5"), is_whole("three")
        (False, False)
    """
    number = number_of(cell)
    return number is not None and number.is_integer()


def vectors_of(cells: Sequence[object]) -> list[Sequence[object]]:
    """Return the columns of cells that are lists of numbers, or numbers separated by `|`, of equal length; [] for other cells.

    Examples:
        >>> vectors_of(["1|2", "3|4"])
        [('1', '3'), ('2', '4')]
        >>> vectors_of(["1|2", "3"])
        []
    """
    rows = [cell.split(SEPARATOR) if isinstance(cell, str) else cell for cell in cells]
    vectors = [row for row in rows if isinstance(row, list) and len(row) > 1]
    if len(vectors) < len(rows) or len({len(row) for row in vectors}) > 1:
        return []
    if any(number_of(cell) is None for row in vectors for cell in row):
        return []
    return list(zip(*vectors, strict=True))


def used_separator(cells: Sequence[object]) -> str | None:
    """Return the separator between the labels of a cell, for cells that are known to be multi-label; None if there is none.

    Examples:
        >>> used_separator(["cat, dog", "owl"])
        ','
        >>> used_separator(["cat, dog|owl"])
        '|'
    """
    signs = (SEPARATOR, ";", ",")
    return next((sign for sign in signs if any(isinstance(cell, str) and sign in cell for cell in cells)), None)


def shown(cell: object) -> str:
    """Return a cell as text for an error message, shortened to 60 characters.

    Examples:
        >>> shown("cat")
        "'cat'"
        >>> len(shown("cat" * 100))
        61
    """
    return repr(cell) if len(repr(cell)) <= 60 else f"{repr(cell)[:60]}…"
