"""What every source gives: a `PictureSet`, labelled pictures with random access, still encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data.errors import DataError
from data.labels import Indices, Labels

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class PictureSet:
    """Labelled pictures. Nothing is read until `encoded` is called, so a set of any size is cheap to hold.

    Attributes:
        source: the SOURCE string that gave it.
        keys: one unique, stable name a picture: its path within the source.
        labels: of the pictures, of one of the kinds in `data.labels.LABELS`.
        encoded: gives the bytes of picture `i` as a picture file; may be called from several threads.
        given_splits: one of `SPLITS` a picture where the source brings its own splits, else None.
        ignored: what was found beside the pictures, by kind, for the user to see.
        digests: SHA-256 of each picture file's bytes, in hexadecimal, once `data.checking` has read them.
        groups: of each picture, what it comes from (a patient, a video, a camera), where the source says so; "" for none.
        weights: of each picture in training, float32 (n,), above 0; None where all count the same.
        duplicates: int64 (n,), the same number for pictures that show the same, once they have been compared.
        upright: the same, but for pictures that are neither turned nor mirrored to each other.
        notes: what was inferred about the source, in sentences, for the user to see before anything is trained.
    """

    source: str
    keys: tuple[str, ...]
    labels: Labels
    encoded: Callable[[int], bytes]
    given_splits: tuple[str, ...] | None = None
    ignored: Counter[str] = field(default_factory=Counter)
    digests: tuple[str, ...] | None = None
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

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, or a number, in label order; none where there are no labels."""
        return self.labels.names

    @property
    def task(self) -> str:
        """What is learned from the labels: a key of `data.labels.LABELS`."""
        return self.labels.task

    def subset(self, indices: Indices) -> PictureSet:
        """The same set with only the pictures at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)

        def of_chosen(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[i] for i in chosen)

        return replace(
            self,
            keys=tuple(self.keys[i] for i in chosen),
            labels=self.labels.taken(chosen),
            encoded=lambda i: self.encoded(int(chosen[i])),
            given_splits=of_chosen(self.given_splits),
            digests=of_chosen(self.digests),
            groups=of_chosen(self.groups),
            weights=None if self.weights is None else self.weights[chosen],
            duplicates=None if self.duplicates is None else self.duplicates[chosen],
            upright=None if self.upright is None else self.upright[chosen],
        )

    def with_classes(self, class_names: Sequence[str]) -> PictureSet:
        """The same pictures with their labels as positions in `class_names`, which has the class of every picture."""
        return replace(self, labels=self.labels.renamed(class_names))
