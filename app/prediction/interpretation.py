"""The meaning of a model's outputs: probabilities of exclusive or independent classes, logits, or numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.exporting.description import LINEAR, SIGMOID, SOFTMAX, ModelDescription, ScoreCalibration
from app.tasks import TASKS, Task
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL

_ROUNDING = 1e-3  # of probabilities
_SUM_ROUNDING = 0.02  # of their sum, which 8-bit files round by more


@dataclass(frozen=True)
class Interpretation:
    """Interpreted outputs of a model for images.

    Attributes:
        names: a name for each class or number, as the model has them; some may be equal.
        values: float (n, classes): probabilities, or numbers.
        chosen: the predicted classes of each image, the likeliest first; empty for numbers.
        task: a key of `app.tasks.TASKS`.
        notes: what was inferred, in a few words each.
    """

    names: tuple[str, ...]
    values: np.ndarray
    chosen: tuple[tuple[int, ...], ...]
    task: str
    notes: tuple[str, ...] = ()


def interpret(raw: np.ndarray, about: ModelDescription, *, end: str | None, gives_numbers: bool) -> Interpretation:
    """Interpret a model's outputs, and choose the predicted classes.

    Args:
        raw: float (n, outputs), as the file returns them.
        about: description of the file; its names fit the outputs.
        end: kind of final activation, see `app.exporting.description`; None if unknown.
        gives_numbers: whether the file says that its outputs are numbers.

    Examples:
        >>> about = ModelDescription(names=("apple", "pear"))
        >>> interpret(np.array([[0.9, 0.1]]), about, end=SOFTMAX, gives_numbers=False).chosen
        ((0,),)
        >>> interpret(np.array([[0.9, 0.8]]), about, end=None, gives_numbers=False).task
        'multi_label'
    """
    kind, told = _kind(raw, end), REGRESSION if gives_numbers else about.task
    name, notes = _guess(raw, about, kind) if told is None else (told, ())
    task = TASKS[name]
    names = about.names or _numbered(task.labels.unit, raw)
    values = raw
    if task.decides:
        names, values, more = _probabilities(raw, about, names, kind, task)
        notes += more
    chosen = task.choose(values, thresholds_of(about, len(names)), about.score_threshold or 0.0)
    return Interpretation(names, values, tuple(chosen), name, notes)


def _guess(raw: np.ndarray, about: ModelDescription, kind: str) -> tuple[str, tuple[str, ...]]:
    """Return the task that outputs look like if no source states it, and notes about that guess."""
    if raw.shape[1] == 1:
        if kind == LINEAR and len(about.names or ()) != 2:
            what = "its one value is no probability, so it is shown as a number (--task single_label: a logit)"
            return REGRESSION, (what,)
        return SINGLE_LABEL, ()
    if _is_of_several(about):
        return MULTI_LABEL, ()
    if kind == SIGMOID:
        what = "each class has a probability by itself, so an image may have several (--task single_label: one)"
        return MULTI_LABEL, (what,)
    return SINGLE_LABEL, ()


def _kind(raw: np.ndarray, end: str | None) -> str:
    """Return SOFTMAX for values that add up to 1, SIGMOID for other values from 0 to 1, LINEAR for the rest."""
    if end in (SOFTMAX, SIGMOID):
        return end
    if raw.min() < -_ROUNDING or raw.max() > 1 + _ROUNDING:
        return LINEAR
    if raw.shape[1] > 1 and np.abs(raw.sum(axis=1) - 1).max() < _SUM_ROUNDING:
        return SOFTMAX
    return end or SIGMOID


def _numbered(what: str, raw: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{what} {label}" for label in range(raw.shape[1]))


def _probabilities(
    raw: np.ndarray, about: ModelDescription, names: tuple[str, ...], kind: str, task: Task
) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """Return the names of the classes, their probabilities, and notes on how they were computed."""
    if raw.shape[1] == 1 and task.labels.exclusive:
        return _of_one_output(raw, about, kind)
    values, notes = raw, []
    if kind == LINEAR:
        values = task.activate(raw)
        notes.append(f"its values are logits, made probabilities by a {task.output.activation}")
    if about.score_calibration is not None:
        values = _calibrated(raw, about.score_calibration)
    return names, values, tuple(notes)


def _of_one_output(
    raw: np.ndarray, about: ModelDescription, kind: str
) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """Return two classes: the single value is the second one's probability or logit."""
    named = about.names or ()
    names = named if len(named) == 2 else (f"not {named[0]}", *named) if named else ("negative", "positive")
    positive = _sigmoid(raw) if kind == LINEAR else raw
    note = f"its one value is the {'logit' if kind == LINEAR else 'probability'} of {names[1]!r}"
    if kind == SIGMOID and about.task is None:
        note += " (--task regression: a number)"
    return names, np.concatenate([1 - positive, positive], axis=1), (note,)


def thresholds_of(about: ModelDescription, classes: int) -> np.ndarray | None:
    """Return thresholds, (classes,), NaN for a class without one; None if there are none, or another number of them.

    Examples:
        >>> thresholds_of(ModelDescription(thresholds=(0.7, None)), 2)
        array([0.7, nan])
        >>> thresholds_of(ModelDescription(thresholds=(0.7, None)), 3) is None
        True
    """
    if about.thresholds is None or len(about.thresholds) != classes:
        return None
    return np.array([np.nan if one is None else float(one) for one in about.thresholds])


def _is_of_several(about: ModelDescription) -> bool:
    return about.thresholds is not None and None not in about.thresholds


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * logits))  # exp of large numbers would overflow


def _calibrated(scores: np.ndarray, by: ScoreCalibration) -> np.ndarray:
    """Calibrate scores as MediaPipe Tasks does; float (n, classes)."""
    found = np.full(scores.shape, by.default)
    for label, parameters in enumerate(by.parameters[: scores.shape[1]]):
        if parameters is None:
            continue
        scale, slope, offset, least = parameters
        score = scores[:, label].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = {"log": np.log(score), "inverse_logistic": np.log(score / (1 - score))}.get(
                by.transformation, score
            )
        found[:, label] = np.where(score >= least, scale * _sigmoid(slope * moved + offset), by.default)
    return found
