"""Two models on the same examples: is their difference more than chance?

Both models predict the same examples, so that their difference is far less uncertain than the figure of either: only the
examples on which they differ count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.evaluation.metrics import average_precisions
from app.evaluation.thresholds import decide
from app.tasks.intervals import paired_interval
from data.labels import UNKNOWN

RESAMPLES = 1000  # of a bootstrap: its standard error is accurate to about 2 %

# Predictions, (n, outputs), and thresholds, (outputs,), if there are any.
Answers = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Paired:
    """The difference between two models on the same examples.

    Attributes:
        scores: of the first and of the second model.
        difference: the second score minus the first.
        ci95: 95 % interval of the difference.
        p_value: probability of a difference at least as large if the models were equally good.
        method: name of the test.
        only_right: how many examples only the first model has right, and how many only the second; None for scores that are
            not counts.
    """

    scores: tuple[float, float]
    difference: float
    ci95: tuple[float, float]
    p_value: float
    method: str
    only_right: tuple[int, int] | None = None


@dataclass(frozen=True)
class Comparer:
    """How models of a task are compared.

    Attributes:
        title: what the score is, for users.
        scale: factor from the score to what users read, such as 100 for points.
        unit: unit of a difference, for users; "" for the unit of the labels.
        digits: format of the score.
        rises: whether a higher score is better.
        counts: whether the score is the share of examples that are right, so that these can be counted.
        test: compares two models' predictions for the same examples with their labels.
        disagreement: of the predictions of several models, how far they differ on each example, float (n,): 0 for the same;
            examples that some models have right and others wrong come first.
    """

    title: str
    scale: float
    unit: str
    digits: str
    rises: bool
    counts: bool
    test: Callable[[Answers, Answers, np.ndarray], Paired]
    disagreement: Callable[[Sequence[Answers], np.ndarray], np.ndarray]

    def is_better(self, difference: float) -> bool:
        """Return whether a difference is in favour of the second model."""
        return (difference > 0) == self.rises


def mcnemar(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare the accuracies of two models by McNemar's exact test.

    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika 12
    (1947). If the models are equally good, each of the b + c examples that only one of them has right is as likely to be
    the first's as the second's: p = min(1, 2 · P(X ≤ min(b, c))), with X from the binomial distribution B(b + c, ½).
    The interval is that of `app.tasks.intervals.paired_interval`.

    Args:
        first: whether the first model has each example right, bool (n,).
        second: the same for the second model.

    Examples:
        >>> right = np.array([True] * 8 + [False] * 2)
        >>> found = mcnemar(right, np.ones(10, bool))
        >>> found.only_right, found.p_value  # 2 · ½ · ½
        ((0, 2), 0.5)
        >>> mcnemar(right, right).p_value
        1.0
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    different = only_first + only_second
    low, high = paired_interval(second.astype(int) - first)
    return Paired(
        (float(first.mean()), float(second.mean())),
        (only_second - only_first) / len(first),
        (low, high),
        float(binomtest(only_first, different).pvalue) if different else 1.0,
        "McNemar exact",
        (only_first, only_second),
    )


def paired_bootstrap(scores: Callable[[np.ndarray], tuple[float, float]], n: int) -> Paired:
    """Compare two scores of any kind by a paired bootstrap.

    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 6 and 12: examples are drawn with replacement,
    each with both models' predictions, and s is the standard deviation of the differences d*, times √(n / (n − 1)).
    The interval is d ± t · s and p = 2 · P(T ≥ |d| / s), with T from Student's distribution with n − 1 degrees of freedom.
    For a mean over examples that is the paired t-test. The draws are the same in every call.

    Args:
        scores: from how many times each example counts, (n,), to both scores.
        n: number of examples, at least 2.

    Examples:
        >>> errors = np.array([[1.0, 1.5, 2.0, 2.5], [0.5, 0.8, 1.5, 1.2]])
        >>> found = paired_bootstrap(lambda counts: tuple((errors @ counts / counts.sum()).tolist()), 4)
        >>> found.difference, round(found.p_value, 2)
        (-0.75, 0.03)
        >>> paired_bootstrap(lambda counts: (0.5, 0.5), 4).p_value
        1.0
    """
    from scipy.stats import t

    random = np.random.default_rng(0)
    drawn = (np.bincount(random.integers(0, n, n), minlength=n) for _ in range(RESAMPLES))
    spread = np.std([second - first for first, second in map(scores, drawn)], ddof=1) * np.sqrt(n / (n - 1))
    first, second = scores(np.ones(n))
    difference = second - first
    half = float(t.ppf(0.975, n - 1) * spread)
    p_value = float(2 * t.sf(abs(difference) / spread, n - 1)) if spread else float(difference == 0)
    return Paired((first, second), difference, (difference - half, difference + half), p_value, "paired bootstrap")


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of several comparisons, so that the chance of any false finding stays below the level.

    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979): of m p-values in ascending
    order, the i-th becomes max over j ≤ i of min(1, (m − j + 1) · p_j).

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
        >>> holm([0.2])
        [0.2]
    """
    order = np.argsort(p_values, kind="stable")
    steps = (len(p_values) - np.arange(len(p_values))) * np.asarray(p_values)[order]
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    found: list[float] = corrected.tolist()
    return found


