"""Every task of the table keeps its promises: losses, metrics, thresholds, figures, and the comparison of two models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import f1_score, precision_score, r2_score, recall_score

from app.config import TrainConfig
from app.evaluation.results import check_operating_point
from app.evaluation.thresholds import best_f1_threshold, decide, threshold_for
from app.interface.errors import UsageError
from app.tasks import TASKS
from app.tasks.intervals import mean_interval
from app.tasks.task import OperatingPoint, Task
from data.labels import LABELS, MULTI_LABEL, REGRESSION, SINGLE_LABEL
from models.heads import OUTPUTS, Output
from tests.labelled import example_set, random_set

NAMES = ("a", "b", "c")
ANYTHING = OperatingPoint(NAMES)


@pytest.fixture(params=TASKS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def task(name: str) -> Task:
    return TASKS[name]


def labels_of(name: str, count: int = 60, seed: int = 0) -> np.ndarray:
    return random_set(name, count, seed).labels.array


def answers_of(name: str, logits: np.ndarray) -> np.ndarray:
    """What a model answers whose last layer has these values."""
    activation = keras.activations.get(OUTPUTS[name].activation)
    return np.asarray(activation(keras.ops.convert_to_tensor(logits.astype(np.float32))))


def learnt(name: str, labels: np.ndarray, steps: int = 20, seed: int = 1) -> np.ndarray:
    """Values of the last layer that begin by chance and follow the task's own gradient, float (n, 3)."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), 3))
    targets = TASKS[name].targets(labels, 3)
    for _ in range(steps):
        logits = logits - 0.4 * TASKS[name].linear_loss(logits, targets)[1]
    return logits


