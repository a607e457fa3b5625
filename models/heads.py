"""Heads: from a backbone's features to one logit a class, or one number each. A head is one function and one row of `HEADS`.

What the last layer's values mean is a row of `OUTPUTS`, by the task that a model is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Output:
    """What the values of a head's last layer are.

    Attributes:
        layer: name of that layer, by which a saved model tells its task.
        predictions: name of what the model answers with, in exported files.
        activation: from the layer's values to the predictions, of Keras.
    """

    layer: str
    predictions: str
    activation: str


NUMBERS = "numbers"  # what a model answers with that gives no probabilities

OUTPUTS: dict[str, Output] = {
    "single_label": Output("logits", "probabilities", "softmax"),
    "multi_label": Output("label_logits", "probabilities", "sigmoid"),
    "regression": Output("numbers", NUMBERS, "linear"),
}


@dataclass(frozen=True)
class Head:
    """One kind of head; `build(features, num_classes, layer, dropout, seed)` gives the logits.

    Where `is_linear`, all of its weights are those of its last layer, on pooled features.
    """

    description: str
    build: Callable[..., Any]
    is_linear: bool = False


def linear(features: Any, *, num_classes: int, layer: str, dropout: float, seed: int) -> Any:
    """Global average pooling, dropout and one dense layer.

    Args:
        features: Keras tensor, (batch, height, width, channels) feature maps or (batch, channels) features.
        num_classes: number of classes, or of numbers.
        layer: name of the last layer.
        dropout: part of the features dropped in training, in [0, 1).
        seed: of the initial weights and of the dropout.

    Returns:
        Keras tensor of logits, float32 (batch, num_classes).
    """
    return _logits(_pool(features), num_classes, layer, dropout, seed)


def mlp(features: Any, *, num_classes: int, layer: str, dropout: float, seed: int) -> Any:
    """Global average pooling, a hidden layer of 256 units with batch normalization and ReLU, then as `linear`."""
    from keras import initializers, layers

    hidden = layers.Dense(
        256, use_bias=False, kernel_initializer=initializers.HeNormal(seed=seed + 1), name="head_hidden"
    )(_pool(features))
    hidden = layers.BatchNormalization(momentum=0.9, name="head_normalization")(hidden)
    return _logits(layers.ReLU(name="head_activation")(hidden), num_classes, layer, dropout, seed)


def _pool(features: Any) -> Any:
    from keras import layers

    return layers.GlobalAveragePooling2D(name="head_pooling")(features) if len(features.shape) == 4 else features


def _logits(features: Any, num_classes: int, layer: str, dropout: float, seed: int) -> Any:
    from keras import initializers, layers

    features = layers.Dropout(dropout, seed=seed, name="head_dropout")(features)
    kernel = initializers.GlorotUniform(seed=seed)
    return layers.Dense(num_classes, kernel_initializer=kernel, dtype="float32", name=layer)(features)


def output_of(model: keras.Model) -> Output | None:
    """What the values that a model ends with are; None where it is no model that `models.builder.build_model` built."""
    return next((output for output in OUTPUTS.values() if output.layer == model.layers[-1].name), None)


def rescale_outputs(model: keras.Model, scale: np.ndarray, offset: np.ndarray) -> None:
    """Let a model that has learned (y - offset) / scale answer with y, by the weights of its last layer.

    Args:
        model: with a dense layer at the end; changed in place.
        scale: (outputs,), above 0.
        offset: (outputs,).
    """
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * scale, bias * scale + offset])


def standardized(model: keras.Model, scale: np.ndarray, offset: np.ndarray) -> keras.Model:
    """The model that answers with (y - offset) / scale where the given one, which stays as it is, answers with y.

    Args:
        model: with a dense layer at the end; all other layers are shared.
        scale: (outputs,), above 0.
        offset: (outputs,).
    """
    import keras

    last = model.layers[-1]
    kernel, bias = (weights.astype(np.float64) for weights in last.get_weights())
    layer = keras.layers.Dense(len(scale), dtype="float32", name="standardized")
    outputs = layer(last.input)
    layer.set_weights([kernel / scale, (bias - offset) / scale])
    return keras.Model(model.input, outputs, name=model.name)


def in_units(model: keras.Model, scale: np.ndarray, offset: np.ndarray) -> keras.Model:
    """The model that answers with y where the given one answers with (y - offset) / scale: `standardized` undone by a layer.

    Numbers are far apart beside their spread, such as latitudes or prices; weights of a few bits, or sums that begin with the
    offset, have no room for both.
    """
    import keras

    layer = keras.layers.Rescaling(scale, offset, dtype="float32", name=NUMBERS)
    return keras.Model(model.input, layer(model.output), name=model.name)


HEADS: dict[str, Head] = {
    "linear": Head("pooling, dropout, one dense layer", linear, is_linear=True),
    "mlp": Head("a hidden layer of 256 units before the linear head", mlp),
}
