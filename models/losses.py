"""Losses that Keras does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def smoothed_cross_entropy(label_smoothing: float) -> Callable[[Any, Any], Any]:
    """Cross-entropy of integer labels with label smoothing (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567).

    A wrong label then costs a model that is sure of itself less, so that it learns fewer of them by heart. Keras' own
    `SparseCategoricalCrossentropy` takes integer labels but does not smooth.

    Args:
        label_smoothing: part of the probability that is spread over all classes, in [0, 1).

    Returns:
        A function of labels, int (batch,), and logits, float32 (batch, classes), to losses, float32 (batch,), in nats.
    """

    def loss(labels: Any, logits: Any) -> Any:
        one_hot = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), logits.shape[-1])
        return keras.losses.categorical_crossentropy(one_hot, logits, from_logits=True, label_smoothing=label_smoothing)

    return loss