# --- One class per example -----------------------------------------------------------------------------------------------


def _compare_accuracies(first: Answers, second: Answers, labels: np.ndarray) -> Paired:
    return mcnemar(decide(*first) == labels, decide(*second) == labels)


def _other_classes(models: Sequence[Answers], labels: np.ndarray) -> np.ndarray:
    decided = np.stack([decide(*one) for one in models])
    probability = np.stack([one[np.arange(len(labels)), labels] for one, _ in models])  # of the true class
    return _disagreement((decided != decided[0]).any(axis=0), decided == labels, np.ptp(probability, axis=0))


def _disagreement(differs: np.ndarray, right: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Rank examples that are predicted differently: by whether some models, but not all, are right, then by the gap.

    Args:
        differs: bool (n,).
        right: bool (models, n).
        gap: float (n,), in [0, 1].
    """
    divided = right.any(axis=0) & ~right.all(axis=0)
    ranks: np.ndarray = np.where(differs, 1.0 + 2.0 * divided + gap, 0.0)
    return ranks


ONE_CLASS = Comparer("accuracy", 100, "points", ".3f", True, True, _compare_accuracies, _other_classes)


# --- Any number of classes per example -----------------------------------------------------------------------------------


def _compare_precisions(first: Answers, second: Answers, labels: np.ndarray) -> Paired:
    known, truth = labels != UNKNOWN, labels > 0.5
    ranks = [np.where(known, probabilities, -1.0) for probabilities, _ in (first, second)]

    def scores(counts: np.ndarray) -> tuple[float, float]:
        drawn = truth[counts > 0].any(axis=0)
        before, after = (float(average_precisions(one, truth, counts)[drawn].sum()) for one in ranks)
        return before / max(1, drawn.sum()), after / max(1, drawn.sum())

    return paired_bootstrap(scores, len(labels))


def _other_decisions(models: Sequence[Answers], labels: np.ndarray) -> np.ndarray:
    known = labels != UNKNOWN
    decided = np.stack([(one >= thresholds) & known for one, thresholds in models])
    wrong = (decided != (labels > 0.5)) & known
    gap = np.ptp(wrong.sum(axis=2), axis=0) / labels.shape[1]
    return _disagreement((decided != decided[0]).any(axis=(0, 2)), ~wrong.any(axis=2), gap)


ANY_CLASSES = Comparer(
    "mean average precision", 100, "points", ".3f", True, False, _compare_precisions, _other_decisions
)


# --- Numbers ------------------------------------------------------------------------------------------------------------


def _compare_errors(first: Answers, second: Answers, labels: np.ndarray) -> Paired:
    errors = np.stack([np.abs(one.astype(np.float64) - labels).mean(axis=1) for one, _ in (first, second)])

    def scores(counts: np.ndarray) -> tuple[float, float]:
        before, after = errors @ counts / counts.sum()
        return float(before), float(after)

    return paired_bootstrap(scores, len(labels))


def _distance(models: Sequence[Answers], labels: np.ndarray) -> np.ndarray:
    spread = labels.astype(np.float64).std(axis=0)
    distance = np.ptp(np.stack([one.astype(np.float64) for one, _ in models]), axis=0)
    largest: np.ndarray = (distance / np.where(spread > 0, spread, 1.0)).max(axis=1)
    return largest


NUMBERS = Comparer("mean absolute error", 1, "", ".4g", False, False, _compare_errors, _distance)
