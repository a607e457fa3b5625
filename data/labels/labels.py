"""What labels are: rows of an array, and all that splits, audits and sources need to know of their kind."""

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
    """What each split gets its share of.

    Attributes:
        members: of each stratum, the positions of its examples, int64 (n,); an example may be in several, or in none.
        required: whether every split must have examples of each.
    """

    members: Sequence[np.ndarray]
    required: bool


class Labelling(NamedTuple):
    """What was made of labels as a source has them.

    Attributes:
        labels: of all examples; the rows of those that have no label mean nothing.
        reading: what the cells were taken for, in words.
        kept: positions of the examples that have a label, int (n,).
    """

    labels: Labels
    reading: str
    kept: np.ndarray


@dataclass(frozen=True, eq=False)
class Labels(ABC):
    """The labels of examples. Each kind is a subclass, one file, and one row of `data.labels.LABELS`.

    What is implemented here fits labels that are classes; kinds of other labels override it.

    Attributes:
        array: one row an example; the kind tells its type and shape.
        names: of the classes or numbers, in the order of a model's outputs; none where there are no labels.
        task: name of the kind, and of the task that learns from it.
        unit: what one of `names` names, and
        units: the same of several.
        moved: what is said of an example whose label has changed.
        exclusive: each example has exactly one class, and `array` holds its position in `names`.
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
        """Make labels of what a source holds.

        Raises:
            DataError: a missing label that is not to be left out, or cells that do not fit this kind.
        """

    @classmethod
    @abstractmethod
    def parse(cls, texts: Sequence[str], names: Sequence[str]) -> Self:
        """The labels that `text` has written, one text an example."""

    @abstractmethod
    def text(self, index: int) -> str:
        """The label of an example, as `splits.csv` has it."""

    @property
    def needs_columns(self) -> bool:
        """Whether a list needs a column for each of `names`, since the labels do not fit into one."""
        return False

    # --- Examples -------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.array)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Labels):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.array, other.array)

    def taken(self, indices: Indices) -> Self:
        """The labels of the examples at `indices`, in that order."""
        return replace(self, array=self.array[np.asarray(indices, np.int64)])

    def joined(self, others: Sequence[Labels]) -> Self:
        """These labels and others behind them, all with the same names."""
        return replace(self, array=np.concatenate([self.array, *(other.array for other in others)]))

    def distinct(self) -> np.ndarray:
        """The same number for the same label, int64 (n,)."""
        return np.unique(self.array, axis=0, return_inverse=True)[1].reshape(-1)

    @abstractmethod
    def order(self) -> np.ndarray:
        """Positions of the examples, sorted by their first class or number, int64 (n,)."""

    @abstractmethod
    def strata(self) -> Strata:
        """What each split gets its share of: the classes, or ranges of numbers."""

    def contradict(self, members: np.ndarray) -> bool:
        """Whether some examples that show the same cannot all be labelled right."""
        some = self.array[members]
        return bool((some != some[:1]).any())

    # --- Classes --------------------------------------------------------------------------------------------------------

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of `names` that are classes, which examples have or have not."""
        return self.names

    @abstractmethod
    def has(self, label: int) -> np.ndarray:
        """Which examples have the class at a position in `names`, bool (n,)."""

    def known(self, label: int) -> np.ndarray:
        """Of which examples it is known whether they have a class, bool (n,)."""
        return np.ones(len(self), bool)

    def counts(self) -> np.ndarray:
        """Examples of each class, int64 (classes,)."""
        return np.array([self.has(label).sum() for label in range(len(self.classes))], np.int64)

    def used(self) -> np.ndarray:
        """The positions in `names` that some example needs, ascending, int64 (m,)."""
        return np.flatnonzero([self.has(label).any() for label in range(len(self.names))])

    @abstractmethod
    def renamed(self, names: Sequence[str]) -> Self:
        """The same labels for other names, in another order: names may be new, but no used one may be left out."""

    def _moves(self, names: Sequence[str]) -> tuple[list[int], list[int]]:
        """The positions of those of `names` that stay, and where they are among other names."""
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
            DataError: they are of another kind, or these have no name for some of them.
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
        """What a model that knows other names cannot be asked about, in words; "" where it knows all."""
