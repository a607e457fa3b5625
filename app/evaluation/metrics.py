"""Metrics of a model's predictions, as numbers only: one function per task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.evaluation.calibration import ANY_CLASSES, ONE_CLASS, calibration_error
from app.evaluation.thresholds import decide
from data.labels import UNKNOWN

RESAMPLES = 200  # of a bootstrap: the interval is accurate to about a tenth of its width


def measure_single_label(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: np.ndarray | None = None
) -> dict[str, Any]:
    """Compute the metrics of a single-label classifier.

    Args:
        probabilities: float (n, classes), rows that sum to 1.
        labels: int (n,).
        class_names: a name for each label.
        thresholds: see `app.evaluation.thresholds.decide`.

    Returns:
        `n`; `accuracy` with `accuracy_ci95`, its Wilson score interval (Wilson 1927); `balanced_accuracy` and `macro_f1`,
        over the classes that have examples; `log_loss` in nats; `ece`, the expected calibration error (see
        `app.evaluation.calibration.calibration_error`); `classes`, by name, with n, precision, recall and f1; and `confusion`,
        counts by true class (rows) and predicted class (columns).

    Examples:
        >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4]])
        >>> metrics = measure_single_label(probabilities, np.array([0, 1]), ["apple", "pear"])
        >>> metrics["accuracy"], metrics["confusion"]
        (0.5, [[1, 0], [1, 0]])
        >>> thresholds = np.array([np.nan, 0.3])
        >>> measure_single_label(probabilities, np.array([0, 1]), ["apple", "pear"], thresholds)["accuracy"]
        1.0
    """
    from sklearn.metrics import confusion_matrix, f1_score, log_loss, precision_recall_fscore_support

    predicted = decide(probabilities, thresholds)
    every = range(len(class_names))
    clipped = np.clip(probabilities.astype(np.float64), 1e-12, 1.0)
    per_class = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    present = np.unique(labels)
    return {
        "n": len(labels),
        **_accuracy(predicted == labels),
        "balanced_accuracy": float(np.mean(per_class[1][present])),
        "macro_f1": float(f1_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        "log_loss": float(log_loss(labels, clipped / clipped.sum(axis=1, keepdims=True), labels=every)),
        "ece": calibration_error(*ONE_CLASS.decisions(probabilities, labels)),
        "classes": _per_class(class_names, per_class),
        "confusion": confusion_matrix(labels, predicted, labels=every).tolist(),
    }


def measure_multi_label(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: np.ndarray
) -> dict[str, Any]:
    """Compute the metrics of a multi-label classifier.

    Args:
        probabilities: float (n, classes), each in [0, 1].
        labels: (n, classes), 1 for each class of an image, `UNKNOWN` if it is not known, otherwise 0.
        class_names: a name for each class.
        thresholds: (classes,), probability from which each class is predicted.

    Returns:
        `n`; `map`, the mean of the classes' average precision, with `map_ci95`, from a bootstrap over the images;
        `accuracy`, the share of images whose predicted classes are exactly right, with `accuracy_ci95` (Wilson);
        `label_accuracy`, the share of right decisions, and `balanced_accuracy`, the mean of the shares of right decisions
        among yes and among no, over the classes; `macro_f1` and `micro_f1`; `log_loss` of a decision, in nats; `ece` of the
        decisions; `classes`, by name, with n, precision, recall, f1, average_precision and threshold. Means over classes
        leave out classes that no image has. Unknown labels are not counted; `unknown` is their number, if there are any.

    Examples:
        >>> probabilities, thresholds = np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0.5, 0.5])
        >>> metrics = measure_multi_label(probabilities, np.array([[1, 0], [1, 1]]), ["dog", "cat"], thresholds)
        >>> metrics["map"], metrics["accuracy"]
        (1.0, 0.5)
        >>> metrics["classes"]["cat"]["recall"]
        0.0
    """
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    # Unknown labels become no with the lowest probability, so they are in no precision, recall or average precision.
    known = labels != UNKNOWN
    truth, decided = labels > 0.5, (probabilities >= thresholds) & known
    ranks = np.where(known, probabilities, -1.0)
    per_class = precision_recall_fscore_support(truth, decided, average=None, zero_division=0)
    present = truth.any(axis=0)
    no = known & ~truth
    specificity = (~decided & no).sum(axis=0) / np.maximum(no.sum(axis=0), 1)
    precisions = average_precisions(ranks, truth)
    clipped = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    classes = _per_class(class_names, per_class)
    for name, precision, threshold in zip(class_names, precisions, thresholds, strict=True):
        classes[name] |= {"average_precision": float(precision), "threshold": float(threshold)}
    return {
        "n": len(truth),
        "map": float(precisions[present].mean()) if present.any() else 0.0,
        "map_ci95": _map_interval(ranks, truth),
        **_accuracy((decided == truth).all(axis=1)),
        "label_accuracy": float((decided == truth)[known].mean()),
        "balanced_accuracy": float(((per_class[1] + specificity) / 2)[present].mean()) if present.any() else 0.0,
        "macro_f1": float(per_class[2][present].mean()) if present.any() else 0.0,
        "micro_f1": float(f1_score(truth, decided, average="micro", zero_division=0)),
        "log_loss": float(-np.where(truth, np.log(clipped), np.log(1 - clipped))[known].mean()),
        "ece": calibration_error(*ANY_CLASSES.decisions(probabilities, labels)),
        **({} if known.all() else {"unknown": int((~known).sum())}),
        "classes": classes,
    }


def average_precisions(probabilities: np.ndarray, truth: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Compute the average precision of each class: the mean precision at each image that has it, the likeliest first.

    Images with the same probability are ranked together, as in scikit-learn.

    Args:
        probabilities: float (n, classes).
        truth: bool (n, classes).
        counts: (n,), how many times each image counts; None for once.

    Returns:
        float (classes,); 0 for a class that no image has.

    Examples:
        >>> truth = np.array([[True], [False], [True]])
        >>> average_precisions(np.array([[0.9], [0.5], [0.7]]), truth)
        array([1.])
        >>> average_precisions(np.array([[0.9], [0.5], [0.7]]), ~truth).round(3)
        array([0.333])
    """
    order = np.argsort(-probabilities, axis=0, kind="stable")
    counts = np.ones(len(truth)) if counts is None else counts
    ordered = counts[order]
    hits = ordered * np.take_along_axis(truth, order, axis=0)
    precision = hits.cumsum(axis=0) / np.maximum(ordered.cumsum(axis=0), 1e-12)
    sorted_probabilities = np.take_along_axis(probabilities, order, axis=0)
    last = np.full(order.shape, len(truth) - 1)  # last rank with the same probability
    last[:-1] = np.where(np.diff(sorted_probabilities, axis=0) != 0, np.arange(len(truth) - 1)[:, None], len(truth) - 1)
    last = np.minimum.accumulate(last[::-1], axis=0)[::-1]
    precision = np.take_along_axis(precision, last, axis=0)
    means: np.ndarray = (hits * precision).sum(axis=0) / np.maximum(hits.sum(axis=0), 1e-12)
    return means


