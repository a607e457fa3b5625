"""A linear head, fitted directly: logistic or ridge regression, its regularisation chosen on the validation split.

On a frozen backbone a linear head has one best solution. L-BFGS finds it in a few dozen passes over the features, where
gradient steps only come near it after many epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

# Weights of the squared norm of the kernel, beside the mean loss of features with unit mean variance; strongest first.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
_MOST_ITERATIONS = 200

# Gives the examples in blocks, the same at each call: features, (n, width), targets, (n, outputs), and weights, (n,).
Blocks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]]
# Of logits and targets, (n, outputs): the losses, (n,), and their gradients, (n, outputs); see `app.tasks.task.Task`.
Loss = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class LinearHead:
    """A solution.

    Attributes:
        kernel: float32 (width, outputs).
        bias: float32 (outputs,).
        penalty: the one of `PENALTIES` that did best on validation.
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Answer features, float (n, width), with float32 (n, outputs)."""
        return features.astype(np.float32) @ self.kernel + self.bias


def fit_linear_head(training: Blocks, loss: Loss, validation_loss: Callable[[LinearHead], float]) -> LinearHead:
    """Fit the head with one penalty after the other, from strong to weak, until validation gets worse.

    It minimises mean loss + penalty / 2 * |kernel|^2 over centred features that are scaled by one number to a mean
    variance of one, so that the penalties mean the same for every backbone; each solution starts from the one before.
    L-BFGS: Liu and Nocedal 1989.

    Args:
        training: the training examples, never held in memory as a whole.
        loss: of an example; convex in its logits.
        validation_loss: judges a solution; the lowest wins.
    """
    # Its steps are too short for the threads of BLAS: waiting for each other, two of them took eight times as long as one.
    with threadpool_limits(1, user_api="blas"):
        return _fit(training, loss, validation_loss)


def _fit(training: Blocks, loss: Loss, validation_loss: Callable[[LinearHead], float]) -> LinearHead:
    mean, scale, total = _moments(training)
    outputs = next(iter(training()))[1].shape[1]
    best: tuple[float, LinearHead] | None = None
    weights = np.zeros((len(mean) + 1, outputs))
    for penalty in PENALTIES:
        weights = _minimise(training, loss, weights, penalty, mean, scale, total)
        head = LinearHead(*_unscaled(weights.astype(np.float32), mean, scale), penalty)
        judged = validation_loss(head)
        if best is not None and judged >= best[0]:
            break
        best = judged, head
    assert best is not None
    return best[1]


def _moments(training: Blocks) -> tuple[np.ndarray, float, float]:
    """The mean of the features, what scales them to a mean variance of one, and the sum of the examples' weights."""
    width = next(iter(training()))[0].shape[1]
    count, total, squares, weight = 0, np.zeros(width), np.zeros(width), 0.0
    for features, _, weights in training():
        features = features.astype(np.float32, copy=False)
        count += len(features)
        total += features.sum(axis=0, dtype=np.float64)
        squares += np.square(features).sum(axis=0, dtype=np.float64)
        weight += float(weights.sum())
    mean = total / count
    variance = float(np.mean(squares / count - mean**2))
    least = max(1e-9 * float(np.mean(mean**2)), 1e-12)  # below it there is nothing but float32's rounding
    return mean.astype(np.float32), 1 / math.sqrt(max(variance, least)), weight


def _unscaled(weights: np.ndarray, mean: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias for features as they are, from weights for features that are centred and scaled."""
    kernel = weights[:-1] * np.float32(scale)
    return kernel, weights[-1] - mean @ kernel


def _minimise(
    training: Blocks, loss: Loss, start: np.ndarray, penalty: float, mean: np.ndarray, scale: float, total: float
) -> np.ndarray:
    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(start.shape).astype(np.float32)
        summed, gradient = 0.0, np.zeros(start.shape)
        kernel, bias = _unscaled(weights, mean, scale)
        for features, targets, shares in training():
            features = features.astype(np.float32, copy=False)
            losses, errors = loss(features @ kernel + bias, targets)
            summed += float((shares * losses).sum()) / total
            errors *= (shares / np.float32(total))[:, None]
            gradient[:-1] += features.T @ errors
            gradient[-1] += errors.sum(axis=0)
        gradient[:-1] = scale * (gradient[:-1] - np.outer(mean, gradient[-1])) + penalty * weights[:-1]
        return summed + penalty / 2 * float(np.square(weights[:-1]).sum()), gradient.ravel()

    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _MOST_ITERATIONS})
    return found.x.reshape(start.shape)
