"""MLflow, on the server or store that its own environment variables name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.tracking.tracker import Opening


class MLflowRun:
    """A run of an MLflow experiment. It leaves the active run of `mlflow.start_run` alone."""

    def __init__(self, opening: Opening) -> None:
        from mlflow import MlflowClient, entities

        self._entities: Any = entities
        self._client: Any = MlflowClient()
        if opening.id is not None:
            self.id = opening.id
            self._client.update_run(self.id, status="RUNNING")
            return
        experiment = self._client.get_experiment_by_name(opening.project)
        number = experiment.experiment_id if experiment else self._client.create_experiment(opening.project)
        self.id = self._client.create_run(number, run_name=opening.name).info.run_id
        options = [entities.Param(name, str(value)) for name, value in opening.options.items()]
        self._client.log_batch(self.id, params=options)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Send figures as metrics."""
        now = int(1000 * time.time())
        metrics = [self._entities.Metric(name, value, now, step) for name, value in figures.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def attach(self, path: Path) -> None:
        """Upload a file as an artifact."""
        self._client.log_artifact(self.id, str(path))

    def close(self, *, finished: bool) -> None:
        """End the run."""
        self._client.set_terminated(self.id, "FINISHED" if finished else "KILLED")
