"""Labels as a source has them, in columns of cells, and how several kinds of labels read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.errors import DataError
from data.labels.cells import number_of, read_numbers, shown
from data.labels.names import check_class_name

_FLAGS = {"true": 1, "false": 0}

Cells = Sequence[object]  # one per example: text, a number, a list of texts or numbers, or None
Place = Callable[[int], str]  # returns where the label of an example is written


@dataclass(frozen=True)
class Written:
    """Labels as a source has them.

    Attributes:
        columns: names of the columns.
        cells: one sequence per column with one cell per example, from `data.labels.cells.cleaned`.
        place: returns where the label of an example is written, for errors.
        separator: what separates the labels of a cell; None if the user does not say.
        comma_separates: whether a comma in a cell may separate labels, and not only be a decimal comma.
        uncertain: the label that an empty cell or -1 stands for, among columns of 0 and 1; None refuses such cells.
        skip_missing: whether to leave out examples that have no label.
    """

    columns: Sequence[str]
    cells: Sequence[Cells]
    place: Place
    separator: str | None = None
    comma_separates: bool = True
    uncertain: float | None = None
    skip_missing: bool = False

    def with_numbers(self, *, certain: bool) -> Written:
        """Return the same labels with numbers in the form that Python reads; unchanged if there is a separator.

        Args:
            certain: whether the user says that the cells are numbers.

        Raises:
            DataError: the cells can be read in two ways.
        """
        if self.separator is not None:
            return self
        options = {"comma_separates": self.comma_separates, "certain": certain}
        return replace(self, cells=[read_numbers(column, **options) for column in self.cells])

    def with_flags(self) -> Written:
        """Return the same labels with 1 and 0 for true and false."""
        return replace(self, cells=[[_FLAGS.get(str(cell).lower(), cell) for cell in column] for column in self.cells])

    def are_flags(self) -> bool:
        """Return whether all cells are 0, 1, true, false, or uncertain (empty or -1)."""
        cells = self.with_flags().cells
        return {number_of(cell) for column in cells for cell in column if not _is_uncertain(cell)} <= {0, 1}

    def flags(self, task: str) -> np.ndarray:
        """Return the cells of one column per class, float32 (n, columns): 1, 0, or `uncertain`.

        Args:
            task: the task that the cells are read for, for errors.

        Raises:
            DataError: a cell holds something else, or the name of a column cannot be the name of a class.
        """
        if not self.are_flags():
            raise DataError(
                f"for {task}, the columns {', '.join(self.columns)} may hold 0 and 1 only; name one column, or other ones"
            )
        for name in self.columns:
            check_class_name(name, "the column", may_separate=False)
        labels = np.zeros((len(self.cells[0]), len(self.cells)), np.float32)
        for position, column in enumerate(self.with_flags().cells):
            for index, cell in enumerate(column):
                value = self.uncertain if _is_uncertain(cell) else number_of(cell)
                if value is None:
                    raise DataError(
                        f"{self.place(index)}: the cell of {self.columns[position]!r} is {shown(cell)}, where others are 0 "
                        "or 1; fill it in, or say what such cells mean: --uncertain 0, 1 or unknown"
                    )
                labels[index, position] = value
        return labels

    def labelled(self, column: Cells, fix: str) -> np.ndarray:
        """Return the positions of the examples with a label in a column, int (n,).

        Args:
            column: one of `cells`.
            fix: what to do about a missing label, for the error.

        Raises:
            DataError: a label is missing and `skip_missing` is False.
        """
        lacking = [index for index, cell in enumerate(column) if cell == ""]
        if lacking and not self.skip_missing:
            more = f", as of {len(lacking):,} images" if len(lacking) > 1 else ""
            raise DataError(
                f"{self.place(lacking[0])}: the label is empty or missing{more}; {fix}, or leave such images out with "
                "--skip-unreadable"
            )
        return np.setdiff1d(np.arange(len(column)), lacking)


def _is_uncertain(cell: object) -> bool:
    return cell == "" or number_of(cell) == -1
