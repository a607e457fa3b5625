"""Metrics against figures worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from app.evaluation.metrics import ECE_BINS, expected_calibration_error, measure

NAMES = ("a", "b", "c")


def one_hot(labels: list[int], classes: int = 3, sure: float = 1.0) -> np.ndarray:
    """Answers that give `sure` to the labels and the rest to the others evenly."""
    answers = np.full((len(labels), classes), (1 - sure) / (classes - 1))
    answers[np.arange(len(labels)), labels] = sure
    return answers


def test_figures_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    found = measure(one_hot([0, 0, 0, 1, 1, 2, 2, 2], sure=0.8), labels, NAMES)
    assert found["n"] == 8
    assert found["accuracy"] == 0.75
    assert found["confusion"] == [[3, 1, 0], [0, 1, 1], [0, 0, 2]]  # rows are the truth
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    f1 = [2 * 1 * 0.75 / 1.75, 0.5, 2 * (2 / 3) / (2 / 3 + 1)]
    assert found["macro_f1"] == pytest.approx(sum(f1) / 3)
    assert found["log_loss"] == pytest.approx(-(6 * math.log(0.8) + 2 * math.log(0.1)) / 8)
    assert found["ece"] == pytest.approx(0.05)  # sure 0.8, right 0.75
    assert found["classes"]["a"] == pytest.approx({"n": 4, "precision": 1.0, "recall": 0.75, "f1": f1[0]})
    assert found["classes"]["c"] == pytest.approx({"n": 2, "precision": 2 / 3, "recall": 1.0, "f1": f1[2]})


def test_the_interval_is_wilson_s() -> None:
    found = measure(one_hot([0] * 8 + [1] * 2), np.zeros(10, int), NAMES)
    z, share, n = 1.959964, 0.8, 10
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert found["accuracy_ci95"] == pytest.approx([centre - half, centre + half], abs=1e-6)


@pytest.mark.parametrize(("answered", "accuracy"), [([0, 1, 2], 1.0), ([1, 2, 0], 0.0)])
def test_all_right_and_all_wrong(answered: list[int], accuracy: float) -> None:
    found = measure(one_hot(answered), np.array([0, 1, 2]), NAMES)
    assert found["accuracy"] == found["balanced_accuracy"] == found["macro_f1"] == accuracy
    assert found["ece"] == 1 - accuracy
    low, high = found["accuracy_ci95"]
    assert 0 <= low < high <= 1 and low <= accuracy <= high
    assert math.isfinite(found["log_loss"])  # probability 0 of the truth counts as 1e-12
    assert found["log_loss"] == pytest.approx(0 if accuracy else -math.log(1e-12), abs=1e-6)


def test_classes_without_pictures_do_not_count() -> None:
    found = measure(one_hot([0, 2, 1, 1]), np.array([0, 0, 1, 1]), NAMES)
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["classes"]["c"] == {"n": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert [len(row) for row in found["confusion"]] == [3, 3, 3]


def test_one_picture_of_two_classes() -> None:
    found = measure(np.array([[0.3, 0.7]], np.float32), np.array([1]), ("no", "yes"))
    assert (found["n"], found["accuracy"], found["confusion"]) == (1, 1.0, [[0, 0], [0, 1]])
    assert found["log_loss"] == pytest.approx(-math.log(0.7), abs=1e-6)


def test_figures_are_json() -> None:
    answers = np.random.default_rng(0).dirichlet([1, 1, 1], 50).astype(np.float32)
    found = measure(answers, np.arange(50) % 3, NAMES)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_calibration_error_weighs_bins_by_their_pictures() -> None:
    # Six pictures in the bin of 0.9, all right (gap 0.1); two in the bin of 0.6, one right (gap 0.1 again); nothing else.
    answers = np.array([[0.9, 0.1]] * 6 + [[0.61, 0.39]] * 2)
    labels = np.array([0] * 6 + [0, 1])
    assert expected_calibration_error(answers, labels) == pytest.approx((6 * 0.1 + 2 * 0.11) / 8)


def test_gaps_of_different_bins_do_not_cancel() -> None:
    answers = np.array([[1.0, 0.0], [0.5 + 0.5 / ECE_BINS, 0.5 - 0.5 / ECE_BINS]])
    too_sure, too_timid = 1.0, 1 - answers[1, 0]
    assert expected_calibration_error(answers, np.array([1, 0])) == pytest.approx((too_sure + too_timid) / 2)
