"""Groups of images that show the same, and the groups that spoil a run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data.examples import SPLITS, Examples

# From this number of images and this share of a class on, images that mirror another class are not mislabelled.
_OFTEN, _MANY = 3, 0.2


def groups_in(numbers: np.ndarray) -> list[np.ndarray]:
    """Return each group of two or more positions at which `numbers` holds the same number; members are ascending.

    Examples:
        >>> [group.tolist() for group in groups_in(np.array([5, 7, 5, 7, 7, 9]))]
        [[0, 2], [1, 3, 4]]
        >>> groups_in(np.array([1, 2, 3]))
        []
    """
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    return [group for group in np.split(order, starts[1:]) if len(group) > 1]


def larger_first(numbers: np.ndarray) -> list[np.ndarray]:
    """Return the groups of `groups_in`, the largest first.

    Examples:
        >>> [group.tolist() for group in larger_first(np.array([5, 7, 5, 7, 7]))]
        [[1, 3, 4], [0, 2]]
        >>> [group.tolist() for group in larger_first(np.array([7, 5, 5, 7]))]  # of equal size: by the first member
        [[0, 3], [1, 2]]
    """
    return sorted(groups_in(numbers), key=lambda members: (-len(members), members[0]))


def leaks(examples: Examples, shown: np.ndarray) -> list[np.ndarray]:
    """Return the groups of images that show the same and lie in more than one split that the source gives.

    Examples:
        >>> from dataclasses import replace
        >>> from data.sources.folder import open_folder
        >>> fruit = replace(open_folder("images").subset([0, 1]), given_splits=("train", "test"))
        >>> leaks(fruit, np.array([0, 0]))
        [array([0, 1])]
        >>> leaks(fruit, np.array([0, 1]))
        []
    """
    if examples.given_splits is None:
        return []
    splits = np.array([SPLITS.index(split) for split in examples.given_splits])
    return [members for members in larger_first(shown) if len(np.unique(splits[members])) > 1]


class Conflicts(NamedTuple):
    """Groups of images that show the same and have different labels.

    Attributes:
        contradictions: groups whose labels cannot all be right.
        orientations: groups of images that are turned or mirrored to each other, so often that this tells the labels apart.
        alike: int64 (n,), the same number for images that show and mean the same: `shown` with `orientations` split by label.
        told_by_turning: bool (n,), whether an image has a label of `orientations`.
    """

    contradictions: list[np.ndarray]
    orientations: list[np.ndarray]
    alike: np.ndarray
    told_by_turning: np.ndarray


def find_conflicts(examples: Examples, upright: np.ndarray, shown: np.ndarray) -> Conflicts:
    """Compare the labels of images that show the same; in the result, the largest groups come first.

    Args:
        examples: the images.
        upright: int64 (n,), the same number for images that show the same, neither turned nor mirrored.
        shown: as `upright`, but also for images that are turned or mirrored to each other.

    Examples:
        >>> from data.sources.folder import open_folder
        >>> fruit = open_folder("images").subset([0, 1, 2, 8, 9, 10])  # three apples and three bananas
        >>> same = np.array([0, 1, 2, 0, 4, 5])
        >>> find_conflicts(fruit, upright=same, shown=same).contradictions
        [array([0, 3])]
        >>> find_conflicts(fruit, upright=np.arange(6), shown=np.array([0, 1, 2, 0, 1, 2])).orientations
        [array([0, 3]), array([1, 4]), array([2, 5])]
    """
    contradict, labels = examples.labels.contradict, examples.labels.distinct()
    groups = [members for members in larger_first(shown) if contradict(members)]
    by_turning = [members for members in groups if contradict(_first_of_each(upright, members))]
    kinds = labels if examples.labels.classes else np.zeros_like(labels)  # two images rarely have the same numbers
    telling = _telling(kinds, by_turning)
    orientations = [members for members in by_turning if telling[kinds[members]].all()]
    alike, contradictions = shown.copy(), []
    held = {int(shown[members[0]]) for members in orientations}
    for members in groups:
        if int(shown[members[0]]) not in held:
            contradictions.append(members)
            continue
        for label in np.unique(labels[members]):
            same = members[labels[members] == label]
            alike[same] = same[0]
        parts = (members[upright[members] == number] for number in np.unique(upright[members]))
        contradictions += [part for part in parts if contradict(part)]
    told = np.isin(kinds, kinds[np.concatenate([*orientations, np.zeros(0, np.int64)])])
    return Conflicts(sorted(contradictions, key=lambda one: (-len(one), one[0])), orientations, alike, told)


def _first_of_each(numbers: np.ndarray, members: np.ndarray) -> np.ndarray:
    return members[np.unique(numbers[members], return_index=True)[1]]


def _telling(labels: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """Return for each label whether too many of its images are turned copies of others to be mistakes, bool (labels,)."""
    counts = np.bincount(labels)
    members = np.concatenate([*groups, np.zeros(0, np.int64)])
    turned = np.bincount(labels[members], minlength=len(counts))
    return (turned >= _OFTEN) & (turned >= _MANY * counts)
