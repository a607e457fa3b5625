"""From labels as they are written, in text or in JSON, to the labels of a `PictureSet`, and to the task that they set.

What is not said is inferred from the labels alone, and `Labelling.reading` says what was:

- several columns are regression, or, if they hold nothing but 0 and 1, a class each (multi-label);
- lists, and numbers with `|` between them, are regression if all have the same length and one number is not whole;
- other lists are multi-label;
- numbers are regression if one of them is no whole number, or if there are fewer than three images for each different
  number: with so few, classes could not be split into train, validation and test. Else they are classes;
- text is multi-label if `data.sources.inference.find_separator` finds what stands between several labels of a cell. Else a
  cell is a class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data.errors import DataError
from data.pictures import LABEL_SEPARATOR, MULTI_LABEL, REGRESSION, SINGLE_LABEL, UNKNOWN
from data.sources.inference import cleaned, find_separator, parts_of, read_numbers
from data.sources.names import check_class_name
from data.sources.options import UNCERTAIN, SourceOptions

_FEWEST = 3  # images of a class: one a split
_FLAGS = {"true": 1, "false": 0}
_UNCERTAIN = dict(zip(UNCERTAIN, (0.0, 1.0, UNKNOWN), strict=True))
_MOST_CELLS = 2**30  # of a matrix of images and classes: 4 GB

Cells = Sequence[object]  # one an image: text, a number, a list of them, or None
Place = Callable[[int], str]  # says where the label of an image is written


class Labelling(NamedTuple):
    """What `PictureSet` calls by the same names, and what was made of the cells.

    Attributes:
        reading: what the labels were taken for, in words.
        kept: positions of the images that have a label, int (n,); the others' rows of `labels` mean nothing.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    task: str
    reading: str
    kept: np.ndarray


def label_pictures(
    columns: Sequence[str],
    cells: Sequence[Cells],
    place: Place,
    options: SourceOptions,
    *,
    comma_separates: bool = True,
) -> Labelling:
    """Make labels out of cells.

    Args:
        columns: names of the label columns.
        cells: one sequence a column, each with one cell an image.
        place: for errors.
        options: `task`, `label_separator`, `uncertain` and `skip_unreadable` are used.
        comma_separates: a comma in a cell may separate labels, since it need not be that of a decimal number.

    Raises:
        DataError: a missing label that is not to be skipped, one that does not fit the task, a task that does not fit the
            columns, or labels that can be read in two ways.
    """
    table = [cleaned(column) for column in cells]
    task, separator = options.task, options.label_separator
    if separator is None and task in (None, REGRESSION):
        certain = task == REGRESSION
        table = [read_numbers(column, comma_separates=comma_separates, certain=certain) for column in table]
    if len(columns) > 1:
        return _several_columns(columns, table, place, options)
    (column,) = table
    vectors = _vectors(column) if task in (None, REGRESSION) and separator is None else []
    if vectors and (task == REGRESSION or not all(_is_whole(cell) for one in vectors for cell in one)):
        names = [f"{columns[0]} {number}" for number in range(1, len(vectors) + 1)]
        return _numbers(names, vectors, place, options)
    if task is None:
        task, separator = _infer(column, separator)
    if task == REGRESSION:
        return _numbers(columns, table, place, options)
    if task == MULTI_LABEL:
        return _many_classes(column, place, separator or _used_separator(column))
    return _one_class(column, place, options)


