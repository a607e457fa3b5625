"""Optimizers of a phase, for `Phase.optimizer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from models.lazy import LazyModule

if TYPE_CHECKING:
    import keras

    from models import optimizers
else:
    optimizers = LazyModule("models.optimizers")


def cosine_adamw(
    learning_rate: float, *, epochs: int, warmup_epochs: int = 0, weight_decay: float = 0.0, cycles: int = 1
) -> Callable[[keras.Model, int], keras.optimizers.Optimizer]:
    """AdamW with warm-up and cosine decay over a phase; see `models.optimizers.warmup_cosine_adamw`.

    Args:
        learning_rate: the peak.
        epochs: epochs of a cycle, including the warm-up.
        warmup_epochs: epochs with a rising learning rate.
        weight_decay: decoupled weight decay.
        cycles: largest number of cycles.

    Returns:
        A function from a model and the number of steps per epoch to a new optimizer.

    Examples:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> optimizer = cosine_adamw(1e-3, epochs=2)(model, 10)
        >>> round(float(optimizer.learning_rate), 4)
        0.001
        >>> warming = cosine_adamw(1e-3, epochs=2, warmup_epochs=1)(model, 10)
        >>> float(warming.learning_rate) < 1e-3
        True
    """

    def optimizer(_: keras.Model, steps: int) -> keras.optimizers.Optimizer:
        return optimizers.warmup_cosine_adamw(
            learning_rate=learning_rate,
            steps=epochs * steps,
            warmup_steps=warmup_epochs * steps,
            weight_decay=weight_decay,
            cycles=cycles,
        )

    return optimizer