def evaluated(name: str, predictions: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return TASKS[name].measure(predictions, labels, NAMES, TASKS[name].choose_thresholds(predictions, labels, ANYTHING))


def test_each_task_has_labels_a_task_and_outputs() -> None:
    assert list(LABELS) == list(TASKS) == list(OUTPUTS)
    assert len({output.layer for output in OUTPUTS.values()}) == len(OUTPUTS)  # a saved model tells its task by it
    assert all(isinstance(output, Output) for output in OUTPUTS.values())


# --- Losses -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_is_that_of_finite_differences(smoothing: float, name: str, task: Task) -> None:
    logits = np.random.default_rng(0).normal(0, 2, (60, 3))
    targets = task.smooth(task.targets(labels_of(name), 3), smoothing).astype(np.float64)
    losses, gradients = task.linear_loss(logits, targets)
    assert losses.shape == (60,) and gradients.shape == (60, 3)
    for output in range(3):
        step = 1e-5 * np.eye(3)[output]
        there, back = (task.linear_loss(logits + way, targets)[0] for way in (step, -step))
        np.testing.assert_allclose(gradients[:, output], (there - back) / 2e-5, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_keras(smoothing: float, name: str, task: Task) -> None:
    logits = np.random.default_rng(0).normal(0, 2, (60, 3)).astype(np.float32)
    targets = task.targets(labels_of(name), 3)
    losses, _ = task.linear_loss(logits, task.smooth(targets, smoothing))
    expected = float(task.loss(smoothing)(targets, logits))
    assert losses.mean() / (3 if task.averages_outputs else 1) == pytest.approx(expected, rel=1e-5)


def test_targets_are_what_the_loss_is_least_at(name: str, task: Task) -> None:
    targets = task.targets(labels_of(name), 3)
    assert targets.shape == (60, 3) and targets.dtype == np.float32
    metrics = []
    for steps in (0, 5, 50):
        metric = task.new_metric(3)
        metric.update_state(targets, learnt(name, labels_of(name), steps).astype(np.float32))
        metrics.append(float(metric.result()))
    assert metrics[0] < metrics[1] <= metrics[2]  # the higher, the better
    assert metrics[2] == pytest.approx(1, abs=0.01)


# --- Metrics and what is made of them -----------------------------------------------------------------------------------


def test_metrics_are_json_and_get_better_with_the_answers(name: str, task: Task) -> None:
    labels = labels_of(name)
    found = [evaluated(name, answers_of(name, learnt(name, labels, steps)), labels) for steps in (0, 3, 20)]
    for one in found:
        assert json.loads(json.dumps(one, allow_nan=False)) == one
        assert one["n"] == 60
    for key in (task.metric, task.score):
        assert found[0][key] < found[1][key] <= found[2][key]
    for one in found:
        for key, (low, high) in ((key, one[key]) for key in one if key.endswith("_ci95")):
            assert low <= one[key.removesuffix("_ci95")] <= high


def test_metrics_are_shown_as_tables(name: str, task: Task) -> None:
    labels = labels_of(name)
    found = evaluated(name, answers_of(name, learnt(name, labels, 3)), labels)
    columns, rows = task.details(found)
    assert sorted(row[0] for row in rows) == list(NAMES)
    assert {len(row) for row in rows} == {len(columns)}
    shown = [text(found) for text in task.columns.values()]
    assert all(shown) and len(set(shown)) > 2
    (large, about), *_ = task.highlights(found)
    assert large and " 60 " in about and "images, 95 % interval" in about


def test_one_image_is_enough_for_metrics_and_tables(name: str, task: Task) -> None:
    labels = labels_of(name)[:1]
    predictions = answers_of(name, learnt(name, labels, 3))
    thresholds = task.choose_thresholds(predictions, labels, ANYTHING)
    found = task.measure(predictions, labels, NAMES, thresholds)
    compared = task.agreement(predictions, predictions, labels, NAMES, thresholds)
    json.dumps([found, compared], allow_nan=False)
    assert all(text(found) for text in task.columns.values()) and task.highlights(found)
    assert compared[f"{task.score}_drop_ci95"][0] < 0 < compared[f"{task.score}_drop_ci95"][1]


def test_plots_and_captions(name: str, task: Task) -> None:
    labels = labels_of(name)
    predictions = answers_of(name, learnt(name, labels, 3))
    thresholds = task.choose_thresholds(predictions, labels, ANYTHING)
    figures = task.figures(predictions, labels, NAMES, thresholds)
    assert figures and all(isinstance(figure, Figure) for figure in figures.values())
    captions = [task.caption(one, label, NAMES, thresholds) for one, label in zip(predictions, labels, strict=True)]
    assert all(len(text.split("\n")) == (1 if right and task.same_answer else 2) for text, right in captions)

    per_example_loss = task.per_example_loss(predictions, labels, thresholds)
    assert per_example_loss.shape == (60,) and (per_example_loss >= 0).all()
    if task.same_answer:
        right = np.array([right for _, right in captions])
        assert right.any() and not right.all()
        assert per_example_loss[right].max() <= 1 <= per_example_loss[~right].min()
        decided = task.measure(predictions, labels, NAMES, thresholds)["accuracy"]
        assert right.mean() == pytest.approx(decided)


# --- Thresholds ---------------------------------------------------------------------------------------------------------


def scores(seed: int, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, some of them equal, that say a little of the truth, float32 and bool (count, 3)."""
    random = np.random.default_rng(seed)
    truth = random.random((count, 3)) < [0.5, 0.2, 0.05]
    truth[0] = True
    return np.round(np.clip(random.normal(0.35 + 0.2 * truth, 0.2), 0, 1), 2).astype(np.float32), truth


@pytest.mark.parametrize("seed", range(5))
def test_the_best_f1_is_the_best_of_all(seed: int) -> None:
    probabilities, truth = scores(seed)
    for label in range(3):
        chosen = best_f1_threshold(probabilities[:, label], truth[:, label])
        every = [f1_score(truth[:, label], probabilities[:, label] >= one) for one in np.unique(probabilities)]
        found = f1_score(truth[:, label], probabilities[:, label] >= chosen)
        assert found == pytest.approx(max(every))


def test_a_class_that_all_or_no_images_have_is_cut_in_the_middle() -> None:
    probabilities, truth = scores(0)
    truth[:, 0], truth[:, 1] = True, False
    assert [best_f1_threshold(probabilities[:, label], truth[:, label]) for label in (0, 1)] == [0.5, 0.5]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("kind", "part"), [("precision", 0.5), ("precision", 0.6), ("recall", 0.5), ("recall", 1.0)])
def test_a_threshold_reaches_what_is_asked_and_costs_the_least(kind: str, part: float, seed: int) -> None:
    probabilities, truth = scores(seed)
    probabilities, truth = probabilities[:, 0], truth[:, 0]
    chosen = threshold_for(probabilities, truth, **{kind: part})

    def reached(threshold: float) -> dict[str, float]:
        decided = probabilities >= threshold
        return {"precision": precision_score(truth, decided), "recall": recall_score(truth, decided)}

    other = "recall" if kind == "precision" else "precision"
    allowed = [one for one in map(reached, np.unique(probabilities)) if one[kind] >= part]
    assert reached(chosen)[kind] >= part
    assert reached(chosen)[other] == pytest.approx(max(one[other] for one in allowed))


def test_where_a_precision_is_out_of_reach_the_nearest_is_taken() -> None:
    chosen = threshold_for(np.array([0.9, 0.8, 0.7, 0.1]), np.array([False, True, True, False]), precision=0.9)
    assert chosen == 0.7


def test_of_two_classes_the_one_with_a_threshold_is_answered_from_there_up() -> None:
    probabilities = np.array([[0.75, 0.25], [0.7, 0.3], [0.4, 0.6]])
    assert decide(probabilities, None).tolist() == [0, 0, 1]
    assert decide(probabilities, np.array([np.nan, 0.3])).tolist() == [0, 1, 1]
    assert decide(probabilities, np.array([0.75, np.nan])).tolist() == [0, 1, 1]
    assert decide(probabilities, np.array([0.4, np.nan])).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", [SINGLE_LABEL, MULTI_LABEL])
@pytest.mark.parametrize("point", [{"precision": 0.7}, {"recall": 0.9}])
def test_thresholds_reach_the_goal_on_what_they_were_chosen_by(point: dict[str, float], name: str) -> None:
    (wanted, part), task = next(iter(point.items())), TASKS[name]
    classes = NAMES[:2] if name == SINGLE_LABEL else NAMES
    probabilities, truth = scores(0)
    if name == SINGLE_LABEL:
        probabilities = np.column_stack([1 - probabilities[:, 0], probabilities[:, 0]])
        labels: np.ndarray = truth[:, 0].astype(int)
    else:
        labels = truth.astype(np.float32)
    if wanted == "precision":  # within reach of all
        probabilities = 0.5 * probabilities + 0.5 * TASKS[name].targets(labels, len(classes))
    thresholds = task.choose_thresholds(probabilities, labels, OperatingPoint(classes, **point))
    assert thresholds is not None and thresholds.shape == (len(classes),)
    found = task.measure(probabilities, labels, classes, thresholds)["classes"]
    chosen = [one for one, threshold in zip(classes, thresholds, strict=True) if np.isfinite(threshold)]
    assert chosen == (["b"] if name == SINGLE_LABEL else list(NAMES))
    assert all(found[one][wanted] >= part for one in chosen)


def test_the_positive_class_may_be_chosen() -> None:
    probabilities, labels = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]), np.array([0, 0, 1])
    choose = TASKS[SINGLE_LABEL].choose_thresholds
    for positive, expected in (("no", [0.6, np.nan]), ("yes", [np.nan, 0.7]), (None, [np.nan, 0.7])):
        chosen = choose(probabilities, labels, OperatingPoint(("no", "yes"), positive, recall=1.0))
        np.testing.assert_allclose(chosen, expected)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        (REGRESSION, {"target_precision": 0.9}, "--target-precision is about classes, and chance has numbers"),
        (SINGLE_LABEL, {"target_recall": 0.9}, "--target-recall takes two classes, .* chance has 3 classes"),
        (MULTI_LABEL, {"target_recall": 0.9, "positive": "a"}, "--positive must be one of two classes"),
    ],
)
def test_a_goal_that_does_not_fit_the_task_is_refused(name: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        check_operating_point(random_set(name, 20, 0), TrainConfig(**options))


def test_an_unknown_positive_class_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--positive must be one of two classes \(a or b\), not yes"):
        check_operating_point(example_set(5, 5), TrainConfig(positive="yes", target_recall=0.9))


# --- Agreement of two models --------------------------------------------------------------------------------------------


def compare(name: str, change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """A model that learned a little, and the same with some of the last layer's values changed."""
    labels = labels_of(name)
    logits = learnt(name, labels, 5)
    expected = answers_of(name, logits)
    thresholds = TASKS[name].choose_thresholds(expected, labels, ANYTHING)
    return TASKS[name].agreement(answers_of(name, change(logits.copy())), expected, labels, NAMES, thresholds)


def test_equal_answers_agree_in_everything(name: str, task: Task) -> None:
    found = compare(name, lambda logits: logits)
    assert found[task.score] == found[f"keras_{task.score}"]
    assert found[f"{task.score}_drop"] == found[task.difference] == found[task.difference.replace("max", "mean")] == 0
    assert found[f"{task.score}_drop_ci95"][0] <= 0 <= found[f"{task.score}_drop_ci95"][1]
    assert task.same_answer is None or found[task.same_answer] == 1.0
    assert found.get("class_drops", {}) == {}
    json.dumps(found, allow_nan=False)


def test_one_spoilt_answer_shows(name: str, task: Task) -> None:
    def spoil(logits: np.ndarray) -> np.ndarray:
        logits[7] = -8 * logits[7]
        return logits

    found = compare(name, spoil)
    assert found[task.difference] > 0.5
    assert found[task.difference.replace("max", "mean")] == pytest.approx(found[task.difference] / 60)
    assert task.same_answer is None or found[task.same_answer] == pytest.approx(59 / 60)
    low, high = found[f"{task.score}_drop_ci95"]
    assert 0 < found[f"{task.score}_drop"] == pytest.approx(found[f"keras_{task.score}"] - found[task.score])
    assert low <= found[f"{task.score}_drop"] <= high
    if "class_drops" in found:
        assert sum(found["class_drops"].values()) > 0


def test_answers_by_chance_lose_more_than_chance_explains(name: str, task: Task) -> None:
    found = compare(name, lambda logits: np.random.default_rng(5).permutation(logits))
    assert found[f"{task.score}_drop_ci95"][0] > 0


def test_scores_are_those_of_the_metrics(name: str, task: Task) -> None:
    labels = labels_of(name)
    predictions = [answers_of(name, learnt(name, labels, steps)) for steps in (3, 8)]
    thresholds = task.choose_thresholds(predictions[1], labels, ANYTHING)
    found = task.agreement(predictions[0], predictions[1], labels, NAMES, thresholds)
    for key, one in ((task.score, predictions[0]), (f"keras_{task.score}", predictions[1])):
        assert found[key] == pytest.approx(task.measure(one, labels, NAMES, thresholds)[task.score], abs=1e-6)


def test_two_classes_are_compared_by_the_threshold_that_decides() -> None:
    task, labels = TASKS[SINGLE_LABEL], np.array([0, 0, 1, 1])
    thresholds = np.array([np.nan, 0.2])
    expected = np.array([[0.9, 0.1], [0.85, 0.15], [0.7, 0.3], [0.1, 0.9]])
    predictions = expected.copy()
    predictions[2] = [0.81, 0.19]  # the likeliest is the same, and the answer is not
    found = task.agreement(predictions, expected, labels, ("no", "yes"), thresholds)
    assert (found["keras_accuracy"], found["accuracy"], found["top1_agreement"]) == (1.0, 0.75, 0.75)
    expected[2] = [0.795, 0.205]  # so near to it that either is as good
    assert task.agreement(predictions, expected, labels, ("no", "yes"), thresholds)["top1_agreement"] == 1.0


def test_numbers_are_compared_in_their_own_spread() -> None:
    labels = labels_of(REGRESSION)
    predictions = labels + np.random.default_rng(3).normal(0, 0.3, labels.shape)
    scaled = [1000 * one for one in (predictions, labels, labels)]
    found = TASKS[REGRESSION].agreement(*scaled, NAMES, None)
    plain = TASKS[REGRESSION].agreement(predictions, labels, labels, NAMES, None)
    assert found["max_difference"] == pytest.approx(plain["max_difference"], rel=1e-4)
    assert found["r2"] == pytest.approx(r2_score(labels, predictions), abs=1e-6)
    assert found["mae"] == pytest.approx(1000 * plain["mae"], rel=1e-4)


def test_the_interval_of_a_mean_has_95_percent_of_means() -> None:
    random = np.random.default_rng(0)
    intervals = np.array([mean_interval(random.normal(0.1, 0.4, 100)) for _ in range(1000)])
    assert 0.93 < ((intervals[:, 0] <= 0.1) & (intervals[:, 1] >= 0.1)).mean() < 0.97
