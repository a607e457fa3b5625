"""Multi-label: any number of classes per example, some of which may be unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from data.errors import DataError
from data.labels.cells import parts_of, shown, text_of, used_separator
from data.labels.classes import ClassLabels
from data.labels.labels import Labelling, Strata
from data.labels.names import SEPARATOR, check_class_name, order_classes
from data.labels.written import Written

MULTI_LABEL = "multi_label"
UNKNOWN = -1.0  # in the array: it is not known whether the example has the class

_MOST_CELLS = 2**30  # examples x classes: 4 GB


class MultiLabel(ClassLabels):
    """Any number of classes per example: `array` is float32 (n, names), 1 for a class, `UNKNOWN`, or 0.

    Examples:
        >>> labels = MultiLabel.parse(["cat|owl?", ""], ["cat", "dog", "owl"])
        >>> labels.array.tolist(), labels.text(0)
        ([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]], 'cat|owl?')
    """

    task = MULTI_LABEL

    @classmethod
    def read(cls, written: Written) -> Labelling:
        """Read each cell as names of classes, or each of several columns of 0 and 1 as a class."""
        if len(written.columns) > 1:
            return cls._read_columns(written)
        (cells,), place = written.cells, written.place
        separator = written.separator or used_separator(cells)
        names_of = [_names_within(cell, place(index), separator) for index, cell in enumerate(cells)]
        first_with = {name: index for index in reversed(range(len(cells))) for name in names_of[index]}
        names = order_classes(first_with)
        if not names:
            raise DataError(f"{place(0)}: no image has a label; name the classes of each, or the right column")
        if len(names) * len(cells) > _MOST_CELLS:
            raise DataError(
                f"{len(names):,} different labels for {len(cells):,} images (such as {names[0]!r}) are too many; "
                "check the column and the separator"
            )
        for name in names:
            check_class_name(name, f"{place(first_with[name])}: the label", may_separate=False)
        position_of = {name: position for position, name in enumerate(names)}
        array = np.zeros((len(cells), len(names)), np.float32)
        for index, found in enumerate(names_of):
            array[index, [position_of[name] for name in found]] = 1
        split = f", with {separator!r} between them" if separator else ""
        return Labelling(cls(array, names), f"any number of {len(names)} classes{split}", np.arange(len(cells)))

    @classmethod
    def _read_columns(cls, written: Written) -> Labelling:
        labels = cls(written.flags(cls.task), tuple(written.columns))
        reading = f"any number of {len(labels.names)} classes, a column each"
        if ((labels.array == 1).sum(axis=1) == 1).all():
            reading += "; each row has one 1: for classes that exclude each other, give --task single_label"
        unknown = labels.array == UNKNOWN
        if unknown.any():
            reading += (
                f"; {unknown.sum():,} of {unknown.size:,} cells are unknown, which neither loss nor figures count"
            )
        return Labelling(labels, reading, np.flatnonzero(~unknown.all(axis=1)))

    @classmethod
    def parse(cls, texts: Sequence[str], names: Sequence[str]) -> Self:
        """Return labels from texts in the form of `text`."""
        position_of = {name: position for position, name in enumerate(names)}
        array = np.zeros((len(texts), len(names)), np.float32)
        for row, text in zip(array, texts, strict=True):
            for name in filter(None, text.split(SEPARATOR)):
                doubtful = name not in position_of
                row[position_of[name.removesuffix("?") if doubtful else name]] = UNKNOWN if doubtful else 1
        return cls(array, tuple(names))

    def text(self, index: int) -> str:
        """Return the classes separated by `|`; an unknown class ends in a question mark."""
        row = self.array[index]
        doubts = {position: "?" if row[position] == UNKNOWN else "" for position in np.flatnonzero(row)}
        return SEPARATOR.join(self.names[position] + doubt for position, doubt in doubts.items())

    @property
    def needs_columns(self) -> bool:
        """Whether classes are unknown, which a single column cannot express."""
        return len(self.names) > 1 and bool((self.array == UNKNOWN).any())

    def order(self) -> np.ndarray:
        """Return the positions of the examples, sorted by the first class of each."""
        return np.argsort(self.array.argmax(axis=1), kind="stable")

    def strata(self) -> Strata:
        """Return one stratum per class."""
        return Strata([np.flatnonzero(self.has(label)) for label in range(len(self.names))], required=True)

    def contradict(self, members: np.ndarray) -> bool:
        """Return whether one example has a class that another lacks; unknown classes contradict nothing."""
        some = self.array[members]
        return bool(((some == 1).any(axis=0) & (some == 0).any(axis=0)).any())

    def has(self, label: int) -> np.ndarray:
        """Return which examples are known to have the class."""
        return self.array[:, label] > 0

    def known(self, label: int) -> np.ndarray:
        """Return for which examples it is known whether they have the class."""
        known: np.ndarray = self.array[:, label] != UNKNOWN
        return known

    def renamed(self, names: Sequence[str]) -> Self:
        """Return the same classes in the columns of `names`."""
        kept, positions = self._moves(names)
        array = np.zeros((len(self), len(names)), np.float32)
        array[:, positions] = self.array[:, kept]
        return replace(self, array=array, names=tuple(names))


def _names_within(cell: object, where: str, separator: str | None) -> list[str]:
    parts = cell if isinstance(cell, list) else [cell]
    names: list[str] = []
    for part in parts:
        text = text_of(part)
        if text is None:
            raise DataError(f"{where}: {shown(part)} is not the name of a class")
        names += parts_of(text, separator if isinstance(cell, str) else None)
    return names
