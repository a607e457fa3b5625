"""Trackers of experiments. To add a tracker: a file here, a row of `TRACKERS`, and its option in `app.config.tracking`."""

from __future__ import annotations

from app.tracking.mlflow import MLflowRun
from app.tracking.tensorboard import TensorBoardRun
from app.tracking.tracker import Tracker
from app.tracking.wandb import WandbRun

# Each package is imported when its option is given. MLflow needs the last two for SQLite, where it writes without a server.
TRACKERS: dict[str, Tracker] = {
    "tensorboard": Tracker("tensorboard", "tensorboard==2.21.0", TensorBoardRun),
    "mlflow": Tracker("mlflow", "mlflow-skinny==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1", MLflowRun),
    "wandb": Tracker("wandb", "wandb==0.31.0", WandbRun),
}
