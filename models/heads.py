"""Heads: from a backbone's features to one logit a class. A head is one function and one row of `HEADS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Head:
    """One kind of head; `build(features, num_classes, dropout, seed)` gives the logits.

    Where `is_linear`, all of its weights are those of the layer "logits", on pooled features.
    """

    description: str
    build: Callable[..., Any]
    is_linear: bool = False


def linear(features: Any, *, num_classes: int, dropout: float, seed: int) -> Any:
    """Global average pooling, dropout and one dense layer.

    Args:
        features: Keras tensor, (batch, height, width, channels) feature maps or (batch, channels) features.
        num_classes: number of classes.
        dropout: part of the features dropped in training, in [0, 1).
        seed: of the initial weights and of the dropout.

    Returns:
        Keras tensor of logits, float32 (batch, num_classes).
    """
    return _logits(_pool(features), num_classes, dropout, seed)


def mlp(features: Any, *, num_classes: int, dropout: float, seed: int) -> Any:
    """Global average pooling, a hidden layer of 256 units with batch normalization and ReLU, then as `linear`."""
    from keras import initializers, layers

    hidden = layers.Dense(
        256, use_bias=False, kernel_initializer=initializers.HeNormal(seed=seed + 1), name="head_hidden"
    )(_pool(features))
    hidden = layers.BatchNormalization(momentum=0.9, name="head_normalization")(hidden)
    return _logits(layers.ReLU(name="head_activation")(hidden), num_classes, dropout, seed)


def _pool(features: Any) -> Any:
    from keras import layers

    return layers.GlobalAveragePooling2D(name="head_pooling")(features) if len(features.shape) == 4 else features


def _logits(features: Any, num_classes: int, dropout: float, seed: int) -> Any:
    from keras import initializers, layers

    features = layers.Dropout(dropout, seed=seed, name="head_dropout")(features)
    kernel = initializers.GlorotUniform(seed=seed)
    return layers.Dense(num_classes, kernel_initializer=kernel, dtype="float32", name="logits")(features)


HEADS: dict[str, Head] = {
    "linear": Head("pooling, dropout, one dense layer", linear, is_linear=True),
    "mlp": Head("a hidden layer of 256 units before the linear head", mlp),
}
