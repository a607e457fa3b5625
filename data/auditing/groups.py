"""Groups of images that show the same, and those of them that ruin a run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data.examples import SPLITS, Examples

# From so many images of a class on, and this part of it, those that mirror images of another class are no mistakes.
_OFTEN, _MANY = 3, 0.2


def groups_in(numbers: np.ndarray) -> list[np.ndarray]:
    """Members, ascending, of each group of two or more: of the positions at which `numbers` holds the same number."""
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    return [group for group in np.split(order, starts[1:]) if len(group) > 1]


def larger_first(numbers: np.ndarray) -> list[np.ndarray]:
    """The same groups, the largest first."""
    return sorted(groups_in(numbers), key=lambda members: (-len(members), members[0]))


def leaks(examples: Examples, shown: np.ndarray) -> list[np.ndarray]:
    """The groups of images that show the same and lie in more than one of the splits that a source brings."""
    if examples.given_splits is None:
        return []
    splits = np.array([SPLITS.index(split) for split in examples.given_splits])
    return [members for members in larger_first(shown) if len(np.unique(splits[members])) > 1]


class Conflicts(NamedTuple):
    """Groups of images that show the same and have different labels.

    Attributes:
        contradictions: of each, not all labels can be right.
        orientations: images that are turned or mirrored to each other, so often that it is this which tells the labels apart.
        alike: int64 (n,), the same number for images that show the same and mean the same: as `shown`, but for these.
        told_by_turning: bool (n,), whether an image has a label of `orientations`.
    """

    contradictions: list[np.ndarray]
    orientations: list[np.ndarray]
    alike: np.ndarray
    told_by_turning: np.ndarray


def find_conflicts(examples: Examples, upright: np.ndarray, shown: np.ndarray) -> Conflicts:
    """Compare the labels of images that show the same, the largest groups first.

    Args:
        examples: the images.
        upright: int64 (n,), the same number for images that show the same, neither turned nor mirrored.
        shown: the same, turned or mirrored too.
    """
    contradict, labels = examples.labels.contradict, examples.labels.distinct()
    groups = [members for members in larger_first(shown) if contradict(members)]
    by_turning = [members for members in groups if contradict(_first_of_each(upright, members))]
    kinds = labels if examples.labels.classes else np.zeros_like(labels)  # hardly two images have the same numbers
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
    """For each label, whether its images are turned or mirrored to those of others too often for a mistake, bool (labels,)."""
    counts = np.bincount(labels)
    members = np.concatenate([*groups, np.zeros(0, np.int64)])
    turned = np.bincount(labels[members], minlength=len(counts))
    return (turned >= _OFTEN) & (turned >= _MANY * counts)
