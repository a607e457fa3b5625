"""Loss, metrics, optimizer and callbacks of the caller, in place of those that a strategy has, or beside them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from app.interface.errors import UsageError
from app.interface.events import print_text
from app.runs.folder import RunFolder
from app.tasks.task import Task
from app.training.fit_data import FitData
from app.training.guarded import guarded
from app.training.objectives import Objective
from app.training.phases import Phase

_RECORD_FIELDS = ("phase", "epoch", "seconds", "finished", "loss")  # of the history
_LOGITS = "from_logits"


@dataclass(frozen=True)
class KerasObjects:
    """Keras objects of the caller, from `keras_objects`.

    Attributes:
        loss: from targets and logits, float32 (batch, outputs) each; None for the task's own.
        metrics: metrics of targets and predictions, which are recorded besides the task's own.
        optimizer: the optimizer that each phase begins with a copy of; None for the strategy's own.
        callbacks: called in each phase that is fitted in steps.
    """

    loss: Any = None
    metrics: tuple[Any, ...] = ()
    optimizer: Any = None
    callbacks: tuple[Any, ...] = ()

    @property
    def of_steps(self) -> list[str]:
        """Names of the objects that apply only to phases that are fitted in steps."""
        return [name for name in ("loss", "optimizer", "callbacks") if getattr(self, name)]

    def record(self) -> dict[str, Any]:
        """Return what a reader of the run has to know, by argument: class or function, and settings."""
        found: dict[str, Any] = {
            name: _described(one) for name in ("loss", "optimizer") if (one := getattr(self, name)) is not None
        }
        if self.metrics:
            found["metrics"] = [_described(one) | {"column": _column(one)} for one in self.metrics]
        if self.callbacks:
            found["callbacks"] = [{"name": _name(one)} for one in self.callbacks]
        return found

    def fitted_to(self, task: Task, outputs: int) -> KerasObjects:
        """Return the objects for a task, after they were tried out.

        Raises:
            UsageError: a metric has the name of another, or the loss or a metric fails on targets and logits of this form.
        """
        metrics = [_metric_of(one, task) for one in self.metrics]
        metrics = [one for one in metrics if one is not None]
        taken = [*_RECORD_FIELDS, task.metric]
        for column in map(_column, metrics):
            if column in taken:
                raise UsageError(f"two metrics have the name {column!r}; give yours another, with name=...")
            taken.append(column)
        found = replace(self, metrics=tuple(metrics))
        _try_out(found, outputs)
        return found

    def applied(self, phases: Sequence[Phase], run: RunFolder) -> list[Phase]:
        """Return the phases with these objects in place of their own, and the callbacks besides their own."""
        return [self._applied(phase, run) for phase in phases]

    def _applied(self, phase: Phase, run: RunFolder) -> Phase:
        changed = replace(
            phase,
            objective=lambda data: OwnObjective(phase.objective(data), self, data),
            callbacks=lambda: [*phase.callbacks(), *(guarded(one, run) for one in self.callbacks)],
        )
        if self.optimizer is None:
            return changed
        rate = "learning rate in optimizer="
        return replace(changed, optimizer=lambda model, steps: _copied(self.optimizer), rate_option=rate)

    def check_phases(self, phases: Sequence[Phase], *, cached: bool) -> None:
        """Print which phases the objects apply to, if not to all.

        Args:
            phases: of a strategy.
            cached: whether the frozen part runs once, so that a head with a solver is solved for.

        Raises:
            UsageError: no phase is fitted in steps.
        """
        solved = [phase.name for phase in phases if cached and phase.solver is not None]
        if not self.of_steps or not solved:
            return
        given = " and ".join(f"{name}=" for name in self.of_steps)
        fitted = [phase.name for phase in phases if phase.name not in solved]
        if not fitted:
            raise UsageError(
                f"{given} would change nothing: a linear head alone, on cached features, is solved for in closed form, not "
                "fitted in steps; add augment='live' or head='mlp', or choose strategy='two_phase'"
            )
        print_text(
            f"{given} apply to {' and '.join(fitted)}; {' and '.join(solved)} is solved for in closed form, by Graft's loss."
        )


class OwnObjective:
    """The objective of a phase with the loss and metrics of the caller."""

    def __init__(self, base: Objective, objects: KerasObjects, data: FitData) -> None:
        self.base, self.objects, self.data = base, objects, data
        self.targets, self.smoothed, self.linear_loss = base.targets, base.smoothed, base.linear_loss
        self.metric = base.metric

    def loss(self) -> Any:
        """Return the caller's loss, if there is one."""
        return self.base.loss() if self.objects.loss is None else self.objects.loss

    def more_metrics(self) -> list[Any]:
        """Return new metrics, of predictions in the units of the labels."""
        activate = keras.activations.get(self.data.task.output.activation)
        return [_OfPredictions(one, activate, self.data.scaling) for one in self.objects.metrics]

    def summed_loss(self, logits: np.ndarray, targets: np.ndarray) -> float:
        """See `Objective.summed_loss`."""
        if self.objects.loss is None:
            return self.base.summed_loss(logits, targets)
        return len(logits) * float(np.mean(self.objects.loss(targets, np.asarray(logits, np.float32))))


