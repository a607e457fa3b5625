"""Data: from a SOURCE to batches of tensors.

    from data import load

    images = load("my_images", image_size=224)
    model.fit(images.train, validation_data=images.validation)

Importing this package imports nothing else: each name is loaded on first use, and TensorFlow with `load`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.datasets import Datasets, load
    from data.errors import DataError
    from data.examples import Examples
    from data.labels import MultiLabel, Regression, SingleLabel
    from data.sources.options import SourceOptions

_MODULES = {
    "DataError": "data.errors",
    "Datasets": "data.datasets",
    "Examples": "data.examples",
    "MultiLabel": "data.labels",
    "Regression": "data.labels",
    "SingleLabel": "data.labels",
    "SourceOptions": "data.sources.options",
    "load": "data.datasets",
}

__all__ = [
    "DataError",
    "Datasets",
    "Examples",
    "MultiLabel",
    "Regression",
    "SingleLabel",
    "SourceOptions",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
