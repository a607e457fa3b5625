"""Joins the parts: pixels -> the backbone's scaling -> backbone -> head -> logits, or numbers."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

import models.backbones.tf_hub  # noqa: F401 - registers its layer, which a saved model may hold
from models.backbones.spec import BackboneSpec
from models.errors import ModelError
from models.heads import HEADS, OUTPUTS, output_of
from models.scaling import apply_scaling


def build_model(
    spec: BackboneSpec,
    *,
    num_classes: int,
    image_size: int | None = None,
    weights: str | None = None,
    task: str = "single_label",
    head: str = "linear",
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Build a model on a backbone.

    Args:
        spec: the backbone, from `models.backbones.find_backbone`.
        num_classes: number of classes, or of numbers.
        image_size: side of the square input, in pixels; None for the backbone's native size.
        weights: of the backbone, from `spec.resolve_weights`; None for random weights.
        task: a key of `models.heads.OUTPUTS`.
        head: a key of `models.heads.HEADS`.
        dropout: in the head, in [0, 1).
        seed: of the head's initial weights and dropout.

    Returns:
        A model from RGB pixels, float32 (batch, image_size, image_size, 3) in [0, 255], to logits or numbers, float32
        (batch, num_classes). The backbone is its layer `backbone`.

    Raises:
        ModelError: the image size or the weights do not fit the backbone.
    """
    image_size = image_size or spec.image_size
    spec.check(image_size=image_size, weights=weights)
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    features = spec.builder(image_size=image_size, weights=weights)(apply_scaling(pixels, spec.scaling))
    layer = OUTPUTS[task].layer
    logits = HEADS[head].build(features, num_classes=num_classes, layer=layer, dropout=dropout, seed=seed)
    return keras.Model(pixels, logits, name=f"{spec.name.replace(':', '_').replace('/', '_')}_{task}")


def with_predictions(model: keras.Model) -> keras.Model:
    """The same model with what it answers, float32 (batch, num_classes), in place of logits; the weights are shared.

    That is a probability a class, or numbers, by `models.heads.OUTPUTS`; a model that was not built here stays as it is.
    """
    output = output_of(model)
    if output is None or output.activation == "linear":
        return model
    predictions = keras.layers.Activation(output.activation, name=output.predictions, dtype="float32")(model.output)
    return keras.Model(model.input, predictions, name=model.name)


def forward_pass(model: keras.Model) -> Callable[[Any], Any]:
    """What a model makes of batches of any size, as one TensorFlow graph.

    It is traced once; Keras' own `predict` does that again for each size of batch, a second or more a time.
    """
    import tensorflow as tf

    inputs = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    return tf.function(lambda batch: model(batch, training=False), input_signature=[inputs], autograph=False)


def load_model(path: Path) -> keras.Model:
    """Load a `.keras` file, without its optimizer; custom code that it may hold is not run.

    Raises:
        ModelError: it cannot be loaded.
    """
    if not zipfile.is_zipfile(path):  # Keras would say that there is no such file
        raise ModelError(f"{path} cannot be loaded: it is not a .keras archive, or it is damaged")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file can make Keras raise nearly anything
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{path} cannot be loaded as a Keras model: {reason}") from error


def reseed(model: keras.Model, seed: int) -> None:
    """Start all random layers (dropout) of a model from a seed, so that an epoch is random in the same way each time."""
    for position, layer in enumerate(model._flatten_layers()):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign([seed, position])
