"""Graft: a folder of labelled pictures becomes a tested model and a file that a phone can run.

    from app import train, predict

    run = train("my_pictures", backbone="efficientnet_lite0")
    predict(run.path, ["picture.jpg"])

Importing this does not import TensorFlow: the verbs do that when they are called.
"""

from __future__ import annotations

import os
import sys

# Read by TensorFlow's C++ code when it is loaded: without it, hundreds of lines before the first of ours.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

try:
    from app.audit import Audit, audit
    from app.benchmark import benchmark
    from app.cache import cache
    from app.evaluate import evaluate
    from app.export import export
    from app.list import list_choices
    from app.predict import predict
    from app.predictions import Prediction, Predictions
    from app.runs import Run
    from app.train import train
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] in ("app", "data", "models"):
        raise  # a defect of ours
    missing = (
        f"{sys.executable} has no package {error.name}; call ./graft instead of python -m app: it sets up all of them"
    )
    if sys.argv[:1] == ["-m"]:  # what Python puts there while it looks for the module to run
        print(f"Error: {missing}", file=sys.stderr)
        sys.exit(2)
    raise ModuleNotFoundError(missing, name=error.name) from error

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
