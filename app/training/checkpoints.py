"""Checkpoints of a fit: how far it has come, and the weights with which it goes on.

A checkpoint counts when `checkpoints/state.json` names it, and that file is replaced in one step. So a run that is killed at
any moment, even by `kill -9`, continues after its last finished epoch.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import keras
import numpy as np

from app.interface.errors import UsageError
from app.runs.run import Run
from app.training.phases import Phase
from data.files import atomic_write, write_json


@dataclass
class FitState:
    """How far a fit has come: what `checkpoints/state.json` holds.

    Attributes:
        phase: position of the current phase among the strategy's.
        epoch: finished epochs of that phase.
        phase_done: nothing is left to do in it.
        best: (metric, -loss) on validation of the best weights so far, over all phases.
        waited: epochs of this phase since its last better validation.
        phase_best: as `best`, within the current phase.
        weights: the checkpoint after the last finished epoch, which has the optimizer's state too.
        best_weights: the checkpoint with the best weights, which may be the same.
    """

    phase: int = 0
    epoch: int = 0
    phase_done: bool = False
    best: tuple[float, float] | None = None
    phase_best: tuple[float, float] | None = None
    waited: int = 0
    weights: str | None = None
    best_weights: str | None = None

    @classmethod
    def read(cls, run: Run) -> FitState:
        """The saved state, or that of a fit which has not begun."""
        path = run.checkpoints / "state.json"
        if not path.exists():
            return cls()
        state = cls(**json.loads(path.read_text()))
        state.best = tuple(state.best) if state.best else None  # type: ignore[assignment]
        state.phase_best = tuple(state.phase_best) if state.phase_best else None  # type: ignore[assignment]
        return state

    def describe(self, phases: Sequence[Phase]) -> str:
        """Where a fit continues, in words."""
        if self.weights is None and not self.phase_done:
            return "from the beginning: no epoch was finished"
        phase = phases[self.phase]
        return f"after epoch {self.epoch} of at most {phase.epochs} of phase {self.phase + 1} ({phase.name})"

    def write(self, run: Run) -> None:
        """Make the checkpoints that it names count, then remove those before them."""
        write_json(run.checkpoints / "state.json", asdict(self))
        for path in run.checkpoints.iterdir():
            if path.name not in ("state.json", run.starting_model.name, self.weights, self.best_weights):
                path.unlink()


def write_checkpoint(run: Run, file: str, model: keras.Model, optimizer: keras.Optimizer | None = None) -> None:
    """Save the weights of a model, and the state of its optimizer if there is one to go on with.

    They are plain arrays, numbered in the model's order: Keras' own weights files take several times as long to write, which
    after each epoch of a second is felt, and a run has its model in `start.keras`.
    """
    with atomic_write(run.checkpoints / file) as temporary:
        values = {name: np.asarray(variable) for name, variable in _variables(model, optimizer).items()}
        np.savez(temporary, **values)  # type: ignore[arg-type]  # NumPy's types mistake them for an option


def read_checkpoint(run: Run, file: str, model: keras.Model, optimizer: keras.Optimizer | None = None) -> None:
    """Give a model the weights of a checkpoint, and its optimizer the state.

    Raises:
        UsageError: it is damaged, or was written by a version of Graft that has other ones.
    """
    path = run.checkpoints / file
    try:
        with np.load(path) as saved:
            for name, variable in _variables(model, optimizer).items():
                variable.assign(saved[name])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is damaged, or of another version of Graft; start a new run") from error


def _variables(model: keras.Model, optimizer: keras.Optimizer | None) -> dict[str, keras.Variable]:
    """What a checkpoint holds, by the names that it has there."""
    kinds = {"weight": model.weights, "optimizer": optimizer.variables if optimizer else []}
    return {f"{kind}{number:04d}": one for kind, variables in kinds.items() for number, one in enumerate(variables)}
