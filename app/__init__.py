"""Graft: a folder of labelled pictures becomes a tested model and a file that a phone can run.

    from app import train, predict

    run = train("my_pictures", backbone="efficientnet_lite0")
    predict(run.path, ["picture.jpg"])

Importing this does not import TensorFlow: the verbs do that when they are called.
"""

from __future__ import annotations

import os

# Read by TensorFlow's C++ code when it is loaded: without it, hundreds of lines before the first of ours.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from app.audit import Audit, audit
from app.benchmark import benchmark
from app.cache import cache
from app.evaluate import evaluate
from app.export import export
from app.list import list_choices
from app.predict import Prediction, Predictions, predict
from app.runs import Run
from app.train import train

__all__ = [
    "Audit",
    "Prediction",
    "Predictions",
    "Run",
    "audit",
    "benchmark",
    "cache",
    "evaluate",
    "export",
    "list_choices",
    "predict",
    "train",
]
