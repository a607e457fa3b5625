"""Join sources that keep splits apart into one set with splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.errors import DataError
from data.examples import Examples, Reader


@dataclass(frozen=True)
class ConcatenatedReader:
    """Read the examples of several readers, one after another; `starts` holds the first index of each reader."""

    readers: Sequence[Reader]
    starts: np.ndarray

    def __call__(self, index: int) -> bytes:
        """Return the bytes of the file of an example."""
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.readers[part](index - int(self.starts[part]))


def concatenate_splits(train: Examples, others: Mapping[str, Examples]) -> Examples:
    """Join a set and the sets of its other splits.

    Args:
        train: may have splits of its own, but none of `others`.
        others: split -> a set whose images are all in that split.

    Returns:
        All images. A key is `train/`, `validation/` or `test/` and the key in the image's own source.

    Raises:
        DataError: a split is given twice, the tasks differ, or another set has classes that `train` lacks.

    Examples:
        >>> from data.sources.folder import open_folder
        >>> fruit = open_folder("images")
        >>> joined = concatenate_splits(fruit.subset(range(0, 24, 2)), {"test": fruit.subset([1, 9])})
        >>> Counter(joined.given_splits)
        Counter({'train': 12, 'test': 2})
        >>> joined.keys[-1]
        'test/banana/01.png'
    """
    for split, other in others.items():
        if split in (train.given_splits or ()):
            raise DataError(f"{train.source} has images for {split} already; leave {other.source} out, or remove them")
        train.labels.check_joins(other.labels, train.source, other.source)
    parts = [train, *(other.with_classes(train.class_names) for other in others.values())]
    prefixes = ["train", *others]
    splits = [train.given_splits or ("train",) * len(train)]
    splits += [(split,) * len(other) for split, other in others.items()]
    return Examples(
        source=train.source,
        keys=tuple(f"{prefix}/{key}" for prefix, part in zip(prefixes, parts, strict=True) for key in part.keys),
        labels=train.labels.joined([part.labels for part in parts[1:]]),
        read=ConcatenatedReader([part.read for part in parts], np.cumsum([0, *map(len, parts)])),
        given_splits=tuple(split for one in splits for split in one),
        ignored=sum((Counter(part.ignored) for part in parts), Counter()),
        groups=_joined_groups(parts),
        weights=_joined_weights(parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _joined_groups(parts: Sequence[Examples]) -> tuple[str, ...] | None:
    if not any(part.groups for part in parts):
        return None
    return tuple(group for part in parts for group in part.groups or ("",) * len(part))


def _joined_weights(parts: Sequence[Examples]) -> np.ndarray | None:
    """Return the weights; in splits other than train they are meaningless."""
    if parts[0].weights is None:
        return None
    rest = sum(len(part) for part in parts[1:])
    return np.concatenate([parts[0].weights, np.ones(rest, np.float32)])
