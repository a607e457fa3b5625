"""Confidence calibration: probabilities that match how often predictions are right, at no cost in the model.

A model that is trained with label smoothing is right more often than its probabilities say. Temperature scaling (Guo et al.
2017, https://arxiv.org/abs/1706.04599) divides the logits by a temperature, fitted on the validation split. Dividing logits is
the same as dividing the kernel and the bias of the last layer, so `model.keras` and every exported file are calibrated too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.labels import UNKNOWN

BINS = 15
TEMPERATURES = (0.2, 10.0)  # only a few examples would suggest a temperature outside this range
FOLDS = 5  # of the cross-validation that decides whether to calibrate at all
_SPREAD = 0.5  # standard deviation of the logarithms of the classes' temperatures around the shared one
_MOST = 5_000  # examples that are used: more change only the second decimal
_MOST_DRAWN = 10**7  # decisions
_LEAST = 1e-7  # probability: float32 has no value between 1 - 6e-8 and 1

# From logits and labels to temperatures, float64 (outputs,).
Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]
# From logits and labels to per-example losses, float64 (n,).
Loss = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Calibrator:
    """Calibration of a task's probabilities.

    Attributes:
        logits: maps probabilities to logits; any logits that give these probabilities will do.
        probabilities: maps logits to probabilities.
        fit: fits the temperatures.
        loss: per-example loss that the temperatures are fitted to, and evaluated by.
        decisions: maps probabilities and labels to the confidence of each decision, float (decisions,), and its correctness.
    """

    logits: Callable[[np.ndarray], np.ndarray]
    probabilities: Callable[[np.ndarray], np.ndarray]
    fit: Fit
    loss: Loss
    decisions: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

    def temperatures(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        """Fit temperatures that calibrate probabilities, if cross-validation confirms the improvement.

        Args:
            probabilities: of the validation split, float (n, outputs).
            labels: of the same examples.

        Returns:
            float32 (outputs,); None if temperatures fitted on four fifths of the examples do not lower the log loss of the
            last fifth, or there are too few examples.
        """
        some = slice(None, None, -(-len(labels) // _MOST))
        logits, labels = self.logits(probabilities[some]), labels[some]
        if len(logits) < 2 * FOLDS or self._cross_validated_loss(logits, labels) >= self.loss(logits, labels).mean():
            return None
        return self.fit(logits, labels).astype(np.float32)

    def _cross_validated_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        fold = np.random.default_rng(0).permutation(len(logits)) % FOLDS
        losses = np.zeros(len(logits))
        for number in range(FOLDS):
            others, held_out = fold != number, fold == number
            temperatures = self.fit(logits[others], labels[others])
            losses[held_out] = self.loss(logits[held_out] / temperatures, labels[held_out])
        return float(losses.mean())

    def figures(self, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Measure how well probabilities are calibrated.

        Returns:
            `log_loss`, in nats; `ece`, see `calibration_error`; and `ece_by_chance`, see `error_by_chance`.
        """
        confidence, right = self.decisions(probabilities, labels)
        return {
            "log_loss": float(self.loss(self.logits(probabilities), labels).mean()),
            "ece": calibration_error(confidence, right),
            "ece_by_chance": error_by_chance(confidence),
        }

    def at(self, probabilities: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
        """Return the probabilities after dividing the logits by temperatures, (outputs,): float32 (n, outputs)."""
        return self.probabilities(self.logits(probabilities) / temperatures).astype(np.float32)


class Reliability(NamedTuple):
    """Confidence of decisions, and the share of them that are right, in bins of equal width.

    Attributes:
        confidence: float (bins,), the mean of each bin; NaN for an empty bin.
        accuracy: float (bins,), the share that is right; NaN for an empty bin.
        counts: int (bins,).
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray


def reliability(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """Sort decisions into bins by confidence.

    Args:
        confidence: float (decisions,), in [0, 1].
        right: bool (decisions,).

    Examples:
        >>> bins = reliability(np.array([0.5, 0.97, 0.99]), np.array([True, True, False]))
        >>> bins.counts
        array([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2])
        >>> float(bins.accuracy[-1])
        0.5
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        sureness, accuracy = (np.bincount(place, values, minlength=BINS) / counts for values in (confidence, right))
    return Reliability(sureness, accuracy, counts)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Compute the expected calibration error: the mean gap between confidence and accuracy, over 15 bins of confidence.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599.

    Args:
        confidence: float (decisions,), in [0, 1].
        right: bool (decisions,).

    Returns:
        A number in [0, 1]; 0 for a perfectly calibrated model.

    Examples:
        >>> calibration_error(np.array([0.5, 0.5]), np.array([True, False]))
        0.0
        >>> calibration_error(np.array([1.0, 1.0]), np.array([True, False]))
        0.5
    """
    bins = reliability(confidence, right)
    return float(np.nansum(np.abs(bins.accuracy - bins.confidence) * bins.counts) / len(right))


def error_by_chance(confidence: np.ndarray) -> float:
    """Compute the calibration error that a perfectly calibrated model with these confidences has by chance.

    It is above 0, since the accuracy of a bin varies by chance around its expectation; the mean of up to 200 draws.

    Args:
        confidence: float (decisions,), in [0, 1].

    Returns:
        A number in [0, 1], the same for the same confidences.

    Examples:
        >>> error_by_chance(np.ones(10))
        0.0
        >>> error_by_chance(np.full(10, 0.5)) > error_by_chance(np.full(1000, 0.5))
        True
    """
    random = np.random.default_rng(0)
    draws = max(5, min(200, _MOST_DRAWN // len(confidence)))
    return float(
        np.mean([calibration_error(confidence, random.random(len(confidence)) < confidence) for _ in range(draws)])
    )


def _one_temperature(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fit one temperature for mutually exclusive classes, so that their order is preserved.

    Each label counts as wrong once in n + 2 times, by the rule of succession, as in Platt (1999): a few examples that are
    all right do not make a model that is certain of everything.
    """
    count, outputs = logits.shape
    wrong = 1 / (count + 2)
    targets = np.full((count, outputs), wrong / max(1, outputs - 1))
    targets[np.arange(count), labels] = 1 - wrong
    temperature = _minimise(lambda inverse: -(targets * _log_softmax(logits * inverse)).sum(axis=1).mean())
    return np.full(outputs, temperature)


def _temperature_per_class(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fit one temperature for each independent class, drawn towards the one that is best for all classes together.

    Targets are Platt's (1999): (n + 1) / (n + 2) for the n examples that have a class, and 1 / (m + 2) for the m others.
    """
    truth, known = labels > 0.5, labels != UNKNOWN
    have = truth.sum(axis=0)
    targets = np.where(truth, (have + 1) / (have + 2), 1 / (known.sum(axis=0) - have + 2))

    def loss(columns: slice, inverse: float) -> float:
        scaled = logits[:, columns] * inverse
        return float((known[:, columns] * (np.logaddexp(0, scaled) - targets[:, columns] * scaled)).sum())

    shared = _minimise(lambda inverse: loss(slice(None), inverse))

    def temperature(label: int) -> float:
        column = slice(label, label + 1)
        return _minimise(lambda inverse: loss(column, inverse) + np.log(inverse * shared) ** 2 / (2 * _SPREAD**2))

    return np.array([temperature(label) for label in range(logits.shape[1])])


def _minimise(objective: Callable[[float], float]) -> float:
    """Return the temperature whose inverse minimises an objective."""
    from scipy.optimize import minimize_scalar

    coldest, hottest = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(lambda log: objective(np.exp(-log)), bounds=(coldest, hottest)).x))


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logs: np.ndarray = _log_softmax(logits)[np.arange(len(labels)), labels]
    return -logs


def _log_loss_per_class(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return per-example losses whose mean is the mean over all known labels."""
    known = labels != UNKNOWN
    losses = np.logaddexp(0, logits) - (labels > 0.5) * logits
    per_example: np.ndarray = (known * losses).sum(axis=1) * (len(labels) / max(1, known.sum()))
    return per_example


def _most_likely(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def _each_yes(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = labels != UNKNOWN
    return probabilities[known], labels[known] > 0.5


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), 1e-30))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    from scipy.special import log_softmax

    logs: np.ndarray = log_softmax(logits, axis=1)
    return logs


def _softmax(logits: np.ndarray) -> np.ndarray:
    probabilities: np.ndarray = np.exp(_log_softmax(logits))
    return probabilities


def _logit(probabilities: np.ndarray) -> np.ndarray:
    from scipy.special import logit

    logits: np.ndarray = logit(np.clip(probabilities.astype(np.float64), _LEAST, 1 - _LEAST))
    return logits


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    probabilities: np.ndarray = expit(logits)
    return probabilities


ONE_CLASS = Calibrator(_log, _softmax, _one_temperature, _log_loss, _most_likely)
ANY_CLASSES = Calibrator(_logit, _sigmoid, _temperature_per_class, _log_loss_per_class, _each_yes)
