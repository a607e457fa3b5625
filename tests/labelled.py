"""Labelled images without pixels, of every task, and what has become of them in splits."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from data.examples import Examples
from data.labels import LABELS, MULTI_LABEL, REGRESSION, SINGLE_LABEL, SingleLabel
from data.splits import split_examples


def example_set(*counts: int, given: list[str] | None = None) -> Examples:
    """A class a count; `given` is the split of each image."""
    labels = np.repeat(np.arange(len(counts)), counts)
    names = tuple("abcdefghij"[: len(counts)])
    keys = tuple(f"{names[label]}/{number}.png" for number, label in enumerate(labels))
    return Examples("images", keys, SingleLabel(labels, names), lambda i: b"", None if given is None else tuple(given))


def random_set(task: str, size: int, seed: int, *, groups: bool = False, duplicates: bool = False) -> Examples:
    """Images of a task, of three classes or numbers, in an order by chance; groups hold up to six of them."""
    random = np.random.default_rng(seed)
    labels = {
        SINGLE_LABEL: random.choice(3, size, p=[0.6, 0.3, 0.1]),
        MULTI_LABEL: (random.random((size, 3)) < [0.5, 0.3, 0.1]).astype(np.float32),
        REGRESSION: np.exp(random.normal(size=(size, 3))).astype(np.float32),
    }[task]
    members = tuple(f"patient {number}" if number else "" for number in random.integers(0, size // 3, size))
    return Examples(
        source="chance",
        keys=tuple(f"{number}.png" for number in range(size)),
        labels=LABELS[task](labels, ("a", "b", "c")),
        read=lambda i: b"",
        groups=members if groups else None,
        duplicates=random.integers(0, 10 * size, size) if duplicates else None,  # a few pairs
    )


def crossing(examples: Examples, parts: np.ndarray) -> list[tuple[object, object]]:
    """Pairs of images of one group, or that show the same, in two parts."""
    ties = [(examples.groups, ""), (None if examples.duplicates is None else examples.duplicates.tolist(), None)]
    return [
        (examples.keys[one], examples.keys[other])
        for names, nothing in ties
        if names is not None
        for one, other in itertools.combinations(range(len(examples)), 2)
        if names[one] == names[other] != nothing and parts[one] != parts[other]
    ]


def has_class(examples: Examples) -> np.ndarray:
    """Which image has which class: bool (n, classes)."""
    return np.stack([examples.labels.has(label) for label in range(len(examples.class_names))], axis=1)


def split(examples: Examples, *, validation: float = 0.15, test: float = 0.15, seed: int = 0) -> np.ndarray:
    """`split_examples` with the fractions that a run has by default."""
    return split_examples(examples, validation_fraction=validation, test_fraction=test, seed=seed)


def count(examples: Examples, splits: np.ndarray) -> dict[tuple[str, str], int]:
    """Images by class and split, of one class each."""
    names = [examples.class_names[label] for label in examples.labels.array]
    return dict(Counter(zip(names, splits.tolist(), strict=True)))
