"""Carries out a strategy's phases: best weights by validation, early stopping, and a checkpoint after every epoch.

A checkpoint is complete when `checkpoints/state.json` names it, and that file is replaced in one step. So a run that is
killed at any moment, even by `kill -9`, continues after its last finished epoch; and since order, augmentation and dropout
depend on the seed and the epoch only, it continues as if nothing had happened.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from app.console import progress
from app.errors import UsageError
from app.runs import Run, write_json, written_whole
from app.training.phases import Phase
from data.augmentation import Augmentation
from data.pipeline import PictureLoader, evaluation_batches, training_batches
from models.builder import reseed
from models.losses import smoothed_cross_entropy
from models.optimizers import warmup_cosine_adamw


@dataclass(frozen=True)
class FitData:
    """What a fit reads: the loader, and which of its pictures are for training and for validation."""

    loader: PictureLoader
    train: np.ndarray
    validation: np.ndarray
    batch_size: int
    augmentation: Augmentation
    class_weights: dict[int, float] | None
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch, the last one partial."""
        return -(-len(self.train) // self.batch_size)


@dataclass
class FitState:
    """How far a fit has come: what `checkpoints/state.json` holds.

    Attributes:
        phase: position of the current phase among the strategy's.
        epoch: finished epochs of that phase.
        phase_done: nothing is left to do in it.
        best: (accuracy, -loss) on validation of the best weights so far, over all phases.
        waited: epochs of this phase since its last better validation.
        phase_best: as `best`, within the current phase.
        weights: file with the weights and the optimizer's state after the last finished epoch.
        best_weights: file with the best weights.
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
        if self.weights is None:
            return "from the beginning: no epoch was finished"
        phase = phases[self.phase]
        return f"after epoch {self.epoch} of at most {phase.epochs} of phase {self.phase + 1} ({phase.name})"


def fit(model: keras.Model, phases: Sequence[Phase], data: FitData, run: Run) -> None:
    """Train a model through all phases; it ends with the best weights.

    Args:
        model: from `models.builder.build_model`, giving logits.
        phases: of a strategy.
        data: pictures to train on and to choose the best weights by.
        run: where history and checkpoints go, and where an interrupted fit is found.
    """
    state = FitState.read(run)
    run.write_history([one for one in run.history if _is_finished(one, phases, state)])
    bare = keras.Model(model.inputs, model.outputs)  # without an optimizer: its weights file is the weights alone
    for number, phase in enumerate(phases):
        if number < state.phase or (number == state.phase and state.phase_done):
            continue
        continues = number == state.phase and state.weights is not None
        if not continues:
            if state.best_weights:
                bare.load_weights(run.checkpoints / state.best_weights)
            state.phase, state.epoch, state.phase_done = number, 0, False
            state.phase_best, state.waited = None, 0
        phase.prepare(model)
        _compile(model, phase, data.steps_per_epoch)
        if continues:
            model.load_weights(run.checkpoints / str(state.weights))
        _fit_phase(model, bare, phase, data, run, state)
    bare.load_weights(run.checkpoints / str(state.best_weights))


def _is_finished(record: dict[str, Any], phases: Sequence[Phase], state: FitState) -> bool:
    position = [phase.name for phase in phases].index(record["phase"])
    return (position, record["epoch"]) <= (state.phase, state.epoch)


def _compile(model: keras.Model, phase: Phase, steps_per_epoch: int) -> None:
    optimizer = warmup_cosine_adamw(
        learning_rate=phase.learning_rate,
        steps=phase.epochs * steps_per_epoch,
        warmup_steps=phase.warmup_epochs * steps_per_epoch,
        weight_decay=phase.weight_decay,
    )
    model.compile(optimizer, smoothed_cross_entropy(phase.label_smoothing), metrics=["accuracy"])
    optimizer.build(model.trainable_variables)


def _fit_phase(model: keras.Model, bare: keras.Model, phase: Phase, data: FitData, run: Run, state: FitState) -> None:
    phase_seed = data.seed * 1000 + state.phase
    stream = training_batches(
        data.loader,
        data.train,
        data.batch_size,
        augmentation=data.augmentation,
        seed=phase_seed,
        first_epoch=state.epoch,
        epochs=phase.epochs,
    )
    with progress() as bars:
        task = bars.add_task(
            phase.name.replace("_", "-"),
            total=phase.epochs * len(data.train),
            completed=state.epoch * len(data.train),
            note="",
        )
        model.fit(
            stream,
            initial_epoch=state.epoch,
            epochs=phase.epochs,
            steps_per_epoch=data.steps_per_epoch,
            validation_data=evaluation_batches(data.loader, data.validation, data.batch_size),
            class_weight=data.class_weights,
            verbose=0,
            shuffle=False,  # the stream is shuffled already
            callbacks=[
                _Reseed(phase_seed),
                _Checkpoint(bare, phase, run, state),
                _Bar(bars, task, phase, data),
            ],
        )
    state.phase_done = True
    _write_state(run, state)


class _Reseed(keras.callbacks.Callback):
    """Makes an epoch's dropout depend on its number, not on the epochs that this process happened to run before."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        reseed(self.model, self.seed + 100_000 * (epoch + 1))


class _Checkpoint(keras.callbacks.Callback):
    """Writes the history and the checkpoint of a finished epoch, keeps the best weights, and stops the phase early."""

    def __init__(self, bare: keras.Model, phase: Phase, run: Run, state: FitState) -> None:
        super().__init__()
        self.bare, self.phase, self.run, self.state = bare, phase, run, state

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs, state = logs or {}, self.state
        if not math.isfinite(logs["loss"] + logs["val_loss"]):
            option = f"--{self.phase.name}_learning_rate".replace("_", "-")
            raise UsageError(
                f"the loss is no longer a number in phase {self.phase.name}; start anew with a lower {option}"
            )
        seconds = time.perf_counter() - self.started
        state.epoch = epoch + 1
        name = f"{self.phase.name}-{state.epoch:03d}.weights.h5"
        score = (logs["val_accuracy"], -logs["val_loss"])
        if state.best is None or score > state.best:
            state.best, state.best_weights = score, f"best-{name}"
            self._save(self.bare, state.best_weights)
        improved = state.phase_best is None or score > state.phase_best
        state.phase_best = score if improved else state.phase_best
        state.waited = 0 if improved else state.waited + 1
        state.phase_done = state.epoch == self.phase.epochs or state.waited >= self.phase.patience
        state.weights = f"last-{name}"
        self._save(self.model, state.weights)
        self.run.write_history([*self.run.history, _record(self.phase.name, state.epoch, seconds, logs)])
        _write_state(self.run, state)
        self.model.stop_training = state.phase_done

    def _save(self, model: keras.Model, name: str) -> None:
        with written_whole(self.run.checkpoints / name) as temporary:
            model.save_weights(temporary)


def _record(phase: str, epoch: int, seconds: float, logs: dict[str, float]) -> dict[str, Any]:
    numbers = {name: round(logs[name], 6) for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    return {"phase": phase, "epoch": epoch, "seconds": round(seconds, 3), **numbers}


def _write_state(run: Run, state: FitState) -> None:
    """Make the checkpoint count, then remove those before it."""
    write_json(run.checkpoints / "state.json", asdict(state))
    for path in run.checkpoints.iterdir():
        if path.name not in ("state.json", run.starting_model.name, state.weights, state.best_weights):
            path.unlink()


class _Bar(keras.callbacks.Callback):
    """Moves a phase's progress bar, which counts pictures."""

    def __init__(self, bars: Any, task: Any, phase: Phase, data: FitData) -> None:
        super().__init__()
        self.bars, self.task, self.phase, self.data = bars, task, phase, data

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.start = epoch * len(self.data.train)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        done = min((batch + 1) * self.data.batch_size, len(self.data.train))
        self.bars.update(self.task, completed=self.start + done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        accuracy = (logs or {})["val_accuracy"]
        self.bars.update(self.task, note=f"epoch {epoch + 1}/{self.phase.epochs}, val. acc. {accuracy:.3f}")
