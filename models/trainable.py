"""Models that Graft did not build, in the form that it trains: pixels from 0 to 255 in, logits out, the backbone by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from models.adopting import pixels_for, unclear_end
from models.backbones.spec import BACKBONE_LAYER
from models.errors import ModelError
from models.heads import OUTPUTS

_LINEAR = "linear"
_ENDS = ("softmax", "sigmoid")


class TrainableModel(NamedTuple):
    """A model to train.

    Attributes:
        model: from RGB pixels, float32 (batch, size, size, 3) in [0, 255], to logits, float32 (batch, classes).
        end: the activation that was left out at its end: "softmax", "sigmoid" or "linear" for none.
        logits: name of the layer of the given model whose values are the logits.
        is_dense: whether that is a dense layer, whose weights calibration can change.
    """

    model: keras.Model
    end: str
    logits: str
    is_dense: bool


def trainable_model(
    model: keras.Model,
    *,
    task: str,
    num_classes: int,
    name: str = "model",
    image_size: int | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    backbone_layer: str | None = None,
) -> TrainableModel:
    """Return a copy of any functional Keras classifier in the form of `models.build_model`; the given model stays as it is.

    What is trainable in the model is trainable in the copy.

    Args:
        model: functional or Sequential; one input, float (batch, size, size, 3), and one output, (batch, classes):
            probabilities or logits. One value for two classes is the probability or logit of the second.
        task: "single_label" or "multi_label".
        num_classes: number of classes of the data.
        name: name of the new model, and of the given one in messages.
        image_size: side of the images, in pixels, if the model takes any size.
        mean: number, or one per channel, that the model expects to be subtracted from pixels in [0, 255].
        std: number, or one per channel, by which it expects the difference to be divided.
        backbone_layer: name of the pretrained model inside the model, or of the last layer that belongs to it.

    Raises:
        ModelError: the model has another form, or no such layer.

    Examples:
        >>> base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="base")
        >>> head = [keras.layers.GlobalAveragePooling2D(name="pooling"), keras.layers.Dense(3, activation="softmax")]
        >>> found = trainable_model(keras.Sequential([base, *head]), task="single_label", num_classes=3, backbone_layer="base")
        >>> [layer.name for layer in found.model.layers]
        ['pixels', 'backbone', 'pooling', 'logits']
        >>> found.end, found.model.layers[-1].activation.__name__
        ('softmax', 'linear')
        >>> trainable_model(keras.Sequential([base, *head]), task="single_label", num_classes=5)
        Traceback (most recent call last):
        models.errors.ModelError: model gives 3 values, and the data has 5 classes; ...
    """
    _check_form(model, name)
    pixels, scaled = pixels_for(model, name, image_size, mean, std)
    values = _copied(model, name, task).call(scaled)
    while hasattr(
        last := _node(values).operation, "layers"
    ):  # a model at the end: its layers become those of the new one
        values = last.call(_node(values).input_tensors[0])
    end, values = _without_activation(values, name)
    is_one_of_two = (values.shape[-1], num_classes) == (1, 2)
    _check_end(end, "sigmoid" if is_one_of_two else OUTPUTS[task].activation, name)
    last = _node(values).operation
    logits = _logits(values, OUTPUTS[task].layer, num_classes, name)
    whole = keras.Model(pixels, logits, name=name)
    if backbone_layer is not None:
        whole = _with_backbone(whole, pixels, backbone_layer, name)
    if not any(layer.trainable_weights for layer in whole.layers if layer.name != BACKBONE_LAYER or not backbone_layer):
        above = f" above the layer {backbone_layer!r}" if backbone_layer else ""
        raise ModelError(f"nothing of {name}{above} is trainable; set layer.trainable = True for the layers to train")
    return TrainableModel(whole, end, last.name, isinstance(last, keras.layers.Dense))


def _check_form(model: keras.Model, name: str) -> None:
    if isinstance(model, keras.Sequential) and not model.built:
        raise ModelError(f"{name} does not know its input yet; begin it with keras.Input((224, 224, 3))")
    if not isinstance(model, keras.Sequential | keras.Function):
        raise ModelError(
            f"{name} is a subclass of keras.Model, whose layers are not known before it is called; build it with "
            "keras.Input and keras.Model(inputs, outputs), or as a keras.Sequential"
        )


def _copied(model: keras.Model, name: str, task: str) -> keras.Model:
    """Return a copy with weights of its own, none of whose layers has a name that Graft gives."""
    try:
        copy = keras.models.clone_model(model)
    except Exception as error:  # whatever the constructor of a layer raises
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{name} cannot be copied: {reason}; each of its layers needs a get_config that returns the arguments of __init__"
        ) from error
    copy.set_weights(model.get_weights())
    output = OUTPUTS[task]
    for layer in copy.layers:
        if layer.name in ("pixels", "scaling", output.layer, output.predictions):
            layer.name = f"{layer.name}_own"
    return copy


def _without_activation(values: Any, name: str) -> tuple[str, Any]:
    """Return the activation at the end of a model, and the values without it; those of a dense layer still have its own."""
    end = None
    while True:
        node = _node(values)
        found = _activation(node.operation)
        if found in _ENDS and end in _ENDS:
            raise ModelError(f"{name} ends with two activations, {found} and {end}; leave out the first")
        if found is None or (end is None and found not in (*_ENDS, _LINEAR)):
            break
        end = found if end is None or found in _ENDS else end
        if isinstance(node.operation, keras.layers.Dense):
            break
        (values,) = node.input_tensors
    operation = _node(values).operation
    if end is None or (isinstance(operation, keras.layers.Dense) and _activation(operation) not in (*_ENDS, _LINEAR)):
        raise unclear_end(name, operation.name)
    return end, values


def _activation(operation: Any) -> str | None:
    """Return the name of the activation of a layer or operation that is nothing else, or of a dense layer."""
    if isinstance(operation, keras.layers.Dense | keras.layers.Activation):
        return str(getattr(operation.activation, "__name__", "unknown"))
    return {"Softmax": "softmax", "Sigmoid": "sigmoid", "Identity": _LINEAR}.get(type(operation).__name__)


def _check_end(end: str, meant: str, name: str) -> None:
    if end not in (meant, _LINEAR):
        raise ModelError(
            f"{name} ends with {end}, and the labels of this data need {meant}; end it with "
            f"keras.layers.Activation({meant!r}), or without an activation"
        )


def _logits(values: Any, layer: str, num_classes: int, name: str) -> Any:
    """Return logits as a layer of the given name, for values that are logits but for the activation of a dense layer."""
    node, shape = _node(values), tuple(values.shape)
    if len(shape) != 2 or (shape[1] != num_classes and (shape[1], num_classes) != (1, 2)):
        given = f"{shape[1]} values" if len(shape) == 2 else f"values of the shape {shape}"
        raise ModelError(
            f"{name} gives {given}, and the data has {num_classes} classes; give it a last layer with {num_classes} units"
        )
    if not isinstance(node.operation, keras.layers.Dense):
        if shape[1] != num_classes:
            raise ModelError(f"{name} gives one value for two classes; give it a last layer with 2 units")
        return keras.layers.Identity(name=layer, dtype="float32")(values)
    changed = {"name": layer, "activation": _LINEAR, "dtype": "float32", "units": num_classes}
    dense = type(node.operation).from_config(node.operation.get_config() | changed)
    logits = dense(node.input_tensors[0])
    weights = node.operation.get_weights()
    if shape[1] != num_classes:  # softmax of (0, logit) is the sigmoid of the logit
        weights = [np.concatenate([np.zeros_like(one), one], axis=-1) for one in weights]
    dense.set_weights(weights)
    return logits


def _with_backbone(whole: keras.Model, pixels: Any, layer_name: str, name: str) -> keras.Model:
    """Return the model with its backbone as one layer, with the name that Graft gives it."""
    layers = {layer.name: layer for layer in whole.layers[1:-1]}
    if layer_name not in layers:
        inside = [one.name for one in layers.values() if hasattr(one, "layers")]
        raise ModelError(f"{name} has no layer {layer_name!r} below its last; it has {', '.join(inside or layers)}")
    for layer in layers.values():
        if layer.name == BACKBONE_LAYER != layer_name:
            layer.name = f"{BACKBONE_LAYER}_own"
    chosen = layers[layer_name]
    if hasattr(chosen, "layers"):
        chosen.name = BACKBONE_LAYER
        return keras.Model(pixels, whole.output, name=name)
    features = next(
        node.output_tensors[0] for nodes in whole._nodes_by_depth.values() for node in nodes if node.operation is chosen
    )
    try:
        head = keras.Model(features, whole.output)
    except ValueError as error:
        raise ModelError(
            f"{layer_name!r} is not the only way from the input of {name} to its output; name the last layer of the backbone"
        ) from error
    backbone, outer = keras.Model(pixels, features, name=BACKBONE_LAYER), keras.Input(pixels.shape[1:], name="pixels")
    return keras.Model(outer, head.call(backbone(outer)), name=name)


def _node(tensor: Any) -> Any:
    """Return the call whose result is a tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]
