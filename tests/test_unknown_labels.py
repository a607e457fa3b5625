"""Labels some of which are unknown: left out of the loss, of thresholds and figures, and of what the audit finds."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss, precision_score, recall_score

import app
from app.evaluation.calibration import ANY_CLASSES
from app.tasks import TASKS
from app.tasks.task import OperatingPoint
from data.labels import MULTI_LABEL, UNKNOWN
from data.sources import open_source
from data.sources.options import SourceOptions
from models.objectives import known_crossentropy, known_precision
from tests.conftest import TINY, Ended
from tests.squares import COLOURS, write_squares

TASK = TASKS[MULTI_LABEL]
NAMES = tuple(COLOURS)
OPTIONS = {"columns": {"label": ",".join(NAMES)}, "uncertain": "unknown"}
WORDS = ("--columns", f"label={','.join(NAMES)}", "--uncertain", "unknown")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list with a column for each colour, where every seventh cell is empty."""
    folder = write_squares(tmp_path / "squares")
    with open(folder / "colours.csv") as file:
        rows = [(row["path"], row["label"].split("|")) for row in csv.DictReader(file)]
    with open(folder / "columns.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *NAMES])
        for number, (path, has) in enumerate(rows):
            cells = [int(name in has) for name in NAMES]
            writer.writerow([path, *("" if (3 * number + at) % 7 == 3 else cell for at, cell in enumerate(cells))])
    return folder / "columns.csv"


@pytest.fixture(scope="module")
def some() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels, a third of them unknown: float32 (90, 3)."""
    random = np.random.default_rng(1)
    labels = (random.random((90, 3)) < 0.4).astype(np.float32)
    probabilities = np.clip(random.normal(0.35 + 0.3 * labels, 0.2), 0.01, 0.99).astype(np.float32)
    return probabilities, np.where(random.random(labels.shape) < 1 / 3, UNKNOWN, labels)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    return np.log(probabilities / (1 - probabilities))


def test_the_list_says_how_many_are_unknown(listed: Path) -> None:
    examples = open_source(str(listed), SourceOptions(**OPTIONS))
    unknown = int((examples.labels.array == UNKNOWN).sum())
    assert 20 < unknown < 30
    assert f"{unknown} of 180 cells are unknown, which neither loss nor figures count" in " ".join(examples.notes)


def test_an_image_of_which_nothing_is_known_is_left_out(listed: Path) -> None:
    (listed.parent / "more.png").write_bytes((listed.parent / "00.png").read_bytes())
    listed.write_text(listed.read_text() + "more.png,,-1,\n")
    examples = open_source(str(listed), SourceOptions(**OPTIONS))
    assert len(examples) == 60 and examples.ignored["without a label"] == 1


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_keras_where_all_is_known(some: tuple[np.ndarray, np.ndarray], smoothing: float) -> None:
    probabilities, labels = some
    known, logits = np.maximum(labels, 0), logits_of(probabilities)
    expected = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)(known, logits)
    assert float(known_crossentropy(smoothing)(known, logits)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_both_losses_leave_the_unknown_out(some: tuple[np.ndarray, np.ndarray], smoothing: float) -> None:
    probabilities, labels = some
    logits, targets = logits_of(probabilities).astype(np.float64), TASK.targets(labels, 3)
    smoothed = np.where(labels == UNKNOWN, np.nan, (1 - smoothing) * labels + smoothing / 2)
    expected = np.nansum(np.logaddexp(0, logits) - smoothed * logits, axis=1)
    losses, gradients = TASK.linear_loss(logits, TASK.smooth(targets, smoothing))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert (gradients == 0).tolist() == (labels == UNKNOWN).tolist()
    assert float(known_crossentropy(smoothing)(targets, logits)) == pytest.approx(losses.mean() / 3, rel=1e-5)


def test_the_metric_is_the_mean_over_what_is_known(some: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = some
    metric = known_precision(3)
    metric.update_state(TASK.targets(labels, 3), logits_of(probabilities))
    expected = []
    for label in range(3):
        alone = keras.metrics.AUC(curve="PR", from_logits=True)
        known = labels[:, label] != UNKNOWN
        alone.update_state(labels[known, label], logits_of(probabilities[known, label]))
        expected.append(float(alone.result()))
    assert float(metric.result()) == pytest.approx(np.mean(expected), rel=1e-5)


def test_figures_and_thresholds_are_those_of_what_is_known(some: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = some
    thresholds = TASK.choose_thresholds(probabilities, labels, OperatingPoint(NAMES))
    measured = TASK.measure(probabilities, labels, NAMES, thresholds)
    known = labels != UNKNOWN
    assert measured["unknown"] == (~known).sum()
    assert measured["log_loss"] == pytest.approx(log_loss(labels[known], probabilities[known], labels=[0, 1]), rel=1e-5)
    for label, name in enumerate(NAMES):
        truth, predictions = labels[known[:, label], label], probabilities[known[:, label], label]
        alone = TASK.choose_thresholds(predictions[:, None], truth[:, None], OperatingPoint(("one",)))[0]
        assert thresholds[label] == alone
        one = measured["classes"][name]
        assert one["n"] == truth.sum()
        assert one["average_precision"] == pytest.approx(average_precision_score(truth, predictions))
        for key, figure in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            assert one[key] == pytest.approx(figure(truth, predictions >= alone)), key
    wrong = (known & ((probabilities >= thresholds) != (labels > 0))).any(axis=1)
    assert measured["accuracy"] == pytest.approx(1 - wrong.mean())
    assert ANY_CLASSES.figures(probabilities, labels)["log_loss"] == pytest.approx(measured["log_loss"], rel=1e-4)


def test_what_is_unknown_changes_no_figure_and_no_temperature(some: tuple[np.ndarray, np.ndarray]) -> None:
    """Whatever the model answers there."""
    probabilities, labels = some
    others = np.where(labels == UNKNOWN, 0.97, probabilities).astype(np.float32)
    thresholds = np.array([0.5, 0.4, 0.6])

    def figures(predictions: np.ndarray) -> tuple[object, ...]:
        agreement = TASK.agreement(predictions, predictions, labels, NAMES, thresholds)
        captions = [TASK.caption(*one, NAMES, thresholds) for one in zip(predictions, labels, strict=True)]
        return (
            TASK.measure(predictions, labels, NAMES, thresholds),
            agreement["label_accuracy"],
            captions,
            ANY_CLASSES.fit(ANY_CLASSES.logits(predictions), labels).tolist(),
            TASK.per_example_loss(predictions, labels, thresholds).tolist(),
        )

    assert figures(probabilities) == figures(others)


def test_a_run_learns_from_what_is_known(
    listed: Path, tiny_backbone: str, tmp_path: Path, cli: Callable[..., Ended]
) -> None:
    options = {**TINY, "strategy": "feature_extraction", "columns": (WORDS[1],), "uncertain": "unknown"}
    run = app.train(str(listed), output=str(tmp_path / "run"), formats=("tflite_float32",), **options)
    assert run.metrics["test"]["unknown"] > 0 and run.metrics["validation"]["log_loss"] > 0
    assert "?" in run.splits  # an unknown class has a question mark in the list
    ended = cli("evaluate", str(run.path), str(listed), *WORDS)
    assert ended.code == 0, ended.err
    resumed = cli("evaluate", str(run.path))
    assert resumed.code == 0, resumed.err


def test_the_audit_holds_nothing_against_the_unknown(listed: Path, tmp_path: Path, cli: Callable[..., Ended]) -> None:
    """A copy with fewer known labels contradicts nothing, and the list that is written has the unknown ones again."""
    folder = listed.parent
    (folder / "copy.png").write_bytes((folder / "01.png").read_bytes())
    listed.write_text(listed.read_text() + "copy.png,,,1\n")
    before = open_source(str(listed), SourceOptions(**OPTIONS))
    fixed = tmp_path / "fixed.csv"
    ended = cli("audit", str(listed), *WORDS, "--fix", str(fixed), "--no-labels")
    assert ended.code == 0, ended.err
    assert "contradict" not in ended.out
    assert f"Read it with --columns label={','.join(NAMES)} --uncertain unknown." in " ".join(ended.out.split())
    after = open_source(str(fixed), SourceOptions(**OPTIONS))
    assert len(after) == 60
    assert after.labels == before.labels.taken(range(len(after)))
