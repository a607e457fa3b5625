"""Scores of transferability: how well a network's features fit labels, without training. A score is a row of `SCORES`.

They cost seconds, and order backbones less reliably than the accuracy of a linear head, by which `rank` orders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_STEPS = 100  # of the fixed point of LogME, at most
_EPS = 1e-12


@dataclass(frozen=True)
class Transfer:
    """What a score is computed from.

    Attributes:
        features: of each image, float64 (n, width).
        labels: class of each image, int (n,).
        source: probabilities of the backbone's own classes for each image, float64 (n, source classes); None if the backbone
            has no classifier.
    """

    features: np.ndarray
    labels: np.ndarray
    source: np.ndarray | None = None


@dataclass(frozen=True)
class Score:
    """A row of `SCORES`.

    Attributes:
        title: heading of its column.
        paper: address of the paper that describes it.
        compute: from a `Transfer` to a number, higher for a better fit; None if something it needs is missing.
    """

    title: str
    paper: str
    compute: Callable[[Transfer], float | None]


def log_me(transfer: Transfer) -> float:
    """Return LogME: the logarithm of the maximum evidence of a Bayesian linear model, per image, averaged over the classes.

    You et al., "LogME: Practical assessment of pre-trained models for transfer learning", ICML 2021. For each class, targets
    are 0 and 1; the precisions of weights and noise maximise the evidence, found by a fixed point (algorithm 3).

    Examples:
        >>> labels = np.arange(100) % 2
        >>> noise = np.random.default_rng(0).normal(size=(100, 4))
        >>> fitting = Transfer(noise + 5 * labels[:, None], labels)
        >>> log_me(fitting) > log_me(Transfer(noise, labels))
        True
        >>> round(log_me(Transfer(np.eye(4), np.arange(4))), 2)
        -0.73
    """
    features, labels = transfer.features, transfer.labels
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    return float(np.mean([_evidence(left, singular**2, labels == one, features.shape[1]) for one in np.unique(labels)]))


def _evidence(left: np.ndarray, squares: np.ndarray, target: np.ndarray, width: int) -> float:
    """Return the maximum log evidence of a target, (n,), per image; `squares` are of the singular values, (min(n, width),)."""
    count = len(target)
    projected = np.square(left.T @ target)
    outside = max(float(target.sum() - projected.sum()), 0.0)  # what no weights can explain
    alpha = beta = 1.0
    for _ in range(_STEPS):
        ratio = alpha / beta
        effective = float((squares / (squares + ratio)).sum())
        weights = float((squares * projected / np.square(squares + ratio)).sum())
        residual = float((projected / np.square(1 + squares / ratio)).sum()) + outside
        alpha = max(effective, _EPS) / (weights + _EPS)
        beta = (count - effective) / (residual + _EPS)
        if abs(alpha / beta - ratio) <= 1e-5 * ratio:
            break
    log_determinant = np.log(alpha + beta * squares).sum() + (width - len(squares)) * np.log(alpha)
    evidence = width * np.log(alpha) + count * np.log(beta / (2 * np.pi)) - log_determinant
    return float(evidence - beta * residual - alpha * weights) / (2 * count)


def h_score(transfer: Transfer) -> float:
    """Return the H-score: the variance between classes in units of the variance of features.

    Bao et al., "An information-theoretic approach to transferability in task transfer learning", ICIP 2019:
    tr(cov(f)⁻¹ cov(E[f|y])). cov(f) is shrunk as Ledoit and Wolf do, since there are more features than images (Ibrahim et
    al., "Newer is not always better", 2021, https://arxiv.org/abs/2110.06893).

    Examples:
        >>> labels = np.arange(100) % 2
        >>> noise = np.random.default_rng(0).normal(size=(100, 4))
        >>> round(h_score(Transfer(noise + 5 * labels[:, None], labels)), 2)
        0.96
        >>> h_score(Transfer(noise, labels)) < 0.1
        True
    """
    from sklearn.covariance import ledoit_wolf

    centred = transfer.features - transfer.features.mean(axis=0)
    classes = transfer.labels == np.unique(transfer.labels)[:, None]
    means = classes @ centred / classes.sum(axis=1, keepdims=True)
    shares = classes.mean(axis=1)
    covariance, _ = ledoit_wolf(centred, assume_centered=True)
    between = (means * shares[:, None]).T @ means
    regular = covariance + _EPS * np.eye(len(covariance))  # features may be constant
    return float(np.trace(np.linalg.solve(regular, between)))


def leep(transfer: Transfer) -> float | None:
    """Return LEEP, the log likelihood of the labels given the backbone's own predictions, per image; None without them.

    Nguyen et al., "LEEP: A new measure to evaluate transferability of learned representations", ICML 2020.

    Examples:
        >>> source = np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.2, 0.8]])
        >>> known = leep(Transfer(source, np.array([0, 1, 0, 1]), source))
        >>> known > leep(Transfer(source, np.array([0, 0, 1, 1]), source))
        True
        >>> leep(Transfer(source, np.array([0, 1, 0, 1]))) is None
        True
    """
    if transfer.source is None:
        return None
    classes = transfer.labels == np.unique(transfer.labels)[:, None]
    joint = classes @ transfer.source / len(transfer.labels)  # (classes, source classes)
    conditional = joint / np.maximum(joint.sum(axis=0), _EPS)
    likelihoods = transfer.source @ conditional.T
    own = likelihoods[np.arange(len(transfer.labels)), classes.argmax(axis=0)]
    return float(np.log(np.maximum(own, _EPS)).mean())


SCORES: dict[str, Score] = {
    "h_score": Score("H-score", "https://arxiv.org/abs/2110.06893", h_score),
    "log_me": Score("LogME", "https://arxiv.org/abs/2102.11005", log_me),
    "leep": Score("LEEP", "https://arxiv.org/abs/2002.12462", leep),
}
