"""What a phase learns: a target for each example, and the loss on it. A teacher or a domain can stand for the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from app.training.fit_data import FitData

LIVE = -1  # the number of a view that is made for one epoch


class Objective(Protocol):
    """Targets and the loss on them; validation is measured by the same."""

    def targets(self, examples: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Targets by example.

        Args:
            examples: positions among the loader's examples, int (n,).
            views: the number of each one's view, int (n,): 0 for the example as it is, `LIVE` for a view that comes once.

        Returns:
            float32 (n, outputs).
        """
        ...

    def smoothed(self, targets: np.ndarray) -> np.ndarray:
        """Targets as the loss takes them, float32 (n, outputs)."""
        ...

    def loss(self) -> Any:
        """The loss on targets and logits, a `keras.losses.Loss`."""
        ...

    def metric(self) -> Any:
        """What chooses the best weights on validation, a `keras.metrics.Metric` of targets and logits."""
        ...

    def linear_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The losses on smoothed targets, (n,), and their gradients, (n, outputs), for a solver of linear heads."""
        ...


@dataclass(frozen=True)
class LabelObjective:
    """The labels themselves.

    Attributes:
        data: whose labels.
        label_smoothing: part of each label that is spread over all classes.
    """

    data: FitData
    label_smoothing: float = 0.0

    def targets(self, examples: np.ndarray, views: np.ndarray) -> np.ndarray:
        """The labels as targets; see `Objective.targets`."""
        return self.data.targets(self.data.loader.examples.labels.array[examples])

    def smoothed(self, targets: np.ndarray) -> np.ndarray:
        """Targets with label smoothing; see `Objective.smoothed`."""
        return self.data.task.smooth(targets, self.label_smoothing)

    def loss(self) -> Any:
        """The task's loss, with label smoothing."""
        return self.data.task.loss(self.label_smoothing)

    def metric(self) -> Any:
        """The task's metric."""
        return self.data.task.new_metric(self.data.num_outputs)

    def linear_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The task's loss and its gradient; see `Objective.linear_loss`."""
        return self.data.task.linear_loss(logits, targets)
