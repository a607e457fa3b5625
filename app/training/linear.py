"""Direct solver of a linear head: logistic or ridge regression, with the regularisation chosen on the validation split.

On a frozen backbone, a linear head has a unique best solution. L-BFGS finds it in some dozens of passes over the features,
where gradient steps only approach it after many epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

# Weights of the squared norm of the kernel, relative to the mean loss on features with unit mean variance; strongest first.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
_MOST_ITERATIONS = 200
# A solution is accepted where no derivative is larger, about a ten-millionth above the minimum; float32 reaches 2e-5.
_LARGEST_DERIVATIVE = 5e-5
_LEAST_GAIN = 1e-8  # of a step, relative to the objective, if rounding keeps the derivatives from getting there

# Yields the examples in blocks, the same at each call: features, (n, width), targets, (n, outputs), and weights, (n,).
Blocks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]]
# From logits and targets, (n, outputs), to per-example losses, (n,), and gradients, (n, outputs); see `app.tasks.task.Task`.
Loss = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class LinearHead:
    """A fitted linear head.

    Attributes:
        kernel: float32 (width, outputs).
        bias: float32 (outputs,).
        penalty: the best of `PENALTIES` on validation.
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Compute logits, float32 (n, outputs), for features, float (n, width)."""
        logits: np.ndarray = features.astype(np.float32) @ self.kernel + self.bias
        return logits


def fit_linear_head(training: Blocks, loss: Loss, validation_loss: Callable[[LinearHead], float]) -> LinearHead:
    """Fit the head with one penalty after another, from strong to weak, until validation gets worse.

    The objective is mean loss + penalty / 2 * |kernel|^2 over centred features that are scaled by one number to a mean
    variance of one, so that the penalties mean the same for every backbone. Each solution starts from the previous one.
    L-BFGS: Liu and Nocedal 1989, in variables in which the objective curves about equally in all directions
    (preconditioning: Nocedal and Wright, "Numerical Optimization", 2006, chapter 5.1), so that the number of passes hardly
    depends on the correlation of the features or on the penalty.

    Args:
        training: the training examples, never held in memory as a whole.
        loss: per-example loss; convex in its logits.
        validation_loss: evaluates a solution; the lowest wins.

    Examples:
        >>> from app.tasks import TASKS
        >>> features, loss = np.array([[-1.0], [1.0]], np.float32), TASKS["single_label"].linear_loss
        >>> targets, weights = np.eye(2, dtype=np.float32), np.ones(2, np.float32)
        >>> head = fit_linear_head(lambda: [(features, targets, weights)], loss, lambda head: head.penalty)
        >>> head.logits(features).argmax(axis=1)
        array([0, 1])
        >>> head.penalty
        0.001
    """
    # The steps are too short for the threads of BLAS, which wait for each other: two took eight times as long as one.
    with threadpool_limits(1, user_api="blas"):
        return _fit(training, loss, validation_loss)


def _fit(training: Blocks, loss: Loss, validation_loss: Callable[[LinearHead], float]) -> LinearHead:
    moments = _moments(training)
    _, targets, _ = next(iter(training()))
    curvature = _curvature(targets, loss)
    best: tuple[float, LinearHead] | None = None
    weights = np.zeros((len(moments.mean) + 1, targets.shape[1]), np.float32)
    for penalty in PENALTIES:
        weights = _minimise(training, loss, weights, penalty, curvature, moments)
        head = LinearHead(*moments.unscaled(weights), penalty)
        evaluated = validation_loss(head)
        if best is not None and evaluated >= best[0]:
            break
        best = evaluated, head
    assert best is not None
    return best[1]


@dataclass(frozen=True)
class _Moments:
    """Moments of the training features.

    Attributes:
        mean: float32 (width,).
        scale: factor that scales the features to a mean variance of one.
        covariance: of the scaled features, float32 (width, width).
        weight: sum of the examples' weights.
    """

    mean: np.ndarray
    scale: float
    covariance: np.ndarray
    weight: float

    def unscaled(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel and bias for the original features, from weights for centred and scaled features."""
        kernel = weights[:-1] * np.float32(self.scale)
        return kernel, weights[-1] - self.mean @ kernel


def _moments(training: Blocks) -> _Moments:
    width = next(iter(training()))[0].shape[1]
    count, total, weight = 0, np.zeros(width), 0.0
    for features, _, weights in training():
        count += len(features)
        total += features.sum(axis=0, dtype=np.float64)
        weight += float(weights.sum())
    mean = (total / count).astype(np.float32)
    products = np.zeros((width, width), np.float32)
    for features, _, _ in training():
        centred = features - mean
        products += centred.T @ centred
    variance = float(np.trace(products, dtype=np.float64)) / width / count
    least = max(1e-9 * float(np.mean(mean**2)), 1e-12)  # below it, there is only float32's rounding
    scale = 1 / math.sqrt(max(variance, least))
    return _Moments(mean, scale, products * np.float32(scale**2 / count), weight)


def _curvature(targets: np.ndarray, loss: Loss) -> float:
    """Estimate the second derivative of the per-example loss by a logit near zero: the mean over targets and outputs.

    Hutchinson 1990: the mean of z'Hz over random signs z is the sum of the diagonal of H.
    """
    step = 0.1 * np.random.default_rng(0).choice(np.array([-1, 1], np.float32), targets.shape)
    return float(np.mean((loss(step, targets)[1] - loss(-step, targets)[1]) / (2 * step)))


def _minimise(
    training: Blocks, loss: Loss, start: np.ndarray, penalty: float, curvature: float, moments: _Moments
) -> np.ndarray:
    """Return the best weights with a penalty, float32 (width + 1, outputs), the biases last."""
    # For the weights w of one output, the objective's second derivatives are about LL'; for L'w, a unit matrix.
    hessian = curvature * moments.covariance.astype(np.float64)
    hessian[np.diag_indices_from(hessian)] += penalty
    lower = np.asfortranarray(cholesky(hessian, lower=True, overwrite_a=True, check_finite=False), np.float32)
    solve = partial(solve_triangular, lower, lower=True, check_finite=False)

    def weights_of(variables: np.ndarray) -> np.ndarray:
        variables = variables.reshape(start.shape).astype(np.float32)
        return np.vstack([solve(variables[:-1], trans="T"), variables[-1:]])

    def objective(variables: np.ndarray) -> tuple[float, np.ndarray]:
        weights = weights_of(variables)
        kernel, bias = moments.unscaled(weights)
        summed, gradient = 0.0, np.zeros(start.shape)
        for features, targets, shares in training():
            features = features.astype(np.float32, copy=False)
            losses, errors = loss(features @ kernel + bias, targets)
            summed += float((shares * losses).sum(dtype=np.float64)) / moments.weight
            errors *= (shares / np.float32(moments.weight))[:, None]
            gradient[:-1] += features.T @ errors
            gradient[-1] += errors.sum(axis=0)
        gradient[:-1] = moments.scale * (gradient[:-1] - np.outer(moments.mean, gradient[-1])) + penalty * weights[:-1]
        gradient[:-1] = solve(gradient[:-1].astype(np.float32))
        return summed + penalty / 2 * float(np.square(weights[:-1]).sum(dtype=np.float64)), gradient.ravel()

    variables = np.vstack([lower.T @ start[:-1], start[-1:]])
    options = {"maxiter": _MOST_ITERATIONS, "ftol": _LEAST_GAIN, "gtol": _LARGEST_DERIVATIVE}
    return weights_of(minimize(objective, variables.ravel(), jac=True, method="L-BFGS-B", options=options).x)
