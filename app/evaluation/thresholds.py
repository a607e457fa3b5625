"""Thresholds: from which probability on a class is answered. They are chosen on the validation split."""

from __future__ import annotations

import numpy as np


def decide(probabilities: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """The class that is answered: the likeliest, or of two classes the one with a threshold from there up.

    Args:
        probabilities: float (n, classes).
        thresholds: (2,), of which one is a probability in [0, 1] and the other NaN; or None.

    Returns:
        Labels, int64 (n,).
    """
    if thresholds is None:
        return probabilities.argmax(axis=1)
    positive = int(np.flatnonzero(np.isfinite(thresholds))[0])
    return np.where(probabilities[:, positive] >= thresholds[positive], positive, 1 - positive)


def threshold_for(
    probabilities: np.ndarray, truth: np.ndarray, *, precision: float | None = None, recall: float | None = None
) -> float:
    """The threshold that reaches a precision with the most recall, or a recall with the most precision.

    A precision can be out of reach; then it is the threshold that comes nearest.

    Args:
        probabilities: float (n,).
        truth: bool (n,), with a true one.
        precision: to reach, in (0, 1]; or
        recall: to reach, in (0, 1].
    """
    from sklearn.metrics import precision_recall_curve  # slow to import, and `--help` reads this module

    precisions, recalls, thresholds = precision_recall_curve(truth, probabilities)
    precisions, recalls = precisions[:-1], recalls[:-1]  # the last point has no threshold: nothing is answered
    reached = recalls >= (recall or 0.0) if precision is None else precisions >= min(precision, precisions.max())
    gained = np.where(reached, recalls if precision is not None else precisions, -1.0)
    best = int(np.flatnonzero(gained == gained.max())[-1])  # the highest of those that are as good
    return float(thresholds[best])


def best_f1_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the best F1; a half for a class that all or no images have.

    Between two images it lies in their middle, since neither is a better place.

    Args:
        probabilities: float (n,).
        truth: bool (n,).
    """
    from sklearn.metrics import precision_recall_curve

    if truth.all() or not truth.any():
        return 0.5
    # Between two neighbours of float32 there would be no middle.
    precisions, recalls, thresholds = precision_recall_curve(truth, probabilities.astype(np.float64))
    sums = np.maximum(precisions + recalls, 1e-12)
    best = int(np.argmax((2 * precisions * recalls / sums)[:-1]))
    below = thresholds[best - 1] if best else 0.0
    return float((thresholds[best] + below) / 2)
