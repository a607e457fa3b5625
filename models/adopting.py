"""Models that Graft did not build, in the form of its own: pixels from 0 to 255 in, logits or probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from models.errors import ModelError
from models.heads import OUTPUTS, end_activation

_PROBABILITIES = "probabilities"
_LOGITS = "linear"


def adopt(
    model: keras.Model,
    *,
    task: str,
    num_classes: int,
    name: str = "model",
    image_size: int | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> keras.Model:
    """Return a model in the form of `models.build_model` that shares the layers of any Keras classifier.

    Args:
        model: one input, float (batch, size, size, 3), and one output, (batch, classes): probabilities or logits. One value for
            two classes is the probability or logit of the second.
        task: "single_label" or "multi_label".
        num_classes: number of classes that the model is meant to know.
        name: name of the new model, and of the given one in messages.
        image_size: side of the images, in pixels, if the model takes any size.
        mean: number, or one per channel, that the model expects to be subtracted from pixels in [0, 255].
        std: number, or one per channel, by which it expects the difference to be divided.

    Returns:
        A model from RGB pixels, float32 (batch, size, size, 3) in [0, 255], whose last layer is named after its values, as
        `models.heads.OUTPUTS` has it.

    Raises:
        ModelError: another input or output, or an activation at the end that is none of softmax, sigmoid and linear.

    Examples:
        >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
        >>> adopt(keras.Sequential(layers), task="single_label", num_classes=3, mean=[127.5], std=[127.5]).layers[-1].name
        'probabilities'
        >>> adopt(keras.Sequential(layers), task="single_label", num_classes=5)
        Traceback (most recent call last):
        models.errors.ModelError: model gives 3 values, and the data has 5 classes; ...
    """
    end = _end(model, name)
    pixels, scaled = pixels_for(model, name, image_size, mean, std)
    values = model(scaled)
    if values.shape[-1] == 1 and num_classes == 2 and OUTPUTS[task].activation == "softmax":
        return keras.Model(pixels, _of_one_value(values, end), name=name)
    if values.shape[-1] != num_classes:
        raise ModelError(
            f"{name} gives {values.shape[-1]} values, and the data has {num_classes} classes; give images of the classes "
            "that the model knows"
        )
    last = OUTPUTS[task].layer if end == _LOGITS else _PROBABILITIES
    # An identity without an activation: a linear one would say that probabilities are logits.
    outputs = keras.layers.Identity(name=last, dtype="float32")(values)
    return keras.Model(pixels, outputs, name=name)


def pixels_for(
    model: keras.Model, name: str, image_size: int | None, mean: Sequence[float], std: Sequence[float]
) -> tuple[Any, Any]:
    """Return an input for pixels, float32 (batch, size, size, 3) in [0, 255], and the same as the model expects them.

    Args:
        model: as for `adopt`.
        name: as for `adopt`.
        image_size: as for `adopt`.
        mean: as for `adopt`.
        std: as for `adopt`.

    Raises:
        ModelError: the model takes something else than one square RGB image.

    Examples:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
        >>> pixels, scaled = pixels_for(model, "mine", None, mean=[127.5], std=[127.5])
        >>> pixels.shape, pixels is scaled
        ((None, 8, 8, 3), False)
        >>> pixels_for(model, "mine", 32, (), ())
        Traceback (most recent call last):
        models.errors.ModelError: mine takes images of 8 pixels, not 32; leave out --image-size
    """
    size = _input_size(model, name, image_size)
    pixels = scaled = keras.Input((size, size, 3), name="pixels")
    if mean or std:
        means, factors = np.array(mean or [0.0]), 1 / np.array(std or [1.0])
        scaled = keras.layers.Rescaling(list(factors), list(-means * factors), name="scaling")(pixels)
    return pixels, scaled


def _input_size(model: keras.Model, name: str, image_size: int | None) -> int:
    """Return the side of the model's images."""
    shape: Any = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] != 3 or len(model.outputs) != 1:
        raise ModelError(
            f"{name} must have one input of RGB images, (batch, size, size, 3), and one output, not {shape}"
        )
    if shape[1] != shape[2]:
        raise ModelError(f"{name} takes images of {shape[2]} x {shape[1]} pixels; only square ones are possible")
    if shape[1] is None:
        if image_size is None:
            raise ModelError(f"{name} takes images of any size; give one with --image-size")
        return image_size
    if image_size not in (None, shape[1]):
        raise ModelError(f"{name} takes images of {shape[1]} pixels, not {image_size}; leave out --image-size")
    return int(shape[1])


def _end(model: keras.Model, name: str) -> str:
    """Return the activation at the end of the model."""
    end = end_activation(model)
    if end is None:
        raise unclear_end(name, model.layers[-1].name)
    return end


def unclear_end(name: str, layer: str) -> ModelError:
    """Return the error for a model whose last layer may give logits or probabilities.

    Examples:
        >>> str(unclear_end("mine", "relu")).partition(";")[0]
        "mine ends with 'relu', which does not tell logits from probabilities"
        >>> raise unclear_end("mine", "relu")
        Traceback (most recent call last):
        models.errors.ModelError: mine ends with 'relu', ...
    """
    return ModelError(
        f"{name} ends with {layer!r}, which does not tell logits from probabilities; end it with "
        "keras.layers.Activation('softmax'), 'sigmoid', or 'linear' for logits"
    )


def _of_one_value(values: Any, end: str) -> Any:
    """Return the probabilities of two classes from the value of the second."""
    second = keras.layers.Activation("sigmoid", name="second")(values) if end == _LOGITS else values
    first = keras.layers.Rescaling(-1.0, 1.0, name="first")(second)
    return keras.layers.Concatenate(name=_PROBABILITIES, dtype="float32")([first, second])