class _OfPredictions(keras.metrics.Metric):  # type: ignore[misc]  # Keras has no types
    """A metric of targets and predictions, updated with targets and the values of a model's last layer."""

    def __init__(
        self, metric: Any, activate: Callable[[Any], Any], scaling: tuple[np.ndarray, np.ndarray] | None
    ) -> None:
        super().__init__(name=_column(metric))
        self.inner = _new(metric)
        self.inner.reset_state()
        self.takes_logits = bool(_config(metric).get(_LOGITS))
        self.activate, self.scaling = activate, scaling

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Update the metric with the predictions for the values of the last layer, (batch, outputs)."""
        predictions = y_pred if self.takes_logits else self.activate(y_pred)
        if self.scaling is not None:
            y_true, predictions = (one * self.scaling[0] + self.scaling[1] for one in (y_true, predictions))
        self.inner.update_state(y_true, predictions, sample_weight=sample_weight)

    def result(self) -> Any:
        """Return the metric's value."""
        return self.inner.result()

    def reset_state(self) -> None:
        """Reset the metric."""
        self.inner.reset_state()


def keras_objects(
    *, loss: Any = None, metrics: Any = None, optimizer: Any = None, callbacks: Any = None
) -> KerasObjects | None:
    """Check the Keras objects of a caller.

    Args:
        loss: a `keras.losses.Loss`, the name of one, or a function of targets and logits.
        metrics: a sequence of `keras.metrics.Metric`, their names, or functions of targets and predictions.
        optimizer: a `keras.optimizers.Optimizer`, or the name of one.
        callbacks: a sequence of `keras.callbacks.Callback`.

    Returns:
        The objects; None if none is given.

    Raises:
        UsageError: an object is of another type, or takes targets of another form than one-hot.

    Examples:
        >>> keras_objects(loss="categorical_crossentropy").loss.from_logits  # as all losses here get logits
        True
        >>> keras_objects(optimizer=0.1)
        Traceback (most recent call last):
        app.interface.errors.UsageError: optimizer must be a keras.optimizers.Optimizer or the name of one, not 0.1
    """
    if not any(one is not None for one in (loss, metrics, optimizer, callbacks)):
        return None
    return KerasObjects(
        loss=None if loss is None else _loss(loss),
        metrics=tuple(map(_metric, _listed(metrics))),
        optimizer=None if optimizer is None else _optimizer(optimizer),
        callbacks=tuple(map(_callback, _listed(callbacks))),
    )


