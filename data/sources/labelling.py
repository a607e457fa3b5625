"""From labels as they are written, in text or in JSON, to the labels of a `PictureSet`, and to the task that they set.

What is not said is inferred from the labels alone:

- several columns are regression, or, if they hold nothing but 0 and 1, a class each (multi-label);
- lists, and numbers with `|` between them, are regression if all have the same length and one number is not whole;
- other lists are multi-label;
- numbers are regression if one of them is no whole number, or if there are fewer than three pictures for each different
  number: with so few, classes could not be split into train, validation and test. Else they are classes;
- text is multi-label if one cell has a `|` or `;` in it, or if cells split at their commas have fewer different parts than
  there are different cells: then parts come again in other combinations. Else a cell is a class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data.errors import DataError
from data.pictures import LABEL_SEPARATOR, MULTI_LABEL, REGRESSION, SINGLE_LABEL

_SEPARATORS = (LABEL_SEPARATOR, ";", ",")
_FEWEST = 3  # pictures of a class: one a split
_MOST_CELLS = 2**30  # of a matrix of pictures and classes: 4 GB

Cells = Sequence[object]  # one a picture: text, a number, a list of them, or None
Place = Callable[[int], str]  # says where the label of a picture is written


class Labelling(NamedTuple):
    """What `PictureSet` calls by the same names."""

    class_names: tuple[str, ...]
    labels: np.ndarray
    task: str


def label_pictures(
    columns: Sequence[str], cells: Sequence[Cells], place: Place, *, task: str | None, separator: str | None
) -> Labelling:
    """Make labels out of cells.

    Args:
        columns: names of the label columns.
        cells: one sequence a column, each with one cell a picture.
        place: for errors.
        task: one of `TASKS`, or None to infer it.
        separator: between several labels in one cell, or None to guess it.

    Raises:
        DataError: an empty label, a label that does not fit the task, or a task that does not fit the columns.
    """
    if len(columns) > 1:
        return _several_columns(columns, cells, place, task)
    cells_of_column = cells[0]
    vectors = _vectors(cells_of_column) if task in (None, REGRESSION) and separator is None else []
    if vectors and (task == REGRESSION or not all(_is_whole(cell) for column in vectors for cell in column)):
        names = [f"{columns[0]} {number}" for number in range(1, len(vectors) + 1)]
        return Labelling(tuple(names), _numbers(vectors, place), REGRESSION)
    if task is None:
        task, separator = _infer(cells_of_column, separator)
    if task == REGRESSION:
        return Labelling(tuple(columns), _numbers(cells, place), task)
    if task == MULTI_LABEL:
        return _many_classes(cells_of_column, place, separator or _used_separator(cells_of_column))
    return _one_class(cells_of_column, place)


def order_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Different names in alphabetical order; whole numbers by their size."""
    distinct = set(names)
    whole = all(name.removeprefix("-").isdecimal() and name.isascii() for name in distinct)
    return tuple(sorted(distinct, key=lambda name: (int(name), name)) if whole else sorted(distinct))


def _several_columns(columns: Sequence[str], cells: Sequence[Cells], place: Place, task: str | None) -> Labelling:
    names = ", ".join(columns)
    if task == SINGLE_LABEL:
        raise DataError(f"the label is of one class a picture, but in several columns ({names}); name one of them")
    binary = task != REGRESSION and all(_number(cell) in (0, 1) for column in cells for cell in column)
    if task == MULTI_LABEL and not binary:
        raise DataError(f"for multi_label, the columns {names} may hold 0 and 1 only; name one column, or other ones")
    for name in columns if binary else ():
        _check_class(name, f"column {name!r}", MULTI_LABEL)
    return Labelling(tuple(columns), _numbers(cells, place), MULTI_LABEL if binary else REGRESSION)


def _infer(cells: Cells, separator: str | None) -> tuple[str, str | None]:
    """The task, and the separator if several labels share a cell."""
    if separator is not None or any(isinstance(cell, list) for cell in cells):
        return MULTI_LABEL, separator
    numbers = [_number(cell) for cell in cells if _text(cell) != ""]
    if numbers and None not in numbers:
        whole = all(_is_whole(number) for number in numbers)
        return (SINGLE_LABEL if whole and len(set(numbers)) * _FEWEST <= len(numbers) else REGRESSION), None
    distinct = {text for cell in cells if (text := _text(cell))}
    for sign in _SEPARATORS[:2]:
        if any(sign in text for text in distinct):
            return MULTI_LABEL, sign
    parts = {part for text in distinct for part in _split(text, ",")}
    return (MULTI_LABEL, ",") if len(parts) < len(distinct) else (SINGLE_LABEL, None)