def order_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Different names in alphabetical order; whole numbers by their size."""
    distinct = set(names)
    whole = all(name.removeprefix("-").isdecimal() and name.isascii() for name in distinct)
    return tuple(sorted(distinct, key=lambda name: (int(name), name)) if whole else sorted(distinct))


def _several_columns(columns: Sequence[str], table: Sequence[Cells], place: Place, options: SourceOptions) -> Labelling:
    """A class each, in columns of 0 and 1, or a number each."""
    task, names = options.task, ", ".join(columns)
    table = [[_FLAGS.get(str(cell).lower(), cell) for cell in column] for column in table]
    if task == REGRESSION:
        return _numbers(columns, table, place, options)
    known = {_number(cell) for column in table for cell in column if not _is_uncertain(cell)}
    if not known <= {0, 1}:
        if task is None:
            return _numbers(columns, table, place, options)
        raise DataError(f"for {task}, the columns {names} may hold 0 and 1 only; name one column, or other ones")
    for name in columns:
        _check_class(name, "the column", MULTI_LABEL)
    labels = _zeros_and_ones(columns, table, place, options)
    of_image = (labels == 1).sum(axis=1)
    exclusive = bool((of_image == 1).all())
    if task == SINGLE_LABEL:
        if not exclusive:
            wrong = int(np.argmax(of_image != 1))
            raise DataError(
                f"{place(wrong)}: {of_image[wrong]} of the columns {names} are 1; for one class an image it is one"
            )
        reading = "one class each, the column with a 1"
        return Labelling(tuple(columns), labels.argmax(axis=1), SINGLE_LABEL, reading, np.arange(len(labels)))
    reading = f"any number of {len(columns)} classes, a column each"
    reading += (
        "; each row has one 1: for classes that exclude each other, give --task single_label" if exclusive else ""
    )
    unknown = labels == UNKNOWN
    if unknown.any():
        reading += f"; {unknown.sum():,} of {unknown.size:,} cells are unknown, which neither loss nor figures count"
    return Labelling(tuple(columns), labels, MULTI_LABEL, reading, np.flatnonzero(~unknown.all(axis=1)))


def _zeros_and_ones(columns: Sequence[str], table: Sequence[Cells], place: Place, options: SourceOptions) -> np.ndarray:
    """float32 (n, columns)."""
    uncertain = None if options.uncertain is None else _UNCERTAIN[options.uncertain]
    labels = np.zeros((len(table[0]), len(table)), np.float32)
    for position, column in enumerate(table):
        for index, cell in enumerate(column):
            value = uncertain if _is_uncertain(cell) else _number(cell)
            if value is None:
                raise DataError(
                    f"{place(index)}: the cell of {columns[position]!r} is {_shown(cell)}, where others are 0 or 1; "
                    "fill it in, or say what such cells mean: --uncertain 0, 1 or unknown"
                )
            labels[index, position] = value
    return labels


def _is_uncertain(cell: object) -> bool:
    return cell == "" or _number(cell) == -1


def _infer(cells: Cells, separator: str | None) -> tuple[str, str | None]:
    """The task, and the separator if several labels share a cell."""
    if separator is not None or any(isinstance(cell, list) for cell in cells):
        return MULTI_LABEL, separator
    numbers = [_number(cell) for cell in cells if cell != ""]
    if numbers and None not in numbers:
        whole = all(_is_whole(number) for number in numbers)
        return (SINGLE_LABEL if whole and len(set(numbers)) * _FEWEST <= len(numbers) else REGRESSION), None
    separator = find_separator(cells)
    return (MULTI_LABEL if separator else SINGLE_LABEL), separator


def _vectors(cells: Cells) -> list[Cells]:
    """The columns of cells that are several numbers each, as `PictureSet.label_text` writes them; none if they are not."""
    rows = [cell.split(LABEL_SEPARATOR) if isinstance(cell, str) else cell for cell in cells]
    vectors = [row for row in rows if isinstance(row, list) and 1 < len(row) == len(rows[0])]  # type: ignore[arg-type]
    if len(vectors) < len(rows) or any(_number(cell) is None for row in vectors for cell in row):
        return []
    return list(zip(*vectors, strict=True))


def _used_separator(cells: Cells) -> str | None:
    signs = (LABEL_SEPARATOR, ";", ",")
    return next((sign for sign in signs if any(isinstance(cell, str) and sign in cell for cell in cells)), None)


def _one_class(cells: Cells, place: Place, options: SourceOptions) -> Labelling:
    kept = _labelled(cells, place, options, "name a class, or set the task to multi_label if it has none")
    names: dict[int, str] = {}
    for index in kept.tolist():
        name = _text(cells[index])
        if name is None:
            raise DataError(f"{place(index)}: the label is {_shown(cells[index])}, not the name of one class")
        names[index] = name
    class_names = order_classes(list(names.values()))
    first_with = {name: index for index, name in reversed(names.items())}
    for name in class_names:
        _check_class(name, f"{place(first_with[name])}: the label", SINGLE_LABEL)
    position_of = {name: position for position, name in enumerate(class_names)}
    labels = np.zeros(len(cells), np.int64)
    labels[kept] = [position_of[name] for name in names.values()]
    reading = f"one of {len(class_names)} classes each{_several_words(class_names)}"
    return Labelling(class_names, labels, SINGLE_LABEL, reading, kept)


def _several_words(class_names: Sequence[str]) -> str:
    """What to say where cells read as one class may be several, with spaces between them."""
    known = set(class_names)
    for name in class_names:
        word = next((one for one in name.split() if one in known and one != name), None)
        if word is not None:
            return f"; {word!r} is a word of {name!r} too: if these are several labels, give --label-separator ' '"
    return ""


def _labelled(cells: Cells, place: Place, options: SourceOptions, fix: str) -> np.ndarray:
    """Positions of the images with a label; others are refused unless they are to be skipped."""
    lacking = [index for index, cell in enumerate(cells) if cell == ""]
    if lacking and not options.skip_unreadable:
        more = f", as of {len(lacking):,} images" if len(lacking) > 1 else ""
        raise DataError(
            f"{place(lacking[0])}: the label is empty or missing{more}; {fix}, or leave such images out with --skip-unreadable"
        )
    return np.setdiff1d(np.arange(len(cells)), lacking)


def _many_classes(cells: Cells, place: Place, separator: str | None) -> Labelling:
    names_of = [_names_within(cell, place, index, separator) for index, cell in enumerate(cells)]
    first_with = {name: index for index in reversed(range(len(cells))) for name in names_of[index]}
    class_names = order_classes(list(first_with))
    if not class_names:
        raise DataError(f"{place(0)}: no image has a label; name the classes of each, or the right column")
    if len(class_names) * len(cells) > _MOST_CELLS:
        raise DataError(
            f"{len(class_names):,} different labels for {len(cells):,} images (such as {class_names[0]!r}) are too many; "
            "check the column and the separator"
        )
    for name in class_names:
        _check_class(name, f"{place(first_with[name])}: the label", MULTI_LABEL)
    position_of = {name: position for position, name in enumerate(class_names)}
    labels = np.zeros((len(cells), len(class_names)), np.float32)
    for index, names in enumerate(names_of):
        labels[index, [position_of[name] for name in names]] = 1
    split = f", with {separator!r} between them" if separator else ""
    return Labelling(
        class_names, labels, MULTI_LABEL, f"any number of {len(class_names)} classes{split}", np.arange(len(cells))
    )


def _names_within(cell: object, place: Place, index: int, separator: str | None) -> list[str]:
    parts = cell if isinstance(cell, list) else [cell]
    names: list[str] = []
    for part in parts:
        text = _text(part)
        if text is None:
            raise DataError(f"{place(index)}: {_shown(part)} is not the name of a class")
        names += parts_of(text, separator if isinstance(cell, str) else None)
    return names


def _numbers(columns: Sequence[str], table: Sequence[Cells], place: Place, options: SourceOptions) -> Labelling:
    """Labels of regression, float32 (n, columns)."""
    labels = np.zeros((len(table[0]), len(table)), np.float32)
    kept = np.arange(len(labels))
    for column in table:
        kept = np.intersect1d(kept, _labelled(column, place, options, "write a number"))
    for position, column in enumerate(table):
        for index in kept.tolist():
            number = _number(column[index])
            if number is None or not abs(number) <= float(np.finfo(np.float32).max):
                raise DataError(f"{place(index)}: {_shown(column[index])} is not a number; write one such as 3.5")
            labels[index, position] = number
    return Labelling(tuple(columns), labels, REGRESSION, "numbers", kept)


def _check_class(name: str, where: str, task: str) -> None:
    """Class names are written to a text file, one a line, and `PictureSet.label_text` puts `|` between several."""
    check_class_name(name, where)
    if task == MULTI_LABEL and LABEL_SEPARATOR in name:
        raise DataError(f"{where} {name!r} has a {LABEL_SEPARATOR} in it, which separates labels; rename it")


def _text(cell: object) -> str | None:
    """A cell as the name of a class, "" if it is empty; None if it cannot be one."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return str(cell) if isinstance(cell, str | int) else None


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
