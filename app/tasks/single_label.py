"""Task: one class a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax

from app.evaluation.calibration import ONE_CLASS
from app.evaluation.metrics import measure_single_label
from app.evaluation.thresholds import decide, threshold_for
from app.tasks.task import Goal, Metrics, Task, interval, paired_interval

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

# A class whose probability is so close to the best one's, or to its threshold, is as good an answer: at most a tenth of what
# chance gives each class, since of a thousand classes all may be within a hundredth of the best.
TIE = 0.01
TIE_OF_CHANCE = 0.1
TOP = 5


def _new_metric(_: int) -> keras.metrics.Metric:
    import keras

    return keras.metrics.CategoricalAccuracy(name="accuracy")


def _loss(label_smoothing: float) -> keras.losses.Loss:
    import keras

    return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)


def _targets(labels: np.ndarray, outputs: int) -> np.ndarray:
    return (labels[:, None] == np.arange(outputs)).astype(np.float32)


def _smooth(targets: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * targets + share / targets.shape[1]


def _linear_loss(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logs = log_softmax(logits, axis=1)
    return -(targets * logs).sum(axis=1), np.exp(logs) - targets


def _choose_thresholds(probabilities: np.ndarray, labels: np.ndarray, goal: Goal) -> np.ndarray | None:
    if goal.precision is None and goal.recall is None:
        return None
    positive = list(goal.class_names).index(goal.positive) if goal.positive else 1
    thresholds = np.full(2, np.nan)
    thresholds[positive] = threshold_for(
        probabilities[:, positive],
        labels == positive,
        precision=goal.precision,
        recall=goal.recall,
    )
    return thresholds


def _highlights(test: Metrics) -> list[tuple[str, str]]:
    low, high = test["accuracy_ci95"]
    return [
        (
            f"{100 * test['accuracy']:.1f} %",
            f"test accuracy of {test['n']} pictures, 95 % interval {100 * low:.1f} – {100 * high:.1f} %",
        ),
        (f"{test['macro_f1']:.3f}", "macro F1"),
        (f"{test['ece']:.3f}", "calibration error"),
    ]


def details_of_classes(test: Metrics) -> tuple[Sequence[str], list[Sequence[Any]]]:
    """Precision, recall and F1 of each class, the weakest first."""
    names = sorted(test["classes"], key=lambda name: test["classes"][name]["f1"])
    rows: list[Sequence[Any]] = [
        (name, one["n"], *(f"{one[key]:.3f}" for key in ("precision", "recall", "f1")))
        for name in names
        for one in [test["classes"][name]]
    ]
    return ("class", "pictures", "precision", "recall", "F1"), rows


def _figures(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: np.ndarray | None
) -> dict[str, Figure]:
    from sklearn.metrics import confusion_matrix

    from app.evaluation import plots

    counts = confusion_matrix(labels, decide(probabilities, thresholds), labels=range(len(class_names)))
    return {"confusion": plots.confusion(counts, class_names)}


def _caption(
    probabilities: np.ndarray, label: int, class_names: Sequence[str], thresholds: np.ndarray | None
) -> tuple[str, bool]:
    from app.evaluation.plots import short

    best = int(decide(probabilities[None], thresholds)[0])
    text = f"{short(class_names[best])}: {probabilities[best]:.0%}"
    return (text, True) if best == label else (f"{text}\nis {short(class_names[label])}", False)


def _surprise(probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    sureness = probabilities.max(axis=1)
    return np.where(decide(probabilities, thresholds) == labels, 1 - sureness, 1 + sureness)


def _agreement(
    answers: np.ndarray,
    expected: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    thresholds: Any,
    _: None = None,
) -> Metrics:
    """See `app.exporting.parity.agreement`; `top1_agreement` is near ties aside."""
    decided, expected_decided = decide(answers, thresholds), decide(expected, thresholds)
    right, expected_right = decided == labels, expected_decided == labels
    difference = np.abs(answers - expected).max(axis=1)
    lost = expected_right.astype(float) - right
    present = np.unique(labels)
    drops = {class_names[label]: float(lost[labels == label].mean()) for label in present}
    losing = sorted((name for name in drops if drops[name] > 0), key=lambda name: -drops[name])
    return {
        "accuracy": float(right.mean()),
        "keras_accuracy": float(expected_right.mean()),
        "accuracy_drop": float(lost.mean()),
        "accuracy_drop_ci95": paired_interval(lost),
        "top1_agreement": float(((decided == expected_decided) | _is_tie(expected, decided, thresholds)).mean()),
        "strict_top1_agreement": float((decided == expected_decided).mean()),
        "compared_answers": len(decided),
        **_top_agreement(answers, expected),
        "max_probability_difference": float(difference.max()),
        "mean_probability_difference": float(difference.mean()),
        "class_drops": {name: drops[name] for name in losing},
    }


def _top_agreement(answers: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """For how many pictures the same `TOP` classes are the likeliest; nothing where there are no others."""
    if answers.shape[1] <= TOP:
        return {}
    found, wanted = (np.sort(np.argsort(-one, axis=1, kind="stable")[:, :TOP], axis=1) for one in (answers, expected))
    return {"top5_agreement": float((found == wanted).all(axis=1).mean())}


def _is_tie(expected: np.ndarray, decided: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """Whether another class than the expected one is as good an answer, bool (n,)."""
    if thresholds is not None:
        return (np.abs(expected - thresholds) <= TIE).any(axis=1)  # NaN, of the other class, is not
    tie = min(TIE, TIE_OF_CHANCE / expected.shape[1])
    return np.take_along_axis(expected, decided[:, None], axis=1)[:, 0] >= expected.max(axis=1) - tie


SINGLE_LABEL_TASK = Task(
    description="one class a picture",
    metric="accuracy",
    new_metric=_new_metric,
    loss=_loss,
    targets=_targets,
    smooth=_smooth,
    linear_loss=_linear_loss,
    averages_outputs=False,
    calibrator=ONE_CLASS,
    choose_thresholds=_choose_thresholds,
    measure=measure_single_label,
    columns={
        "accuracy": lambda one: f"{one['accuracy']:.3f}",
        "95 % interval": lambda one: interval(one["accuracy_ci95"]),
        "balanced accuracy": lambda one: f"{one['balanced_accuracy']:.3f}",
        "macro F1": lambda one: f"{one['macro_f1']:.3f}",
        "log loss": lambda one: f"{one['log_loss']:.3f}",
        "calibration error": lambda one: f"{one['ece']:.3f}",
    },
    highlights=_highlights,
    details=details_of_classes,
    figures=_figures,
    caption=_caption,
    surprise=_surprise,
    score="accuracy",
    score_title="accuracy",
    agreement=_agreement,
    same_answer="top1_agreement",
    strictly_same="strict_top1_agreement",
    strict_text="names another class than the Keras model for {} of {} images",
    difference="max_probability_difference",
)
