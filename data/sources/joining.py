"""Joins sources that keep splits apart into one set with splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from data.errors import DataError
from data.pictures import PictureSet


def join_splits(train: PictureSet, others: Mapping[str, PictureSet]) -> PictureSet:
    """Make one set of a set and its other splits.

    Args:
        train: may bring splits of its own, but none of `others`.
        others: split -> the set, all of whose pictures are in that split.

    Returns:
        All pictures, keyed by `train/`, `validation/` or `test/` and the key in their own source.

    Raises:
        DataError: a split is given twice, the tasks differ, or another set has classes that `train` has not.
    """
    for split, other in others.items():
        if split in (train.given_splits or ()):
            raise DataError(
                f"{train.source} has pictures for {split} already; leave {other.source} out, or remove them"
            )
        train.labels.check_joins(other.labels, train.source, other.source)
    parts = [train, *(other.with_classes(train.class_names) for other in others.values())]
    prefixes = ["train", *others]
    splits = [train.given_splits or ("train",) * len(train)]
    splits += [(split,) * len(other) for split, other in others.items()]
    starts = np.cumsum([0, *(len(part) for part in parts)])

    def encoded(index: int) -> bytes:
        part = int(np.searchsorted(starts, index, side="right")) - 1
        return parts[part].encoded(index - int(starts[part]))

    return PictureSet(
        source=train.source,
        keys=tuple(f"{prefix}/{key}" for prefix, part in zip(prefixes, parts, strict=True) for key in part.keys),
        labels=train.labels.joined([part.labels for part in parts[1:]]),
        encoded=encoded,
        given_splits=tuple(split for one in splits for split in one),
        ignored=sum((Counter(part.ignored) for part in parts), Counter()),
        groups=_joined_groups(parts),
        weights=_joined_weights(parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _joined_groups(parts: Sequence[PictureSet]) -> tuple[str, ...] | None:
    if not any(part.groups for part in parts):
        return None
    return tuple(group for part in parts for group in part.groups or ("",) * len(part))


def _joined_weights(parts: Sequence[PictureSet]) -> np.ndarray | None:
    """The weights of training; those of other splits mean nothing."""
    if parts[0].weights is None:
        return None
    rest = sum(len(part) for part in parts[1:])
    return np.concatenate([parts[0].weights, np.ones(rest, np.float32)])
