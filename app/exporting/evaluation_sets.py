"""Images that exported files are compared on, with the reference outputs: what the Keras model gives for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from app.tasks import TASKS
from data.loading import Loader, load_ahead
from data.splits import evenly_chosen

CALIBRATION_IMAGES = 200
MORE_IMAGES = 1000
_BATCH = 32


class EvaluationSet:
    """Images, their pixels as the model was trained on them, their labels, and the reference outputs."""

    def __init__(
        self,
        loader: Loader,
        members: np.ndarray,
        reference: np.ndarray,
        *,
        thresholds: np.ndarray | None = None,
        spread: np.ndarray | None = None,
    ) -> None:
        """Name the images; each is decoded when it is first asked for, and its pixels are kept on disk.

        Args:
            loader: of all images of the run.
            members: which of them, int (n,), at least one.
            reference: the Keras model's outputs, float32 (n, outputs).
            thresholds: from which probability on a class is answered, (classes,), where the task has such.
            spread: the standard deviation of each number in training, (numbers,), where outputs are numbers.
        """
        self.loader, self.members, self.reference = loader, members, reference
        self.thresholds, self.spread = thresholds, spread
        self.examples = loader.examples.subset(members)
        self.task = TASKS[self.examples.task]
        self.labels, self.class_names = self.examples.labels.array, self.examples.class_names
        loader.keep(members)

    def __len__(self) -> int:
        return len(self.members)

    def batches(self) -> Iterator[range]:
        """The positions of all images, some at a time."""
        for start in range(0, len(self), _BATCH):
            yield range(start, min(start + _BATCH, len(self)))

    def sample(self, most: int) -> np.ndarray:
        """Positions of at most so many images, evenly chosen, so that every class has its share."""
        return evenly_chosen(len(self), most)

    def pixels(self, positions: Iterable[int]) -> np.ndarray:
        """The pixels of the images at `positions`, uint8 (n, size, size, 3).

        Raises:
            DataError: an image can no longer be read.
        """
        return np.stack(list(load_ahead(self.loader, self.members[list(positions)])))

    def encoded(self, positions: Iterable[int]) -> list[bytes]:
        """The image files at `positions`."""
        return [self.examples.read(position) for position in positions]


def calibration_members(indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """The training images whose activations set the ranges of integer files: positions, int (n,), evenly chosen.

    Args:
        indices: which images are in each split.
    """
    return indices["train"][evenly_chosen(len(indices["train"]), CALIBRATION_IMAGES)]


def more_members(indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """The images of training and validation that decide where those of the test are too few: positions, int (n,)."""
    members = np.concatenate([indices["train"], indices["validation"]])
    return members[evenly_chosen(len(members), MORE_IMAGES)]


def export_members(indices: Mapping[str, np.ndarray]) -> np.ndarray:
    """All images that an export may look at, of the splits that are given: positions, int (n,), ascending.

    Args:
        indices: which images are in "train", "validation" and, maybe, "test".
    """
    whole = [indices[split] for split in ("validation", "test") if split in indices]
    return np.unique(np.concatenate([*whole, calibration_members(indices), more_members(indices)]))
