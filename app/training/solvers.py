"""Direct solvers of a head on cached features, for `Phase.solver`."""

from __future__ import annotations

from app.training.inputs import CachedInputs
from app.training.linear import LinearHead, fit_linear_head


def linear_head(inputs: CachedInputs) -> LinearHead:
    """Fit logistic or ridge regression, by the loss of the objective; the penalty is chosen on validation."""
    return fit_linear_head(
        inputs.training_blocks(),
        inputs.objective.linear_loss,
        lambda head: inputs.validation_figures(head.logits)["val_loss"],
    )
