"""Groups of pictures that show the same, and those of them that ruin a run."""

from __future__ import annotations

import numpy as np

from data.pictures import SPLITS, PictureSet


def groups_in(numbers: np.ndarray) -> list[np.ndarray]:
    """Members, ascending, of each group of two or more: of the positions at which `numbers` holds the same number."""
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    return [group for group in np.split(order, starts[1:]) if len(group) > 1]


def larger_first(numbers: np.ndarray) -> list[np.ndarray]:
    """The same groups, the largest first."""
    return sorted(groups_in(numbers), key=lambda members: (-len(members), members[0]))


def leaks(pictures: PictureSet, shown: np.ndarray) -> list[np.ndarray]:
    """The groups of pictures that show the same and lie in more than one of the splits that a source brings."""
    if pictures.given_splits is None:
        return []
    splits = np.array([SPLITS.index(split) for split in pictures.given_splits])
    return [members for members in larger_first(shown) if len(np.unique(splits[members])) > 1]


def contradictions(pictures: PictureSet, shown: np.ndarray) -> list[np.ndarray]:
    """The groups of pictures that show the same and have different labels."""
    labels = pictures.labels
    return [members for members in larger_first(shown) if (labels[members] != labels[members[0]]).any()]
