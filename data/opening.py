"""From a source that is open to examples that can be trained on: every image read once, and the splits chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from data.auditing.duplicates import Duplicates
from data.cache.cache import Cache
from data.checking import ImageCheck, check_images, statistics_among
from data.errors import DataError
from data.examples import Examples
from data.splits import few_shot_subset, fold_examples, split_examples

# Iterates over the checks of so many images, and may show how far they are.
Follow = Callable[[Iterable[ImageCheck], int], Iterator[ImageCheck]]


def check_all(
    examples: Examples, cache_folder: str | None, follow: Follow = lambda checks, _: iter(checks)
) -> list[ImageCheck]:
    """Read every image once, and keep the statistics of those that are decoded now, so that no image is decoded again.

    Args:
        examples: the images.
        cache_folder: the folder of kept statistics; None for the default of `data.cache.cache`.
        follow: iterates over the checks.

    Returns:
        One check per image, in their order.

    Examples:
        >>> from data.sources import open_source
        >>> first = check_all(open_source("images"), "cache")
        >>> len(first), first[0].is_new
        (24, True)
        >>> check_all(open_source("images"), "cache")[0].is_new
        False
    """
    store = Cache(cache_folder).image_statistics
    checked: list[ImageCheck] = []
    try:
        for one in follow(check_images(examples, store.read()), len(examples)):
            checked.append(one)
    finally:  # keep what was decoded before Ctrl-C
        store.add(statistics_among([one for one in checked if one.is_new]))
    return checked


def with_duplicates(examples: Examples, duplicates: Duplicates) -> Examples:
    """Return the same examples, which know what shows the same.

    Examples:
        >>> from data.sources import open_source
        >>> duplicates = Duplicates(*[np.arange(24)] * 3)
        >>> with_duplicates(open_source("images"), duplicates).duplicates[:3].tolist()
        [0, 1, 2]
        >>> open_source("images").duplicates is None
        True
    """
    return replace(examples, duplicates=duplicates.shown, upright=duplicates.upright)


def choose_splits(
    examples: Examples,
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    folds: int | None = None,
    fold: int | None = None,
    shots: int | None = None,
) -> tuple[Examples, np.ndarray]:
    """Split images by fractions or into a fold, and leave out training images beyond `shots`.

    Args:
        examples: the images, with their duplicates.
        validation_fraction: as for `data.splits.split_examples`.
        test_fraction: as for `data.splits.split_examples`.
        seed: the same seed gives the same splits for the same images.
        folds: number of folds; None to split by fractions.
        fold: which of the folds is the test split, from 1.
        shots: images of each class in train; None for all.

    Returns:
        The images that are used, and their splits, of `data.examples.SPLITS`.

    Raises:
        DataError: a class has too few images, a number is the same in all images, or shots of numbers are asked for.

    Examples:
        >>> from data.sources import open_source
        >>> options = {"validation_fraction": 0.15, "test_fraction": 0.15, "seed": 0}
        >>> used, splits = choose_splits(open_source("images"), **options)
        >>> np.unique(splits, return_counts=True)[1].tolist()
        [3, 18, 3]
        >>> few, _ = choose_splits(open_source("images"), **options, shots=2)
        >>> len(few)
        12
    """
    examples.labels.check_learnable(examples.source)
    if shots and not examples.labels.classes:
        raise DataError("--shots counts images of each class, and numbers have no classes; leave it out")
    if folds and fold:
        splits = fold_examples(examples, folds=folds, fold=fold, validation_fraction=validation_fraction, seed=seed)
    else:
        splits = split_examples(
            examples, validation_fraction=validation_fraction, test_fraction=test_fraction, seed=seed
        )
    return few_shot_subset(examples, splits, shots=shots, seed=seed) if shots else (examples, splits)
