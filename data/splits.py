"""Train, validation and test: seeded, stratified, an image of every class in each, and nothing in two of them."""

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
_DIGEST = "sha256"  # a further column, which runs of earlier versions lack


def split_examples(examples: Examples, *, validation_fraction: float, test_fraction: float, seed: int) -> np.ndarray:
    """Give every image a split.

    Splits that the source brings are kept; one of them that is missing is taken out of train. What belongs together, by
    `groups` and `duplicates`, comes into one split, unless the source itself has it in several.

    Args:
        examples: the images, with or without splits of their own.
        validation_fraction: of each class, or of each range of numbers, in (0, 1).
        test_fraction: the same; the two together are below 1.
        seed: the same seed gives the same splits for the same images.

    Returns:
        An array of `SPLITS` names, one an image.

    Raises:
        DataError: a class has too few images, or groups of them, for one in each split.
    """
    given = np.array(examples.given_splits or ["train"] * len(examples), dtype=object)
    fractions = {"validation": validation_fraction, "test": test_fraction}
    wanted = {split: fraction for split, fraction in fractions.items() if split not in given}
    parts = (*wanted, "train")
    together = units_of(examples)
    available = np.flatnonzero(given == "train")
    units = gather(examples, together, available)
    fixed = np.full(len(units.holds), FREE)
    # What reaches into a split that is kept cannot be kept out of it; it stays where the source has it.
    fixed[units.of_image[np.isin(together[available], together[given != "train"])]] = parts.index("train")
    _check_enough(examples, units, fixed, parts, where=" in train" if examples.given_splits else "")
    targets = _split_targets(units, list(wanted.values()))
    splits = given.copy()
    splits[available] = np.array(parts, dtype=object)[_divide(examples, units, targets, fixed, parts, seed)]
    return splits


def fold_examples(examples: Examples, *, folds: int, fold: int, validation_fraction: float, seed: int) -> np.ndarray:
    """Give every image a split for one of several folds, whose test splits have every image once.

    Args:
        examples: the images, without validation and test splits of their own.
        folds: how many, at least 2.
        fold: which, from 1 to `folds`: it is the test split.
        validation_fraction: of what the other folds have of each class, or of each range of numbers, in (0, 1).
        seed: the same seed gives the same folds for the same images.

    Returns:
        As `split_examples`.

    Raises:
        DataError: a class has too few images, or groups of them, or the source brings its own splits.
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
    """Leave out of train all but a fixed number of images of each class.

    Args:
        examples: of one or several classes each.
        splits: (n,) of `SPLITS` names.
        shots: how many images of each class train keeps; where an image has several classes, at least so many.
        seed: the same seed gives the same images, and among them those of any smaller number of shots, if each has one
            class.

    Returns:
        The images that stay, and their splits; those of validation and test all stay.

    Raises:
        DataError: a class has fewer in train.
    """
    random = np.random.default_rng(seed)
    train = splits == "train"
    members = [np.flatnonzero(train & examples.labels.has(label)) for label in range(len(examples.class_names))]
    kept = ~train
    for label in sorted(range(len(members)), key=lambda one: len(members[one])):  # the rarest have the least choice
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
    """How many images of each class or bin each wanted split gets, and train: float (fractions + 1, strata - 1)."""
    totals = units.totals[:-1]
    left, targets = totals.copy(), []
    for index, fraction in enumerate(fractions):
        if units.may_be_empty:  # what one bin loses by rounding, the next gets
            targets.append(np.diff(np.round(fraction * np.cumsum(totals)), prepend=0))
            continue
        spare = left - (len(fractions) - index)  # one for train and each split to come
        targets.append(np.minimum(np.maximum(1, np.round(fraction * totals)), spare))
        left = left - targets[-1]
    return np.array([*targets, totals - np.sum(targets, axis=0)], np.float64)


def _fold_targets(units: Units, folds: int) -> np.ndarray:
    """The same for folds, float (folds, strata - 1); what cannot be shared out evenly goes round from fold to fold."""
    totals = units.totals[:-1]
    first = np.cumsum(totals) - totals
    turn = (np.arange(folds)[:, None] - first) % folds
    return (totals // folds + (turn < totals % folds)).astype(np.float64)


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
    """A stratum that has to be in every part, in words."""
    return examples.source if stratum == units.whole else f"class {examples.class_names[stratum]!r}"


def _plural(count: int, name: str) -> str:
    return f"{count} {name}" + ("" if count == 1 else "s")


def write_splits(examples: Examples, splits: Sequence[str] | np.ndarray) -> str:
    """The text of `splits.csv`: path,label,split, with the label as text, and sha256 once the images have been read."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    digests = [[one] for one in examples.digests] if examples.digests else [[]] * len(examples)
    writer.writerow((*_COLUMNS, *([_DIGEST] if examples.digests else [])))
    for index, (key, split, digest) in enumerate(zip(examples.keys, splits, digests, strict=True)):
        writer.writerow((key, examples.labels.text(index), split, *digest))
    return file.getvalue()


def read_splits(text: str, examples: Examples) -> tuple[Examples, np.ndarray]:
    """Give images the splits of an earlier run.

    Args:
        text: a `splits.csv`.
        examples: the source of that run, opened again.

    Returns:
        The images named in the file, in its order, and their splits. Images and classes that came later are left out.

    Raises:
        DataError: the file is damaged, or images of it are gone or have another class now.
    """
    rows = read_rows(text)
    index_of = {key: index for index, key in enumerate(examples.keys)}
    gone = [row["path"] for row in rows if row["path"] not in index_of]
    if gone:
        raise DataError(
            f"{_counted(gone)} of this run no longer in {examples.source} ({_first(gone)}); put back what is missing"
        )
    chosen = examples.subset([index_of[row["path"]] for row in rows])
    moved = [row["path"] for index, row in enumerate(rows) if chosen.labels.text(index) != row["label"]]
    if moved:
        raise DataError(
            f"{_counted(moved)} of this run {examples.labels.moved} {examples.source} now ({_first(moved)}); "
            "put back what was moved, or train a new run"
        )
    chosen = chosen.with_classes([chosen.class_names[label] for label in chosen.labels.used()])
    return chosen, np.array([row["split"] for row in rows], dtype=object)


def changed_since(text: str, examples: Examples) -> list[str]:
    """The images whose files are no longer those of an earlier run.

    Args:
        text: a `splits.csv`; without digests, as earlier versions wrote it, nothing can be told.
        examples: what `read_splits` gives for it.
    """
    digests = examples.digests or ()
    return [
        row["path"] for row, digest in zip(read_rows(text), digests, strict=False) if row.get(_DIGEST, digest) != digest
    ]


def describe_changed(names: Sequence[str], source: str) -> str:
    """A clause that says which images have changed."""
    return f"the files of {len(names):,} {'image' if len(names) == 1 else 'images'} of {source} ({_first(names)})"


def read_rows(text: str) -> list[dict[str, str]]:
    """The lines of a `splits.csv`: path, label, split, and sha256 where the images had been read.

    Raises:
        DataError: the file is damaged.
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
    """Where each split's images are: name -> int64 (n,)."""
    return {split: np.flatnonzero(splits == split) for split in SPLITS}


def evenly_chosen(total: int, most: int) -> np.ndarray:
    """Positions of at most `most` of `total` things, from the first to the last, int64."""
    return np.linspace(0, total - 1, min(total, most)).round().astype(int)
