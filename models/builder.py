"""Building of models: pixels -> the backbone's scaling -> backbone -> head -> logits, or numbers."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

import models.backbones.tf_hub  # noqa: F401 - registers its layer, which a saved model may hold
from models.backbones import find_backbone
from models.backbones.spec import BackboneSpec
from models.errors import ModelError
from models.heads import HEADS, OUTPUTS, output_of
from models.identity import model_name
from models.scaling import apply_scaling


def build_model(
    backbone: str | BackboneSpec,
    *,
    num_classes: int,
    image_size: int | None = None,
    weights: str | None = None,
    task: str = "single_label",
    head: str = "linear",
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Build a model with a new head on a pretrained backbone.

    All of it trains until `models.freeze` or `models.unfreeze_blocks` says otherwise. For probabilities in place of logits,
    see `models.with_predictions`.

    Args:
        backbone: a key of `models.BACKBONES`, `hub:HANDLE` for a model of TF Hub, or a row of your own.
        num_classes: number of classes, or of numbers.
        image_size: side of the square input, in pixels; None for the backbone's native size.
        weights: of the backbone: None for its own pretrained weights, "none" for random weights, a name from the row's
            `weights`, or the path of a local weights file.
        task: a key of `models.heads.OUTPUTS`.
        head: a key of `models.HEADS`.
        dropout: rate of the head's dropout, in [0, 1).
        seed: of the head's initial weights and dropout.

    Returns:
        A model from RGB pixels, float32 (batch, image_size, image_size, 3) in [0, 255], to logits or numbers, float32
        (batch, num_classes). The backbone is its layer `backbone`.

    Raises:
        ModelError: there is no such backbone, task or head, the image size or the weights do not fit the backbone, or a
            number is out of range.

    Examples:
        >>> build_model("mobilenet_v3_small", num_classes=3, image_size=32, weights="none").output_shape
        (None, 3)
        >>> build_model("mobilenet_v3_small", num_classes=3, image_size=16)
        Traceback (most recent call last):
        models.errors.ModelError: mobilenet_v3_small cannot take images of 16 pixels; its smallest size is 32, ...
    """
    _check_head(num_classes, task, head, dropout)
    spec = find_backbone(backbone) if isinstance(backbone, str) else backbone
    image_size = spec.image_size if image_size is None else image_size
    weights = spec.resolve_weights(weights)
    spec.check(image_size=image_size, weights=weights)
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    features = spec.builder(image_size=image_size, weights=weights)(apply_scaling(pixels, spec.scaling))
    layer = OUTPUTS[task].layer
    logits = HEADS[head].build(features, num_classes=num_classes, layer=layer, dropout=dropout, seed=seed)
    return keras.Model(pixels, logits, name=model_name(spec, task))


def _check_head(num_classes: int, task: str, head: str, dropout: float) -> None:
    for what, name, table in (("task", task, OUTPUTS), ("head", head, HEADS)):
        if name not in table:
            raise ModelError(f"there is no {what} {name!r}; choose from {', '.join(table)}")
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ModelError(f"num_classes must be a whole number above 0, not {num_classes!r}")
    if not 0 <= dropout < 1:
        raise ModelError(f"dropout must be from 0 to below 1, not {dropout!r}")


def with_predictions(model: keras.Model) -> keras.Model:
    """Return the same model with predictions, float32 (batch, num_classes), in place of logits; the weights are shared.

    Predictions are one probability per class, or numbers, by `models.heads.OUTPUTS`. A model that was not built here is
    returned unchanged.

    Examples:
        >>> features = keras.Input((4,))
        >>> model = keras.Model(features, keras.layers.Dense(3, name="logits")(features))
        >>> with_predictions(model).layers[-1].activation.__name__
        'softmax'
        >>> model = keras.Model(features, keras.layers.Dense(3, name="numbers")(features))
        >>> with_predictions(model) is model
        True
    """
    output = output_of(model)
    if output is None or output.activation == "linear":
        return model
    predictions = keras.layers.Activation(output.activation, name=output.predictions, dtype="float32")(model.output)
    return keras.Model(model.input, predictions, name=model.name)


def forward_pass(model: keras.Model) -> Callable[[Any], Any]:
    """Return a model's inference as one TensorFlow graph, for batches of any size.

    It is traced once. Keras' own `predict` traces again for each batch size, a second or more each time.

    Examples:
        >>> predict = forward_pass(keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(0.5)]))
        >>> predict(keras.ops.ones((3, 2))).numpy().tolist()
        [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
        >>> predict(keras.ops.ones((1, 2))).numpy().tolist()  # another batch size, the same graph
        [[0.5, 0.5]]
    """
    import tensorflow as tf

    inputs = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    predict: Callable[[Any], Any] = tf.function(
        lambda batch: model(batch, training=False), input_signature=[inputs], autograph=False
    )
    return predict


def load_model(path: Path) -> keras.Model:
    """Load a `.keras` file, without its optimizer; custom code in it is not run.

    Raises:
        ModelError: the file cannot be loaded.

    Examples:
        >>> keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save("model.keras")
        >>> load_model(Path("model.keras")).output_shape
        (None, 3)
        >>> load_model(Path("apple.png"))
        Traceback (most recent call last):
        models.errors.ModelError: apple.png cannot be loaded: it is not a .keras archive, or it is damaged
    """
    if not zipfile.is_zipfile(path):  # Keras would report that the file does not exist
        raise ModelError(f"{path} cannot be loaded: it is not a .keras archive, or it is damaged")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file can make Keras raise nearly anything
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{path} cannot be loaded as a Keras model: {reason}") from error


def reseed(model: keras.Model, seed: int) -> None:
    """Set the seed of all random layers (dropout) of a model, so that an epoch is random in the same way each time.

    Examples:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
        >>> reseed(model, 7)
        >>> model.layers[0].seed_generator.state.numpy().tolist()[0]
        7
        >>> first = model(keras.ops.ones((1, 4)), training=True).numpy().tolist()
        >>> reseed(model, 7)
        >>> model(keras.ops.ones((1, 4)), training=True).numpy().tolist() == first
        True
    """
    for position, layer in enumerate(model._flatten_layers()):
        for number, generator in enumerate(layer._seed_generators):
            generator.state.assign([seed, position + 10_000 * number])
