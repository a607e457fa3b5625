"""Networks: backbones, heads, and the choice of what trains.

    from models import build_model, freeze, unfreeze_blocks

    model = build_model("mobilenet_v2", num_classes=3)
    freeze(model)

Importing this package imports nothing else: each name is loaded on first use, and Keras with it where it is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.backbones import BACKBONES, find_backbone
    from models.backbones.spec import BackboneSpec
    from models.builder import build_model, with_predictions
    from models.errors import ModelError
    from models.freezing import freeze, unfreeze_blocks
    from models.heads import HEADS
    from models.splitting import split

_MODULES = {
    "BACKBONES": "models.backbones",
    "HEADS": "models.heads",
    "BackboneSpec": "models.backbones.spec",
    "ModelError": "models.errors",
    "build_model": "models.builder",
    "find_backbone": "models.backbones",
    "freeze": "models.freezing",
    "split": "models.splitting",
    "unfreeze_blocks": "models.freezing",
    "with_predictions": "models.builder",
}

__all__ = [
    "BACKBONES",
    "HEADS",
    "BackboneSpec",
    "ModelError",
    "build_model",
    "find_backbone",
    "freeze",
    "split",
    "unfreeze_blocks",
    "with_predictions",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
