"""Metrics against figures worked out by hand, and against scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics

from app.evaluation.metrics import (
    average_precisions,
    measure_multi_label,
    measure_regression,
    measure_single_label,
)

NAMES = ("a", "b", "c")


def one_hot(labels: list[int], classes: int = 3, sure: float = 1.0) -> np.ndarray:
    """Answers that give `sure` to the labels and the rest to the others evenly."""
    predictions = np.full((len(labels), classes), (1 - sure) / (classes - 1))
    predictions[np.arange(len(labels)), labels] = sure
    return predictions


def test_figures_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    found = measure_single_label(one_hot([0, 0, 0, 1, 1, 2, 2, 2], sure=0.8), labels, NAMES)
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
    found = measure_single_label(one_hot([0] * 8 + [1] * 2), np.zeros(10, int), NAMES)
    z, share, n = 1.959964, 0.8, 10
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert found["accuracy_ci95"] == pytest.approx([centre - half, centre + half], abs=1e-6)


@pytest.mark.parametrize(("answered", "accuracy"), [([0, 1, 2], 1.0), ([1, 2, 0], 0.0)])
def test_all_right_and_all_wrong(answered: list[int], accuracy: float) -> None:
    found = measure_single_label(one_hot(answered), np.array([0, 1, 2]), NAMES)
    assert found["accuracy"] == found["balanced_accuracy"] == found["macro_f1"] == accuracy
    assert found["ece"] == 1 - accuracy
    low, high = found["accuracy_ci95"]
    assert 0 <= low < high <= 1 and low <= accuracy <= high
    assert math.isfinite(found["log_loss"])  # probability 0 of the truth counts as 1e-12
    assert found["log_loss"] == pytest.approx(0 if accuracy else -math.log(1e-12), abs=1e-6)


def test_classes_without_images_do_not_count() -> None:
    found = measure_single_label(one_hot([0, 2, 1, 1]), np.array([0, 0, 1, 1]), NAMES)
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["classes"]["c"] == {"n": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert [len(row) for row in found["confusion"]] == [3, 3, 3]


def test_one_image_of_two_classes() -> None:
    found = measure_single_label(np.array([[0.3, 0.7]], np.float32), np.array([1]), ("no", "yes"))
    assert (found["n"], found["accuracy"], found["confusion"]) == (1, 1.0, [[0, 0], [0, 1]])
    assert found["log_loss"] == pytest.approx(-math.log(0.7), abs=1e-6)


def test_figures_are_json() -> None:
    predictions = np.random.default_rng(0).dirichlet([1, 1, 1], 50).astype(np.float32)
    found = measure_single_label(predictions, np.arange(50) % 3, NAMES)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_threshold_decides_between_two_classes() -> None:
    predictions = np.array([[0.7, 0.3], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    labels, names = np.array([1, 0, 0, 1]), ("no", "yes")
    assert measure_single_label(predictions, labels, names)["confusion"] == [[2, 0], [1, 1]]
    found = measure_single_label(predictions, labels, names, np.array([np.nan, 0.3]))
    assert found["confusion"] == [[1, 1], [0, 2]]
    assert found["classes"]["yes"] == pytest.approx({"n": 2, "precision": 2 / 3, "recall": 1.0, "f1": 0.8})
    assert found["log_loss"] == measure_single_label(predictions, labels, names)["log_loss"]  # of what the model says


# --- Several labels -----------------------------------------------------------------------------------------------------


def several(count: int = 70, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, some of them equal, labels and thresholds."""
    random = np.random.default_rng(seed)
    labels = (random.random((count, 3)) < [0.5, 0.3, 0.1]).astype(np.float32)
    probabilities = np.round(np.clip(random.normal(0.3 + 0.3 * labels, 0.2), 0, 1), 1).astype(np.float32)
    return probabilities, labels, np.array([0.55, 0.45, 0.65])


@pytest.mark.parametrize("seed", range(3))
def test_several_labels_are_measured_as_by_scikit_learn(seed: int) -> None:
    probabilities, labels, thresholds = several(seed=seed)
    found = measure_multi_label(probabilities, labels, NAMES, thresholds)
    decided, truth = probabilities >= thresholds, labels > 0.5
    assert found["n"] == 70
    assert found["map"] == pytest.approx(metrics.average_precision_score(truth, probabilities, average="macro"))
    assert found["accuracy"] == metrics.accuracy_score(truth, decided)
    assert found["label_accuracy"] == pytest.approx(1 - metrics.hamming_loss(truth, decided))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, decided, average="macro"))
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(truth, decided, average="micro"))
    balanced = [metrics.balanced_accuracy_score(truth[:, label], decided[:, label]) for label in range(3)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(balanced))
    losses = [metrics.log_loss(truth[:, label], probabilities[:, label].astype(float)) for label in range(3)]
    assert found["log_loss"] == pytest.approx(np.mean(losses), rel=1e-3)  # scikit-learn clips 0 otherwise
    for label, name in enumerate(NAMES):
        one = found["classes"][name]
        assert one["n"] == truth[:, label].sum() and one["threshold"] == thresholds[label]
        for key, expected in (
            ("average_precision", metrics.average_precision_score(truth[:, label], probabilities[:, label])),
            ("precision", metrics.precision_score(truth[:, label], decided[:, label])),
            ("recall", metrics.recall_score(truth[:, label], decided[:, label])),
            ("f1", metrics.f1_score(truth[:, label], decided[:, label])),
        ):
            assert one[key] == pytest.approx(expected)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_calibration_error_of_several_labels_is_that_of_each_yes_and_no() -> None:
    found = measure_multi_label(np.full((10, 3), 0.75), np.ones((10, 3)), NAMES, np.full(3, 0.5))
    assert found["ece"] == pytest.approx(0.25)
    assert found["label_accuracy"] == found["map"] == 1.0


