"""Pictures that exported files are asked about, with what the Keras model answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from app.tasks import TASKS
from data.decoding import load_pixels
from data.pictures import PictureSet
from data.splits import evenly_chosen

CALIBRATION_PICTURES = 200
MORE_PICTURES = 1000
_BATCH = 32


class Questions:
    """Pictures, their pixels as training saw them, their labels, and the Keras model's answers to them."""

    def __init__(
        self,
        pictures: PictureSet,
        expected: np.ndarray,
        *,
        image_size: int,
        resize: str,
        folder: Path,
        thresholds: np.ndarray | None = None,
        spread: np.ndarray | None = None,
    ) -> None:
        """Decode the pictures.

        Args:
            pictures: at least one.
            expected: the Keras model's answers, float32 (n, outputs).
            image_size: side of the model's input, in pixels.
            resize: a key of `data.decoding.RESIZES`.
            folder: where the pixels are kept, so that memory stays flat however many there are.
            thresholds: from which probability on a class is answered, (classes,), where the task has such.
            spread: the standard deviation of each number in training, (numbers,), where answers are numbers.
        """
        self.pictures, self.expected, self.resize = pictures, expected, resize
        self.thresholds, self.spread = thresholds, spread
        self.task = TASKS[pictures.task]
        self.labels, self.class_names = pictures.labels.array, pictures.class_names
        shape = (len(pictures), image_size, image_size, 3)
        self.pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
        for index in range(len(pictures)):
            self.pixels[index] = load_pixels(pictures.encoded(index), image_size, resize)

    def __len__(self) -> int:
        return len(self.pictures)

    def batches(self) -> Iterator[range]:
        """The positions of all pictures, some at a time."""
        for start in range(0, len(self), _BATCH):
            yield range(start, min(start + _BATCH, len(self)))

    def sample(self, most: int) -> np.ndarray:
        """Positions of at most so many pictures, evenly chosen, so that every class has its share."""
        return evenly_chosen(len(self), most)


def calibration_members(indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """The training pictures whose activations set the ranges of integer files: positions, int (n,), evenly chosen.

    Args:
        indices: which pictures are in each split.
    """
    return indices["train"][evenly_chosen(len(indices["train"]), CALIBRATION_PICTURES)]


def more_members(indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """The pictures of training and validation that have to do where those of the test are too few: positions, int (n,)."""
    members = np.concatenate([indices["train"], indices["validation"]])
    return members[evenly_chosen(len(members), MORE_PICTURES)]


def export_members(indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """All pictures that an export may look at: positions, int (n,), ascending."""
    whole = (indices["validation"], indices["test"])
    return np.unique(np.concatenate([*whole, calibration_members(indices), more_members(indices)]))
