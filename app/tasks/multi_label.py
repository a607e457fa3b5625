"""Task: any number of classes a picture, each a yes or no of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from app.evaluation.calibration import ANY_CLASSES
from app.evaluation.metrics import measure_multi_label
from app.evaluation.thresholds import best_f1_threshold, threshold_for
from app.tasks.task import Goal, Metrics, Task, interval, mean_interval
from data.pictures import UNKNOWN

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

# A probability so close to its threshold is as good on the other side of it, but no further than a tenth of the way to 0 or 1:
# many classes have low thresholds, which all of their probabilities are near.
TIE = 0.01
TIE_OF_THRESHOLD = 0.1


def _new_metric(outputs: int) -> keras.metrics.Metric:
    from models.objectives import KnownPrecision

    return KnownPrecision(outputs)


def _loss(label_smoothing: float) -> keras.losses.Loss:
    from models.objectives import KnownCrossentropy

    return KnownCrossentropy(label_smoothing)


def _targets(labels: np.ndarray, outputs: int) -> np.ndarray:
    """NaN is unknown: smoothed or mixed with others, it stays so."""
    return np.where(labels == UNKNOWN, np.nan, labels).astype(np.float32)


def _smooth(targets: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * targets + share / 2


def _linear_loss(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(targets)
    losses = np.logaddexp(0, logits) - targets * logits
    return np.where(known, losses, 0.0).sum(axis=1), np.where(known, expit(logits) - targets, 0.0)


def _choose_thresholds(probabilities: np.ndarray, labels: np.ndarray, goal: Goal) -> np.ndarray:
    def choose(probabilities: np.ndarray, truth: np.ndarray) -> float:
        if goal.precision is None and goal.recall is None:
            return best_f1_threshold(probabilities, truth)
        if not truth.any():
            return 0.5
        return threshold_for(probabilities, truth, precision=goal.precision, recall=goal.recall)

    known = labels != UNKNOWN
    every = zip(probabilities.T, labels.T, known.T, strict=True)
    return np.array([choose(answers[some], label[some] > 0.5) for answers, label, some in every])


def _highlights(test: Metrics) -> list[tuple[str, str]]:
    low, high = test["map_ci95"]
    unknown = f" ({test['unknown']:,} unknown labels left out)" if "unknown" in test else ""
    return [
        (
            f"{100 * test['map']:.1f} %",
            f"mean average precision of {test['n']} test pictures{unknown}, 95 % interval {100 * low:.1f} – {100 * high:.1f} %",
        ),
        (f"{test['macro_f1']:.3f}", "macro F1"),
        (f"{100 * test['accuracy']:.1f} %", "of the pictures with all classes right"),
    ]


def _details(test: Metrics) -> tuple[Sequence[str], list[Sequence[Any]]]:
    names = sorted(test["classes"], key=lambda name: test["classes"][name]["f1"])
    keys = ("average_precision", "threshold", "precision", "recall", "f1")
    rows: list[Sequence[Any]] = [
        (name, one["n"], *(f"{one[key]:.3f}" for key in keys)) for name in names for one in [test["classes"][name]]
    ]
    return ("class", "pictures", "average precision", "threshold", "precision", "recall", "F1"), rows


def _figures(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: np.ndarray
) -> dict[str, Figure]:
    from app.evaluation import plots

    return {"precision_recall": plots.precision_recall(probabilities, labels, class_names, thresholds)}


def _caption(
    probabilities: np.ndarray, label: np.ndarray, class_names: Sequence[str], thresholds: np.ndarray
) -> tuple[str, bool]:
    from app.evaluation.plots import short

    decided, truth = (probabilities >= thresholds) & (label != UNKNOWN), label > 0.5

    def names(chosen: np.ndarray) -> str:
        return short(", ".join(class_names[one] for one in np.flatnonzero(chosen).tolist()) or "none", 28)

    return (names(decided), True) if (decided == truth).all() else (f"{names(decided)}\nis {names(truth)}", False)


def _surprise(probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    known = labels != UNKNOWN
    wrong = known & ((probabilities >= thresholds) != (labels > 0.5))
    distance = np.abs(probabilities - thresholds)
    nearest = np.where(known, distance, 1.0).min(axis=1)
    return np.where(wrong.any(axis=1), 1 + (distance * wrong).max(axis=1), 1 - nearest)


def _agreement(
    answers: np.ndarray,
    expected: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    thresholds: np.ndarray,
    _: None = None,
) -> Metrics:
    """See `app.exporting.parity.agreement`.

    `decision_agreement` is of pictures with the same yes and no, near ties aside; `strict_yes_agreement` is the part of the
    yes answers of either, near ties or not, that both give.
    """
    truth, known = labels > 0.5, labels != UNKNOWN
    decided, expected_decided = answers >= thresholds, expected >= thresholds
    right, expected_right = (decided == truth) & known, (expected_decided == truth) & known
    difference = np.abs(answers - expected).max(axis=1)
    lost = (expected_right.sum(axis=1) - right.sum(axis=1)) / (known.sum() / len(known))  # of a picture's yes and no
    ties = np.minimum(TIE, TIE_OF_THRESHOLD * np.minimum(thresholds, 1 - thresholds))
    same = (decided == expected_decided) | (np.abs(expected - thresholds) <= ties)
    either, both = (decided | expected_decided).sum(), (decided & expected_decided).sum()
    per_class = (expected_right.sum(axis=0) - right.sum(axis=0)) / np.maximum(known.sum(axis=0), 1)
    drops = dict(zip(class_names, per_class.tolist(), strict=True))
    losing = sorted((name for name in drops if drops[name] > 0), key=lambda name: -drops[name])
    return {
        "label_accuracy": float(right[known].mean()),
        "keras_label_accuracy": float(expected_right[known].mean()),
        "label_accuracy_drop": float(lost.mean()),
        "label_accuracy_drop_ci95": mean_interval(lost),
        "decision_agreement": float(same.all(axis=1).mean()),
        "strict_yes_agreement": float(both / either) if either else 1.0,
        "compared_answers": int(either),
        "max_probability_difference": float(difference.max()),
        "mean_probability_difference": float(difference.mean()),
        "class_drops": {name: drops[name] for name in losing},
    }


MULTI_LABEL_TASK = Task(
    description="any number of classes a picture",
    metric="map",
    new_metric=_new_metric,
    loss=_loss,
    targets=_targets,
    smooth=_smooth,
    linear_loss=_linear_loss,
    averages_outputs=True,
    calibrator=ANY_CLASSES,
    choose_thresholds=_choose_thresholds,
    measure=measure_multi_label,
    columns={
        "mAP": lambda one: f"{one['map']:.3f}",
        "95 % interval": lambda one: interval(one["map_ci95"]),
        "macro F1": lambda one: f"{one['macro_f1']:.3f}",
        "micro F1": lambda one: f"{one['micro_f1']:.3f}",
        "all classes right": lambda one: f"{one['accuracy']:.3f}",
        "log loss": lambda one: f"{one['log_loss']:.3f}",
        "calibration error": lambda one: f"{one['ece']:.3f}",
    },
    highlights=_highlights,
    details=_details,
    figures=_figures,
    caption=_caption,
    surprise=_surprise,
    score="label_accuracy",
    score_title="right yes or no",
    agreement=_agreement,
    same_answer="decision_agreement",
    strictly_same="strict_yes_agreement",
    strict_text="differs from the Keras model in {} of {} yes answers",
    difference="max_probability_difference",
)
