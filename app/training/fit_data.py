"""What a fit reads, whatever it trains: which examples are for training and for validation, and how they are changed."""

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
    """What a fit reads: the loader, which of its images are for training and for validation, and how they are changed.

    Attributes:
        weights: of each image of the loader in the training loss, float32 (n,); None where all count the same.
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
        """Of what is random in the phase at this position: order, live augmentation, mixing, dropout."""
        return self.seed * 1000 + position

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch, the last one partial."""
        return -(-len(self.train) // self.batch_size)

    @property
    def task(self) -> Task:
        """What is learned."""
        return TASKS[self.loader.examples.task]

    @property
    def num_outputs(self) -> int:
        """Number of classes, or of numbers."""
        return len(self.loader.examples.class_names)

    @cached_property
    def scaling(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What numbers are divided by to be learned, and subtracted before: both float32 (numbers,); None for classes."""
        return self.task.scaling(self.loader.examples.labels.array[self.train])

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """What the last layer is to give for labels of the loader's images, float32 (n, outputs)."""
        targets = self.task.targets(labels, self.num_outputs)
        return targets if self.scaling is None else (targets - self.scaling[1]) / self.scaling[0]

    def weights_of(self, members: np.ndarray) -> np.ndarray:
        """The weights of images, float32 (n,)."""
        return np.ones(len(members), np.float32) if self.weights is None else self.weights[members]

    @property
    def all_views(self) -> tuple[Views, Views]:
        """What a cache holds: augmented views of each training image, or each as it is; and the validation images."""
        numbers = tuple(range(1, self.views + 1)) if self.loader.transform.is_augmented else (0,)
        return Views(self.train, numbers), Views(self.validation, (0,))