def _listed(given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    return given if isinstance(given, list | tuple) else [given]


def _found(what: str, meant: str, given: Any, get: Callable[[Any], Any]) -> Any:
    try:
        return get(given)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{what} must be {meant}, not {given!r}") from error


def _loss(given: Any) -> Any:
    meant = "a keras.losses.Loss, the name of one, or a function of targets and logits"
    found = _keras_class(_found("loss", meant, given, keras.losses.get), keras.losses)
    _refuse_sparse("loss", found)
    config = _config(found)
    return type(found).from_config(config | {_LOGITS: True}) if config.get(_LOGITS) is False else found


def _metric(given: Any) -> Any:
    if given in ("accuracy", "acc"):
        return given  # which it is depends on the task
    meant = "a list of keras.metrics.Metric, names of them, or functions of targets and predictions"
    found = _keras_class(_found("metrics", meant, given, keras.metrics.get), keras.metrics)
    _refuse_sparse("metrics", found)
    return found


def _metric_of(metric: Any, task: Task) -> Any:
    """Return the metric that "accuracy" stands for in a task, None if that one is recorded in any case; or the metric."""
    if not isinstance(metric, str):
        return metric
    if not task.decides:
        raise UsageError("metrics=['accuracy'] is for classes, and the labels are numbers; try 'mae'")
    return None if task.metric == "accuracy" else keras.metrics.BinaryAccuracy(name="accuracy")


def _optimizer(given: Any) -> Any:
    found = _found("optimizer", "a keras.optimizers.Optimizer or the name of one", given, keras.optimizers.get)
    if getattr(found, "_exclude_from_weight_decay", None):
        raise UsageError(
            "the optimizer excludes variables of another model from weight decay; name them instead, with "
            "exclude_from_weight_decay(var_names=...)"
        )
    try:
        _copied(found)
    except Exception as error:  # whatever its constructor raises
        raise UsageError(
            f"the optimizer cannot be copied for each phase: {error}; its get_config must return the arguments of __init__"
        ) from error
    return found


def _callback(given: Any) -> Any:
    if not isinstance(given, keras.callbacks.Callback):
        raise UsageError(f"callbacks must be a list of keras.callbacks.Callback, not {given!r}")
    return given


def _keras_class(found: Any, module: Any) -> Any:
    """Return an object of the class that stands for a function of Keras, such as `categorical_crossentropy`."""
    if not inspect.isfunction(found) or not found.__module__.startswith("keras."):
        return found
    plain = found.__name__.replace("_", "")
    kinds = [one for name, one in vars(module).items() if inspect.isclass(one) and name.lower() == plain]
    return kinds[0]() if kinds else found


def _refuse_sparse(what: str, found: Any) -> None:
    name = type(found).__name__
    if name.startswith("Sparse"):
        raise UsageError(
            f"{what}: {name} takes the numbers of classes, and targets here are one-hot; use {name.removeprefix('Sparse')}"
        )


def _try_out(objects: KerasObjects, outputs: int) -> None:
    """Call the loss and the metrics once, so that a mistake in them is found before anything is trained."""
    targets = np.eye(max(2, outputs), outputs, dtype=np.float32)
    logits = np.linspace(-1, 1, targets.size, dtype=np.float32).reshape(targets.shape)
    form = f"targets and values, both float32 {targets.shape}"
    if objects.loss is not None:
        losses = _called("loss", objects.loss, form, targets, logits)
        if not np.isfinite(losses).all():
            raise UsageError(f"loss {_name(objects.loss)} gives no finite number for {form}")
    for one in objects.metrics:
        _called("metric", _new(one), form, targets, np.abs(logits))


def _called(what: str, call: Callable[[Any, Any], Any], form: str, *values: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(call(*map(keras.ops.convert_to_tensor, values)))
    except Exception as error:  # of the user's code
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{what} {_name(call)} fails for {form}: {type(error).__name__}: {reason}") from error


def _copied(optimizer: Any) -> Any:
    """Return a new optimizer with the same settings."""
    copy = type(optimizer).from_config(optimizer.get_config())
    pattern = getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
    if pattern is not None:  # not in the settings
        copy.exclude_from_weight_decay(var_names=[pattern.pattern])
    return copy


def _new(metric: Any) -> Any:
    """Return a new metric of the same settings; one of the user's own, which may not tell its settings, itself."""
    if not isinstance(metric, keras.metrics.Metric):
        return keras.metrics.MeanMetricWrapper(metric, name=_name(metric))
    kind = type(metric)
    is_own = not kind.__module__.startswith("keras.") or kind is keras.metrics.MeanMetricWrapper
    return metric if is_own else type(metric).from_config(_config(metric))


def _column(metric: Any) -> str:
    """Return the name of a metric in the history, without the number that Keras adds to the second of a class."""
    if not isinstance(metric, keras.metrics.Metric):
        return metric if isinstance(metric, str) else _name(metric)
    plain = re.sub(r"_\d+$", "", metric.name)
    return plain if plain.replace("_", "") == _name(metric).lower() else str(metric.name)


def _config(one: Any) -> dict[str, Any]:
    try:
        return dict(one.get_config())
    except (AttributeError, NotImplementedError):  # a function, or a class of the user without one
        return {}


def _name(one: Any) -> str:
    return str(getattr(one, "__name__", type(one).__name__))


def _described(one: Any) -> dict[str, Any]:
    config = {name: value for name, value in _config(one).items() if name != "name"}  # which Keras numbers
    return {"name": one if isinstance(one, str) else _name(one), "config": config}
