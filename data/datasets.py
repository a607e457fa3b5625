"""A source as `tf.data.Dataset`s for Keras: batches of pixels and labels, split as `train` splits them."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf

from data.auditing.duplicates import find_duplicates
from data.checking import describe, readable_only, statistics_among
from data.errors import DataError
from data.examples import Examples
from data.image.augmentation import AUGMENTATIONS
from data.image.preparing import Preparation
from data.image.resizing import RESIZES
from data.image.transform import ImageTransform
from data.labels import Labels
from data.loading import Loader
from data.opening import check_all, choose_splits, with_duplicates
from data.pipeline import evaluation_batches, shuffled_batches
from data.remarks import (
    describe_found,
    describe_ignored,
    describe_leakage,
    describe_lost,
    describe_repeated,
    describe_spellings,
)
from data.sources import open_source
from data.sources.options import SourceOptions
from data.splits import split_indices

ONE_HOT, INTEGER = "onehot", "integer"


@dataclass(frozen=True)
class Datasets:
    """The splits of a source, from `load`.

    Attributes:
        train: batches of (pixels, labels) in another order, and in other views, each time they are enumerated.
        validation: the same, unchanged and in a fixed order.
        test: as `validation`.
        class_names: the names of the classes or numbers, in the order of the labels.
        task: what the labels are for: a key of `models.heads.OUTPUTS`.
        notes: what was found in the source, in sentences.
        examples: the images as files, with the name and the label of each.
        splits: the split of each of `examples`, one of "train", "validation" and "test".
    """

    train: tf.data.Dataset = field(repr=False)
    validation: tf.data.Dataset = field(repr=False)
    test: tf.data.Dataset = field(repr=False)
    class_names: tuple[str, ...]
    task: str
    notes: tuple[str, ...]
    examples: Examples = field(repr=False)
    splits: np.ndarray = field(repr=False)


def load(
    source: str | os.PathLike[str],
    *,
    image_size: int = 224,
    resize: str = "stretch",
    batch_size: int = 32,
    labels: str = ONE_HOT,
    augment: str = "none",
    flip: bool = True,
    validation: str | os.PathLike[str] | None = None,
    test: str | os.PathLike[str] | None = None,
    validation_fraction: float = 0.15,
    test_fraction: float = 0.15,
    seed: int = 0,
    skip_unreadable: bool = False,
    allow_leakage: bool = False,
    background: str | None = None,
    levels: str | None = None,
    options: SourceOptions | None = None,
) -> Datasets:
    """Load a source for `model.fit`: the splits that `train` makes of it, as `tf.data.Dataset`s.

    Every image is read once before this returns, so that a damaged one is reported now; statistics that an earlier call or
    run has kept are used again. Images are then decoded in parallel while the batches are enumerated. Those that are needed
    unchanged in every epoch are kept, decoded, in a temporary file.

    Args:
        source: a SOURCE: the path of a folder, a list, an archive, `tfds:NAME` and so on; see `data.sources.SOURCES`.
        image_size: side of the square images, in pixels.
        resize: how images become square: a key of `data.image.resizing.RESIZES`.
        batch_size: images per batch; the last batch of a split may be smaller.
        labels: "onehot", or "integer" for the position in `class_names`. Both are for one class per image.
        augment: how strongly training images vary: a key of `data.image.augmentation.AUGMENTATIONS`.
        flip: whether an augmentation may mirror images left to right.
        validation: another SOURCE, whose images are all for validation.
        test: another SOURCE, whose images are all for the test.
        validation_fraction: of each class, in (0, 1), where neither the source nor `validation` says which images.
        test_fraction: as `validation_fraction`; their sum is below 1.
        seed: of the splits, the order and the augmentation, from 0.
        skip_unreadable: leave out images that cannot be read.
        allow_leakage: accept a source whose own splits have images in common.
        background: colour behind transparent parts of images, such as "white"; None drops the transparency.
        levels: values of black and white in images of more than 8 bits, such as "0-4095"; None keeps the high byte.
        options: the rest of what may be said about a source, such as the columns of a list; None for nothing more.

    Returns:
        Datasets of (pixels, labels), of known cardinality. Pixels are RGB, float32 (batch, image_size, image_size, 3) in
        [0, 255]. Labels are float32 (batch, classes), one-hot; or int64 (batch,) for "integer". Several labels per image are
        float32 (batch, classes) of 1, 0 and -1 for unknown; numbers are float32 (batch, numbers).

    Raises:
        DataError: the source cannot be used, or an argument is out of range; the message names the fix.

    Warns:
        UserWarning: images that are left out, that show the same as others, or that show hardly anything once decoded,
            classes that differ in their spelling only, and weights of images, which are not in the batches.

    Examples:
        >>> images = load("images", image_size=32, batch_size=8)
        >>> images.class_names
        ('apple', 'banana', 'cherry')
        >>> int(images.train.cardinality()), int(images.validation.cardinality())
        (3, 1)
        >>> pixels, labels = next(iter(images.validation))
        >>> pixels.shape, labels.numpy().tolist()
        (TensorShape([3, 32, 32, 3]), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> load("images", labels="one-hot")
        Traceback (most recent call last):
        data.errors.DataError: labels cannot be 'one-hot'. Did you mean 'onehot'?
    """
    _require(
        isinstance(source, str | os.PathLike), f"the source is a path or a text such as 'sample:digits', not {source!r}"
    )
    _check_choice("labels", labels, (ONE_HOT, INTEGER))
    _check_counts(batch_size=(batch_size, 1), seed=(seed, 0))
    _check_fractions(validation_fraction, test_fraction)
    transform = _transform(image_size, resize, augment, flip)
    others = {"validation": validation, "test": test}
    named: dict[str, Any] = {split: os.fspath(other) for split, other in others.items() if other is not None}
    options = options or SourceOptions()
    options = replace(options, **named, skip_unreadable=skip_unreadable or options.skip_unreadable)
    examples, notes = _open(os.fspath(source), options, Preparation.parse(background, levels))
    if not allow_leakage:
        _refuse_leakage(examples)
    _require(
        labels == ONE_HOT or examples.labels.exclusive,
        f"{source} is {examples.task}, whose labels are vectors; leave out labels={labels!r}",
    )
    examples, splits = choose_splits(
        examples, validation_fraction=validation_fraction, test_fraction=test_fraction, seed=seed
    )
    batches = _batches(Loader(examples, transform), split_indices(splits), batch_size, seed)
    return Datasets(
        **{split: _labelled(those, examples.labels, labels) for split, those in batches.items()},
        class_names=examples.class_names,
        task=examples.task,
        notes=notes,
        examples=examples,
        splits=splits,
    )


def _transform(image_size: int, resize: str, augment: str, flip: bool) -> ImageTransform:
    _check_counts(image_size=(image_size, 1))
    _check_choice("resize", resize, RESIZES)
    _check_choice("augment", augment, AUGMENTATIONS)
    augmentation = AUGMENTATIONS[augment]
    return ImageTransform(image_size, resize, augmentation if flip else augmentation.without_flip())


def _open(source: str, options: SourceOptions, preparation: Preparation) -> tuple[Examples, tuple[str, ...]]:
    """Open a source and read every image once, as `train` does; warn of what `train` warns of."""
    every = open_source(source, options)
    every = replace(every, read=preparation.applied_to(every.read))
    checked = check_all(every, options.cache_folder)
    readable = readable_only(every, checked, skip_unreadable=options.skip_unreadable)
    statistics = statistics_among(checked)
    readable = with_duplicates(readable, find_duplicates(statistics))
    doubts = [*describe_spellings(readable.class_names)]
    if len(readable) < len(every):
        doubts.append(f"Left out: {describe([one for one in checked if one.fault])}")
    repeated = describe_repeated(readable)
    if repeated:
        doubts.append(f"{repeated}; 'audit' tells more.")
    if readable.weights is not None:
        doubts.append("The weights of the images are not in the batches; they are in `examples.weights`.")
    for doubt in (*doubts, *describe_lost(readable, statistics)):
        warnings.warn(doubt, stacklevel=3)  # names the line that calls `load`
    notes = (*every.notes, describe_found(readable, readable.source), describe_ignored(every))
    return readable, tuple(filter(None, notes))


def _refuse_leakage(examples: Examples) -> None:
    leakage = describe_leakage(examples)
    if leakage:
        raise DataError(f"{leakage}; remove such images, which 'audit' lists, or pass allow_leakage=True")


def _batches(
    loader: Loader, members: Mapping[str, np.ndarray], batch_size: int, seed: int
) -> dict[str, tf.data.Dataset]:
    """Return batches of (pixels, indices) of each split."""
    loader.keep(members["validation"])
    if not loader.transform.is_augmented:
        loader.keep(members["train"])
    return {
        "train": shuffled_batches(loader, members["train"], batch_size, seed=seed),
        "validation": evaluation_batches(loader, members["validation"], batch_size),
        "test": evaluation_batches(loader, members["test"], batch_size),
    }


def _labelled(batches: tf.data.Dataset, labels: Labels, form: str) -> tf.data.Dataset:
    """Put the label of each image in the place of its index."""
    every = tf.constant(labels.array)
    one_hot = labels.exclusive and form == ONE_HOT

    def of_batch(pixels: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.gather(every, indices)
        return pixels, tf.one_hot(found, len(labels.names)) if one_hot else found

    return batches.map(of_batch)


def _check_counts(**counts: tuple[int, int]) -> None:
    """Check numbers that are given with the least that each may be."""
    for name, (count, least) in counts.items():
        whole = isinstance(count, int) and count >= least
        _require(whole, f"{name} must be a whole number from {least} up, not {count!r}")


def _check_fractions(validation: float, test: float) -> None:
    for name, part in (("validation_fraction", validation), ("test_fraction", test)):
        _require(isinstance(part, int | float) and 0 < part < 1, f"{name} must be above 0 and below 1, not {part!r}")
    _require(
        validation + test < 1, "validation_fraction and test_fraction leave nothing to train on: their sum is below 1"
    )


def _check_choice(name: str, value: str, table: Collection[str]) -> None:
    if value not in table:
        near = difflib.get_close_matches(str(value), table, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Choose from {', '.join(table)}"
        raise DataError(f"{name} cannot be {value!r}. {hint}")


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise DataError(text)
