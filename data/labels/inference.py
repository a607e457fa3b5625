"""Which kind of labels a source holds, where nobody says.

It is inferred from the labels alone:

- several columns are regression, or, if they hold nothing but 0 and 1, a class each (multi-label);
- lists, and numbers with `|` between them, are regression if all have the same length and one number is not whole;
- other lists are multi-label;
- numbers are regression if one of them is no whole number, or if there are fewer than three examples for each different
  number: with so few, classes could not be split into train, validation and test. Else they are classes;
- text is multi-label if `data.labels.cells.find_separator` finds what stands between several labels of a cell. Else a cell
  is a class.
"""

from __future__ import annotations

from dataclasses import replace

from data.labels.cells import find_separator, is_whole, number_of, vectors_of
from data.labels.labels import Labels
from data.labels.multi_label import MultiLabel
from data.labels.regression import Regression
from data.labels.single_label import SingleLabel
from data.labels.written import Written

_FEWEST = 3  # examples of a class: one a split


def infer(written: Written) -> tuple[type[Labels], Written]:
    """Infer the kind of labels.

    Args:
        written: what the source holds.

    Returns:
        The kind, and the same cells, with numbers in the form that Python reads and the separator that was found.

    Raises:
        DataError: they can be read in two ways.
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
