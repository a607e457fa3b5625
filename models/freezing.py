"""Freezing: which layers of a backbone train.

The BatchNormalization policy is set on the layers themselves: `trainable = False` keeps a layer in inference mode.
Calling the backbone with `training=False` does not: inside `fit` the outer model's `training=True` overrides it (Keras 3,
issue 20285), and the moving statistics change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from models.backbones.spec import BACKBONE_LAYER, BackboneSpec
from models.errors import ModelError

if TYPE_CHECKING:  # strategies, which `--help` reads, import this
    import keras


def freeze(model: keras.Model) -> None:
    """Freeze the whole backbone: nothing in it trains, and its BatchNormalization layers are in inference mode.

    Examples:
        >>> import keras
        >>> backbone = keras.Sequential([keras.layers.Dense(4)], name="backbone")
        >>> model = keras.Sequential([keras.Input((8,)), backbone, keras.layers.Dense(2)])
        >>> len(model.trainable_weights)
        4
        >>> freeze(model)
        >>> len(model.trainable_weights)  # of the head
        2
    """
    model.get_layer(BACKBONE_LAYER).trainable = False


def blocks_of(model: keras.Model, spec: BackboneSpec) -> list[list[keras.layers.Layer]]:
    """Return the backbone's layers, grouped into blocks from the input to the output.

    Examples:
        >>> import keras
        >>> from models.backbones import find_backbone
        >>> layers = [keras.layers.Dense(4, name=name) for name in ("block1_a", "block1_b", "block2_a")]
        >>> model = keras.Sequential([keras.Input((8,)), keras.Sequential(layers, name="backbone")])
        >>> [[layer.name for layer in block] for block in blocks_of(model, find_backbone("vgg16"))]
        [['block1_a', 'block1_b'], ['block2_a']]
        >>> len(blocks_of(model, find_backbone("resnet50")))  # another naming scheme: one block
        1
    """
    blocks: list[list[keras.layers.Layer]] = [[]]
    current = None
    for layer in model.get_layer(BACKBONE_LAYER).layers:
        match = re.search(spec.blocks, layer.name)
        if match and match.group() != current:
            current = match.group()
            blocks.append([])
        blocks[-1].append(layer)
    return [block for block in blocks if any(layer.weights for layer in block)]


def unfreeze_blocks(model: keras.Model, spec: BackboneSpec, last: int, *, train_batch_norm: bool = False) -> str:
    """Let the last blocks of the backbone train, and nothing below them.

    Args:
        model: from `models.builder.build_model`.
        spec: its backbone.
        last: number of blocks, at least 1; a larger number than there are means all.
        train_batch_norm: also adapt the statistics of the BatchNormalization layers in these blocks.

    Returns:
        The name of the first layer that trains: the freeze boundary lies below it.

    Examples:
        >>> import keras
        >>> from models.backbones import find_backbone
        >>> layers = [keras.layers.Dense(4, name=name) for name in ("block1_a", "block1_b", "block2_a")]
        >>> model = keras.Sequential([keras.Input((8,)), keras.Sequential(layers, name="backbone")])
        >>> unfreeze_blocks(model, find_backbone("vgg16"), last=1)
        'block2_a'
        >>> unfreeze_blocks(model, find_backbone("vgg16"), last=9)
        'block1_a'
    """
    boundary = blocks_of(model, spec)[-last:][0][0].name
    unfreeze_from(model, boundary, train_batch_norm=train_batch_norm)
    return boundary


def unfreeze_from(model: keras.Model, layer_name: str, *, train_batch_norm: bool = False) -> None:
    """Let the backbone train from the layer `layer_name` up; see `unfreeze_blocks`.

    Raises:
        ModelError: the backbone has no such layer.

    Examples:
        >>> import keras
        >>> layers = [keras.layers.Dense(4, name="stem"), keras.layers.BatchNormalization(name="norm")]
        >>> model = keras.Sequential([keras.Input((8,)), keras.Sequential(layers, name="backbone")])
        >>> unfreeze_from(model, "stem")
        >>> [layer.trainable for layer in layers]
        [True, False]
        >>> unfreeze_from(model, "top")
        Traceback (most recent call last):
        models.errors.ModelError: the backbone has no layer 'top'; it has stem, norm
    """
    import keras

    backbone = model.get_layer(BACKBONE_LAYER)
    names = [layer.name for layer in backbone.layers]
    if layer_name not in names:
        raise ModelError(f"the backbone has no layer {layer_name!r}; it has {', '.join(names)}")
    backbone.trainable = True
    for position, layer in enumerate(backbone.layers):
        layer.trainable = position >= names.index(layer_name)
        if isinstance(layer, keras.layers.BatchNormalization) and not train_batch_norm:
            layer.trainable = False
        if hasattr(layer, "batch_norm_training"):  # a TF Hub layer holds its normalization inside
            layer.batch_norm_training = train_batch_norm
