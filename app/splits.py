"""Which picture is for training, validation and test, as the options of a run have it."""

from __future__ import annotations

import numpy as np

from app.config import TrainConfig
from app.errors import UsageError
from data.pictures import REGRESSION, PictureSet
from data.splits import fold_pictures, split_pictures, take_shots


def choose_splits(pictures: PictureSet, config: TrainConfig) -> tuple[PictureSet, np.ndarray]:
    """Divide pictures by fractions or into a fold, and leave out of train what `--shots` does not ask for.

    Returns:
        The pictures that are used, and their splits, of `data.pictures.SPLITS`.

    Raises:
        UsageError: shots of numbers, which have no classes.
        DataError: a class has too few pictures.
    """
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
