"""The table of backbones. To add a backbone, write a builder and add a row to one of the tables joined here."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from models.backbones.efficientnet_lite import EFFICIENTNET_LITE
from models.backbones.keras_applications import KERAS_APPLICATIONS
from models.backbones.spec import BackboneSpec
from models.errors import ModelError
from models.lazy import LazyModule

if TYPE_CHECKING:
    from models.backbones import tf_hub
else:
    tf_hub = LazyModule("models.backbones.tf_hub")

HUB_PREFIX = "hub:"
OWN_PREFIX = "own:"  # a whole model that Graft did not build
BACKBONES: dict[str, BackboneSpec] = {**EFFICIENTNET_LITE, **KERAS_APPLICATIONS}


def find_backbone(name: str) -> BackboneSpec:
    """Return the row of a backbone; for `hub:HANDLE`, a row made from its SavedModel; for `own:NAME`, a row without a network.

    Raises:
        ModelError: there is no such backbone (the text names the nearest), or no such SavedModel.

    Examples:
        >>> find_backbone("mobilenet_v2").image_size
        224
        >>> find_backbone("mobilnet_v2")
        Traceback (most recent call last):
        models.errors.ModelError: unknown backbone 'mobilnet_v2'; ... Did you mean mobilenet_v2 or ...
    """
    if name.startswith(HUB_PREFIX):
        return tf_hub.hub_spec(name.removeprefix(HUB_PREFIX))
    if name.startswith(OWN_PREFIX):
        return _own_spec(name.removeprefix(OWN_PREFIX))
    if name not in BACKBONES:
        begin_so = [known for known in BACKBONES if known.startswith(name.lower())][:3]
        near = begin_so or difflib.get_close_matches(name.lower(), BACKBONES, n=3, cutoff=0.5)
        hint = f". Did you mean {' or '.join(near)}?" if near else ""
        raise ModelError(f"unknown backbone {name!r}; 'list backbones' shows all of them{hint}")
    return BACKBONES[name]


def _own_spec(name: str) -> BackboneSpec:
    """Return a row for a model of the user, which can be trained, exported and run, but not be built from its name."""

    def refuse(image_size: int, weights: str | None) -> Any:
        raise ModelError(
            f"{name} was trained elsewhere, so Graft cannot build it; give it to train(model=...) in Python"
        )

    return BackboneSpec(
        name=name,
        builder=refuse,
        image_size=224,
        feature_width=0,
        parameters=0,
        scaling="none",
        min_image_size=1,
        weights=("its own",),
        weights_source="those of the given model",
        blocks="",
    )
