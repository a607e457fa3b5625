"""The data of a fit: the training and validation examples, and their augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.tasks import TASKS
from app.tasks.task import Task
from app.training.activations import Views
from data.loading import Loader


@dataclass(frozen=True)
class FitData:
    """The data of a fit: the loader, its training and validation images, and their augmentation.

    Attributes:
        weights: weight of each image of the loader in the training loss, float32 (n,); None if all count equally.
    """

    loader: Loader
    train: np.ndarray
    validation: np.ndarray
    batch_size: int
    seed: int
    views: int = 1
    mixup: float = 0.0
    cutmix: float = 0.0
    weights: np.ndarray | None = None

    def phase_seed(self, position: int) -> int:
        """Return the seed of the phase at this position, for its order, live augmentation, mixing and dropout."""
        return self.seed * 1000 + position

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches per epoch; the last one is partial."""
        return -(-len(self.train) // self.batch_size)

    @property
    def validation_steps(self) -> int:
        """Number of batches of validation images; the last one is partial."""
        return -(-len(self.validation) // self.batch_size)

    @property
    def task(self) -> Task:
        """Task of the loader's labels."""
        return TASKS[self.loader.examples.task]

    @property
    def num_outputs(self) -> int:
        """Number of classes, or of numbers."""
        return len(self.loader.examples.class_names)

    @cached_property
    def scaling(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Divisor and offset that scale numbers for training, float32 (numbers,) each; None for classes."""
        return self.task.scaling(self.loader.examples.labels.array[self.train])

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return the targets of the last layer for labels of the loader's images, float32 (n, outputs)."""
        targets = self.task.targets(labels, self.num_outputs)
        return targets if self.scaling is None else (targets - self.scaling[1]) / self.scaling[0]

    def weights_of(self, members: np.ndarray) -> np.ndarray:
        """Return the weights of images, float32 (n,)."""
        return np.ones(len(members), np.float32) if self.weights is None else self.weights[members]

    @property
    def all_views(self) -> tuple[Views, Views]:
        """Cached views: the augmented views of each training image, or the image itself; and the validation images."""
        numbers = tuple(range(1, self.views + 1)) if self.loader.transform.is_augmented else (0,)
        return Views(self.train, numbers), Views(self.validation, (0,))