def _map_interval(probabilities: np.ndarray, truth: np.ndarray) -> list[float]:
    random = np.random.default_rng(0)
    means = []
    for _ in range(RESAMPLES):
        counts = np.bincount(random.integers(0, len(truth), len(truth)), minlength=len(truth))
        drawn = truth[counts > 0].any(axis=0)
        if drawn.any():
            means.append(average_precisions(probabilities, truth, counts)[drawn].mean())
    return [float(end) for end in np.percentile(means or [0.0], [2.5, 97.5])]


def measure_regression(predictions: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Compute the metrics of a regression model.

    Args:
        predictions: float (n, numbers).
        labels: float (n, numbers), in the same units.
        names: a name for each number.

    Returns:
        `n`; `r2`, the explained part of the variance, the mean over the numbers; `mae`, the mean absolute error, with
        `mae_ci95`, the normal interval of that mean (None for one image), and `rmse`, both over all numbers; `numbers`,
        by name, with mae, rmse and r2 in its units.

    Examples:
        >>> labels = np.array([[1.0], [2.0], [3.0]])
        >>> metrics = measure_regression(labels + 0.5, labels, ["weight"])
        >>> metrics["mae"], metrics["r2"]
        (0.5, 0.625)
        >>> measure_regression(labels[:1], labels[:1], ["weight"])["mae_ci95"] is None
        True
    """
    errors = predictions.astype(np.float64) - labels
    absolute = np.abs(errors).mean(axis=1)
    per_number = [_r2(labels[:, i], predictions[:, i]) for i in range(len(names))]
    return {
        "n": len(labels),
        "r2": float(np.mean(per_number)),
        "mae": float(absolute.mean()),
        "mae_ci95": _mean_interval(absolute) if len(absolute) > 1 else None,
        "rmse": float(np.sqrt(np.square(errors).mean())),
        "numbers": {
            name: {
                "mae": float(np.abs(errors[:, i]).mean()),
                "rmse": float(np.sqrt(np.square(errors[:, i]).mean())),
                "r2": per_number[i],
            }
            for i, name in enumerate(names)
        },
    }


def _mean_interval(errors: np.ndarray) -> list[float]:
    half = 1.959964 * errors.std(ddof=1) / np.sqrt(len(errors))
    return [max(0.0, float(errors.mean() - half)), float(errors.mean() + half)]


def _r2(truth: np.ndarray, predictions: np.ndarray) -> float:
    from sklearn.metrics import r2_score

    if (truth == truth[0]).all():  # equal numbers have no variance to explain
        return 0.0
    return float(
        r2_score(truth.astype(np.float64), predictions.astype(np.float64))
    )  # squares of large numbers overflow float32


def _accuracy(right: np.ndarray) -> dict[str, Any]:
    from scipy.stats import binomtest

    correct = int(right.sum())
    interval = binomtest(correct, len(right)).proportion_ci(0.95, method="wilson")
    return {"accuracy": correct / len(right), "accuracy_ci95": [float(interval.low), float(interval.high)]}


def _per_class(class_names: Sequence[str], per_class: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {"n": int(n), "precision": float(precision), "recall": float(recall), "f1": float(f1)}
        for name, precision, recall, f1, n in zip(class_names, *per_class, strict=True)
    }
