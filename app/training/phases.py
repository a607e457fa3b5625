"""A phase: a part of training in which the same layers train for the same objective under one optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from app.training.fit_data import FitData
    from app.training.inputs import CachedInputs
    from app.training.linear import LinearHead
    from app.training.objectives import Objective


@dataclass(frozen=True)
class Phase:
    """One phase of a strategy.

    Attributes:
        name: name in the history.
        epochs: epochs in a cycle.
        patience: epochs without improvement on validation before the phase ends early.
        trainable: freezes and unfreezes the layers of a model.
        optimizer: creates the optimizer for a model, from the number of steps per epoch.
        objective: creates the objective from the data.
        callbacks: creates Keras callbacks for each phase that is fitted in steps.
        solver: direct solver of the head of a model whose other layers are frozen, if their features are cached; the
            epochs and the optimizer then apply only to live images. None if there is no solver.
        cycles: largest number of cycles; another one begins while validation improves.
        goes_on: the phase replaces another cycle of the previous one, so it only begins while validation improves.
        rate_option: the option that lowers the learning rate, named if the loss becomes NaN or infinite.
    """

    name: str
    epochs: int
    patience: int
    trainable: Callable[[keras.Model], None]
    optimizer: Callable[[keras.Model, int], keras.optimizers.Optimizer]
    objective: Callable[[FitData], Objective]
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list
    solver: Callable[[CachedInputs], LinearHead] | None = None
    cycles: int = 1
    goes_on: bool = False
    rate_option: str = "--head-learning-rate"
