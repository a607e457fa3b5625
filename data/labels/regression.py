"""Regression: one or several numbers per example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from data.errors import DataError
from data.labels.cells import number_of, shown, vectors_of
from data.labels.labels import Labelling, Labels, Strata
from data.labels.names import SEPARATOR
from data.labels.written import Written

REGRESSION = "regression"

_MOST_BINS = 10  # per number
_EXAMPLES_PER_BIN = 10  # fewer cannot be divided among the splits


class Regression(Labels):
    """One or several numbers per example: `array` is float32 (n, names).

    Examples:
        >>> labels = Regression.parse(["1.5|2", "3|4"], ["width", "height"])
        >>> labels.array.tolist(), labels.text(0)
        ([[1.5, 2.0], [3.0, 4.0]], '1.5|2')
    """

    task = REGRESSION
    unit, units = "number", "numbers"
    moved = "with another label in"

    @classmethod
    def read(cls, written: Written) -> Labelling:
        """Read each column as a number, or each cell of a single column as one or several numbers."""
        written = written.with_numbers(certain=True)
        if len(written.columns) > 1:
            written = written.with_flags()
        elif written.separator is None and (vectors := vectors_of(written.cells[0])):
            names = [f"{written.columns[0]} {number}" for number in range(1, len(vectors) + 1)]
            written = replace(written, columns=names, cells=vectors)
        array = np.zeros((len(written.cells[0]), len(written.cells)), np.float32)
        kept = np.arange(len(array))
        for column in written.cells:
            kept = np.intersect1d(kept, written.labelled(column, "write a number"))
        for position, column in enumerate(written.cells):
            for index in kept.tolist():
                number = number_of(column[index])
                if number is None or not abs(number) <= float(np.finfo(np.float32).max):
                    raise DataError(
                        f"{written.place(index)}: {shown(column[index])} is not a number; write one such as 3.5"
                    )
                array[index, position] = number
        return Labelling(cls(array, tuple(written.columns)), "numbers", kept)

    @classmethod
    def parse(cls, texts: Sequence[str], names: Sequence[str]) -> Self:
        """Return labels from texts in the form of `text`."""
        return cls(np.array([text.split(SEPARATOR) for text in texts], np.float32), tuple(names))

    def text(self, index: int) -> str:
        """Return the numbers separated by `|`."""
        return SEPARATOR.join(f"{number:.7g}" for number in self.array[index])

    @property
    def needs_columns(self) -> bool:
        """Whether there are several numbers per example."""
        return len(self.names) > 1

    def order(self) -> np.ndarray:
        """Return the positions of the examples, sorted by the first number."""
        return np.argsort(self.array[:, 0], kind="stable")

    def strata(self) -> Strata:
        """Return ranges of each number with about equally many examples; a split may have no examples of a range."""
        members = []
        for values in self.array.T:
            bins = _bins(values)
            members += [np.flatnonzero(bins == number) for number in range(int(bins.max(initial=-1)) + 1)]
        return Strata(members, required=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty: numbers are not classes."""
        return ()

    def has(self, label: int) -> np.ndarray:
        """Return False for every example: numbers are not classes."""
        return np.zeros(len(self), bool)

    def used(self) -> np.ndarray:
        """Return the positions of all numbers."""
        return np.arange(len(self.names))

    def renamed(self, names: Sequence[str]) -> Self:
        """Return the labels unchanged: numbers have no other names."""
        return self

    def check_learnable(self, source: str) -> None:
        """Check that no number is the same in all examples, which leaves nothing to learn."""
        for name, values in zip(self.names, self.array.T, strict=True):
            if (values == values[0]).all():
                raise DataError(
                    f"{name} is {values[0]:.7g} in every image of {source}, which leaves nothing to learn; "
                    "name the columns of other numbers with --columns label=NAME"
                )

    def _check_names(self, other: Labels, source: str, other_source: str) -> None:
        if other.names != self.names:
            raise DataError(
                f"{other_source} has the numbers {', '.join(other.names)}, "
                f"but {source} has {', '.join(self.names)}; name the same columns"
            )

    def unknown_to(self, names: Sequence[str]) -> str:
        """Return, in words, the numbers if a model predicts other numbers; else ""."""
        if self.names == tuple(names):
            return ""
        return f"the numbers {', '.join(self.names)}; the model answers with {', '.join(names)}"


def _bins(values: np.ndarray) -> np.ndarray:
    """Return the bin of each value, int64 (n,): bins hold about equally many values, and equal values share a bin."""
    count = min(max(1, len(values) // _EXAMPLES_PER_BIN), _MOST_BINS)
    edges = np.quantile(values, np.arange(1, count) / count) if len(values) else []
    return np.unique(np.digitize(values, edges), return_inverse=True)[1]
