"""Which picture is for training, validation and test, as the options of a run have it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.config import TrainConfig
from app.console import console
from app.errors import UsageError
from app.pictures import refuse_leakage
from app.runs import Run
from data.errors import DataError
from data.pictures import REGRESSION, PictureSet
from data.splits import (
    changed_since,
    describe_changed,
    fold_pictures,
    read_splits,
    split_pictures,
    take_shots,
)


def choose_splits(pictures: PictureSet, config: TrainConfig) -> tuple[PictureSet, np.ndarray]:
    """Divide pictures by fractions or into a fold, and leave out of train what `--shots` does not ask for.

    Returns:
        The pictures that are used, and their splits, of `data.pictures.SPLITS`.

    Raises:
        UsageError: shots of numbers, which have no classes.
        DataError: a class has too few pictures, or a number is the same in all of them.
    """
    _check_numbers(pictures)
    if config.shots and pictures.task == REGRESSION:
        raise UsageError("--shots counts pictures of each class, and numbers have no classes; leave it out")
    if config.folds and config.fold:
        splits = fold_pictures(
            pictures,
            folds=config.folds,
            fold=config.fold,
            validation_fraction=config.validation_fraction,
            seed=config.seed,
        )
    else:
        splits = split_pictures(
            pictures,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            seed=config.seed,
        )
    return take_shots(pictures, splits, shots=config.shots, seed=config.seed) if config.shots else (pictures, splits)


def _check_numbers(pictures: PictureSet) -> None:
    """Whatever a model answers, a number that never changes would be explained in full."""
    if pictures.task != REGRESSION:
        return
    for name, values in zip(pictures.class_names, pictures.labels.T, strict=True):
        if (values == values[0]).all():
            raise DataError(
                f"{name} is {values[0]:.7g} in every image of {pictures.source}, which leaves nothing to learn; "
                "name the columns of other numbers with --columns label=NAME"
            )


def say_changed(run: Run, pictures: PictureSet) -> None:
    """Say which images of a finished run have changed since: figures about them are about other images.

    Args:
        run: the run.
        pictures: what `data.splits.read_splits` gives for it.
    """
    changed = changed_since(run.splits, pictures)
    if changed:
        console.print(f"Note: {describe_changed(changed, pictures.source)} have changed since the run was trained.")


def splits_of(run: Run, pictures: PictureSet) -> tuple[PictureSet, np.ndarray]:
    """Give an interrupted run the images that it began with, and say which came later.

    Other images under the same names would make a model that no data set explains, or be in two of its splits.

    Returns:
        The pictures that are used, and their splits, of `data.pictures.SPLITS`.

    Raises:
        DataError: images of the run are gone, have changed or have another label.
        UsageError: an image is in several splits.
    """
    chosen, splits = read_splits(run.splits, pictures)
    mend = "put back what was changed, or train a new run"
    changed = changed_since(run.splits, chosen)
    if changed:
        raise DataError(f"{describe_changed(changed, pictures.source)} have changed since {run.path} began; {mend}")
    if not run.config.allow_leakage:
        refuse_leakage(replace(chosen, given_splits=tuple(splits.tolist())), run.config.source_options, mend)
    later = len(pictures) - len(chosen)
    if later and not run.config.shots:  # which leave out images from the start
        console.print(f"Left out {later:,} {'image that is' if later == 1 else 'images that are'} not in splits.csv.")
    return chosen, splits
