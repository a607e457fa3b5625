"""Freezing: which layers of a backbone train.

The BatchNormalization policy is set on the layers themselves: `trainable = False` keeps a layer in inference mode.
Calling the backbone with `training=False` does not: inside `fit` the outer model's `training=True` overrides it (Keras 3,
issue 20285), and the moving statistics change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.backbones import BACKBONES
from models.backbones.spec import BackboneSpec
from models.errors import ModelError
from models.identity import backbone_layer, spec_of

if TYPE_CHECKING:  # strategies, which `--help` reads, import this
    import keras


def freeze(model: keras.Model) -> None:
    """Freeze the whole backbone, so that only the head trains; the BatchNormalization layers in it are in inference mode.

    Compile the model again afterwards, as after every change of `trainable` in Keras.

    Args:
        model: from `models.build_model`, or loaded from a file of it; changed in place.

    Raises:
        ModelError: the model has no layer `backbone`.

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
    backbone_layer(model).trainable = False


def blocks_of(model: keras.Model, backbone: BackboneSpec | None = None) -> list[list[keras.layers.Layer]]:
    """Return the backbone's layers, grouped into blocks from the input to the output.

    Args:
        model: as for `unfreeze_blocks`.
        backbone: as for `unfreeze_blocks`.

    Raises:
        ModelError: as for `unfreeze_blocks`.

    Examples:
        >>> import keras
        >>> layers = [keras.layers.Dense(4, name=name) for name in ("block1_a", "block1_b", "block2_a")]
        >>> model = keras.Sequential([keras.Input((8,)), keras.Sequential(layers, name="backbone")], name="vgg16")
        >>> [[layer.name for layer in block] for block in blocks_of(model)]
        [['block1_a', 'block1_b'], ['block2_a']]
        >>> from models.backbones import find_backbone
        >>> len(blocks_of(model, find_backbone("resnet50")))  # another naming scheme: one block
        1
    """
    layers = backbone_layer(model).layers
    if any(map(_is_saved_model, layers)):
        return [layers]
    pattern = (backbone or spec_of(model)).blocks or _naming_scheme(layers)
    blocks: list[list[keras.layers.Layer]] = [[]]
    current = None
    for layer in layers:
        match = re.search(pattern, layer.name)
        if match and match.group() != current:
            current = match.group()
            blocks.append([])
        blocks[-1].append(layer)
    return [block for block in blocks if any(layer.weights for layer in block)]


def _naming_scheme(layers: Sequence[keras.layers.Layer]) -> str:
    """Return the pattern of the backbones in the table that tells most blocks of these layers apart; else each is a block."""
    names = [layer.name for layer in layers if layer.weights]

    def count(pattern: str) -> int:
        return len({match.group() for name in names if (match := re.search(pattern, name))})

    best = max(sorted({spec.blocks for spec in BACKBONES.values()} - {""}), key=count)
    return best if count(best) > 1 else ".+"


def unfreeze_blocks(
    model: keras.Model, blocks: int = 4, *, backbone: BackboneSpec | None = None, train_batch_norm: bool = False
) -> str:
    """Let the last blocks of the backbone train, and nothing below them.

    BatchNormalization layers stay in inference mode, inside `fit` too. Compile the model again afterwards, with a low
    learning rate.

    Args:
        model: from `models.build_model`, or loaded from a file of it; changed in place.
        blocks: how many of the last blocks, at least 1; a larger number than there are means all.
        backbone: the row of the model's backbone; None finds it in `models.BACKBONES` by the model's name.
        train_batch_norm: also adapt the statistics of the BatchNormalization layers in these blocks.

    Returns:
        The name of the first layer that trains: the freeze boundary lies below it.

    Raises:
        ModelError: `blocks` is below 1, the model has no layer `backbone`, or no row has its backbone's name.

    Examples:
        >>> import keras
        >>> layers = [keras.layers.Dense(4, name=name) for name in ("block1_a", "block1_b", "block2_a")]
        >>> model = keras.Sequential([keras.Input((8,)), keras.Sequential(layers, name="backbone")], name="vgg16")
        >>> unfreeze_blocks(model, 1)
        'block2_a'
        >>> unfreeze_blocks(model, 9)
        'block1_a'
        >>> unfreeze_blocks(model, 0)
        Traceback (most recent call last):
        models.errors.ModelError: 0 blocks leave nothing to unfreeze; give 1 or more, or call freeze
    """
    if blocks < 1:
        raise ModelError(f"{blocks} blocks leave nothing to unfreeze; give 1 or more, or call freeze")
    boundary: str = blocks_of(model, backbone)[-blocks:][0][0].name
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

    backbone = backbone_layer(model)
    names = [layer.name for layer in backbone.layers]
    if layer_name not in names:
        raise ModelError(f"the backbone has no layer {layer_name!r}; it has {', '.join(names)}")
    backbone.trainable = True
    for position, layer in enumerate(backbone.layers):
        layer.trainable = position >= names.index(layer_name)
        if isinstance(layer, keras.layers.BatchNormalization) and not train_batch_norm:
            layer.trainable = False
        if _is_saved_model(layer):  # which holds its normalization inside
            layer.batch_norm_training = train_batch_norm


def _is_saved_model(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a `models.backbones.tf_hub.HubLayer`; that module imports TensorFlow, which is not needed here."""
    return hasattr(layer, "batch_norm_training")
