"""Cuts a model in two at the freeze boundary, so that what is frozen below need run only once an image.

The two parts share their layers with the whole model: training the top trains the whole, and nothing has to be joined again.
"""

from __future__ import annotations

from typing import Any

import keras

from models.backbones.spec import BACKBONE_LAYER


def split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a classifier in two, as high as can be below everything that trains.

    Args:
        model: from `models.builder.build_model`, its layers frozen and unfrozen as they are to be trained.

    Returns:
        The bottom, from pixels, float32 (batch, size, size, 3) in [0, 255], to activations, float32, in which nothing
        trains; its name is that of the layer that it ends with. And the top, from these to logits. `top(bottom(pixels))` is
        what the model gives. Random layers that are frozen, such as dropout inside a block, are in the bottom, where
        nothing is random. A bottom without weights means that there is nothing to be saved: the input trains at once.
    """
    backbone = model.get_layer(BACKBONE_LAYER)
    if not (isinstance(backbone, keras.Model) and backbone.trainable_weights):
        cut = _highest_cut(model)
        return keras.Model(model.input, cut, name=_name_of(cut)), keras.Model(cut, model.output)
    scaled, features = backbone._inbound_nodes[-1].input_tensors[0], backbone._inbound_nodes[-1].output_tensors[0]
    cut = _highest_cut(backbone)
    lower, upper = keras.Model(backbone.input, cut), keras.Model(cut, backbone.output)
    head = keras.Model(features, model.output)
    bottom = keras.Model(model.input, lower(scaled), name=_name_of(cut))
    return bottom, keras.Model(upper.input, head(upper.output))


def side_by_side(bottoms: list[keras.Model]) -> keras.Model:
    """One model with the outputs of several bottoms of the same classifier.

    What they have in common is in it once for each, since each calls it; TensorFlow's graph optimizer and the TFLite converter
    merge equal operations, so that it runs once (measured).
    """
    return keras.Model(bottoms[0].input, [bottom.output for bottom in bottoms])


def _name_of(tensor: Any) -> str:
    return tensor._keras_history.operation.name


def _highest_cut(model: keras.Model) -> Any:
    """The last tensor that is the only path from the input to the output, and below which nothing trains."""
    nodes = [node for _, level in sorted(model._nodes_by_depth.items(), reverse=True) for node in level]
    last_use = {id(tensor): place for place, node in enumerate(nodes) for tensor in node.input_tensors}
    last_use |= {id(tensor): len(nodes) for tensor in model.outputs}
    cut = model.input
    open_tensors: dict[int, Any] = {}
    for place, node in enumerate(nodes):
        if _changes(node.operation):
            break
        open_tensors |= {id(tensor): tensor for tensor in node.output_tensors}
        open_tensors = {key: tensor for key, tensor in open_tensors.items() if last_use[key] > place}
        if len(open_tensors) == 1:
            (cut,) = open_tensors.values()
    kernels = [weight for weight in keras.Model(model.input, cut).weights if len(weight.shape) > 1]
    return cut if kernels else model.input  # EfficientNets begin by scaling, which has weights and costs nothing


def _changes(operation: Any) -> bool:
    """Whether an operation answers otherwise after a step, or at the next call."""
    if getattr(operation, "trainable_weights", None):
        return True
    # Dropout of nothing has no generator; it is above the cut all the same, so that the cut does not depend on the rate.
    is_random = hasattr(operation, "seed_generator") or isinstance(operation, keras.layers.Dropout)
    return is_random and operation.trainable
