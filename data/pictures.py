"""What every source gives: a `PictureSet`, labelled pictures with random access, still encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data.errors import DataError

# Positions of pictures in a `PictureSet`: int (n,).
Indices = Sequence[int] | np.ndarray

SPLITS = ("train", "validation", "test")

# What is learned from labels: one class a picture, any number of classes, or numbers.
SINGLE_LABEL, MULTI_LABEL, REGRESSION = TASKS = ("single_label", "multi_label", "regression")
LABEL_SEPARATOR = "|"  # between several labels of one picture, in text
UNKNOWN = -1.0  # among labels of several classes: whether a picture has this one is not known


@dataclass(frozen=True)
class PictureSet:
    """Labelled pictures. Nothing is read until `encoded` is called, so a set of any size is cheap to hold.

    Attributes:
        source: the SOURCE string that gave it.
        class_names: one name a label, in label order; for regression, one a number; none where there are no labels.
        keys: one unique, stable name a picture: its path within the source.
        labels: by task; single_label: int64 (n,), indices into `class_names`; multi_label: float32 (n, classes), 1 for
            each class of a picture, `UNKNOWN` where that is not known, and else 0; regression: float32 (n, numbers).
        encoded: gives the bytes of picture `i` as a picture file; may be called from several threads.
        given_splits: one of `SPLITS` a picture where the source brings its own splits, else None.
        ignored: what was found beside the pictures, by kind, for the user to see.
        digests: SHA-256 of each picture file's bytes, in hexadecimal, once `data.checking` has read them.
        task: one of `TASKS`.
        groups: of each picture, what it comes from (a patient, a video, a camera), where the source says so; "" for none.
        weights: of each picture in training, float32 (n,), above 0; None where all count the same.
        duplicates: int64 (n,), the same number for pictures that show the same, once they have been compared.
        upright: the same, but for pictures that are neither turned nor mirrored to each other.
        notes: what was inferred about the source, in sentences, for the user to see before anything is trained.
    """

    source: str
    class_names: tuple[str, ...]
    keys: tuple[str, ...]
    labels: np.ndarray
    encoded: Callable[[int], bytes]
    given_splits: tuple[str, ...] | None = None
    ignored: Counter[str] = field(default_factory=Counter)
    digests: tuple[str, ...] | None = None
    task: str = SINGLE_LABEL
    groups: tuple[str, ...] | None = None
    weights: np.ndarray | None = None
    duplicates: np.ndarray | None = None
    upright: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.keys:
            raise DataError(f"{self.source} holds no pictures; Graft needs a folder of pictures for each class")

    def __len__(self) -> int:
        return len(self.keys)

    def require_classes(self) -> None:
        """Raise `DataError` where there is nothing to tell apart: one class only."""
        if self.task == SINGLE_LABEL and len(self.class_names) < 2:
            raise DataError(
                f"{self.source} holds one class only ({self.class_names[0]!r}); add images of at least one more class"
            )

    def used_classes(self, members: Indices | slice = slice(None)) -> np.ndarray:
        """The classes that some picture has, or some of these, int (m,), as positions in `class_names`."""
        labels = self.labels[members]
        return np.unique(labels) if self.task == SINGLE_LABEL else np.flatnonzero((labels > 0).any(axis=0))

    def subset(self, indices: Indices) -> PictureSet:
        """The same set with only the pictures at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)

        def of_chosen(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[i] for i in chosen)

        return replace(
            self,
            keys=tuple(self.keys[i] for i in chosen),
            labels=self.labels[chosen],
            encoded=lambda i: self.encoded(int(chosen[i])),
            given_splits=of_chosen(self.given_splits),
            digests=of_chosen(self.digests),
            groups=of_chosen(self.groups),
            weights=None if self.weights is None else self.weights[chosen],
            duplicates=None if self.duplicates is None else self.duplicates[chosen],
            upright=None if self.upright is None else self.upright[chosen],
        )

    def label_text(self, index: int) -> str:
        """The label of picture `index` as text: its class, its classes with `|` between them, or its numbers so.

        A class of which it is not known whether the picture has it has a question mark behind it.
        """
        label = self.labels[index]
        if self.task == SINGLE_LABEL:
            return self.class_names[label]
        if self.task == MULTI_LABEL:
            doubts = {position: "?" if label[position] == UNKNOWN else "" for position in np.flatnonzero(label)}
            return LABEL_SEPARATOR.join(self.class_names[position] + doubt for position, doubt in doubts.items())
        return LABEL_SEPARATOR.join(f"{number:.7g}" for number in label)

    def with_classes(self, class_names: Sequence[str]) -> PictureSet:
        """The same pictures with their labels as positions in `class_names`, which has the class of every picture."""
        if self.task == REGRESSION:
            return self
        position_of = {name: position for position, name in enumerate(class_names)}
        kept = [label for label, name in enumerate(self.class_names) if name in position_of]
        assert set(self.used_classes().tolist()) <= set(kept), "a picture would lose its class"
        positions = [position_of[self.class_names[label]] for label in kept]
        if self.task == SINGLE_LABEL:
            position = np.full(len(self.class_names), -1)
            position[kept] = positions
            labels = position[self.labels]
        else:
            labels = np.zeros((len(self), len(class_names)), np.float32)
            labels[:, positions] = self.labels[:, kept]
        return replace(self, class_names=tuple(class_names), labels=labels)


def parse_labels(texts: Sequence[str], class_names: Sequence[str], task: str) -> np.ndarray:
    """The labels that `PictureSet.label_text` has written so.

    Args:
        texts: one a picture.
        class_names: as the set had them.
        task: one of `TASKS`.

    Returns:
        As in `PictureSet.labels`.

    >>> parse_labels(["owl", "cat"], ["cat", "owl"], SINGLE_LABEL).tolist()
    [1, 0]
    >>> parse_labels(["cat|owl?", ""], ["cat", "dog", "owl"], MULTI_LABEL).tolist()
    [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]]
    """
    position_of = {name: position for position, name in enumerate(class_names)}
    if task == SINGLE_LABEL:
        return np.array([position_of[text] for text in texts], np.int64)
    if task == REGRESSION:
        return np.array([text.split(LABEL_SEPARATOR) for text in texts], np.float32)
    labels = np.zeros((len(texts), len(class_names)), np.float32)
    for row, text in zip(labels, texts, strict=True):
        for name in filter(None, text.split(LABEL_SEPARATOR)):
            doubtful = name not in position_of
            row[position_of[name.removesuffix("?") if doubtful else name]] = UNKNOWN if doubtful else 1
    return labels
