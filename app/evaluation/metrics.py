"""Metrics of a classifier, as numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score, log_loss, precision_recall_fscore_support

ECE_BINS = 15


def measure(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Compare a model's answers with the truth.

    Args:
        probabilities: float (n, classes), rows that sum to 1.
        labels: int (n,).
        class_names: one name a label.

    Returns:
        `n`; `accuracy` with `accuracy_ci95`, its Wilson score interval (Wilson 1927); `balanced_accuracy` and `macro_f1`,
        over the classes that are there; `log_loss` in nats; `ece`, the expected calibration error (see
        `expected_calibration_error`); `classes`, by name, with n, precision, recall and f1; and `confusion`,
        counts by true class (rows) and predicted class (columns).
    """
    predicted = probabilities.argmax(axis=1)
    every = range(len(class_names))
    correct = int((predicted == labels).sum())
    interval = binomtest(correct, len(labels)).proportion_ci(0.95, method="wilson")
    clipped = np.clip(probabilities.astype(np.float64), 1e-12, 1.0)
    per_class = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    present = np.unique(labels)
    return {
        "n": len(labels),
        "accuracy": correct / len(labels),
        "accuracy_ci95": [float(interval.low), float(interval.high)],
        "balanced_accuracy": float(np.mean(per_class[1][present])),
        "macro_f1": float(f1_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        "log_loss": float(log_loss(labels, clipped / clipped.sum(axis=1, keepdims=True), labels=every)),
        "ece": expected_calibration_error(probabilities, labels),
        "classes": {
            name: {"n": int(n), "precision": float(precision), "recall": float(recall), "f1": float(f1)}
            for name, precision, recall, f1, n in zip(class_names, *per_class, strict=True)
        },
        "confusion": confusion_matrix(labels, predicted, labels=every).tolist(),
    }


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """How far confidence is from accuracy: the mean gap over 15 bins of confidence, by the pictures in each.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599.

    Args:
        probabilities: float (n, classes).
        labels: int (n,).

    Returns:
        A number in [0, 1]; 0 for a model that is right as often as it says.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs(correct[bins == one].sum() - confidence[bins == one].sum()) for one in range(ECE_BINS)]
    return float(sum(gaps) / len(labels))
