"""Labelled pictures without pixels, of every task, and what has become of them in splits."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from data.labels import LABELS, MULTI_LABEL, REGRESSION, SINGLE_LABEL, SingleLabel
from data.pictures import PictureSet
from data.splits import split_pictures


def picture_set(*counts: int, given: list[str] | None = None) -> PictureSet:
    """A class a count; `given` is the split of each picture."""
    labels = np.repeat(np.arange(len(counts)), counts)
    names = tuple("abcdefghij"[: len(counts)])
    keys = tuple(f"{names[label]}/{number}.png" for number, label in enumerate(labels))
    return PictureSet(
        "pictures", keys, SingleLabel(labels, names), lambda i: b"", None if given is None else tuple(given)
    )


def random_set(task: str, size: int, seed: int, *, groups: bool = False, duplicates: bool = False) -> PictureSet:
    """Pictures of a task, of three classes or numbers, in an order by chance; groups hold up to six of them."""
    random = np.random.default_rng(seed)
    labels = {
        SINGLE_LABEL: random.choice(3, size, p=[0.6, 0.3, 0.1]),
        MULTI_LABEL: (random.random((size, 3)) < [0.5, 0.3, 0.1]).astype(np.float32),
        REGRESSION: np.exp(random.normal(size=(size, 3))).astype(np.float32),
    }[task]
    members = tuple(f"patient {number}" if number else "" for number in random.integers(0, size // 3, size))
    return PictureSet(
        source="chance",
        keys=tuple(f"{number}.png" for number in range(size)),
        labels=LABELS[task](labels, ("a", "b", "c")),
        encoded=lambda i: b"",
        groups=members if groups else None,
        duplicates=random.integers(0, 10 * size, size) if duplicates else None,  # a few pairs
    )


def crossing(pictures: PictureSet, parts: np.ndarray) -> list[tuple[object, object]]:
    """Pairs of pictures of one group, or that show the same, in two parts."""
    ties = [(pictures.groups, ""), (None if pictures.duplicates is None else pictures.duplicates.tolist(), None)]
    return [
        (pictures.keys[one], pictures.keys[other])
        for names, nothing in ties
        if names is not None
        for one, other in itertools.combinations(range(len(pictures)), 2)
        if names[one] == names[other] != nothing and parts[one] != parts[other]
    ]


def has_class(pictures: PictureSet) -> np.ndarray:
    """Which picture has which class: bool (n, classes)."""
    return np.stack([pictures.labels.has(label) for label in range(len(pictures.class_names))], axis=1)


def split(pictures: PictureSet, *, validation: float = 0.15, test: float = 0.15, seed: int = 0) -> np.ndarray:
    """`split_pictures` with the fractions that a run has by default."""
    return split_pictures(pictures, validation_fraction=validation, test_fraction=test, seed=seed)


def count(pictures: PictureSet, splits: np.ndarray) -> dict[tuple[str, str], int]:
    """Pictures by class and split, of one class each."""
    names = [pictures.class_names[label] for label in pictures.labels.array]
    return dict(Counter(zip(names, splits.tolist(), strict=True)))
