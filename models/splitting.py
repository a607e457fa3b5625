"""Cuts a model in two at the freeze boundary, so that the frozen part below needs to run only once per image.

The two parts share their layers with the whole model: training the top trains the whole, and they need not be joined again.
"""

from __future__ import annotations

from typing import Any

import keras


def split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a classifier in two, as high as possible below everything that trains.

    Args:
        model: a functional model, such as from `models.builder.build_model`, with its layers frozen and unfrozen for training.
            Where a model inside it is the only path from the input to the output, the cut may lie in that one.

    Returns:
        The bottom, from pixels, float32 (batch, size, size, 3) in [0, 255], to activations, float32, in which nothing
        trains; its name is that of its last layer. And the top, from activations to logits. `top(bottom(pixels))` equals
        the model's output. Frozen random layers, such as dropout inside a block, are in the bottom, where nothing is
        random. A bottom without weights means that there is nothing to save: training starts at the input.

    Examples:
        >>> pixels = features = keras.Input((4, 4, 3))
        >>> for name in ("block1", "block2"):
        ...     features = keras.layers.Conv2D(2, 1, name=name)(features)
        >>> backbone = keras.Model(pixels, features, name="backbone")
        >>> pixels = keras.Input((4, 4, 3))
        >>> pooled = keras.layers.GlobalAveragePooling2D(name="pooling")(backbone(pixels))
        >>> model = keras.Model(pixels, keras.layers.Dense(3)(pooled))
        >>> backbone.get_layer("block1").trainable = False
        >>> split(model)[0].name
        'block1'
        >>> backbone.trainable = False
        >>> split(model)[0].name
        'pooling'
    """
    model = _functional(model)
    cut = _highest_cut(model)
    inner = _inner_model(model)
    if inner is None:
        return keras.Model(model.input, cut, name=_name_of(cut)), keras.Model(cut, model.output)
    graph, scaled, features = inner
    cut = _highest_cut(graph)
    lower = keras.Model(graph.input, cut, name=f"{graph.name}_to_{_name_of(cut)}")
    upper = keras.Model(cut, graph.output)
    head = keras.Model(features, model.output)
    bottom = keras.Model(model.input, lower(scaled), name=_name_of(cut))
    return bottom, keras.Model(upper.input, head(upper.output))


def side_by_side(bottoms: list[keras.Model]) -> keras.Model:
    """Return one model with the outputs of several bottoms of the same classifier.

    Each bottom calls the layers that they share, so these are in the model several times. TensorFlow's graph optimizer and the
    TFLite converter merge equal operations, so that they run once (measured).

    Examples:
        >>> pixels = keras.Input((4, 4, 3))
        >>> low = keras.layers.Conv2D(2, 3)(pixels)
        >>> bottoms = [keras.Model(pixels, low), keras.Model(pixels, keras.layers.Flatten()(low))]
        >>> side_by_side(bottoms).output_shape
        [(None, 2, 2, 2), (None, 8)]
        >>> len(side_by_side(bottoms).weights)  # of one convolution, which both share
        2
    """
    return keras.Model(bottoms[0].input, [bottom.output for bottom in bottoms])


def _name_of(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def _inner_model(model: keras.Model) -> tuple[keras.Model, Any, Any] | None:
    """Return the model inside a model in which the freeze boundary lies, its input and its output; None if none does."""
    nodes = _nodes(model)
    node = next((node for node in nodes if _changes(node.operation)), None)
    if node is None:
        return None
    graph = _functional(node.operation)
    if not isinstance(graph, keras.Function) or _highest_cut(graph) is graph.input:
        return None
    paths = {id(model.input), *(id(tensor) for _, tensor in _only_paths(nodes, model))}
    (given, *_), (features, *_) = node.input_tensors, node.output_tensors
    return (graph, given, features) if {id(given), id(features)} <= paths else None


def _functional(model: keras.Model) -> keras.Model:
    """Return the functional model that a Sequential is inside."""
    return getattr(model, "_functional", None) or model


def _highest_cut(model: keras.Model) -> Any:
    """Return the last tensor that is the only path from the input to the output, and below which nothing trains."""
    nodes = _nodes(model)
    first = next((place for place, node in enumerate(nodes) if _changes(node.operation)), len(nodes))
    cut = next((tensor for place, tensor in reversed(_only_paths(nodes, model)) if place < first), model.input)
    kernels = [weight for weight in keras.Model(model.input, cut).weights if len(weight.shape) > 1]
    return cut if kernels else model.input  # EfficientNets begin by scaling, which has weights and costs nothing


def _nodes(model: keras.Model) -> list[Any]:
    """Return the calls of a model's operations, from the input to the output."""
    return [node for _, level in sorted(model._nodes_by_depth.items(), reverse=True) for node in level]


def _only_paths(nodes: list[Any], model: keras.Model) -> list[tuple[int, Any]]:
    """Return each tensor that is the only path from the input to the output, after the position of the call that ends at it."""
    last_use = {id(tensor): place for place, node in enumerate(nodes) for tensor in node.input_tensors}
    last_use |= {id(tensor): len(nodes) for tensor in model.outputs}
    open_tensors: dict[int, Any] = {}
    found = []
    for place, node in enumerate(nodes):
        open_tensors |= {id(tensor): tensor for tensor in node.output_tensors}
        open_tensors = {key: tensor for key, tensor in open_tensors.items() if last_use[key] > place}
        if len(open_tensors) == 1:
            found.append((place, *open_tensors.values()))
    return found


def _changes(operation: Any) -> bool:
    """Whether an operation's output may change after a training step, or at the next call."""
    if getattr(operation, "trainable_weights", None):
        return True
    layers = operation._flatten_layers() if isinstance(operation, keras.Layer) else ()
    # Dropout of rate 0 has no generator. It is above the cut all the same, so that the cut does not depend on the rate.
    return any(one.trainable and (one._seed_generators or isinstance(one, keras.layers.Dropout)) for one in layers)
