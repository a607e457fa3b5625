"""A tracker of experiments: how Graft opens a run there, and what it sends."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.interface.errors import UsageError

Value = bool | int | float | str


@dataclass(frozen=True)
class Opening:
    """What a run is opened with.

    Attributes:
        folder: the run folder.
        name: name of the run.
        project: the value of the tracker's option; empty if the option takes none.
        options: the resolved options of the run.
        id: the run to continue; None for a new one.
    """

    folder: Path
    name: str
    project: str
    options: Mapping[str, Value]
    id: str | None


class TrackedRun(Protocol):
    """A run in a tracker. An exception that it raises is shown, and the training goes on without the tracker.

    Attributes:
        id: name by which a resumed run opens it again.
    """

    id: str

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Send figures, such as `loss` and `val_loss`, after `step` epochs."""

    def attach(self, path: Path) -> None:
        """Send a file of the run folder."""

    def close(self, *, finished: bool) -> None:
        """Close the run, which is finished or was interrupted."""


@dataclass(frozen=True)
class Tracker:
    """A row of `app.tracking.TRACKERS`; its name is that of its option in `app.config.tracking`.

    Attributes:
        package: module that the tracker imports.
        install: arguments of the `pip install` that brings it.
        open: opens a run.
    """

    package: str
    install: str
    open: Callable[[Opening], TrackedRun]

    def check_installed(self) -> None:
        """Raise `UsageError` unless the tracker's package is installed.

        Examples:
            >>> from app.tracking import TRACKERS
            >>> TRACKERS["tensorboard"].check_installed() is None
            True
            >>> Tracker("no_tracker", "no-tracker==1.0", open=lambda opening: None).check_installed()
            Traceback (most recent call last):
            app.interface.errors.UsageError: the package no_tracker is missing; install it with: pip install no-tracker==1.0
        """
        if importlib.util.find_spec(self.package) is None:
            raise UsageError(f"the package {self.package} is missing; install it with: pip install {self.install}")
