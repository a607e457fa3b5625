"""Checkpoints of a fit: its progress, and the weights to continue with.

A checkpoint is valid once `checkpoints/state.json` names it, and that file is replaced atomically. So a run that is killed at
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
from app.runs.folder import RunFolder
from app.training.phases import Phase
from data.files import atomic_write, write_json


@dataclass
class FitState:
    """Progress of a fit, as stored in `checkpoints/state.json`.

    Attributes:
        phase: position of the current phase among the strategy's phases.
        epoch: number of finished epochs of that phase.
        phase_done: whether that phase is finished.
        best: (metric, -loss) on validation of the best weights so far, over all phases.
        waited: epochs of this phase since validation last improved.
        phase_best: as `best`, within the current phase.
        weights: the checkpoint after the last finished epoch, including the optimizer's state.
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
    def read(cls, run: RunFolder) -> FitState:
        """Read the saved state, or return the state of a fit that has not started."""
        path = run.checkpoints / "state.json"
        if not path.exists():
            return cls()
        state = cls(**json.loads(path.read_text()))
        state.best = tuple(state.best) if state.best else None  # type: ignore[assignment]
        state.phase_best = tuple(state.phase_best) if state.phase_best else None  # type: ignore[assignment]
        return state

    def describe(self, phases: Sequence[Phase]) -> str:
        """Return where a fit continues, in words."""
        if self.weights is None and not self.phase_done:
            return "from the beginning: no epoch was finished"
        phase = phases[self.phase]
        return f"after epoch {self.epoch} of at most {phase.epochs} of phase {self.phase + 1} ({phase.name})"

    def write(self, run: RunFolder) -> None:
        """Write the state, which makes the checkpoints that it names valid, then remove earlier checkpoints."""
        write_json(run.checkpoints / "state.json", asdict(self))
        for path in run.checkpoints.iterdir():
            if path.name not in ("state.json", run.starting_model.name, self.weights, self.best_weights):
                path.unlink()


def write_checkpoint(run: RunFolder, file: str, model: keras.Model, optimizer: keras.Optimizer | None = None) -> None:
    """Save the weights of a model, and the state of its optimizer if one is given.

    They are plain arrays, numbered in the model's order. Keras' weights files take several times as long to write, which
    matters after each epoch of a second, and the run already has the model in `start.keras`.

    Examples:
        >>> run, model = RunFolder.open("runs/fruit"), keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> run.checkpoints.mkdir(exist_ok=True)
        >>> write_checkpoint(run, "head-1.npz", model)
        >>> (run.checkpoints / "head-1.npz").is_file()
        True
        >>> with np.load(run.checkpoints / "head-1.npz") as arrays:
        ...     len(arrays)
        2
    """
    with atomic_write(run.checkpoints / file) as temporary:
        values = {name: np.asarray(variable) for name, variable in _variables(model, optimizer).items()}
        np.savez(temporary, **values)  # type: ignore[arg-type]  # NumPy's types mistake them for an option


def read_checkpoint(run: RunFolder, file: str, model: keras.Model, optimizer: keras.Optimizer | None = None) -> None:
    """Load the weights of a checkpoint into a model, and the state into its optimizer.

    Raises:
        UsageError: the checkpoint is damaged, or comes from a version of Graft with other variables.

    Examples:
        >>> run, model = RunFolder.open("runs/fruit"), keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> run.checkpoints.mkdir(exist_ok=True)
        >>> write_checkpoint(run, "one.npz", model)
        >>> read_checkpoint(run, "one.npz", model) is None
        True
        >>> read_checkpoint(run, "two.npz", model)
        Traceback (most recent call last):
        app.interface.errors.UsageError: runs/fruit/checkpoints/two.npz is damaged, or of another version of Graft; ...
    """
    path = run.checkpoints / file
    try:
        with np.load(path) as saved:
            for name, variable in _variables(model, optimizer).items():
                variable.assign(saved[name])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is damaged, or of another version of Graft; start a new run") from error


def _variables(model: keras.Model, optimizer: keras.Optimizer | None) -> dict[str, keras.Variable]:
    """Return the variables in a checkpoint, by their names there."""
    kinds = {"weight": model.weights, "optimizer": optimizer.variables if optimizer else []}
    return {f"{kind}{number:04d}": one for kind, variables in kinds.items() for number, one in enumerate(variables)}
