"""The objective of a phase: a target for each example, and the loss on it. A teacher or a domain can replace the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from app.training.fit_data import FitData

LIVE = -1  # number of a view that is made for one epoch


class Objective(Protocol):
    """Targets and the loss on them; validation uses the same."""

    def targets(self, examples: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Return targets by example.

        Args:
            examples: positions among the loader's examples, int (n,).
            views: number of each example's view, int (n,): 0 for the original, `LIVE` for a view that is used once.

        Returns:
            float32 (n, outputs).
        """
        ...

    def smoothed(self, targets: np.ndarray) -> np.ndarray:
        """Return targets in the form that the loss takes, float32 (n, outputs)."""
        ...

    def loss(self) -> Any:
        """Return the loss on targets and logits, a `keras.losses.Loss`."""
        ...

    def metric(self) -> Any:
        """Return the metric that chooses the best weights on validation, a `keras.metrics.Metric` of targets and logits."""
        ...

    def more_metrics(self) -> Sequence[Any]:
        """Return metrics that are recorded besides it, each a new `keras.metrics.Metric` of targets and logits."""
        ...

    def summed_loss(self, logits: np.ndarray, targets: np.ndarray) -> float:
        """Return the loss of `loss`, on targets before smoothing, float32 (n, outputs), times n."""
        ...

    def linear_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the losses on smoothed targets, (n,), and their gradients, (n, outputs), for a solver of linear heads."""
        ...


@dataclass(frozen=True)
class LabelObjective:
    """The labels themselves as targets.

    Attributes:
        data: holds the labels.
        label_smoothing: share of each label that is spread over all classes.
    """

    data: FitData
    label_smoothing: float = 0.0

    def targets(self, examples: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Return the labels as targets; see `Objective.targets`."""
        return self.data.targets(self.data.loader.examples.labels.array[examples])

    def smoothed(self, targets: np.ndarray) -> np.ndarray:
        """Apply label smoothing; see `Objective.smoothed`."""
        return self.data.task.smooth(targets, self.label_smoothing)

    def loss(self) -> Any:
        """Return the task's loss, with label smoothing."""
        return self.data.task.loss(self.label_smoothing)

    def metric(self) -> Any:
        """Return the task's metric."""
        return self.data.task.new_metric(self.data.num_outputs)

    def more_metrics(self) -> Sequence[Any]:
        """Return no metrics."""
        return ()

    def summed_loss(self, logits: np.ndarray, targets: np.ndarray) -> float:
        """Return the sum of the task's loss; see `Objective.summed_loss`."""
        losses, _ = self.linear_loss(logits, self.smoothed(targets))
        outputs = self.data.num_outputs if self.data.task.averages_outputs else 1
        return float(losses.sum(dtype=np.float64)) / outputs

    def linear_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the task's loss and its gradient; see `Objective.linear_loss`."""
        return self.data.task.linear_loss(logits, targets)
