"""A phase: a stretch of training in which the same layers train for the same objective under one optimizer."""

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
        name: as it is written in the history.
        epochs: how many in a cycle.
        patience: epochs without a better validation before the phase ends early.
        trainable: freezes and unfreezes the layers of a model.
        optimizer: makes the optimizer for a model, by the number of steps an epoch has.
        objective: makes what is learned, by the data.
        callbacks: of Keras, made for each phase that is fitted in steps.
        solver: finds the head of a model whose other layers are frozen, where their features are cached; the epochs and the
            optimizer are then for live images only. None where there is no closed form.
        cycles: how many at most; another one begins while validation improves.
        goes_on: the phase takes the place of another cycle of the one before, so it only begins while validation improves.
        rate_option: the option that lowers the learning rate, named where the loss is no longer a number.
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
