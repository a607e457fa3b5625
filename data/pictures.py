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


@dataclass(frozen=True)
class PictureSet:
    """Labelled pictures. Nothing is read until `encoded` is called, so a set of any size is cheap to hold.

    Attributes:
        source: the SOURCE string that gave it.
        class_names: one name a label, in label order.
        keys: one unique, stable name a picture: its path within the source.
        labels: int64 (n,), indices into `class_names`.
        encoded: gives the bytes of picture `i` as a picture file; may be called from several threads.
        given_splits: one of `SPLITS` a picture where the source brings its own splits, else None.
        ignored: what was found beside the pictures, by kind, for the user to see.
        digests: SHA-256 of each picture file's bytes, in hexadecimal, once `data.checking` has read them.
    """

    source: str
    class_names: tuple[str, ...]
    keys: tuple[str, ...]
    labels: np.ndarray
    encoded: Callable[[int], bytes]
    given_splits: tuple[str, ...] | None = None
    ignored: Counter[str] = field(default_factory=Counter)
    digests: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.keys:
            raise DataError(f"{self.source} holds no pictures; Graft needs a folder of pictures for each class")
        if len(self.class_names) < 2:
            raise DataError(
                f"{self.source} holds one class only ({self.class_names[0]!r}); "
                "add a folder of pictures for at least one more class"
            )

    def __len__(self) -> int:
        return len(self.keys)

    def subset(self, indices: Indices) -> PictureSet:
        """The same set with only the pictures at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            keys=tuple(self.keys[i] for i in chosen),
            labels=self.labels[chosen],
            encoded=lambda i: self.encoded(int(chosen[i])),
            given_splits=None if self.given_splits is None else tuple(self.given_splits[i] for i in chosen),
            digests=None if self.digests is None else tuple(self.digests[i] for i in chosen),
        )

    def with_classes(self, class_names: Sequence[str]) -> PictureSet:
        """The same pictures with their labels as positions in `class_names`, which has the class of every picture."""
        position_of = {name: position for position, name in enumerate(class_names)}
        used = set(self.labels.tolist())
        position = np.array([position_of[name] if i in used else -1 for i, name in enumerate(self.class_names)])
        return replace(self, class_names=tuple(class_names), labels=position[self.labels])
