"""The optimizer of all phases: AdamW with warm-up and cosine decay, in one or several cycles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras


def warmup_cosine_adamw(
    *, learning_rate: float, steps: int, warmup_steps: int = 0, weight_decay: float = 0.0, cycles: int = 1
) -> keras.optimizers.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019) whose rate rises linearly to its peak, then falls to zero along a cosine.

    Args:
        learning_rate: the peak.
        steps: steps per cycle, including the warm-up.
        warmup_steps: steps to the peak. Adam's first steps are as long as the rate, whatever the gradient: without a
            warm-up they can wreck pretrained weights.
        weight_decay: decoupled, applied to kernels only.
        cycles: largest number of cycles.

    Returns:
        An optimizer that is not yet bound to a model; gradients are clipped to a global norm of 1.

    Examples:
        >>> optimizer = warmup_cosine_adamw(learning_rate=0.1, steps=10, warmup_steps=2)
        >>> round(float(optimizer.learning_rate), 3)
        0.0
        >>> _ = optimizer.iterations.assign(2)
        >>> round(float(optimizer.learning_rate), 3)
        0.1
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=max(1, steps - warmup_steps),
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    if cycles > 1:
        schedule = Cycles(schedule, steps)
    optimizer = AdamW(schedule, weight_decay=weight_decay, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class AdamW(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras has no types
    """AdamW that clips the gradient of the whole batch, on several devices too.

    Keras 3.15 clips the gradient of each device's share before it adds them up, so the limit depends on the number of devices.
    """

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        return grads

    def _all_reduce_sum_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        grads, variables = zip(*super()._all_reduce_sum_gradients(grads_and_vars), strict=True)
        return list(zip(super()._clip_gradients(list(grads)), variables, strict=True))


class Cycles(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
    """A schedule that restarts after a number of steps, at half the rate each time.

    Warm restarts: Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int) -> None:
        super().__init__()
        self.schedule, self.steps = schedule, steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at a step."""
        cycle = keras.ops.cast(keras.ops.floor_divide(step, self.steps), "float32")
        return self.schedule(keras.ops.mod(step, self.steps)) * 0.5**cycle

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"schedule": self.schedule, "steps": self.steps}