def _vectors(cells: Cells) -> list[Cells]:
    """The columns of cells that are several numbers each, as `PictureSet.label_text` writes them; none if they are not."""
    rows = [cell.split(LABEL_SEPARATOR) if isinstance(cell, str) else cell for cell in cells]
    vectors = [row for row in rows if isinstance(row, list) and 1 < len(row) == len(rows[0])]  # type: ignore[arg-type]
    if len(vectors) < len(rows) or any(_number(cell) is None for row in vectors for cell in row):
        return []
    return list(zip(*vectors, strict=True))


def _used_separator(cells: Cells) -> str | None:
    texts = [_text(cell) for cell in cells]
    return next((sign for sign in _SEPARATORS if any(text and sign in text for text in texts)), None)


def _one_class(cells: Cells, place: Place) -> Labelling:
    names = []
    for index, cell in enumerate(cells):
        name = _text(cell)
        if name is None:
            raise DataError(f"{place(index)}: the label is {_shown(cell)}, not the name of one class")
        if not name:
            raise DataError(
                f"{place(index)}: the label is empty; name a class, or set the task to multi_label if it has none"
            )
        names.append(name)
    class_names = order_classes(names)
    position_of = {name: position for position, name in enumerate(class_names)}
    for name in class_names:
        _check_class(name, place(names.index(name)), SINGLE_LABEL)
    return Labelling(class_names, np.array([position_of[name] for name in names], np.int64), SINGLE_LABEL)


def _many_classes(cells: Cells, place: Place, separator: str | None) -> Labelling:
    names_of = [_names_within(cell, place, index, separator) for index, cell in enumerate(cells)]
    first_with = {name: index for index in reversed(range(len(cells))) for name in names_of[index]}
    class_names = order_classes(list(first_with))
    if not class_names:
        raise DataError(f"{place(0)}: no picture has a label; name the classes of each, or the right column")
    if len(class_names) * len(cells) > _MOST_CELLS:
        raise DataError(
            f"{len(class_names):,} different labels for {len(cells):,} pictures (such as {class_names[0]!r}) are too many; "
            "check the column and the separator"
        )
    for name in class_names:
        _check_class(name, place(first_with[name]), MULTI_LABEL)
    position_of = {name: position for position, name in enumerate(class_names)}
    labels = np.zeros((len(cells), len(class_names)), np.float32)
    for index, names in enumerate(names_of):
        labels[index, [position_of[name] for name in names]] = 1
    return Labelling(class_names, labels, MULTI_LABEL)


def _names_within(cell: object, place: Place, index: int, separator: str | None) -> list[str]:
    parts = cell if isinstance(cell, list) else [cell]
    names: list[str] = []
    for part in parts:
        text = _text(part)
        if text is None:
            raise DataError(f"{place(index)}: {_shown(part)} is not the name of a class")
        names += _split(text, separator if isinstance(cell, str) else None)
    return names


def _numbers(cells: Sequence[Cells], place: Place) -> np.ndarray:
    """float32 (n, columns)."""
    labels = np.zeros((len(cells[0]), len(cells)), np.float32)
    for column, one in enumerate(cells):
        for index, cell in enumerate(one):
            number = _number(cell)
            if number is None or not abs(number) <= float(np.finfo(np.float32).max):  # NaN is not either
                raise DataError(f"{place(index)}: {_shown(cell)} is not a number; write one such as 3.5")
            labels[index, column] = number
    return labels


def _check_class(name: str, where: str, task: str) -> None:
    """Class names are written to a text file, one a line, and `PictureSet.label_text` puts `|` between several."""
    if name.splitlines() != [name] or name.encode(errors="ignore").decode() != name:
        raise DataError(f"{where}: the label {name!r} has a line break in it, or is not text; rename it")
    if task == MULTI_LABEL and LABEL_SEPARATOR in name:
        raise DataError(f"{where}: the label {name!r} has a {LABEL_SEPARATOR} in it, which separates labels; rename it")


def _split(text: str, separator: str | None) -> list[str]:
    parts = text.split(separator) if separator else [text]
    return [part.strip() for part in parts if part.strip()]


def _text(cell: object) -> str | None:
    """A cell as the name of a class, "" if it is empty; None if it cannot be one."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return str(cell).strip() if isinstance(cell, str | int) else None


def _number(cell: object) -> float | None:
    """A cell as a number, which may be NaN; None if it is none."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    if isinstance(cell, str) and ("_" in cell or not cell.isascii()):  # Python would take 1_000
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return math.inf if isinstance(cell, int) else None


def _is_whole(cell: object) -> bool:
    number = _number(cell)
    return number is not None and number.is_integer()


def _shown(cell: object) -> str:
    return repr(cell) if len(repr(cell)) <= 60 else f"{repr(cell)[:60]}…"
