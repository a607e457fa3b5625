"""Single-label: one class per example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from data.errors import DataError
from data.labels.cells import shown, text_of
from data.labels.classes import ClassLabels
from data.labels.labels import Labelling, Strata
from data.labels.names import check_class_name, order_classes
from data.labels.written import Written

SINGLE_LABEL = "single_label"


class SingleLabel(ClassLabels):
    """One class per example: `array` is int64 (n,), positions in `names`.

    Examples:
        >>> labels = SingleLabel.parse(["owl", "cat", "owl"], ["cat", "owl"])
        >>> labels.array.tolist(), labels.text(0), labels.counts().tolist()
        ([1, 0, 1], 'owl', [1, 2])
    """

    task = SINGLE_LABEL
    exclusive = True

    @classmethod
    def read(cls, written: Written) -> Labelling:
        """Read each cell as the name of a class, or each of several columns as a class, one of which is 1."""
        if len(written.columns) > 1:
            return cls._read_columns(written)
        (cells,) = written.cells
        kept = written.labelled(cells, "name a class, or set the task to multi_label if it has none")
        texts: dict[int, str] = {}
        for index in kept.tolist():
            text = text_of(cells[index])
            if text is None:
                raise DataError(
                    f"{written.place(index)}: the label is {shown(cells[index])}, not the name of one class"
                )
            texts[index] = text
        names = order_classes(texts.values())
        first_with = {name: index for index, name in reversed(texts.items())}
        for name in names:
            check_class_name(name, f"{written.place(first_with[name])}: the label")
        array = np.zeros(len(cells), np.int64)
        array[kept] = cls.parse(list(texts.values()), names).array
        reading = f"one of {len(names)} classes each{_several_words(names)}"
        return Labelling(cls(array, names), reading, kept)

    @classmethod
    def _read_columns(cls, written: Written) -> Labelling:
        flags = written.flags(cls.task)
        of_example = (flags == 1).sum(axis=1)
        if not (of_example == 1).all():
            wrong = int(np.argmax(of_example != 1))
            raise DataError(
                f"{written.place(wrong)}: {of_example[wrong]} of the columns {', '.join(written.columns)} are 1; "
                "for one class per image it is one"
            )
        labels = cls(flags.argmax(axis=1), tuple(written.columns))
        return Labelling(labels, "one class each, the column with a 1", np.arange(len(labels)))

    @classmethod
    def parse(cls, texts: Sequence[str], names: Sequence[str]) -> Self:
        """Return labels from names of classes."""
        position_of = {name: position for position, name in enumerate(names)}
        return cls(np.array([position_of[text] for text in texts], np.int64), tuple(names))

    def text(self, index: int) -> str:
        """Return the name of the class."""
        return self.names[int(self.array[index])]

    def order(self) -> np.ndarray:
        """Return the positions of the examples, sorted by class."""
        return np.argsort(self.array, kind="stable")

    def strata(self) -> Strata:
        """Return one stratum per class."""
        return Strata(np.split(self.order(), np.cumsum(self.counts())[:-1]), required=True)

    def has(self, label: int) -> np.ndarray:
        """Return which examples have the class."""
        has: np.ndarray = self.array == label
        return has

    def counts(self) -> np.ndarray:
        """Return the number of examples of each class."""
        return np.bincount(self.array, minlength=len(self.names))

    def used(self) -> np.ndarray:
        """Return the positions of the classes that at least one example has."""
        return np.unique(self.array)

    def renamed(self, names: Sequence[str]) -> Self:
        """Return the same classes as positions in the new `names`."""
        kept, positions = self._moves(names)
        position = np.full(len(self.names), -1)
        position[kept] = positions
        return replace(self, array=position[self.array], names=tuple(names))

    def check_learnable(self, source: str) -> None:
        """Check that there are at least two classes."""
        if len(self.names) < 2:
            raise DataError(f"{source} holds one class only ({self.names[0]!r}); add images of at least one more class")


def _several_words(names: Sequence[str]) -> str:
    """Return a hint where cells read as one class may be several labels separated by spaces; else ""."""
    known = set(names)
    for name in names:
        word = next((one for one in name.split() if one in known and one != name), None)
        if word is not None:
            return f"; {word!r} is a word of {name!r} too: if these are several labels, give --label-separator ' '"
    return ""
