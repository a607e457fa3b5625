"""Images that exported files are compared on, with the outputs of the Keras model as reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.tasks import TASKS
from data.examples import Examples
from data.image.encoding import plain_png
from data.loading import Loader, load_ahead
from data.splits import evenly_chosen

CALIBRATION_IMAGES = 200
MORE_IMAGES = 1000
GOLDEN_IMAGES = 10  # for an app's tests; see `app.exporting.golden`
GOLDEN_SIDE = 512  # pixels: more would make the golden vectors larger than the models
_BATCH = 32


@dataclass(frozen=True)
class GoldenImages:
    """Images for the tests of an app, as files that every decoder reads alike.

    Attributes:
        positions: the images in the evaluation set, int (n,).
        files: upright 8-bit RGB PNG, shrunk to `GOLDEN_SIDE`, or twice the size of the input if that is more.
        pixels: the files as input of a model, uint8 (n, size, size, 3).
    """

    positions: np.ndarray
    files: tuple[bytes, ...]
    pixels: np.ndarray


class EvaluationSet:
    """Images, their pixels as in training, their labels, and the reference outputs."""

    def __init__(
        self,
        loader: Loader,
        members: np.ndarray,
        reference: np.ndarray,
        *,
        thresholds: np.ndarray | None = None,
        spread: np.ndarray | None = None,
        examples: Examples | None = None,
    ) -> None:
        """Select the images; each image is decoded on first use, and its pixels are kept on disk.

        Args:
            loader: loader of all images of the run.
            members: positions of the images in the loader, int (n,), at least one.
            reference: outputs of the Keras model, float32 (n, outputs).
            thresholds: probability from which each class is predicted, (classes,), for tasks that have thresholds.
            spread: standard deviation of each number in training, (numbers,), where outputs are numbers.
            examples: the loader's, with other labels; None for the loader's as they are.
        """
        self.loader, self.members, self.reference = loader, members, reference
        self.thresholds, self.spread = thresholds, spread
        self.examples = (examples or loader.examples).subset(members)
        self.task = TASKS[self.examples.task]
        self.labels, self.class_names = self.examples.labels.array, self.examples.class_names
        loader.keep(members)

    def __len__(self) -> int:
        return len(self.members)

    def batches(self) -> Iterator[range]:
        """Yield the positions of all images in batches."""
        for start in range(0, len(self), _BATCH):
            yield range(start, min(start + _BATCH, len(self)))

    def sample(self, most: int) -> np.ndarray:
        """Return positions of at most `most` images, evenly spaced, so that every class has its share."""
        return evenly_chosen(len(self), most)

    @cached_property
    def golden(self) -> GoldenImages:
        """`GOLDEN_IMAGES` of the images, for the tests of an app."""
        positions, transform = self.sample(GOLDEN_IMAGES), self.loader.transform
        longest = max(GOLDEN_SIDE, 2 * max(transform.shape[:2]))
        files = tuple(plain_png(encoded, longest) for encoded in self.encoded(positions))
        pixels = [transform.views(file, [None], self.loader.stages)[0][0] for file in files]
        return GoldenImages(positions, files, np.stack(pixels))

    def pixels(self, positions: Iterable[int]) -> np.ndarray:
        """Return the pixels of the images at `positions`, uint8 (n, size, size, 3).

        Raises:
            DataError: an image can no longer be read.
        """
        return np.stack(list(load_ahead(self.loader, self.members[list(positions)])))

    def encoded(self, positions: Iterable[int]) -> list[bytes]:
        """Return the content of the image files at `positions`."""
        return [self.examples.read(int(position)) for position in positions]


def calibration_members(indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the training images that set the activation ranges of integer files: positions, int (n,), evenly spaced.

    Args:
        indices: positions of the images in each split.

    Examples:
        >>> calibration_members({"train": np.arange(5)})
        array([0, 1, 2, 3, 4])
        >>> len(calibration_members({"train": np.arange(10_000)}))
        200
    """
    return indices["train"].take(evenly_chosen(len(indices["train"]), CALIBRATION_IMAGES))


def more_members(indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the training and validation images that decide where the test images are too few: positions, int (n,).

    Examples:
        >>> more_members({"train": np.array([0, 1]), "validation": np.array([3])})
        array([0, 1, 3])
        >>> len(more_members({"train": np.arange(10_000), "validation": np.arange(10_000, 12_000)}))
        1000
    """
    members = np.concatenate([indices["train"], indices["validation"]])
    return members.take(evenly_chosen(len(members), MORE_IMAGES))


def export_members(indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return all images that an export may use, from the given splits: positions, int (n,), ascending.

    Args:
        indices: positions of the images in "train", "validation" and, optionally, "test".

    Examples:
        >>> export_members({"train": np.array([0, 1]), "validation": np.array([3]), "test": np.array([2])})
        array([0, 1, 2, 3])
        >>> export_members({"train": np.array([0, 1]), "validation": np.array([3])})
        array([0, 1, 3])
    """
    whole = [indices[split] for split in ("validation", "test") if split in indices]
    return np.unique(np.concatenate([*whole, calibration_members(indices), more_members(indices)]))
