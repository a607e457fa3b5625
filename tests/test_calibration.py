"""Calibration: what it does to probabilities, when it leaves them alone, and that it is in the weights."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import app
from app.evaluation.calibration import (
    ANY_CLASSES,
    BINS,
    ONE_CLASS,
    TEMPERATURES,
    Calibrator,
    calibration_error,
    error_by_chance,
    reliability,
)
from app.evaluation.results import calibrate
from app.tasks import TASKS
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from models.builder import load_model, with_predictions
from tests.conftest import TINY
from tests.images import write_folder

CALIBRATORS = {SINGLE_LABEL: ONE_CLASS, MULTI_LABEL: ANY_CLASSES}


def sampled(task: str, count: int, *, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are drawn from the very probabilities of these logits."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, classes))
    probabilities = CALIBRATORS[task].probabilities(logits)
    if task == MULTI_LABEL:
        return logits, (random.random(logits.shape) < probabilities).astype(np.uint8)
    return logits, np.array([random.choice(classes, p=one) for one in probabilities])


def test_every_task_with_probabilities_is_calibrated() -> None:
    assert {name for name, task in TASKS.items() if task.calibrator} == set(TASKS) - {REGRESSION} == set(CALIBRATORS)


@pytest.mark.parametrize("task", CALIBRATORS)
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_temperature_that_spoiled_the_probabilities_is_found(task: str, temperature: float) -> None:
    calibrator = CALIBRATORS[task]
    logits, labels = sampled(task, 3000)
    spoiled = calibrator.probabilities(logits * temperature)
    found = calibrator.temperatures(spoiled, labels)
    assert found is not None
    np.testing.assert_allclose(found, temperature, rtol=0.15)
    before, after = (calibrator.figures(one, labels) for one in (spoiled, calibrator.at(spoiled, found)))
    assert after["ece"] < before["ece"] / 2 and after["log_loss"] < before["log_loss"]


@pytest.mark.parametrize("task", CALIBRATORS)
def test_figures_on_other_examples_are_better_too(task: str) -> None:
    calibrator = CALIBRATORS[task]
    logits, labels = sampled(task, 2400)
    spoiled = calibrator.probabilities(logits / 2)
    found = calibrator.temperatures(spoiled[:400], labels[:400])
    assert found is not None
    before, after = (calibrator.figures(one[400:], labels[400:]) for one in (spoiled, calibrator.at(spoiled, found)))
    assert after["ece"] <= 0.03 < before["ece"] and after["log_loss"] < before["log_loss"]


@pytest.mark.parametrize("task", CALIBRATORS)
def test_probabilities_that_are_right_stay(task: str) -> None:
    logits, labels = sampled(task, 300, seed=2)
    calibrator = CALIBRATORS[task]
    found = calibrator.temperatures(calibrator.probabilities(logits), labels)
    assert found is None or np.allclose(found, 1, atol=0.2)


@pytest.mark.parametrize("task", CALIBRATORS)
def test_too_few_examples_change_nothing(task: str) -> None:
    logits, labels = sampled(task, 9)
    assert CALIBRATORS[task].temperatures(CALIBRATORS[task].probabilities(logits / 10), labels) is None


def test_a_few_right_answers_do_not_make_a_model_sure_of_everything() -> None:
    """The log loss of one mistake among new examples stays finite and small: the rule of succession."""
    labels = np.arange(50) % 4
    timid = np.where(np.eye(4)[labels] > 0, 0.9, 0.1 / 3)
    found = ONE_CLASS.temperatures(timid, labels)
    assert found is not None and (found >= TEMPERATURES[0]).all()
    assert ONE_CLASS.at(timid, found).max(axis=1).mean() == pytest.approx(51 / 52, abs=0.002)


@pytest.mark.parametrize("task", CALIBRATORS)
def test_the_order_of_probabilities_stays(task: str) -> None:
    """Accuracy and average precision cannot change."""
    calibrator = CALIBRATORS[task]
    logits, labels = sampled(task, 500)
    spoiled = calibrator.probabilities(logits / 3)
    found = calibrator.temperatures(spoiled, labels)
    assert found is not None
    axis = 1 if task == SINGLE_LABEL else 0
    calibrated = calibrator.at(spoiled, found).astype(np.float64)
    assert (np.argsort(spoiled, axis=axis) == np.argsort(calibrated, axis=axis)).mean() > 0.999


def test_a_class_that_no_validation_example_has_gets_the_shared_temperature() -> None:
    logits, labels = sampled(MULTI_LABEL, 1000)
    labels[:, 3] = 0
    logits[:, 3] = -3
    found = ANY_CLASSES.temperatures(ANY_CLASSES.probabilities(logits / 2), labels)
    assert found is not None and TEMPERATURES[0] < found[3] < 2


@pytest.mark.parametrize(("layer", "task"), [("logits", SINGLE_LABEL), ("label_logits", MULTI_LABEL)])
def test_calibration_is_in_the_weights_of_the_last_layer(layer: str, task: str) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(4, name=layer)(inputs))
    features = np.random.default_rng(0).normal(0, 1, (400, 8)).astype(np.float32)
    calibrator: Calibrator = CALIBRATORS[task]
    _, labels = sampled(task, 400)
    if task == SINGLE_LABEL:
        labels = np.asarray(model(features)).argmax(axis=1)  # always right, and far too timid
    answering = with_predictions(model)
    before = np.asarray(answering(features))
    count = len(model.layers)
    temperatures = calibrate(model, inputs_of(model, task, features), labels)
    assert temperatures is not None and len(model.layers) == count
    np.testing.assert_allclose(np.asarray(answering(features)), calibrator.at(before, temperatures), atol=1e-5)


def test_numbers_are_left_alone() -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="numbers")(inputs))
    weights, features = model.get_weights(), np.ones((50, 8), np.float32)
    assert calibrate(model, inputs_of(model, REGRESSION, features), np.zeros((50, 1), np.float32)) is None
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])


def inputs_of(model: keras.Model, task: str, features: np.ndarray) -> Any:
    """What the model was trained on, as far as calibration reads it."""
    batches = tf.data.Dataset.from_tensor_slices((features, features)).batch(32)
    return SimpleNamespace(model=model, data=SimpleNamespace(task=TASKS[task]), validation=lambda: batches)


def test_calibration_error_weighs_bins_by_their_images() -> None:
    # Six images in the bin of 0.9, all right (gap 0.1); two in the bin of 0.6, one right (gap 0.1 again); nothing else.
    predictions = np.array([[0.9, 0.1]] * 6 + [[0.61, 0.39]] * 2)
    labels = np.array([0] * 6 + [0, 1])
    assert calibration_error(*ONE_CLASS.decisions(predictions, labels)) == pytest.approx((6 * 0.1 + 2 * 0.11) / 8)


def test_a_perfect_model_has_an_error_by_chance_that_falls_with_examples() -> None:
    confidence = np.random.default_rng(0).uniform(0.3, 1, 40_000)
    few, many = error_by_chance(confidence[:200]), error_by_chance(confidence)
    assert 0.05 < few < 0.15 and many < 0.01
    right = np.random.default_rng(1).random(len(confidence)) < confidence
    assert calibration_error(confidence, right) == pytest.approx(many, abs=0.005)


def test_gaps_of_different_bins_do_not_cancel() -> None:
    predictions = np.array([[1.0, 0.0], [0.5 + 0.5 / BINS, 0.5 - 0.5 / BINS]])
    too_sure, too_timid = 1.0, 1 - predictions[1, 0]
    assert calibration_error(*ONE_CLASS.decisions(predictions, np.array([1, 0]))) == pytest.approx(
        (too_sure + too_timid) / 2
    )


def test_bins_of_reliability_are_means() -> None:
    found = reliability(np.array([0.62, 0.64, 0.95]), np.array([True, False, True]))
    filled = found.counts > 0
    np.testing.assert_allclose(found.confidence[filled], [0.63, 0.95])
    np.testing.assert_allclose(found.accuracy[filled], [0.5, 1.0])
    assert found.counts.sum() == 3 and np.isnan(found.accuracy[~filled]).all()


# --- In a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tiny_backbone: str, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, app.Run]:
    """The same run with calibration and without; its head is solved for, with smoothed labels."""
    folder = tmp_path_factory.mktemp("runs")
    images = write_folder(folder / "images", examples=20)
    options = TINY | {
        "cache_limit": 1,
        "label_smoothing": 0.1,
        "strategy": "feature_extraction",
        "validation_fraction": 0.3,
    }
    return {
        calibrated: app.train(
            str(images),
            output=str(folder / str(calibrated)),
            formats=("tflite_float32",),
            calibrate=calibrated,
            **options,
        )
        for calibrated in (True, False)
    }


def test_metrics_tell_of_before_and_after(runs: dict[bool, app.Run]) -> None:
    found, plain = runs[True].metrics, runs[False].metrics
    assert plain["calibration"] is None
    assert set(found["calibration"]) == {"temperatures", "validation", "test"}
    for split in ("validation", "test"):
        one = found["calibration"][split]
        for name in ("log_loss", "ece"):
            assert one["before"][name] == pytest.approx(plain[split][name], abs=1e-3)
            assert one["after"][name] == pytest.approx(found[split][name], abs=1e-5)
        assert found[split]["accuracy"] == plain[split]["accuracy"]
    assert found["validation"]["log_loss"] < plain["validation"]["log_loss"]


def test_the_saved_model_and_the_exported_file_are_calibrated(runs: dict[bool, app.Run]) -> None:
    layers = [load_model(run.model).layers[-1] for run in (runs[True], runs[False])]
    temperature = next(iter(runs[True].metrics["calibration"]["temperatures"].values()))
    for calibrated, plain in zip(*(layer.get_weights() for layer in layers), strict=True):
        np.testing.assert_allclose(calibrated * temperature, plain, rtol=1e-4, atol=1e-6)
    assert runs[True].parity["formats"]["tflite_float32"]["passed"]  # it answers like the calibrated model


def test_the_report_shows_before_and_after(runs: dict[bool, app.Run]) -> None:
    for calibrated, run in runs.items():
        report = run.report.read_text(encoding="utf-8")
        assert (run.plots / "reliability.png").is_file()
        assert "How sure it is" in report
        assert ("a temperature of" in report) == calibrated
        assert ("--no-calibrate" in report) != calibrated
        json.dumps(run.metrics, allow_nan=False)
