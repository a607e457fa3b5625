"""Heads: from a backbone's features to one logit per class, or numbers. A head is one function and one row of `HEADS`.

The meaning of the last layer's values is a row of `OUTPUTS`, chosen by the model's task.
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
    """Meaning of the values of a head's last layer.

    Attributes:
        layer: name of that layer, from which a saved model's task is known.
        predictions: name of the predictions, in exported files.
        activation: Keras activation from the layer's values to the predictions.
    """

    layer: str
    predictions: str
    activation: str


NUMBERS = "numbers"  # predictions that are not probabilities

OUTPUTS: dict[str, Output] = {
    "single_label": Output("logits", "probabilities", "softmax"),
    "multi_label": Output("label_logits", "probabilities", "sigmoid"),
    "regression": Output("numbers", NUMBERS, "linear"),
}


@dataclass(frozen=True)
class Head:
    """A kind of head; `build(features, num_classes, layer, dropout, seed)` returns the logits.

    If `is_linear`, all of its weights are those of its last layer, on pooled features.
    """

    description: str
    build: Callable[..., Any]
    is_linear: bool = False


def linear(features: Any, *, num_classes: int, layer: str, dropout: float, seed: int) -> Any:
    """Apply global average pooling, dropout and one dense layer.

    Args:
        features: Keras tensor, (batch, height, width, channels) feature maps or (batch, channels) features.
        num_classes: number of classes, or of numbers.
        layer: name of the last layer.
        dropout: part of the features dropped in training, in [0, 1).
        seed: of the initial weights and of the dropout.

    Returns:
        Keras tensor of logits, float32 (batch, num_classes).

    Examples:
        >>> import keras
        >>> linear(keras.Input((7, 7, 1280)), num_classes=3, layer="logits", dropout=0.3, seed=0).shape
        (None, 3)
        >>> linear(keras.Input((1280,)), num_classes=3, layer="logits", dropout=0.3, seed=0).shape  # pooled already
        (None, 3)
    """
    return _logits(_pool(features), num_classes, layer, dropout, seed)


def mlp(features: Any, *, num_classes: int, layer: str, dropout: float, seed: int) -> Any:
    """Apply global average pooling, a hidden layer of 256 units with batch normalization and ReLU, then as `linear`.

    Examples:
        >>> import keras
        >>> features = keras.Input((7, 7, 1280))
        >>> logits = mlp(features, num_classes=3, layer="logits", dropout=0.3, seed=0)
        >>> logits.shape
        (None, 3)
        >>> keras.Model(features, logits).get_layer("head_hidden").units
        256
    """
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
    """Return the meaning of a model's last values; None for a model that `models.builder.build_model` did not build.

    Examples:
        >>> import keras
        >>> output_of(keras.Sequential([keras.layers.Dense(3, name="logits")]))
        Output(layer='logits', predictions='probabilities', activation='softmax')
        >>> output_of(keras.Sequential([keras.layers.Dense(3)])) is None
        True
    """
    return next((output for output in OUTPUTS.values() if output.layer == model.layers[-1].name), None)


def end_activation(model: keras.Model) -> str | None:
    """Return the name of the activation at the end of any model: "softmax", "sigmoid" or "linear"; None for any other.

    Examples:
        >>> import keras
        >>> end_activation(keras.Sequential([keras.layers.Dense(3), keras.layers.Softmax()]))
        'softmax'
        >>> end_activation(keras.Sequential([keras.layers.Dense(3)]))
        'linear'
    """
    layer = model.layers[-1]
    while getattr(layer, "layers", None):
        layer = layer.layers[-1]
    if type(layer).__name__ == "Softmax":
        return "softmax"
    name = getattr(getattr(layer, "activation", None), "__name__", None)
    return name if name in ("softmax", "sigmoid", "linear") else None


def rescale_outputs(model: keras.Model, scale: np.ndarray, offset: np.ndarray) -> None:
    """Make a model that has learned (y - offset) / scale predict y, by changing the weights of its last layer.

    Args:
        model: with a dense layer at the end; changed in place.
        scale: (outputs,), above 0.
        offset: (outputs,).

    Examples:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> rescale_outputs(model, scale=np.array([2.0]), offset=np.array([10.0]))
        >>> [weights.tolist() for weights in model.get_weights()]
        [[[2.0]], [10.0]]
        >>> model(np.array([[3.0]])).numpy().tolist()
        [[16.0]]
    """
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * scale, bias * scale + offset])


def standardized(model: keras.Model, scale: np.ndarray, offset: np.ndarray) -> keras.Model:
    """Return a model that predicts (y - offset) / scale where the given model, which is unchanged, predicts y.

    Args:
        model: with a dense layer at the end; all other layers are shared.
        scale: (outputs,), above 0.
        offset: (outputs,).

    Examples:
        >>> import keras
        >>> number = keras.Input((1,))
        >>> model = keras.Model(number, keras.layers.Dense(1, kernel_initializer="ones")(number))
        >>> standardized(model, scale=np.array([2.0]), offset=np.array([1.0]))(np.array([[5.0]])).numpy().tolist()
        [[2.0]]
        >>> model(np.array([[5.0]])).numpy().tolist()
        [[5.0]]
    """
    import keras

    last = model.layers[-1]
    kernel, bias = (weights.astype(np.float64) for weights in last.get_weights())
    layer = keras.layers.Dense(len(scale), dtype="float32", name="standardized")
    outputs = layer(last.input)
    layer.set_weights([kernel / scale, (bias - offset) / scale])
    return keras.Model(model.input, outputs, name=model.name)


def in_units(model: keras.Model, scale: np.ndarray, offset: np.ndarray) -> keras.Model:
    """Return a model that predicts y where the given model predicts (y - offset) / scale: it undoes `standardized` by a layer.

    Some numbers, such as latitudes or prices, are large compared with their spread. Weights of a few bits, or sums that begin
    with the offset, are too coarse for both.

    Examples:
        >>> import keras
        >>> number = keras.Input((1,))
        >>> model = keras.Model(number, keras.layers.Dense(1, kernel_initializer="ones")(number))
        >>> in_units(model, scale=np.array([2.0]), offset=np.array([1.0]))(np.array([[2.0]])).numpy().tolist()
        [[5.0]]
        >>> in_units(model, scale=np.array([2.0]), offset=np.array([1.0])).layers[-1].name
        'numbers'
    """
    import keras

    layer = keras.layers.Rescaling(scale, offset, dtype="float32", name=NUMBERS)
    return keras.Model(model.input, layer(model.output), name=model.name)


HEADS: dict[str, Head] = {
    "linear": Head("pooling, dropout, one dense layer", linear, is_linear=True),
    "mlp": Head("a hidden layer of 256 units before the linear head", mlp),
}
