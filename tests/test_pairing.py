"""The difference of two models: equal to hand-computed cases and to SciPy, and right about chance in simulations."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from app.tasks import TASKS, pairing
from app.tasks.pairing import Paired, holm, mcnemar, paired_bootstrap
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL, UNKNOWN

NULLS = 200


def of_counts(both: int, only_first: int, only_second: int, neither: int) -> Paired:
    """McNemar's test of so many examples that both, one, or none of the models has right."""
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return mcnemar(np.array(first), np.array(second))


def test_mcnemar_of_a_case_by_hand() -> None:
    found = of_counts(80, 3, 9, 8)
    by_hand = 2 * sum(comb(12, k) for k in range(4)) / 2**12  # 2 · (1 + 12 + 66 + 220) / 4096
    assert found.p_value == pytest.approx(by_hand, rel=1e-12) and round(by_hand, 4) == 0.146
    assert found.only_right == (3, 9) and found.scores == (0.83, 0.89)
    assert found.difference == pytest.approx(0.06)
    # Bonett and Price: one more example of each kind of disagreement among 102.
    middle, half = 6 / 102, 1.959964 * np.sqrt(((4 + 10) / 102 - (6 / 102) ** 2) / 102)
    assert found.ci95 == pytest.approx((middle - half, middle + half))


@pytest.mark.parametrize("counts", [(5, 0, 1, 0), (50, 7, 0, 3), (0, 4, 4, 0), (10, 20, 6, 1), (900, 30, 55, 15)])
def test_mcnemar_is_scipys_test_of_the_examples_that_one_has_right(counts: tuple[int, int, int, int]) -> None:
    _, first, second, _ = counts
    assert of_counts(*counts).p_value == binomtest(first, first + second, 0.5).pvalue


def test_models_that_are_right_on_the_same_examples_do_not_differ() -> None:
    found = of_counts(7, 0, 0, 3)
    assert (found.p_value, found.difference, found.only_right) == (1.0, 0.0, (0, 0))


def test_holm_of_a_case_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0] and holm([0.04]) == [0.04]


def test_the_bootstrap_of_a_mean_is_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    labels = random.normal(size=(40, 1))
    first, second = (labels + scale * random.normal(size=(40, 1)) for scale in (0.5, 0.3))
    found = TASKS[REGRESSION].comparer.test((first, None), (second, None), labels)
    errors = [np.abs(one - labels)[:, 0] for one in (first, second)]
    expected = ttest_rel(errors[1], errors[0])
    assert found.scores == pytest.approx(tuple(one.mean() for one in errors))
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.3)  # of 1,000 draws
    low, high = expected.confidence_interval()
    assert found.ci95 == pytest.approx((low, high), abs=0.1 * (high - low))
    assert found == TASKS[REGRESSION].comparer.test((first, None), (second, None), labels)  # the same draws


def test_a_bootstrap_without_spread_is_certain() -> None:
    assert paired_bootstrap(lambda counts: (0.5, 0.5), 5).p_value == 1.0
    assert paired_bootstrap(lambda counts: (0.5, 0.75), 5).p_value == 0.0


def test_mean_average_precision_leaves_out_unknown_labels() -> None:
    labels = np.array([[1, 0], [0, 1], [1, UNKNOWN], [0, 0]] * 5, np.int8)
    right = np.where(labels == 1, 0.9, 0.1)
    wrong = np.where(labels == 1, 0.2, 0.8)
    wrong_where_unknown = np.where(labels == UNKNOWN, 0.99, right)
    limits = np.full(2, 0.5)
    comparer = TASKS[MULTI_LABEL].comparer
    found = comparer.test((right, limits), (wrong_where_unknown, limits), labels)
    assert found.scores == (1.0, 1.0) and found.p_value == 1.0
    worse = comparer.test((right, limits), (wrong, limits), labels)
    expected = [TASKS[MULTI_LABEL].measure(one, labels, ("a", "b"), limits)["map"] for one in (right, wrong)]
    assert worse.scores == pytest.approx(tuple(expected)) and worse.p_value < 1e-6
    assert not comparer.disagreement([(right, limits), (wrong_where_unknown, limits)], labels).any()
    assert comparer.disagreement([(right, limits), (wrong, limits)], labels).all()


def test_examples_that_only_one_model_has_right_come_first() -> None:
    labels = np.array([0, 0, 1, 1])
    first = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.6, 0.1, 0.3], [0.2, 0.8, 0]])
    second = np.array([[0.8, 0.2, 0], [0.1, 0.9, 0], [0.3, 0.1, 0.6], [0.2, 0.8, 0]])
    found = TASKS[SINGLE_LABEL].comparer.disagreement([(first, None), (second, None)], labels)
    assert found[1] > found[2] > 0 == found[0] == found[3]  # both wrong, but in different ways, is second
    assert np.argmax(TASKS[REGRESSION].comparer.disagreement([(first, None), (second, None)], first)) == 1


def test_equally_accurate_models_rarely_differ() -> None:
    """In at most 5 % of the comparisons, and the interval holds the true difference, 0, in at least 95 %."""
    random = np.random.default_rng(0)
    wrong = covered = 0
    for _ in range(NULLS):
        hard = random.random(80)  # shared by the models, which makes their mistakes alike
        found = mcnemar(*(hard + 0.5 * random.normal(size=80) < 0.8 for _ in range(2)))
        wrong += found.p_value < 0.05
        covered += found.ci95[0] <= 0 <= found.ci95[1]
    assert wrong <= 0.05 * NULLS and covered >= 0.95 * NULLS


def test_equally_exact_models_rarely_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "RESAMPLES", 200)
    random, test = np.random.default_rng(0), TASKS[REGRESSION].comparer.test
    wrong = 0
    for _ in range(NULLS):
        labels, shared = random.normal(size=(2, 40, 1))
        first, second = ((labels + 0.3 * shared + random.exponential(size=(40, 1)), None) for _ in range(2))
        wrong += test(first, second, labels).p_value < 0.05
    assert wrong <= 0.05 * NULLS


def test_a_true_difference_is_found_and_covered() -> None:
    random = np.random.default_rng(0)
    found = [mcnemar(random.random(400) < 0.80, random.random(400) < 0.90) for _ in range(NULLS)]
    assert np.mean([one.p_value < 0.05 for one in found]) > 0.9
    assert np.mean([one.ci95[0] <= 0.1 <= one.ci95[1] for one in found]) >= 0.93
