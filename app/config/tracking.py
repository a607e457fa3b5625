"""Options of trackers of experiments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from app.config.shared import Options, option, require
from app.interface.errors import UsageError
from app.tracking import TRACKERS


@dataclass(frozen=True, kw_only=True)
class TrackingGroup(Options):
    """The trackers that a run is sent to: an option for each row of `TRACKERS`, of the same name."""

    heading: ClassVar[str] = "tracking"

    tensorboard: Annotated[bool, option("write event files for TensorBoard, to tensorboard in the run folder")] = False
    mlflow: Annotated[
        str | None,
        option("send the run to this MLflow experiment, on the server of MLFLOW_TRACKING_URI", metavar="EXPERIMENT"),
    ] = None
    wandb: Annotated[
        str | None,
        option("send the run to this Weights & Biases project; WANDB_MODE=offline writes files", metavar="PROJECT"),
    ] = None

    @property
    def trackers(self) -> dict[str, str]:
        """The project of each tracker that is given; empty for an option without a value."""
        given = {name: getattr(self, name) for name in TRACKERS}
        return {name: "" if value is True else value for name, value in given.items() if value}

    def check(self) -> None:
        """Raise `UsageError` for invalid options, or if the package of a given tracker is missing."""
        for name, tracker in TRACKERS.items():
            require(getattr(self, name) != "", f"--{name} needs a name")
            if getattr(self, name):
                try:
                    tracker.check_installed()
                except UsageError as error:
                    raise UsageError(f"--{name}: {error}") from error
        super().check()
