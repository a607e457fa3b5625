"""What there is to say about a source, in sentences: what was found in it, and what may be wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.auditing.groups import find_conflicts, leaks
from data.auditing.lost import VISIBLE, background_for, deep_ones, levels_for
from data.examples import Examples
from data.sources.names import spellings

_NAMED = 8  # classes that are listed


def describe_found(examples: Examples, name: str) -> str:
    """Return how many images of which classes a source holds.

    Args:
        examples: its images.
        name: how the source is called in the sentence.

    Examples:
        >>> from data.sources import open_source
        >>> describe_found(open_source("images"), "my images")
        'Found 24 images of 3 classes (apple, banana, cherry) in my images.'
        >>> describe_found(open_source("images").subset([0, 1]).with_classes(["apple"]), "apples.zip")
        'Found 2 images of 1 class (apple) in apples.zip.'
    """
    names = examples.class_names
    what = examples.labels.unit if len(names) == 1 else examples.labels.units
    labels = f"of {len(names)} {what} ({listed(names)})" if names else "without labels"
    return f"Found {len(examples):,} images {labels} in {name}."


def listed(names: Sequence[str]) -> str:
    """Return the first names of classes in a row.

    Examples:
        >>> listed(["cat", "dog"])
        'cat, dog'
        >>> listed(list("abcdefghij"))
        'a, b, c, d, e, f, g, h, …'
    """
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def describe_spellings(names: Sequence[str]) -> list[str]:
    """Return a sentence for each group of classes that differ in their spelling only.

    Examples:
        >>> describe_spellings(["cat", "Cat", "dog"])
        ["'Cat' and 'cat' differ in their spelling only and stay 2 classes; if they are one, spell them alike."]
        >>> describe_spellings(["cat", "dog"])
        []
    """
    return [
        f"{' and '.join(map(repr, alike))} differ in their spelling only and stay {len(alike)} classes; "
        "if they are one, spell them alike."
        for alike in spellings(names)
    ]


def describe_ignored(examples: Examples) -> str:
    """Return what a source holds besides labelled images; "" if there is nothing else.

    Examples:
        >>> from data.sources import open_source
        >>> describe_ignored(open_source("images"))
        ''
        >>> _ = open("images/apple/notes.txt", "w").write("ripe")
        >>> describe_ignored(open_source("images"))
        'Ignored what is not a labelled image: 1 .txt.'
    """
    ignored = ", ".join(f"{count} {kind}" for kind, count in examples.ignored.items() if count)
    return ignored and f"Ignored what is not a labelled image: {ignored}."


def describe_repeated(examples: Examples) -> str:
    """Return, without a full stop, how many images show the same as others; "" if none do.

    Args:
        examples: with their duplicates.

    Examples:
        >>> from dataclasses import replace
        >>> from data.sources import open_source
        >>> examples, numbers = open_source("images"), np.arange(24)
        >>> describe_repeated(replace(examples, duplicates=numbers, upright=numbers))
        ''
        >>> numbers[8] = 0
        >>> describe_repeated(replace(examples, duplicates=numbers, upright=numbers))
        '1 image shows the same as others, once with another label (apple/00.png and banana/00.png)'
    """
    assert examples.duplicates is not None and examples.upright is not None
    repeated = len(examples) - len(np.unique(examples.duplicates))
    if not repeated:
        return ""
    shows = "image shows" if repeated == 1 else "images show"
    groups = find_conflicts(examples, examples.upright, examples.duplicates).contradictions
    return f"{repeated:,} {shows} the same as others{_contradicting(examples, groups)}"


def _contradicting(examples: Examples, groups: Sequence[np.ndarray]) -> str:
    if not groups:
        return ""
    (one, *others), labels = groups[0].tolist(), examples.labels.array
    # Not by their texts: numbers may differ in a digit that the texts leave out.
    other = next(index for index in others if np.any(labels[index] != labels[one]))
    times = "once" if len(groups) == 1 else f"{len(groups):,} times"
    return f", {times} with another label ({examples.keys[one]} and {examples.keys[other]})"


def describe_lost(examples: Examples, statistics: np.ndarray) -> list[str]:
    """Return a sentence for each kind of images that show nothing, or hardly anything, once decoded.

    Args:
        examples: the images.
        statistics: their `data.auditing.statistics.STATISTICS`, (n,).

    Examples:
        >>> from data.auditing.statistics import STATISTICS
        >>> from data.sources import open_source
        >>> examples, statistics = open_source("images"), np.zeros(24, STATISTICS)
        >>> describe_lost(examples, statistics)
        []
        >>> statistics["hidden"][3] = 1
        >>> describe_lost(examples, statistics)
        ['1 image is in one colour without transparency, which is dropped (apple/03.png): give --background white.']
    """
    sentences = []
    for which, what, option in (
        (
            statistics["hidden"] != VISIBLE,
            "in one colour without transparency, which is dropped",
            background_for(statistics),
        ),
        (deep_ones(statistics), "nearly black, since they use a small part of 16 bits", levels_for(statistics)),
    ):
        count = int(which.sum())
        if count:
            name = "--background" if option in ("white", "black", "gray") else "--levels"
            are, first = "image is" if count == 1 else "images are", examples.keys[int(np.flatnonzero(which)[0])]
            sentences.append(f"{count:,} {are} {what} ({first}): give {name} {option}.")
    return sentences


def describe_leakage(examples: Examples) -> str:
    """Return, as a clause, how many images are in several of the splits that a source gives; "" if none are.

    Args:
        examples: with their splits and duplicates.

    Examples:
        >>> from dataclasses import replace
        >>> from data.sources import open_source
        >>> examples = replace(open_source("images"), given_splits=("train", "test") * 12, duplicates=np.arange(24))
        >>> describe_leakage(examples)
        ''
        >>> describe_leakage(replace(examples, duplicates=np.arange(24) // 2))
        '12 images are in several splits of images: apple/00.png in train shows the same as apple/01.png in test'
    """
    assert examples.duplicates is not None  # set when every image has been read
    leaked = leaks(examples, examples.duplicates)
    if not leaked:
        return ""
    assert examples.given_splits is not None
    splits = examples.given_splits
    one, *others = leaked[0].tolist()
    other = next(index for index in others if splits[index] != splits[one])
    count = "1 image is" if len(leaked) == 1 else f"{len(leaked):,} images are"
    return (
        f"{count} in several splits of {examples.source}: {examples.keys[one]} in {splits[one]} shows the same as "
        f"{examples.keys[other]} in {splits[other]}"
    )
