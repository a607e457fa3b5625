"""The interface of labels: rows of an array, and all that splits, audits and sources need to know about their kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import numpy as np

from data.errors import DataError
from data.labels.written import Written

# Positions of examples: int (n,).
Indices = Sequence[int] | np.ndarray


class Strata(NamedTuple):
    """Groups of examples that are divided proportionally among the splits.

    Attributes:
        members: for each stratum, the positions of its examples, int64 (n,); an example may be in several strata or in none.
        required: whether every split must have examples of each stratum.
    """

    members: Sequence[np.ndarray]
    required: bool


class Labelling(NamedTuple):
    """Labels made from what a source holds.

    Attributes:
        labels: the labels of all examples; rows of examples without a label are meaningless.
        reading: how the cells were read, in words.
        kept: positions of the examples that have a label, int (n,).
    """

    labels: Labels
    reading: str
    kept: np.ndarray


@dataclass(frozen=True, eq=False)
class Labels(ABC):
    """The labels of examples. Each kind is a subclass in a file of its own, and one row of `data.labels.LABELS`.

    The methods implemented here fit labels that are classes; other kinds override them.

    Attributes:
        array: one row per example; its type and shape depend on the kind.
        names: names of the classes or numbers, in the order of a model's outputs; empty where there are no labels.
        task: name of the kind, and of the task that learns it.
        unit: the word for what a name stands for.
        units: the plural of `unit`.
        moved: the words of an error message for an example whose label has changed.
        exclusive: whether each example has exactly one class; `array` then holds its position in `names`.
    """

    array: np.ndarray
    names: tuple[str, ...]

    task: ClassVar[str]
    unit: ClassVar[str] = "class"
    units: ClassVar[str] = "classes"
    moved: ClassVar[str] = "in another class of"
    exclusive: ClassVar[bool] = False

    # --- Text -----------------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def read(cls, written: Written) -> Labelling:
        """Make labels from what a source holds.

        Raises:
            DataError: a label is missing and must not be skipped, or a cell does not fit this kind.
        """

    @classmethod
    @abstractmethod
    def parse(cls, texts: Sequence[str], names: Sequence[str]) -> Self:
        """Return labels from texts in the form of `text`, one per example."""

    @abstractmethod
    def text(self, index: int) -> str:
        """Return the label of an example as `splits.csv` has it."""

    @property
    def needs_columns(self) -> bool:
        """Whether a list needs a column for each of `names`, because the labels do not fit into one column."""
        return False

    # --- Examples -------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.array)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Labels):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.array, other.array)

    def taken(self, indices: Indices) -> Self:
        """Return the labels of the examples at `indices`, in that order."""
        return replace(self, array=self.array[np.asarray(indices, np.int64)])

    def joined(self, others: Sequence[Labels]) -> Self:
        """Return these labels followed by other labels with the same names."""
        return replace(self, array=np.concatenate([self.array, *(other.array for other in others)]))

    def distinct(self) -> np.ndarray:
        """Return a number for each example, equal for equal labels, int64 (n,)."""
        return np.unique(self.array, axis=0, return_inverse=True)[1].reshape(-1)

    @abstractmethod
    def order(self) -> np.ndarray:
        """Return the positions of the examples, sorted by their first class or number, int64 (n,)."""

    @abstractmethod
    def strata(self) -> Strata:
        """Return the groups that are divided among the splits: the classes, or ranges of numbers."""

    def contradict(self, members: np.ndarray) -> bool:
        """Return whether the labels of examples that show the same cannot all be right."""
        some = self.array[members]
        return bool((some != some[:1]).any())

    # --- Classes --------------------------------------------------------------------------------------------------------

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that are classes; empty where the labels are numbers."""
        return self.names

    @abstractmethod
    def has(self, label: int) -> np.ndarray:
        """Return which examples have the class at position `label` of `names`, bool (n,)."""

    def known(self, label: int) -> np.ndarray:
        """Return for which examples it is known whether they have a class, bool (n,)."""
        return np.ones(len(self), bool)

    def counts(self) -> np.ndarray:
        """Return the number of examples of each class, int64 (classes,)."""
        return np.array([self.has(label).sum() for label in range(len(self.classes))], np.int64)

    def used(self) -> np.ndarray:
        """Return the positions in `names` that at least one example uses, ascending, int64 (m,)."""
        return np.flatnonzero([self.has(label).any() for label in range(len(self.names))])

    @abstractmethod
    def renamed(self, names: Sequence[str]) -> Self:
        """Return the same labels for other names or another order. Names may be added, but every used name must be kept."""

    def _moves(self, names: Sequence[str]) -> tuple[list[int], list[int]]:
        """Return the positions in `self.names` of the names that are also in `names`, and their positions in `names`."""
        position_of = {name: position for position, name in enumerate(names)}
        kept = [label for label, name in enumerate(self.names) if name in position_of]
        assert set(self.used().tolist()) <= set(kept), "an example would lose its class"
        return kept, [position_of[self.names[label]] for label in kept]

    # --- Checks ---------------------------------------------------------------------------------------------------------

    def check_learnable(self, source: str) -> None:
        """Check that there is something to learn.

        Raises:
            DataError: all examples of the source have the same label.
        """
        return None

    def check_joins(self, other: Labels, source: str, other_source: str) -> None:
        """Check that other labels can be joined to these.

        Raises:
            DataError: the other labels are of another kind, or use names that these labels lack.
        """
        if type(self) is not type(other):
            raise DataError(
                f"{other_source} is {other.task}, but {source} is {self.task}; give the task, or other images"
            )
        self._check_names(other, source, other_source)

    @abstractmethod
    def _check_names(self, other: Labels, source: str, other_source: str) -> None: ...

    @abstractmethod
    def unknown_to(self, names: Sequence[str]) -> str:
        """Return, in words, which labels a model that predicts `names` cannot predict; "" if there are none."""
