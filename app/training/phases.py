"""A phase: a stretch of training in which the same layers train under one learning-rate schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Phase:
    """One phase of a strategy.

    Attributes:
        name: "head" or "fine_tune", as it is written in the history.
        epochs: how many in a cycle.
        learning_rate: the peak.
        warmup_epochs: epochs of rising learning rate, which are part of `epochs`.
        cycles: how many at most. In each the learning rate rises half as high (warm restarts, Loshchilov and Hutter 2017,
            https://arxiv.org/abs/1608.03983); another one begins while validation improves.
        goes_on: the phase takes the place of another cycle of the one before, so it only begins while validation improves.
        weight_decay: decoupled.
        label_smoothing: part of each label that is spread over all classes.
        patience: epochs without a better validation before the phase ends early.
        prepare: freezes and unfreezes the layers of a model.
        direct: the head is linear and trains alone, so that on cached features it can be solved for; the fields about
            epochs and rates are then for live pictures only.
    """

    name: str
    epochs: int
    learning_rate: float
    warmup_epochs: int
    weight_decay: float
    label_smoothing: float
    patience: int
    prepare: Callable[[keras.Model], None]
    direct: bool = False
    cycles: int = 1
    goes_on: bool = False
