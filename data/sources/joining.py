"""Joins sources that keep splits apart into one set with splits."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from data.errors import DataError
from data.pictures import REGRESSION, PictureSet


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
        _check_labels(train, other)
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
        class_names=train.class_names,
        keys=tuple(f"{prefix}/{key}" for prefix, part in zip(prefixes, parts, strict=True) for key in part.keys),
        labels=np.concatenate([part.labels for part in parts]),
        encoded=encoded,
        given_splits=tuple(split for one in splits for split in one),
        ignored=sum((Counter(part.ignored) for part in parts), Counter()),
        task=train.task,
        groups=_joined_groups(parts),
        weights=_joined_weights(parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _check_labels(train: PictureSet, other: PictureSet) -> None:
    if other.task != train.task:
        raise DataError(
            f"{other.source} is {other.task}, but {train.source} is {train.task}; give the task, or other pictures"
        )
    if train.task == REGRESSION:
        if other.class_names != train.class_names:
            raise DataError(
                f"{other.source} has the numbers {', '.join(other.class_names)}, "
                f"but {train.source} has {', '.join(train.class_names)}; name the same columns"
            )
        return
    unknown = [name for label in other.used_classes() if (name := other.class_names[label]) not in train.class_names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], train.class_names, n=1)
        hint = f"did you mean {near[0]!r} by {unknown[0]!r}?" if near else "rename or remove them"
        named = ", ".join(map(repr, unknown[:3])) + (", …" if len(unknown) > 3 else "")
        raise DataError(f"{other.source} has classes that {train.source} has not ({named}); {hint}")


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
