"""Carry out a strategy's phases: best weights by validation, early stopping, and a checkpoint after every epoch.

Order, augmentation and dropout depend only on the seed and the epoch, so a run that resumes from a checkpoint continues as if
it had not been interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import keras
import numpy as np

from app.interface.errors import UsageError
from app.interface.events import EpochEnded, emitter, print_text
from app.interface.stages import Stage, progress, status
from app.runs.folder import RunFolder
from app.tasks import Task
from app.training.activations import Extractor
from app.training.checkpoints import FitState, read_checkpoint, write_checkpoint
from app.training.devices import device_count, shared
from app.training.fit_data import FitData
from app.training.inputs import CachedInputs, Inputs, LiveInputs
from app.training.linear import LinearHead
from app.training.phases import Phase
from data.cache.activations import CacheFull
from data.cache.shards import MissingRows
from models.builder import reseed
from models.heads import rescale_outputs
from models.precision import mixed_precision
from models.splitting import split

LEAST_GAIN = 0.01  # of the validation loss, in the last epoch of a cycle, that justifies another cycle


class Fitted(NamedTuple):
    """Result of a fit, besides the model.

    Attributes:
        best: the record in `run.history` of the epoch whose weights the model has, without times.
        inputs: of the last phase; its model shares its layers with the fitted one.
    """

    best: dict[str, Any]
    inputs: Inputs


def fit(
    model: keras.Model,
    phases: Sequence[Phase],
    data: FitData,
    run: RunFolder,
    extractor: Extractor | None = None,
    *,
    precision: str | None = None,
) -> Fitted:
    """Train a model through all phases; it ends with the best weights, and predicts numbers in the units of the labels.

    Args:
        model: from `models.builder.build_model`.
        phases: of a strategy.
        data: images to train on, and to choose the best weights by.
        run: stores history and checkpoints, including those of an interrupted fit.
        extractor: runs the frozen part of the model once per image; None runs all of it in every epoch.
        precision: as for `models.precision.mixed_precision`, in phases that are fitted in steps.

    Returns:
        The best epoch, and the inputs of the last phase.

    Examples:
        >>> import numpy as np
        >>> from app.interface.events import listening
        >>> from app.training.objectives import LabelObjective
        >>> from app.training.schedules import cosine_adamw
        >>> from data.image.transform import ImageTransform
        >>> from data.loading import Loader
        >>> from data.sources import open_source
        >>> layers = [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, name="logits")]
        >>> phase = Phase("head", 2, 5, lambda model: None, cosine_adamw(0.1, epochs=2), LabelObjective)
        >>> loader, every = Loader(open_source("images"), ImageTransform(8, "stretch")), np.arange(24)
        >>> data = FitData(loader, train=every[::2], validation=every[1::2], batch_size=4, seed=0)
        >>> run = RunFolder.create({}, output="runs/new")
        >>> with listening([].append, alone=True):  # prints nothing
        ...     fitted = fit(keras.Sequential(layers), [phase], data, run)
        >>> [(record["phase"], record["epoch"]) for record in run.history]
        [('head', 1), ('head', 2)]
        >>> fitted.best["val_loss"] == min(record["val_loss"] for record in run.history)
        True
    """
    state, inputs = FitState.read(run), None
    run.write_history([one for one in run.history if _is_finished(one, phases, state)])
    for number, phase in enumerate(phases):
        if number < state.phase or (number == state.phase and state.phase_done):
            continue
        continues = number == state.phase and state.weights is not None
        if not continues and phase.goes_on and not improves(run.history):
            break
        if not continues:
            if state.best_weights:
                read_checkpoint(run, state.best_weights, model)
            state.phase, state.epoch, state.phase_done = number, 0, False
            state.phase_best, state.waited = None, 0
        inputs = _inputs_of(model, phases[number:], data, extractor)
        end = _EpochEnd(model, phase, run, state, data.task)
        if phase.solver is not None and isinstance(inputs, CachedInputs) and not continues:
            _solve(phase.solver, inputs, phase, end)
            continue
        with mixed_precision(inputs.model, precision):
            optimizer = _compile(inputs, model, phase)
            if continues:
                read_checkpoint(run, str(state.weights), model, optimizer)
            _fit_phase(inputs, phase, data, end)
    inputs = inputs or _inputs_of(model, [phases[state.phase]], data, extractor)  # resumed after the last epoch
    read_checkpoint(run, str(state.best_weights), model)
    if data.scaling is not None:
        rescale_outputs(model, *data.scaling)
    best = next(one for one in run.history if _file_of(one["phase"], one["epoch"]) == state.best_weights)
    return Fitted({name: value for name, value in best.items() if name not in ("seconds", "finished")}, inputs)


def check_mixing(model: keras.Model, phases: Sequence[Phase], *, mixup: float, cutmix: float, cached: bool) -> None:
    """Refuse MixUp or CutMix if no phase has anything to mix.

    Args:
        model: model to train; it is left as the last phase prepares it.
        phases: of a strategy.
        mixup: as for `mixed`.
        cutmix: as for `mixed`.
        cached: whether the frozen part runs once, so that a phase may train on features.

    Raises:
        UsageError: every phase solves for a linear head, or applies only CutMix to features.

    Examples:
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve
        >>> from app.training.strategies import STRATEGIES
        >>> from models.backbones import find_backbone
        >>> from models.builder import build_model
        >>> config = load_config(RunFolder.open("runs/fruit").options)
        >>> plan, spec = resolve(config, train_size=18, blocks=3, image_size=32), find_backbone(config.backbone)
        >>> phases = STRATEGIES["feature_extraction"].phases(plan, spec)
        >>> model = build_model(spec, num_classes=3, weights="none")
        >>> check_mixing(model, phases, mixup=0.2, cutmix=0.0, cached=False) is None
        True
        >>> check_mixing(model, phases, mixup=0.2, cutmix=0.0, cached=True)
        Traceback (most recent call last):
        app.interface.errors.UsageError: --mixup would change nothing: a head alone, on cached features, is solved for, not ...
    """
    if not cached or not (mixup or cutmix):
        return
    for phase in phases:
        phase.trainable(model)
        bottom, top = split(model)
        if not bottom.weights or (phase.solver is None and (mixup or len(top.input_shape) == 4)):
            return
    given = " and ".join(option for option, value in (("--mixup", mixup), ("--cutmix", cutmix)) if value)
    reason = "is solved for, not trained in steps" if phases[-1].solver is not None else "has no room for a box"
    raise UsageError(
        f"{given} would change nothing: a head alone, on cached features, {reason}; "
        "add --augment live, or choose --strategy two_phase"
    )


def improves(history: Sequence[dict[str, Any]]) -> bool:
    """Return whether the validation loss was still falling when training reached its last epoch.

    The last epoch must be the best so far, and better by `LEAST_GAIN` than the one before, although its learning rate is close
    to zero.

    Args:
        history: records of all finished epochs.

    Examples:
        >>> improves([{"val_loss": 0.5}, {"val_loss": 0.4}])
        True
        >>> improves([{"val_loss": 0.5}, {"val_loss": 0.499}])
        False
    """
    losses = [one["val_loss"] for one in history]
    return len(losses) > 1 and losses[-1] == min(losses) and losses[-1] <= losses[-2] * (1 - LEAST_GAIN)


def _is_finished(record: dict[str, Any], phases: Sequence[Phase], state: FitState) -> bool:
    position = [phase.name for phase in phases].index(record["phase"])
    return (position, record["epoch"]) <= (state.phase, state.epoch)


def _inputs_of(
    model: keras.Model, phases: Sequence[Phase], data: FitData, extractor: Extractor | None
) -> CachedInputs | LiveInputs:
    """Prepare a model for the first of the phases, and return the inputs of that phase."""
    objective = phases[0].objective(data)
    bottoms: list[keras.Model] = []
    for phase in reversed(phases):  # the first comes last, so that the model is left as that phase prepares it
        phase.trainable(model)
        if extractor is not None:
            bottom, top = split(model)
            bottoms.insert(0, bottom)
    if extractor is None or not bottom.weights:
        return LiveInputs(model, data, objective)
    bottoms = [one for one in bottoms if one.weights]
    # Extract for later phases in the same pass if there is room; if their bottoms change until then, extract again.
    for together, views in product((bottoms, bottoms[:1]), range(data.views, 0, -1)):
        try:
            rows = extractor.rows(bottom, together, replace(data, views=views).all_views)
            return CachedInputs(top, data, objective, *rows)
        except (CacheFull, MissingRows) as error:
            reason = error
    print_text(f"Training phase {phases[0].name} without the cache, which takes longer: {reason}.")
    return LiveInputs(model, data, objective)


def _solve(solver: Callable[[CachedInputs], LinearHead], inputs: CachedInputs, phase: Phase, end: _EpochEnd) -> None:
    """Solve for a head on features: all epochs of its phase at once."""
    end.begin()
    with status("fitting the head"):
        head = solver(inputs)
    inputs.model.layers[-1].set_weights([head.kernel, head.bias])
    figures = inputs.figures(head.logits)
    end.finish(1, figures)
    end.finish_phase()
    metric = end.task.metric
    print_text(f"{phase.name:<10} solved for: validation {metric} {figures[f'val_{metric}']:.3f}.")


def _compile(inputs: CachedInputs | LiveInputs, model: keras.Model, phase: Phase) -> keras.Optimizer:
    """Compile the trained part, and return its optimizer, whose variables are those of the whole model, wherever it is cut."""
    steps, objective = inputs.data.steps_per_epoch, inputs.objective
    metrics = [objective.metric(), *objective.more_metrics()]
    # A step of a head alone is shorter than Keras' own overhead, so an epoch is a single call there; Keras 3.15 fails at that
    # with several devices.
    is_head = isinstance(inputs, CachedInputs) and inputs.are_features
    at_once = steps if is_head and device_count() == 1 else 1
    inputs.model.compile(phase.optimizer(model, steps), objective.loss(), metrics=metrics, steps_per_execution=at_once)
    optimizer = inputs.model.optimizer  # wrapped by Keras in float16
    optimizer.build(model.trainable_variables)
    return optimizer


def _fit_phase(inputs: CachedInputs | LiveInputs, phase: Phase, data: FitData, end: _EpochEnd) -> None:
    state, phase_seed = end.state, data.phase_seed(end.state.phase)
    with progress(phase.name.replace("_", "-"), done=state.epoch * len(data.train)) as stage:
        while not state.phase_done:
            last = phase.epochs * (state.epoch // phase.epochs + 1)  # of the cycle
            stage.update(total=last * len(data.train))
            inputs.model.fit(
                shared(inputs.model, inputs.training(phase_seed, state.epoch, last), weighted=True),
                initial_epoch=state.epoch,
                epochs=last,
                steps_per_epoch=data.steps_per_epoch,
                validation_data=shared(inputs.model, inputs.validation()),
                validation_steps=data.validation_steps,
                verbose=0,
                shuffle=False,  # the stream is shuffled already
                callbacks=[_Reseed(phase_seed), *phase.callbacks(), _Checkpoint(end), _Progress(stage, last, data)],
            )
    end.finish_phase()


class _Reseed(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Makes an epoch's dropout depend on its number, not on how many epochs this process has run."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        reseed(self.model, self.seed + 100_000 * (epoch + 1))


class _EpochEnd:
    """Writes the history and the checkpoint of a finished epoch, keeps the best weights, and ends the phase early."""

    def __init__(self, model: keras.Model, phase: Phase, run: RunFolder, state: FitState, task: Task) -> None:
        self.model, self.phase, self.run, self.state, self.task = model, phase, run, state, task

    def begin(self) -> None:
        """Start the clock of an epoch."""
        self.started = time.perf_counter()

    def finish(
        self, epoch: int, logs: dict[str, Any], optimizer: keras.Optimizer | None = None, *, stopped: bool = False
    ) -> None:
        """Record that `epoch` epochs of the phase are finished.

        Args:
            epoch: number of finished epochs.
            logs: the loss, the task's metric and more, and the same with the prefix `val_`.
            optimizer: optimizer with which the phase continues; None if there is nothing to continue.
            stopped: a callback ends the phase.
        """
        state = self.state
        if not math.isfinite(logs["loss"] + logs["val_loss"]):
            raise UsageError(
                f"the loss is no longer a number in phase {self.phase.name}; start again with a lower "
                f"{self.phase.rate_option}"
            )
        seconds = time.perf_counter() - self.started
        state.epoch = epoch
        file = _file_of(self.phase.name, epoch)
        score = (logs[f"val_{self.task.metric}"], -logs["val_loss"])
        if state.best is None or score > state.best:
            state.best, state.best_weights = score, file
        improved = state.phase_best is None or score > state.phase_best
        state.phase_best = score if improved else state.phase_best
        state.waited = 0 if improved else state.waited + 1
        self.run.write_history(
            [*self.run.history, _record(self.phase.name, state.epoch, seconds, logs, self.task.metric)]
        )
        state.phase_done = optimizer is None or stopped or state.waited >= self.phase.patience
        if state.epoch % self.phase.epochs == 0 and not state.phase_done:
            cycle = state.epoch // self.phase.epochs
            state.phase_done = cycle == self.phase.cycles or not improves(self.run.history)
            state.waited = 0  # the learning rate rises again
        if optimizer is not None:
            state.weights = file
        if file in (state.weights, state.best_weights):
            write_checkpoint(self.run, file, self.model, optimizer)
        state.write(self.run)
        history = self.run.history
        emitter()(EpochEnded(len(history), history[-1]))

    def finish_phase(self) -> None:
        """Record that the phase is finished."""
        self.state.phase_done = True
        self.state.write(self.run)


class _Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Calls `_EpochEnd` from Keras' training loop."""

    def __init__(self, end: _EpochEnd) -> None:
        super().__init__()
        self.end = end

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.end.begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.end.finish(epoch + 1, logs or {}, self.model.optimizer, stopped=self.model.stop_training)
        self.model.stop_training = self.end.state.phase_done


def _file_of(phase: str, epoch: int) -> str:
    """Return the file name of the checkpoint after an epoch."""
    return f"{phase}-{epoch:03d}.npz"


def _record(phase: str, epoch: int, seconds: float, logs: dict[str, Any], metric: str) -> dict[str, Any]:
    names = dict.fromkeys(["loss", metric, "val_loss", f"val_{metric}", *logs])
    numbers = {name: np.round(np.asarray(logs[name], np.float64), 6).tolist() for name in names}
    return {"phase": phase, "epoch": epoch, "seconds": round(seconds, 3), "finished": round(time.time(), 3), **numbers}


class _Progress(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Reports the progress of a phase, in images."""

    def __init__(self, stage: Stage, epochs: int, data: FitData) -> None:
        super().__init__()
        self.stage, self.epochs, self.data = stage, epochs, data

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.start = epoch * len(self.data.train)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        done = min((batch + 1) * self.data.batch_size, len(self.data.train))
        self.stage.update(done=self.start + done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        metric = self.data.task.metric
        reached = float((logs or {})[f"val_{metric}"])
        self.stage.update(note=f"epoch {epoch + 1}/{self.epochs}, val. {metric} {reached:.3f}")
