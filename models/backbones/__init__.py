"""The table of backbones. To add a backbone, write a builder and add a row to one of the tables joined here."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

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
BACKBONES: dict[str, BackboneSpec] = {**EFFICIENTNET_LITE, **KERAS_APPLICATIONS}


def find_backbone(name: str) -> BackboneSpec:
    """Return the row of a backbone, or for `hub:HANDLE` a row made from its SavedModel.

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
    if name not in BACKBONES:
        begin_so = [known for known in BACKBONES if known.startswith(name.lower())][:3]
        near = begin_so or difflib.get_close_matches(name.lower(), BACKBONES, n=3, cutoff=0.5)
        hint = f". Did you mean {' or '.join(near)}?" if near else ""
        raise ModelError(f"unknown backbone {name!r}; 'list backbones' shows all of them{hint}")
    return BACKBONES[name]
