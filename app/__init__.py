"""Graft: turns a folder of labelled images into a tested model and a file that runs on a phone.

    from app import train

    run = train("my_images", backbone="efficientnet_lite0")
    run.predict("image.jpg")

Importing this package imports nothing else: each name is loaded on first use, and TensorFlow when a verb needs it.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from app.interface.program import missing_package

if TYPE_CHECKING:
    from app.comparing.comparison import Comparison
    from app.interface.errors import GateError, Interrupted, UsageError
    from app.prediction.predictions import Prediction, Predictions
    from app.prediction.predictor import Predictor
    from app.run import Run
    from app.verbs.audit import Audit, audit
    from app.verbs.benchmark import benchmark
    from app.verbs.cache import cache
    from app.verbs.compare import compare
    from app.verbs.evaluate import evaluate
    from app.verbs.export import export
    from app.verbs.list import list_choices
    from app.verbs.predict import predict
    from app.verbs.rank import Ranking, rank
    from app.verbs.train import train
    from app.verbs.verify import verify
    from data.errors import DataError
    from models.errors import ModelError

# Read by TensorFlow's C++ code when it is loaded; without it, hundreds of lines precede Graft's own. What TensorFlow logs as
# errors, such as a missing GPU, are not errors; real errors are raised as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Read when TensorFlow first uses a GPU: it then takes memory as it needs it, not all at once, so that the fresh processes that
# verify exported files have room on the same GPU.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

_MODULES = {
    "Audit": "app.verbs.audit",
    "Comparison": "app.comparing.comparison",
    "DataError": "data.errors",
    "GateError": "app.interface.errors",
    "Interrupted": "app.interface.errors",
    "ModelError": "models.errors",
    "Prediction": "app.prediction.predictions",
    "Predictions": "app.prediction.predictions",
    "Predictor": "app.prediction.predictor",
    "Ranking": "app.verbs.rank",
    "Run": "app.run",
    "UsageError": "app.interface.errors",
    "audit": "app.verbs.audit",
    "benchmark": "app.verbs.benchmark",
    "cache": "app.verbs.cache",
    "compare": "app.verbs.compare",
    "evaluate": "app.verbs.evaluate",
    "export": "app.verbs.export",
    "list_choices": "app.verbs.list",
    "predict": "app.verbs.predict",
    "rank": "app.verbs.rank",
    "train": "app.verbs.train",
    "verify": "app.verbs.verify",
}

__all__ = [
    "Audit",
    "Comparison",
    "DataError",
    "GateError",
    "Interrupted",
    "ModelError",
    "Prediction",
    "Predictions",
    "Predictor",
    "Ranking",
    "Run",
    "UsageError",
    "audit",
    "benchmark",
    "cache",
    "compare",
    "evaluate",
    "export",
    "list_choices",
    "predict",
    "rank",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(missing_package(error), name=error.name) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
