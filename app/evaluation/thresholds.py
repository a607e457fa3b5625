"""Thresholds: the probability from which a class is predicted, chosen on the validation split."""

from __future__ import annotations

import numpy as np


def decide(probabilities: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """Return the predicted class: the likeliest, or, of two classes, the one with a threshold if it is reached.

    Args:
        probabilities: float (n, classes).
        thresholds: (2,), one a probability in [0, 1] and the other NaN; or None.

    Returns:
        Labels, int64 (n,).

    Examples:
        >>> probabilities = np.array([[0.6, 0.4], [0.1, 0.9]])
        >>> decide(probabilities, None)
        array([0, 1])
        >>> decide(probabilities, np.array([np.nan, 0.3]))
        array([1, 1])
    """
    if thresholds is None:
        likeliest: np.ndarray = probabilities.argmax(axis=1)
        return likeliest
    positive = int(np.flatnonzero(np.isfinite(thresholds))[0])
    return np.where(probabilities[:, positive] >= thresholds[positive], positive, 1 - positive)


def threshold_for(
    probabilities: np.ndarray, truth: np.ndarray, *, precision: float | None = None, recall: float | None = None
) -> float:
    """Return the threshold that reaches a precision with the most recall, or a recall with the most precision.

    If a precision is out of reach, the threshold with the highest precision is returned.

    Args:
        probabilities: float (n,).
        truth: bool (n,), at least one of them true.
        precision: precision to reach, in (0, 1]; or
        recall: recall to reach, in (0, 1].

    Examples:
        >>> probabilities, truth = np.array([0.2, 0.4, 0.6, 0.8]), np.array([False, True, False, True])
        >>> threshold_for(probabilities, truth, precision=1.0)
        0.8
        >>> threshold_for(probabilities, truth, recall=1.0)
        0.4
    """
    from sklearn.metrics import precision_recall_curve  # slow to import, and `--help` reads this module

    precisions, recalls, thresholds = precision_recall_curve(truth, probabilities)
    precisions, recalls = precisions[:-1], recalls[:-1]  # the last point has no threshold
    reached = recalls >= (recall or 0.0) if precision is None else precisions >= min(precision, precisions.max())
    gained = np.where(reached, recalls if precision is not None else precisions, -1.0)
    best = int(np.flatnonzero(gained == gained.max())[-1])  # the highest of equally good thresholds
    return float(thresholds[best])


def best_f1_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the threshold with the best F1; 0.5 if all or no images have the class.

    It lies in the middle between two probabilities.

    Args:
        probabilities: float (n,).
        truth: bool (n,).

    Examples:
        >>> best_f1_threshold(np.array([0.25, 0.5, 1.0]), np.array([False, True, True]))
        0.375
        >>> best_f1_threshold(np.array([0.25, 0.5]), np.array([True, True]))
        0.5
    """
    from sklearn.metrics import precision_recall_curve

    if truth.all() or not truth.any():
        return 0.5
    # In float32, neighbouring values would have no middle.
    precisions, recalls, thresholds = precision_recall_curve(truth, probabilities.astype(np.float64))
    sums = np.maximum(precisions + recalls, 1e-12)
    best = int(np.argmax((2 * precisions * recalls / sums)[:-1]))
    below = thresholds[best - 1] if best else 0.0
    return float((thresholds[best] + below) / 2)
