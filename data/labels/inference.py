"""Infer the kind of labels that a source holds, where the user does not say it.

Only the labels are used:

- several columns are regression; if they hold only 0 and 1, they are multi-label, a class per column;
- lists, and numbers separated by `|`, are regression if all have the same length and a number is not whole;
- other lists are multi-label;
- numbers are regression if one is not whole, or if there are on average fewer than three examples per distinct number,
  too few to split into train, validation and test. Other numbers are classes;
- text is multi-label if `data.labels.cells.find_separator` finds a separator between the labels of a cell. Otherwise each
  cell is a class.
"""

from __future__ import annotations

from dataclasses import replace

from data.labels.cells import find_separator, is_whole, number_of, vectors_of
from data.labels.labels import Labels
from data.labels.multi_label import MultiLabel
from data.labels.regression import Regression
from data.labels.single_label import SingleLabel
from data.labels.written import Written

_FEWEST = 3  # examples per class: one for each split


def infer(written: Written) -> tuple[type[Labels], Written]:
    """Infer the kind of labels.

    Args:
        written: the labels as the source has them.

    Returns:
        The kind, and the same labels, with numbers in the form that Python reads and the separator that was found.

    Raises:
        DataError: the labels can be read in two ways.

    Examples:
        >>> kind, _ = infer(Written(["label"], [["cat", "dog", "cat"]], str))
        >>> kind.task
        'single_label'
        >>> kind, written = infer(Written(["label"], [["cat|dog", "cat"]], str))
        >>> kind.task, written.separator
        ('multi_label', '|')
    """
    written = written.with_numbers(certain=False)
    if len(written.columns) > 1:
        return (MultiLabel if written.are_flags() else Regression), written
    (cells,) = written.cells
    if written.separator is not None:
        return MultiLabel, written
    if not all(is_whole(cell) for column in vectors_of(cells) for cell in column):
        return Regression, written
    if any(isinstance(cell, list) for cell in cells):
        return MultiLabel, written
    numbers = [number_of(cell) for cell in cells if cell != ""]
    if numbers and None not in numbers:
        whole = all(is_whole(number) for number in numbers)
        return (SingleLabel if whole and len(set(numbers)) * _FEWEST <= len(numbers) else Regression), written
    separator = find_separator(cells)
    return (MultiLabel if separator else SingleLabel), replace(written, separator=separator)
