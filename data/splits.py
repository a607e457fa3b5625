"""Train, validation and test splits: seeded, stratified, with every class in each split and nothing in two of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.errors import DataError
from data.examples import SPLITS, Examples
from data.stratification import FREE, IndivisibleError, Units, divide, gather, units_of

_COLUMNS = ("path", "label", "split")
_DIGEST = "sha256"  # an additional column, which runs of earlier versions lack


def split_examples(examples: Examples, *, validation_fraction: float, test_fraction: float, seed: int) -> np.ndarray:
    """Assign a split to every image.

    Splits of the source are kept; a missing validation or test split is taken from train. Images that belong together, by
    `groups` and `duplicates`, go to one split, unless the source itself has them in several.

    Args:
        examples: the images, with or without splits of the source.
        validation_fraction: of each class, or of each range of numbers, in (0, 1).
        test_fraction: as `validation_fraction`; their sum is below 1.
        seed: the same seed gives the same splits for the same images.

    Returns:
        An array of `SPLITS` names, one per image.

    Raises:
        DataError: a class has too few images, or groups of images, for one in each split.

    Examples:
        >>> from data.sources import open_source
        >>> examples = open_source("images")
        >>> splits = split_examples(examples, validation_fraction=0.25, test_fraction=0.125, seed=0)
        >>> [int((splits == split).sum()) for split in SPLITS]
        [15, 6, 3]
        >>> split_examples(examples.subset([0, 8, 9]), validation_fraction=0.25, test_fraction=0.125, seed=0)
        Traceback (most recent call last):
        data.errors.DataError: class 'apple' has 1 image, but needs 3 (one for train and one for each of ...
    """
    given = np.array(examples.given_splits or ["train"] * len(examples), dtype=object)
    fractions = {"validation": validation_fraction, "test": test_fraction}
    wanted = {split: fraction for split, fraction in fractions.items() if split not in given}
    parts = (*wanted, "train")
    together = units_of(examples)
    available = np.flatnonzero(given == "train")
    units = gather(examples, together, available)
    fixed = np.full(len(units.holds), FREE)
    # Images that belong together with images of a kept split stay in train, where the source has them.
    fixed[units.of_image[np.isin(together[available], together[given != "train"])]] = parts.index("train")
    _check_enough(examples, units, fixed, parts, where=" in train" if examples.given_splits else "")
    targets = _split_targets(units, list(wanted.values()))
    splits = given.copy()
    splits[available] = np.array(parts, dtype=object)[_divide(examples, units, targets, fixed, parts, seed)]
    return splits


def fold_examples(examples: Examples, *, folds: int, fold: int, validation_fraction: float, seed: int) -> np.ndarray:
    """Assign a split to every image for one of several folds, whose test splits together contain every image once.

    Args:
        examples: the images, without validation and test splits of the source.
        folds: number of folds, at least 2.
        fold: the fold that is the test split, from 1 to `folds`.
        validation_fraction: of each class, or of each range of numbers, in the other folds, in (0, 1).
        seed: the same seed gives the same folds for the same images.

    Returns:
        As `split_examples`.

    Raises:
        DataError: a class has too few images, or groups of images, or the source has its own splits.

    Examples:
        >>> from data.sources import open_source
        >>> examples = open_source("images")
        >>> splits = fold_examples(examples, folds=4, fold=1, validation_fraction=0.25, seed=0)
        >>> [int((splits == split).sum()) for split in SPLITS]
        [12, 6, 6]
        >>> fold_examples(examples, folds=9, fold=1, validation_fraction=0.25, seed=0)
        Traceback (most recent call last):
        data.errors.DataError: class 'apple' has 8 images, but needs 9 (one for each fold); add images or take fewer folds
    """
    if set(examples.given_splits or ()) - {"train"}:
        raise DataError(
            f"{examples.source} brings its own validation or test split, which folds would mix up; "
            "leave that out, or train without folds"
        )
    units = gather(examples, units_of(examples), np.arange(len(examples)))
    fixed = np.full(len(units.holds), FREE)
    parts = [f"fold {number}" for number in range(1, folds + 1)]
    _check_enough(examples, units, fixed, parts)
    fold_of = _divide(examples, units, _fold_targets(units, folds), fixed, parts, seed)
    given = np.where(fold_of == fold - 1, "test", "train")
    return split_examples(
        replace(examples, given_splits=tuple(given.tolist())),
        validation_fraction=validation_fraction,
        test_fraction=0.0,
        seed=seed,
    )


def few_shot_subset(examples: Examples, splits: np.ndarray, *, shots: int, seed: int) -> tuple[Examples, np.ndarray]:
    """Keep only a fixed number of images of each class in train.

    Args:
        examples: of one or several classes each.
        splits: (n,) of `SPLITS` names.
        shots: number of images of each class that train keeps; if an image has several classes, at least this number.
        seed: the same seed gives the same images. If each image has one class, more shots keep the images of fewer shots.

    Returns:
        The images kept, and their splits; all of validation and test are kept.

    Raises:
        DataError: a class has fewer images in train.

    Examples:
        >>> from data.sources import open_source
        >>> few, splits = few_shot_subset(open_source("images"), np.array(["train", "test"] * 12), shots=1, seed=0)
        >>> [int((splits == split).sum()) for split in SPLITS]
        [3, 0, 12]
        >>> few_shot_subset(open_source("images"), np.array(["train"] * 24), shots=9, seed=0)
        Traceback (most recent call last):
        data.errors.DataError: class 'apple' has 8 images in train, but needs 9 for 9 shots; take fewer shots, or add images
    """
    random = np.random.default_rng(seed)
    train = splits == "train"
    members = [np.flatnonzero(train & examples.labels.has(label)) for label in range(len(examples.class_names))]
    kept = ~train
    for label in sorted(range(len(members)), key=lambda one: len(members[one])):  # the rarest first
        if len(members[label]) < shots:
            raise DataError(
                f"class {examples.class_names[label]!r} has {_plural(len(members[label]), 'image')} in train, "
                f"but needs {shots} for {_plural(shots, 'shot')}; take fewer shots, or add images"
            )
        missing = shots - int(kept[members[label]].sum())
        rest = members[label][~kept[members[label]]]
        random.shuffle(rest)
        kept[rest[: max(0, missing)]] = True
    return examples.subset(np.flatnonzero(kept)), splits[kept]


def _divide(
    examples: Examples, units: Units, targets: np.ndarray, fixed: np.ndarray, parts: Sequence[str], seed: int
) -> np.ndarray:
    try:
        return divide(units, units.whole_targets(targets), np.random.default_rng(seed), fixed)
    except IndivisibleError as error:
        raise DataError(
            f"{_subject(examples, units, error.stratum)} cannot be in each of {', '.join(parts)}: what belongs together holds "
            "several classes, too few times; add images or remove the class"
        ) from error


def _split_targets(units: Units, fractions: Sequence[float]) -> np.ndarray:
    """Return the images of each class or bin for each wanted split, and train: float (fractions + 1, strata - 1)."""
    totals = units.totals[:-1]
    left, targets = totals.copy(), []
    for index, fraction in enumerate(fractions):
        if units.may_be_empty:  # what one bin loses by rounding, the next bin gets
            targets.append(np.diff(np.round(fraction * np.cumsum(totals)), prepend=0))
            continue
        spare = left - (len(fractions) - index)  # one for train and each split to come
        targets.append(np.minimum(np.maximum(1, np.round(fraction * totals)), spare))
        left = left - targets[-1]
    return np.array([*targets, totals - np.sum(targets, axis=0)], np.float64)


def _fold_targets(units: Units, folds: int) -> np.ndarray:
    """Return the images of each class or bin for each fold, float (folds, strata - 1); remainders go to the folds in turn."""
    totals = units.totals[:-1]
    first = np.cumsum(totals) - totals
    turn = (np.arange(folds)[:, None] - first) % folds
    return np.asarray(totals // folds + (turn < totals % folds), np.float64)


def _check_enough(examples: Examples, units: Units, fixed: np.ndarray, parts: Sequence[str], where: str = "") -> None:
    for stratum in units.required:
        holders = fixed[units.holders[stratum]]
        found, need = int((holders == FREE).sum()), len(set(range(len(parts))) - set(holders.tolist()))
        if found < need:
            raise DataError(_too_few(examples, units, stratum, found, where, parts))


def _too_few(examples: Examples, units: Units, stratum: int, found: int, where: str, parts: Sequence[str]) -> str:
    every = int(units.totals[stratum])
    *others, last = parts
    if last != "train":
        need, mend = "one for each fold", "take fewer folds"
    else:
        each = "each of " if len(others) > 1 else ""
        need = f"one for train and one for {each}{' and '.join(others)}" if others else "at least one for train"
        mend = "" if stratum == units.whole else "remove the class"
    together = f", which belong together as {found} (by group, or since they show the same)" if found < every else ""
    return (
        f"{_subject(examples, units, stratum)} has {_plural(every, 'image')}{where}{together}, "
        f"but needs {len(parts)} ({need}); add images" + (f" or {mend}" if mend else "")
    )


def _subject(examples: Examples, units: Units, stratum: int) -> str:
    """Describe a stratum that must be in every part."""
    return examples.source if stratum == units.whole else f"class {examples.class_names[stratum]!r}"


def _plural(count: int, name: str) -> str:
    return f"{count} {name}" + ("" if count == 1 else "s")


def write_splits(examples: Examples, splits: Sequence[str] | np.ndarray) -> str:
    """Return the text of `splits.csv`: path, label as text, split, and sha256 if the images have been read.

    Examples:
        >>> from data.sources import open_source
        >>> examples = open_source("images").subset([0, 8])
        >>> print(write_splits(examples, ["train", "test"]), end="")
        path,label,split
        apple/00.png,apple,train
        banana/00.png,banana,test
        >>> print(write_splits(replace(examples, digests=("6ca1", "f02b")), ["train", "test"]), end="")
        path,label,split,sha256
        apple/00.png,apple,train,6ca1
        banana/00.png,banana,test,f02b
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    digests = [[one] for one in examples.digests] if examples.digests else [[]] * len(examples)
    writer.writerow((*_COLUMNS, *([_DIGEST] if examples.digests else [])))
    for index, (key, split, digest) in enumerate(zip(examples.keys, splits, digests, strict=True)):
        writer.writerow((key, examples.labels.text(index), split, *digest))
    return file.getvalue()


def read_splits(text: str, examples: Examples) -> tuple[Examples, np.ndarray]:
    """Restore the splits of an earlier run.

    Args:
        text: the text of a `splits.csv`.
        examples: the source of that run, opened again.

    Returns:
        The images named in the file, in its order, and their splits. Images and classes added later are left out.

    Raises:
        DataError: the file is damaged, or some of its images are gone or have another class now.

    Examples:
        >>> from data.sources import open_source
        >>> examples = open_source("images")
        >>> text = write_splits(examples.subset([8, 0]), ["train", "test"])
        >>> chosen, splits = read_splits(text, examples)
        >>> chosen.keys, splits.tolist()
        (('banana/00.png', 'apple/00.png'), ['train', 'test'])
        >>> read_splits(text, examples.subset([0]))
        Traceback (most recent call last):
        data.errors.DataError: 1 image is no longer in images (banana/00.png); put back what is missing
    """
    rows = read_rows(text)
    index_of = {key: index for index, key in enumerate(examples.keys)}
    gone = [row["path"] for row in rows if row["path"] not in index_of]
    if gone:
        raise DataError(f"{_counted(gone)} no longer in {examples.source} ({_first(gone)}); put back what is missing")
    chosen = examples.subset([index_of[row["path"]] for row in rows])
    moved = [row["path"] for index, row in enumerate(rows) if chosen.labels.text(index) != row["label"]]
    if moved:
        raise DataError(
            f"{_counted(moved)} now {examples.labels.moved} {examples.source} than in this run ({_first(moved)}); "
            "put back what was moved, or train a new run"
        )
    chosen = chosen.with_classes([chosen.class_names[label] for label in chosen.labels.used()])
    return chosen, np.array([row["split"] for row in rows], dtype=object)


def changed_since(text: str, examples: Examples) -> list[str]:
    """Return the images whose files have changed since an earlier run.

    Args:
        text: the text of a `splits.csv`. Without digests, as earlier versions wrote it, the result is empty.
        examples: the images from `read_splits`, with digests.

    Examples:
        >>> from data.sources import open_source
        >>> examples = replace(open_source("images").subset([0, 8]), digests=("6ca1", "f02b"))
        >>> text = write_splits(examples, ["train", "test"])
        >>> changed_since(text, replace(examples, digests=("6ca1", "9d3e")))
        ['banana/00.png']
        >>> changed_since(text, examples)
        []
    """
    digests = examples.digests or ()
    return [
        row["path"] for row, digest in zip(read_rows(text), digests, strict=False) if row.get(_DIGEST, digest) != digest
    ]


def describe_changed(names: Sequence[str], source: str) -> str:
    """Return a clause about images that have changed.

    Examples:
        >>> describe_changed(["apple/00.png"], "images")
        'the files of 1 image of images (apple/00.png)'
        >>> describe_changed(["apple/00.png", "banana/00.png"], "images")
        'the files of 2 images of images (apple/00.png, …)'
    """
    return f"the files of {len(names):,} {'image' if len(names) == 1 else 'images'} of {source} ({_first(names)})"


def read_rows(text: str) -> list[dict[str, str]]:
    r"""Return the lines of a `splits.csv`: path, label, split, and sha256 if the images had been read.

    Raises:
        DataError: the file is damaged.

    Examples:
        >>> read_rows("path,label,split\napple/00.png,apple,train")
        [{'path': 'apple/00.png', 'label': 'apple', 'split': 'train'}]
        >>> read_rows("path,label")
        Traceback (most recent call last):
        data.errors.DataError: the run's splits.csv is damaged; every line of it is path,label,split
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or any(set(row) - {_DIGEST} != set(_COLUMNS) or row["split"] not in SPLITS for row in rows):
        raise DataError(f"the run's splits.csv is damaged; every line of it is {','.join(_COLUMNS)}")
    return rows


def _counted(names: Sequence[str]) -> str:
    return "1 image is" if len(names) == 1 else f"{len(names)} images are"


def _first(names: Sequence[str]) -> str:
    return names[0] + (", …" if len(names) > 1 else "")


def split_indices(splits: np.ndarray) -> dict[str, np.ndarray]:
    """Return the positions of each split's images: name -> int64 (n,).

    Examples:
        >>> {split: found.tolist() for split, found in split_indices(np.array(["train", "test", "train"])).items()}
        {'train': [0, 2], 'validation': [], 'test': [1]}
        >>> {split: found.tolist() for split, found in split_indices(np.array([])).items()}
        {'train': [], 'validation': [], 'test': []}
    """
    return {split: np.flatnonzero(splits == split) for split in SPLITS}


def evenly_chosen(total: int, most: int) -> np.ndarray:
    """Return at most `most` positions, evenly spread over `total`, from the first to the last, int64.

    Examples:
        >>> evenly_chosen(10, 4).tolist()
        [0, 3, 6, 9]
        >>> evenly_chosen(3, 10).tolist()
        [0, 1, 2]
    """
    return np.linspace(0, total - 1, min(total, most)).round().astype(int)
