"""Send a run to the trackers that its options name: its options, each epoch, the test, the report and the plots."""

from __future__ import annotations

import contextlib
import contextvars
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.config import RunConfig, load_config, recorded
from app.interface.events import EpochEnded, Event, listening, print_text
from app.interface.stages import status
from app.runs.folder import RunFolder
from app.tracking import TRACKERS
from app.tracking.tracker import Opening, TrackedRun, Value
from data.files import write_json

IDS = "trackers.json"


@contextlib.contextmanager
def tracked(run: RunFolder) -> Iterator[None]:
    """Send what happens to a run within the `with` block to its trackers, and its results at the end.

    A tracker that fails is given up with a sentence; it never ends the run.

    Args:
        run: a run with resolved options. Its file `trackers.json` gets the run's id in each tracker, which a resumed run opens
            again.

    Examples:
        >>> from app.interface.errors import Interrupted
        >>> from app.interface.events import emitter
        >>> run = RunFolder.create({"source": "images", "tensorboard": True}, output="runs/tracked")
        >>> with contextlib.suppress(Interrupted), tracked(run):
        ...     emitter()(EpochEnded(1, {"phase": "head", "epoch": 1, "loss": 0.5, "val_loss": 0.6}))
        ...     raise Interrupted("after an epoch")
        >>> sorted(path.name for path in (run.path / "tensorboard").iterdir() if path.is_dir())
        ['train', 'validation']
        >>> with tracked(RunFolder.open("runs/fruit")):  # no tracker is named
        ...     (RunFolder.open("runs/fruit").path / "tensorboard").exists()
        False
    """
    config = load_config(run.options)
    senders = [_Sender(name, run, config, project) for name, project in config.trackers.items()]

    def hear(event: Event) -> None:
        if isinstance(event, EpochEnded):
            for sender in senders:
                sender.log(event.number, _figures(event.record, run.history))

    finished = False
    try:
        with listening(hear):
            yield
        finished = True
        for sender in senders:
            sender.send_results(run)
    finally:
        for sender in senders:
            sender.close(finished=finished)


class _Sender:
    """Calls a tracker, until a call fails."""

    def __init__(self, name: str, run: RunFolder, config: RunConfig, project: str) -> None:
        self._name = name
        self._tracked: TrackedRun | None = None
        # Calls from within a listener are made as from here: what a client prints then goes to the log, as here.
        self._context = contextvars.copy_context()
        self._try(lambda: self._open(run, config, project))

    def _open(self, run: RunFolder, config: RunConfig, project: str) -> None:
        path = run.path / IDS
        ids = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        opening = Opening(run.path, _name_of(run), project, _values(config), ids.get(self._name))
        TRACKERS[self._name].check_installed()
        with status(f"starting {self._name}"):
            self._tracked = TRACKERS[self._name].open(opening)
        write_json(path, {**ids, self._name: self._tracked.id})
        if opening.id is None:  # a resumed run may come to a tracker for the first time
            for number, record in enumerate(run.history, start=1):
                self._tracked.log(number, _figures(record, run.history))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        if tracked := self._tracked:
            self._try(lambda: tracked.log(step, figures))

    def send_results(self, run: RunFolder) -> None:
        if tracked := self._tracked:
            self._try(lambda: _send_results(tracked, run))

    def close(self, *, finished: bool) -> None:
        if tracked := self._tracked:
            with status(f"closing {self._name}"):
                self._try(lambda: tracked.close(finished=finished))

    def _try(self, call: Callable[[], None]) -> None:
        try:
            self._context.run(call)
        except Exception as error:  # a client may raise anything
            self._tracked = None
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            print_text(f"Note: --{self._name} stops here, and the run goes on without it: {reason.rstrip('.')}.")


def _send_results(tracked: TrackedRun, run: RunFolder) -> None:
    test = run.metrics["test"]
    figures = {f"test_{name}": float(value) for name, value in test.items() if _is_number(value)}
    tracked.log(len(run.history), figures)
    for path in (run.report, run.path / "metrics.json", *sorted(run.plots.glob("*.png"))):
        tracked.attach(path)


def _figures(record: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures of an epoch, and the number of its phase, from 1."""
    phases = list(dict.fromkeys(one["phase"] for one in [*history, record]))
    figures = {name: float(value) for name, value in record.items() if _is_number(value)}
    del figures["epoch"]
    figures.pop("finished", None)
    return {"phase": phases.index(record["phase"]) + 1, **figures}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _values(config: RunConfig) -> dict[str, Value]:
    """Return the options that have a value, as trackers take them: lists as text."""
    options = {name: value for name, value in recorded(config).items() if value not in (None, (), "")}
    return {name: " ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in options.items()}


def _name_of(run: RunFolder) -> str:
    """Return the name of the run folder; that of a fold with the folder of the folds."""
    path = Path(run.path).absolute()
    is_fold = (path.parent / "config.json").is_file()
    return f"{path.parent.name}/{path.name}" if is_fold else path.name
