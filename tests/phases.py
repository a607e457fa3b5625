"""Phases for tests: AdamW along a cosine, on the labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras

from app.training.objectives import LabelObjective
from app.training.phases import Phase
from app.training.schedules import cosine_adamw
from app.training.solvers import linear_head


def make_phase(
    name: str = "head",
    *,
    epochs: int = 1,
    learning_rate: float = 0.05,
    warmup_epochs: int = 0,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    patience: int = 100,
    trainable: Callable[[keras.Model], None] = lambda model: None,
    direct: bool = False,
    cycles: int = 1,
    goes_on: bool = False,
) -> Phase:
    """One phase; `direct` solves for its head where features are cached."""
    return Phase(
        name=name,
        epochs=epochs,
        patience=patience,
        trainable=trainable,
        optimizer=cosine_adamw(
            learning_rate, epochs=epochs, warmup_epochs=warmup_epochs, weight_decay=weight_decay, cycles=cycles
        ),
        objective=partial(LabelObjective, label_smoothing=label_smoothing),
        solver=linear_head if direct else None,
        cycles=cycles,
        goes_on=goes_on,
        rate_option=f"--{name}-learning-rate".replace("_", "-"),
    )
