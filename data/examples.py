"""What every source gives: a `Examples`, labelled images with random access, still encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data.errors import DataError
from data.labels import Indices, Labels

SPLITS = ("train", "validation", "test")

# Gives the bytes of the file of an example. A function or an instance of a class at the top of a module, so that another
# process can be handed it.
Reader = Callable[[int], bytes]


@dataclass(frozen=True)
class SubsetReader:
    """Reads the examples at `indices`, int64 (n,), of another reader."""

    read: Reader
    indices: np.ndarray

    def __call__(self, index: int) -> bytes:
        """The bytes of the file of an example."""
        return self.read(int(self.indices[index]))


@dataclass(frozen=True)
class Examples:
    """Labelled images. Nothing is read until `read` is called, so a set of any size is cheap to hold.

    Attributes:
        source: the SOURCE string that gave it.
        keys: one unique, stable name an image: its path within the source.
        labels: of the images, of one of the kinds in `data.labels.LABELS`.
        read: gives the bytes of the file of example `i`; may be called from several threads, and can be pickled.
        given_splits: one of `SPLITS` an image where the source brings its own splits, else None.
        ignored: what was found beside the images, by kind, for the user to see.
        digests: SHA-256 of each image file's bytes, in hexadecimal, once `data.checking` has read them.
        groups: of each image, what it comes from (a patient, a video, a camera), where the source says so; "" for none.
        weights: of each image in training, float32 (n,), above 0; None where all count the same.
        duplicates: int64 (n,), the same number for images that show the same, once they have been compared.
        upright: the same, but for images that are neither turned nor mirrored to each other.
        notes: what was inferred about the source, in sentences, for the user to see before anything is trained.
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
        """One name a class, or a number, in label order; none where there are no labels."""
        return self.labels.names

    @property
    def task(self) -> str:
        """What is learned from the labels: a key of `data.labels.LABELS`."""
        return self.labels.task

    def subset(self, indices: Indices) -> Examples:
        """The same set with only the images at `indices`, in that order."""
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
        """The same images with their labels as positions in `class_names`, which has the class of every image."""
        return replace(self, labels=self.labels.renamed(class_names))
