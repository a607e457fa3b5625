"""Splits of a run: the images for training, validation and test, according to its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from app.config import RunOptions, load_config
from app.exporting.evaluation_sets import export_members
from app.interface.events import print_text
from app.interface.sources import open_readable, refuse_leakage
from app.interface.stages import track
from app.runs.folder import RunFolder
from data import opening
from data.errors import DataError
from data.examples import Examples
from data.files import atomic_write, write_text
from data.image.preparing import Preparation
from data.kept_images import open_images, write_images
from data.splits import changed_since, describe_changed, read_splits, write_splits


def choose_splits(examples: Examples, config: RunOptions) -> tuple[Examples, np.ndarray]:
    """Split images according to the options of a run, by `data.opening.choose_splits`.

    Returns:
        The images that are used, and their splits, of `data.examples.SPLITS`.

    Raises:
        DataError: as from `data.opening.choose_splits`.

    Examples:
        >>> from app.config import load_config
        >>> from app.interface.events import listening
        >>> from app.interface.sources import open_readable
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, _ = open_readable("images", skip_unreadable=False)
        ...     used, splits = choose_splits(examples, load_config({"source": "images"}))
        ...     few, _ = choose_splits(examples, load_config({"source": "images", "shots": 2}))
        >>> np.unique(splits, return_counts=True)[1].tolist()
        [3, 18, 3]
        >>> len(few)
        12
    """
    return opening.choose_splits(
        examples,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        seed=config.seed,
        folds=config.folds,
        fold=config.fold,
        shots=config.shots,
    )


def write_examples(run: RunFolder, examples: Examples, splits: np.ndarray) -> None:
    """Write the names of the classes and the split of each image into a run folder.

    Examples:
        >>> from data.sources import open_source
        >>> run, examples = RunFolder.create({"source": "images"}, output="runs/new"), open_source("images")
        >>> write_examples(run, examples, np.full(len(examples), "train"))
        >>> run.class_names
        ('apple', 'banana', 'cherry')
        >>> run.splits.splitlines()[-1].split(",")[:3]
        ['cherry/07.png', 'cherry', 'train']
    """
    write_text(run.path / "classes.txt", "".join(f"{name}\n" for name in examples.class_names))
    write_text(run.path / "splits.csv", write_splits(examples, splits))


def keep_images(run: RunFolder, examples: Examples, indices: Mapping[str, np.ndarray]) -> None:
    """Write the images that an export needs into the run folder, so that `open_examples` needs no source.

    Args:
        run: the run.
        examples: all of its examples.
        indices: positions of the images in each split.

    Examples:
        >>> from zipfile import ZipFile
        >>> from app.interface.events import listening
        >>> from data.sources import open_source
        >>> run = RunFolder.open("runs/fruit")
        >>> examples = open_source("images")
        >>> with listening([].append, alone=True):  # prints nothing
        ...     keep_images(run, examples, {"train": np.array([0]), "validation": np.array([9]), "test": np.array([17])})
        >>> run.images.is_file()
        True
        >>> ZipFile(run.images).namelist()
        ['apple/00.png', 'banana/01.png', 'cherry/01.png']
    """
    members = export_members(indices).tolist()
    with atomic_write(run.images) as temporary:
        write_images(examples, track(members, len(members), "keeping"), temporary)


def open_examples(
    run: RunFolder, *, source: str | None = None, preparation: Preparation | None = None
) -> tuple[Examples, np.ndarray]:
    """Return the images of a finished run and their splits: the images that it keeps, otherwise those of its source.

    Args:
        run: the run.
        source: current place of its images; None for the original place, or the images that it keeps.
        preparation: how image files are prepared before they are decoded; None for the way used in training.

    Raises:
        DataError: the images cannot be found, or are not those of the run.

    Examples:
        >>> from app.interface.events import listening
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, splits = open_examples(RunFolder.open("runs/fruit"), source="images")
        >>> len(examples)
        24
        >>> [int((splits == split).sum()) for split in np.unique(splits)]
        [3, 18, 3]
    """
    config = load_config(run.options)
    preparation = preparation or config.preparation
    if source is None and preparation == config.preparation and run.images.is_file():
        print_text(f"The images are those that the run keeps in {run.images}.")
        return open_images(run.images, run.splits, run.class_names, config.task)
    examples, _ = open_readable(
        source or config.source,
        config.source_options,
        skip_unreadable=config.skip_unreadable,
        preparation=preparation,
    )
    examples, splits = read_splits(run.splits, examples)
    _say_changed(run, examples)
    return examples, splits


def _say_changed(run: RunFolder, examples: Examples) -> None:
    """Report that images have changed, so that figures are about other images."""
    changed = changed_since(run.splits, examples)
    if changed:
        print_text(f"Note: {describe_changed(changed, examples.source)} have changed since the run was trained.")


def splits_of(run: RunFolder, examples: Examples) -> tuple[Examples, np.ndarray]:
    """Return the images that an interrupted run began with and their splits, and report images that were added later.

    Other images under the same names would make a model that no data set explains, or be in two of its splits.

    Returns:
        The images that are used, and their splits, of `data.examples.SPLITS`.

    Raises:
        DataError: images of the run are missing, have changed or have another label.
        UsageError: an image is in several splits.

    Examples:
        >>> from pathlib import Path
        >>> from app.interface.events import listening
        >>> run = RunFolder.open("runs/fruit")
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, _ = open_readable("images", skip_unreadable=False)
        ...     _, splits = splits_of(run, examples)
        ...     Path("images/apple/00.png").unlink()
        ...     fewer, _ = open_readable("images", skip_unreadable=False)
        >>> np.unique(splits, return_counts=True)[1].tolist()
        [3, 18, 3]
        >>> splits_of(run, fewer)
        Traceback (most recent call last):
        data.errors.DataError: 1 image is no longer in images (apple/00.png); put back what is missing
    """
    chosen, splits = read_splits(run.splits, examples)
    mend = "put back what was changed, or train a new run"
    changed = changed_since(run.splits, chosen)
    if changed:
        raise DataError(f"{describe_changed(changed, examples.source)} have changed since {run.path} began; {mend}")
    config = load_config(run.options)
    if not config.allow_leakage:
        refuse_leakage(replace(chosen, given_splits=tuple(splits.tolist())), config.source_options, mend)
    later = len(examples) - len(chosen)
    if later and not config.shots:  # shots leave out images from the start
        print_text(f"Left out {later:,} {'image that is' if later == 1 else 'images that are'} not in splits.csv.")
    return chosen, splits
