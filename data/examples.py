"""`Examples`: what every source gives, labelled images with random access, still encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data.errors import DataError
from data.labels import Indices, Labels

SPLITS = ("train", "validation", "test")

# Returns the bytes of an example's file. It is a function or an instance of a class at the top of a module, so that it can be
# pickled for another process.
Reader = Callable[[int], bytes]


@dataclass(frozen=True)
class SubsetReader:
    """Reads the examples at `indices`, int64 (n,), of another reader."""

    read: Reader
    indices: np.ndarray

    def __call__(self, index: int) -> bytes:
        """Return the bytes of an example's file."""
        return self.read(int(self.indices[index]))


@dataclass(frozen=True)
class Examples:
    """Labelled images. Nothing is read until `read` is called, so a set of any size takes little memory.

    Attributes:
        source: the SOURCE string that the examples come from.
        keys: a unique, stable name per image: its path within the source.
        labels: of the images, of one of the kinds in `data.labels.LABELS`.
        read: returns the bytes of the file of example `i`; may be called from several threads, and can be pickled.
        given_splits: one of `SPLITS` per image if the source has its own splits, else None.
        ignored: what was found beside the images, by kind, for the user to see.
        digests: SHA-256 of each image file's bytes, in hexadecimal, once `data.checking` has read them.
        groups: origin of each image (a patient, a video, a camera), if the source names it; "" for none.
        weights: weight of each image in training, float32 (n,), above 0; None if all count the same.
        duplicates: int64 (n,), the same number for images that show the same, once they have been compared.
        upright: as `duplicates`, but only for images that are neither turned nor mirrored to each other.
        notes: what was inferred about the source, in sentences, for the user to see before training.
    """

    source: str
    keys: tuple[str, ...]
    labels: Labels
    read: Reader
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
            raise DataError(f"{self.source} holds no images; Graft needs a folder of images for each class")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes or numbers, in label order; empty without labels."""
        return self.labels.names

    @property
    def task(self) -> str:
        """The task that the labels are for: a key of `data.labels.LABELS`."""
        return self.labels.task

    def subset(self, indices: Indices) -> Examples:
        """Return the same set with only the images at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)

        def of_chosen(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[i] for i in chosen)

        return replace(
            self,
            keys=tuple(self.keys[i] for i in chosen),
            labels=self.labels.taken(chosen),
            read=SubsetReader(self.read, chosen),
            given_splits=of_chosen(self.given_splits),
            digests=of_chosen(self.digests),
            groups=of_chosen(self.groups),
            weights=None if self.weights is None else self.weights[chosen],
            duplicates=None if self.duplicates is None else self.duplicates[chosen],
            upright=None if self.upright is None else self.upright[chosen],
        )

    def with_classes(self, class_names: Sequence[str]) -> Examples:
        """Return the same images with labels as positions in `class_names`, which contains the class of every image."""
        return replace(self, labels=self.labels.renamed(class_names))