def test_the_interval_of_the_average_precision_comes_from_images_drawn_again() -> None:
    probabilities, labels, thresholds = several(200)
    found = measure_multi_label(probabilities, labels, NAMES, thresholds)
    low, high = found["map_ci95"]
    assert low < found["map"] < high
    random = np.random.default_rng(1)
    drawn = [random.integers(0, 200, 200) for _ in range(500)]
    means = [metrics.average_precision_score(labels[one], probabilities[one], average="macro") for one in drawn]
    assert [low, high] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.04)
    assert found["map_ci95"] == measure_multi_label(probabilities, labels, NAMES, thresholds)["map_ci95"]


def test_an_image_that_counts_twice_is_there_twice() -> None:
    probabilities, labels, _ = several()
    counts = np.random.default_rng(0).integers(0, 3, 70)
    again = np.repeat(np.arange(70), counts)
    np.testing.assert_allclose(
        average_precisions(probabilities, labels > 0.5, counts),
        average_precisions(probabilities[again], labels[again] > 0.5),
    )


def test_a_class_that_no_image_has_is_in_no_mean() -> None:
    probabilities, labels, thresholds = several()
    labels[:, 1] = 0
    found = measure_multi_label(probabilities, labels, NAMES, thresholds)
    kept = measure_multi_label(probabilities[:, [0, 2]], labels[:, [0, 2]], ("a", "c"), thresholds[[0, 2]])
    for key in ("map", "macro_f1", "balanced_accuracy"):
        assert found[key] == pytest.approx(kept[key])
    assert found["classes"]["b"]["n"] == 0


# --- Numbers ------------------------------------------------------------------------------------------------------------


def test_numbers_are_measured_as_by_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels = (random.normal(size=(50, 3)) * [1, 10, 100]).astype(np.float32)
    predictions = (labels + random.normal(size=(50, 3)) * [0.5, 2, 80]).astype(np.float32)
    found = measure_regression(predictions, labels, NAMES)
    assert found["n"] == 50
    assert found["r2"] == pytest.approx(metrics.r2_score(labels, predictions), rel=1e-5)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(labels, predictions), rel=1e-5)
    assert found["rmse"] == pytest.approx(math.sqrt(metrics.mean_squared_error(labels, predictions)), rel=1e-5)
    low, high = found["mae_ci95"]
    spread = np.abs(predictions.astype(float) - labels).mean(axis=1).std(ddof=1) / math.sqrt(50)
    assert [low, high] == pytest.approx([found["mae"] - 1.96 * spread, found["mae"] + 1.96 * spread], rel=1e-4)
    for number, name in enumerate(NAMES):
        one = found["numbers"][name]
        assert one["r2"] == pytest.approx(metrics.r2_score(labels[:, number], predictions[:, number]), rel=1e-5)
        assert one["mae"] == pytest.approx(
            metrics.mean_absolute_error(labels[:, number], predictions[:, number]), rel=1e-5
        )
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_one_number_of_one_image_has_no_interval() -> None:
    found = measure_regression(np.array([[2.5]]), np.array([[3.0]]), ("weight",))
    assert (found["n"], found["mae"], found["rmse"], found["mae_ci95"], found["r2"]) == (1, 0.5, 0.5, None, 0.0)


@pytest.mark.parametrize("answer", [3.5, 3.6])
def test_a_constant_number_has_nothing_to_explain(answer: float) -> None:
    found = measure_regression(np.full((5, 1), answer, np.float32), np.full((5, 1), 3.5, np.float32), ("weight",))
    assert found["r2"] == found["numbers"]["weight"]["r2"] == 0.0


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_r2_is_the_same_in_any_unit(scale: float) -> None:
    truth, predictions = np.array([[1.0], [2.0], [4.0]]), np.array([[1.5], [2.0], [4.0]])
    found = measure_regression(
        (scale * predictions).astype(np.float32), (scale * truth).astype(np.float32), ("weight",)
    )
    assert found["r2"] == pytest.approx(1 - 0.25 / (14 / 3), rel=1e-4)
    assert all(np.isfinite(found[name]) for name in ("mae", "rmse"))
