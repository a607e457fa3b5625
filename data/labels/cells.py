"""What text in the cells of a column means: numbers, missing values, lists, several labels. Two readings are asked about."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Sequence

from data.errors import DataError
from data.labels.names import SEPARATOR, clean_name

# As pandas reads them, but None, which is the name of a class ("no damage") as often as a missing value.
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
_FEWEST_WORDS = 8  # cells of several words that may be several labels with a blank between them


def cleaned(cells: Sequence[object]) -> list[object]:
    """Cells with text in one form: trimmed, composed, empty where a value is missing, and lists where they are written out."""
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
    """A list that was written as text by Python or JSON, such as ['a', 'b']."""
    if not isinstance(cell, str) or (cell[:1] + cell[-1:]) not in ("[]", "()", "{}"):
        return None
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return [_clean(part) for part in value] if isinstance(value, list | tuple | set) else None


def read_numbers(cells: Sequence[object], *, comma_separates: bool, certain: bool) -> list[object]:
    """Cells with a point in each number whose decimals are behind a comma, and without signs that group thousands.

    Args:
        cells: from `cleaned`.
        comma_separates: commas separate the columns of the list, so that one within a cell may separate labels, too.
        certain: they are numbers, the user says.

    Returns:
        The cells, unless all are text of numbers.

    Raises:
        DataError: they can be read in two ways.
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
    """The sign that stands between several labels of a cell, or None where a cell is one class.

    A `|` does in any case, a `;` if a part comes again in another cell. A comma does if its parts come again so often that
    there are fewer of them than of cells, and cells hold different numbers of them: "tench, Tinca tinca" is one name.

    Raises:
        DataError: it may be either.
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
    """The labels of a cell. A `;` that ends an HTML entity (`AT&amp;T`) separates nothing."""
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
    """A cell as the name of a class, "" if it is empty; None if it cannot be one."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return str(cell) if isinstance(cell, str | int) else None


def number_of(cell: object) -> float | None:
    """A cell as a number, which may be NaN; None if it is none."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    if isinstance(cell, str) and ("_" in cell or not cell.isascii()):  # Python would take 1_000
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return math.inf if isinstance(cell, int) else None


def is_whole(cell: object) -> bool:
    """Whether a cell is a whole number."""
    number = number_of(cell)
    return number is not None and number.is_integer()


def vectors_of(cells: Sequence[object]) -> list[Sequence[object]]:
    """The columns of cells that are as many numbers each, in lists or with a `|` between them; none if they are not."""
    rows = [cell.split(SEPARATOR) if isinstance(cell, str) else cell for cell in cells]
    vectors = [row for row in rows if isinstance(row, list) and len(row) > 1]
    if len(vectors) < len(rows) or len({len(row) for row in vectors}) > 1:
        return []
    if any(number_of(cell) is None for row in vectors for cell in row):
        return []
    return list(zip(*vectors, strict=True))


def used_separator(cells: Sequence[object]) -> str | None:
    """The sign between several labels of a cell, of cells that are known to have several."""
    signs = (SEPARATOR, ";", ",")
    return next((sign for sign in signs if any(isinstance(cell, str) and sign in cell for cell in cells)), None)


def shown(cell: object) -> str:
    """A cell in an error, shortened."""
    return repr(cell) if len(repr(cell)) <= 60 else f"{repr(cell)[:60]}…"
