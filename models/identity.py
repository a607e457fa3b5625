"""What a model is made of: its backbone's layer, and the backbone's row of the table, which is known from the model's name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from models.backbones import BACKBONES
from models.backbones.spec import BACKBONE_LAYER, BackboneSpec
from models.errors import ModelError
from models.heads import OUTPUTS

if TYPE_CHECKING:  # strategies, which `--help` reads, import this
    import keras


def model_name(spec: BackboneSpec, task: str) -> str:
    """Return the name of a model on a backbone, from which `spec_of` finds the backbone again.

    Examples:
        >>> model_name(BACKBONES["mobilenet_v2"], "single_label")
        'mobilenet_v2_single_label'
        >>> from dataclasses import replace
        >>> model_name(replace(BACKBONES["mobilenet_v2"], name="hub:google/mobile"), "single_label")
        'hub_google_mobile_single_label'
    """
    return f"{_as_word(spec.name)}_{task}"


def spec_of(model: keras.Model) -> BackboneSpec:
    """Return the row of `models.BACKBONES` for the backbone of a model.

    Args:
        model: from `models.build_model`, or loaded from a file of it.

    Raises:
        ModelError: no row has the backbone's name, as for one of TF Hub, or one whose row has not been added.

    Examples:
        >>> import keras
        >>> spec_of(keras.Sequential(name="mobilenet_v2_single_label")).feature_width
        1280
        >>> spec_of(keras.Sequential(name="mine"))
        Traceback (most recent call last):
        models.errors.ModelError: the backbone of the model 'mine' is not in models.BACKBONES; name it with backbone=...
    """
    backbone = re.sub(rf"_({'|'.join(OUTPUTS)})$", "", model.name)
    known = {_as_word(name): spec for name, spec in BACKBONES.items()}
    if backbone not in known:
        raise ModelError(
            f"the backbone of the model {model.name!r} is not in models.BACKBONES; name it with backbone=, "
            "or build the model with models.build_model"
        )
    return known[backbone]


def backbone_layer(model: keras.Model) -> keras.Model:
    """Return the backbone inside a model, which is its layer `backbone`.

    Raises:
        ModelError: the model has no such layer.

    Examples:
        >>> import keras
        >>> backbone = keras.Sequential([keras.layers.Dense(4)], name="backbone")
        >>> backbone_layer(keras.Sequential([keras.Input((8,)), backbone])) is backbone
        True
        >>> backbone_layer(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="hidden")], name="mine"))
        Traceback (most recent call last):
        models.errors.ModelError: the model 'mine' has no layer 'backbone'; build it with models.build_model, or ...
    """
    for layer in model.layers:
        if layer.name == BACKBONE_LAYER:
            return layer
    raise ModelError(
        f"the model {model.name!r} has no layer {BACKBONE_LAYER!r}; build it with models.build_model, "
        f"or give your pretrained network the name {BACKBONE_LAYER!r}"
    )


def _as_word(name: str) -> str:
    return name.replace(":", "_").replace("/", "_")
