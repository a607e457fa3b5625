"""What the values at the end of a model mean: probabilities of classes or of each label by itself, logits, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.evaluation.thresholds import decide
from app.exporting.description import LINEAR, SIGMOID, SOFTMAX, ModelDescription, ScoreCalibration
from data.pictures import MULTI_LABEL, REGRESSION, SINGLE_LABEL

_ROUNDING = 1e-3  # of values that are probabilities
_SUM_ROUNDING = 0.02  # of their sum, which 8-bit files round by more
_HALF = 0.5


@dataclass(frozen=True)
class Answers:
    """What a model says of images.

    Attributes:
        names: one a class, or a number; as the model has them, so that some may be the same.
        values: float (n, classes): probabilities, or numbers.
        chosen: the classes that each image is answered with, the likeliest first; none where answers are numbers.
        task: one of `data.pictures.TASKS`.
        notes: what was inferred, in a few words each.
    """

    names: tuple[str, ...]
    values: np.ndarray
    chosen: tuple[tuple[int, ...], ...]
    task: str
    notes: tuple[str, ...] = ()


def interpret(raw: np.ndarray, about: ModelDescription, *, end: str | None, gives_numbers: bool) -> Answers:
    """Find out what a model's values mean, and which classes they answer with.

    Args:
        raw: float (n, outputs), as the file gives them.
        about: what is known of the file; its names fit the outputs.
        end: how the network ends, see `app.exporting.description`; None where nobody knows.
        gives_numbers: the file says so.
    """
    if gives_numbers or about.task == REGRESSION:
        return _numbers(raw, about)
    kind = _kind(raw, end)
    if raw.shape[1] == 1 and about.task != MULTI_LABEL:
        return _of_one_output(raw, about, kind)
    several = about.task == MULTI_LABEL or (about.task is None and (_is_of_several(about) or kind == SIGMOID))
    values, notes = raw, []
    if kind == LINEAR:
        values = _sigmoid(raw) if several else _softmax(raw)
        notes.append(f"its values are logits, made probabilities by a {SIGMOID if several else SOFTMAX}")
    elif several and about.task is None and not _is_of_several(about):
        notes.append("each class has a probability by itself, so an image may have several (--task single_label: one)")
    if about.score_calibration is not None:
        values = _calibrated(raw, about.score_calibration)
    return _classes(values, about, about.names or _numbered("class", raw), several, notes)


def _kind(raw: np.ndarray, end: str | None) -> str:
    """SOFTMAX for values that add up to 1, SIGMOID for others from 0 to 1, LINEAR for the rest."""
    if end in (SOFTMAX, SIGMOID):
        return end
    if raw.min() < -_ROUNDING or raw.max() > 1 + _ROUNDING:
        return LINEAR
    if raw.shape[1] > 1 and np.abs(raw.sum(axis=1) - 1).max() < _SUM_ROUNDING:
        return SOFTMAX
    return end or SIGMOID


def _numbers(raw: np.ndarray, about: ModelDescription, *notes: str) -> Answers:
    names = about.names or _numbered("number", raw)
    return Answers(names, raw, ((),) * len(raw), REGRESSION, notes)


def _numbered(what: str, raw: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{what} {label}" for label in range(raw.shape[1]))


def _of_one_output(raw: np.ndarray, about: ModelDescription, kind: str) -> Answers:
    """Two classes, of which the value is the second one's probability or logit; or a number."""
    named = about.names or ()
    names = named if len(named) == 2 else (f"not {named[0]}", *named) if named else ("negative", "positive")
    if kind == LINEAR and about.task is None and len(named) != 2:
        what = "its one value is no probability, so it is shown as a number (--task single_label: a logit)"
        return _numbers(raw, about, what)
    positive = _sigmoid(raw) if kind == LINEAR else raw
    notes = [f"its one value is the {'logit' if kind == LINEAR else 'probability'} of {names[1]!r}"]
    if kind == SIGMOID and about.task is None:
        notes[0] += " (--task regression: a number)"
    return _classes(np.concatenate([1 - positive, positive], axis=1), about, names, False, notes)


def _classes(
    values: np.ndarray, about: ModelDescription, names: Sequence[str], several: bool, notes: Sequence[str]
) -> Answers:
    least = about.score_threshold or 0.0
    thresholds = _thresholds(about, len(names))
    order = np.argsort(-values, axis=1, kind="stable")
    if several:
        limits = np.full(len(names), least or _HALF) if thresholds is None else np.fmax(thresholds, least)
        chosen = [tuple(label for label in row if values[i, label] >= limits[label]) for i, row in enumerate(order)]
    else:
        decisive = thresholds is not None and len(names) == 2 and np.isfinite(thresholds).sum() == 1
        decided = decide(values, thresholds if decisive else None).tolist()
        chosen = [(label,) if values[i, label] >= least else () for i, label in enumerate(decided)]
    plain = tuple(tuple(map(int, row)) for row in chosen)
    return Answers(tuple(names), values, plain, MULTI_LABEL if several else SINGLE_LABEL, tuple(notes))


def _thresholds(about: ModelDescription, classes: int) -> np.ndarray | None:
    """(classes,), NaN for those without one; None where there are none, or of another number of classes."""
    if about.thresholds is None or len(about.thresholds) != classes:
        return None
    return np.array([np.nan if one is None else float(one) for one in about.thresholds])


def _is_of_several(about: ModelDescription) -> bool:
    return about.thresholds is not None and None not in about.thresholds


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * logits))  # exp of large numbers would overflow


def _calibrated(scores: np.ndarray, by: ScoreCalibration) -> np.ndarray:
    """As MediaPipe Tasks calibrates; float (n, classes)."""
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
