"""Several labels an image, numbers, and a class to be found: from a list of images to a phone's file and its predictions."""

from __future__ import annotations

import base64
import csv
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import app
from app.exporting.metadata import LABELS, THRESHOLDS
from app.exporting.runtimes import LiteRTRuntime, ONNXRuntime
from app.tasks import TASKS
from data.image.resizing import load_pixels
from data.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from models.builder import load_model
from models.heads import OUTPUTS
from tests.conftest import TINY, Ended
from tests.squares import COLOURS, NUMBERS
from tests.test_run_folder import strict

Cli = Callable[..., Ended]

OPTIONS: dict[str, Any] = TINY | {"cache_limit": 1, "formats": ("tflite_float32", "saved_model")}


class ExportContext(NamedTuple):
    """A run and what it was made from."""

    task: str
    run: app.Run
    examples: Path

    @property
    def names(self) -> tuple[str, ...]:
        return self.run.class_names

    @property
    def test(self) -> list[Path]:
        """The images of the test split."""
        rows = csv.DictReader(self.run.splits.splitlines())
        return [self.examples / row["path"] for row in rows if row["split"] == "test"]


RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    MULTI_LABEL: ("colours.csv", {"quantize": "auto", "max_drop": 20.0}),
    REGRESSION: (
        "numbers.csv",
        {
            "columns": (f"label={','.join(NUMBERS)}",),
            "formats": ("tflite_float32", "saved_model", "onnx"),
            "quantize": "auto",
            "max_drop": 20.0,
        },
    ),
    SINGLE_LABEL: ("red.csv", {"positive": "red", "target_recall": 1.0, "formats": ("tflite_float32",)}),
}


@pytest.fixture(scope="module", params=TASKS)
def context(
    request: pytest.FixtureRequest, squares: Path, tiny_backbone: str, tmp_path_factory: pytest.TempPathFactory
) -> ExportContext:
    """A run of each task; tests that write take a copy."""
    source, options = RUNS[request.param]
    output = tmp_path_factory.mktemp("runs") / request.param
    run = app.train(str(squares / source), output=str(output), **OPTIONS | options)
    return ExportContext(request.param, run, squares)


def copy_of(context: ExportContext, folder: Path) -> ExportContext:
    return context._replace(run=app.Run(Path(shutil.copytree(context.run.path, folder / "copy"))))


@pytest.fixture(scope="module")
def predictions(context: ExportContext) -> list[app.Prediction]:
    """What the run says of its test images."""
    return app.predict(str(context.run.path), [str(path) for path in context.test])


def truth_of(context: ExportContext) -> list[list[str]]:
    """The cells of the test images' labels."""
    source, _ = RUNS[context.task]
    cells = {name: rest for name, *rest in csv.reader((context.examples / source).read_text().splitlines())}
    return [cells[path.name] for path in context.test]


# --- The run folder -----------------------------------------------------------------------------------------------------


def test_the_task_is_found_in_the_labels_and_learned(context: ExportContext) -> None:
    task, metrics = TASKS[context.task], context.run.metrics
    assert context.run.options["task"] == context.task
    assert (
        set(context.names)
        == {
            MULTI_LABEL: set(COLOURS),
            REGRESSION: set(NUMBERS),
            SINGLE_LABEL: {"red", "other"},
        }[context.task]
    )
    for split in ("validation", "test"):
        assert {"n", task.metric, task.score} <= set(metrics[split])
        assert context.task == SINGLE_LABEL or metrics[split][task.metric] > 0.5  # something was learned
    for record in context.run.history:
        assert set(record) == {
            *("phase", "epoch", "seconds", "finished", "loss", "val_loss"),
            *(task.metric, f"val_{task.metric}"),
        }


def test_json_and_plots_are_there(context: ExportContext) -> None:
    for file in context.run.path.rglob("*.json"):
        strict(file.read_text(encoding="utf-8"))
    labels = np.eye(2) if context.task != SINGLE_LABEL else np.arange(2)
    figures = TASKS[context.task].figures(np.full((2, 2), 0.5), labels, ("a", "b"), np.full(2, 0.5))
    plots = {path.stem for path in context.run.plots.glob("*.png")}
    assert {"curves", "predictions", *figures} <= plots
    for path in context.run.plots.glob("*.png"):
        with Image.open(path) as image:
            image.load()


def test_thresholds_are_those_of_the_metrics(context: ExportContext) -> None:
    file, test = context.run.path / THRESHOLDS, context.run.metrics["test"]
    if context.task == REGRESSION:
        assert not file.exists() and not (context.run.export / THRESHOLDS).exists()
        return
    thresholds = json.loads(file.read_text())
    assert json.loads((context.run.export / THRESHOLDS).read_text()) == thresholds
    if context.task == MULTI_LABEL:
        assert thresholds == {name: one["threshold"] for name, one in test["classes"].items()}
    else:
        assert list(thresholds) == ["red"]
        assert context.run.metrics["validation"]["classes"]["red"]["recall"] == 1.0


def test_the_model_answers_in_the_units_of_the_labels(context: ExportContext) -> None:
    model = load_model(context.run.model)
    assert model.layers[-1].name == OUTPUTS[context.task].layer
    if context.task == REGRESSION:
        test = context.run.metrics["test"]
        assert test["mae"] < 30 and test["numbers"]["redness"]["rmse"] < 40  # of numbers above 1000
        pixels = np.stack([load_pixels(path.read_bytes(), 32, "stretch") for path in context.test]).astype(np.float32)
        assert np.asarray(model(pixels))[:, context.names.index("redness")].min() > 900


# --- Exported files -----------------------------------------------------------------------------------------------------


def test_all_files_agree_with_the_model(context: ExportContext) -> None:
    task, parity = TASKS[context.task], context.run.parity
    assert parity["passed"]
    for name in context.run.options["formats"]:
        one = parity["formats"][name]
        assert one["passed"] and one[task.difference] <= one["tolerance"]
        assert one[f"keras_{task.score}"] == pytest.approx(context.run.metrics["test"][task.score], abs=1e-5)
    if context.task != SINGLE_LABEL:
        kept = parity["quantization"]["kept"]
        assert kept in parity["formats"] and (context.run.export / parity["formats"][kept]["file"]).is_file()
        assert all(f"{task.score}_drop" in step for step in parity["quantization"]["steps"])
    # Its client is for classifiers.
    assert ("mediapipe" in parity["formats"]["tflite_float32"]) == (context.task != REGRESSION)


def test_files_call_their_answers_by_name(context: ExportContext) -> None:
    name_of: dict[str, Callable[[Path], str]] = {
        "tflite_float32": lambda file: LiteRTRuntime(file, 1).output,
        "onnx": lambda file: ONNXRuntime(file, 1).output,
        "saved_model": lambda file: next(
            iter(tf.saved_model.load(str(file)).signatures["serving_default"].structured_outputs)
        ),
    }
    for name in context.run.options["formats"]:
        file = context.run.export / context.run.parity["formats"][name]["file"]
        assert name_of[name](file) == OUTPUTS[context.task].predictions


def test_labels_and_thresholds_are_inside_the_phone_s_file(context: ExportContext) -> None:
    with zipfile.ZipFile(context.run.export / "model_float32.tflite") as archive:
        assert archive.read(LABELS).decode() == "".join(f"{name}\n" for name in context.names)
        inside = set(archive.namelist())
        assert (THRESHOLDS in inside) == (context.task != REGRESSION)
        if THRESHOLDS in inside:
            assert archive.read(THRESHOLDS) == (context.run.export / THRESHOLDS).read_bytes()


def test_golden_vectors_are_the_file_s_answers(context: ExportContext) -> None:
    folder = context.run.export / "golden"
    expected = json.loads((folder / "expected.json").read_text())
    tolerance = expected["tolerances"]["model_float32.tflite"]
    assert 0 < tolerance < 1.5
    assert tolerance <= expected["tolerance"]  # a number of an integer file has coarser steps
    tensors = np.stack([np.fromfile(folder / one["tensor"], np.uint8) for one in expected["pictures"]])
    model = LiteRTRuntime(context.run.export / "model_float32.tflite", 1)
    given = model.predict(tensors.reshape(-1, *expected["shape"]))
    outputs = expected["outputs"]["model_float32.tflite"]
    np.testing.assert_allclose(given, outputs["from_tensor"], atol=tolerance)
    assert ("mediapipe" in outputs) == (context.task != REGRESSION)
    assert all((one["label"] or context.task == MULTI_LABEL) for one in expected["pictures"])


# --- predict, evaluate, export ------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_metrics(context: ExportContext, predictions: list[app.Prediction]) -> None:
    test, truth = context.run.metrics["test"], truth_of(context)
    if context.task == REGRESSION:
        given = np.array([[one.outputs[name] for name in NUMBERS] for one in predictions])
        assert np.abs(given - np.array(truth, float)).mean() == pytest.approx(test["mae"], rel=1e-3)
        assert {one.labels for one in predictions} == {()}
    else:
        right = [
            set(one.labels) == set(cell.split("|")) - {""} for one, (cell,) in zip(predictions, truth, strict=True)
        ]
        assert np.mean(right) == pytest.approx(test["accuracy"])


def test_predict_answers_from_bare_files_as_from_the_run(
    context: ExportContext, predictions: list[app.Prediction], tmp_path: Path, cli: Cli
) -> None:
    for name in (LABELS, THRESHOLDS, "model_float32.tflite", "model.onnx"):
        if (context.run.export / name).exists():
            shutil.copy(context.run.export / name, tmp_path / name)
    key = {MULTI_LABEL: "labels", REGRESSION: "numbers", SINGLE_LABEL: "label"}[context.task]
    for model in [*tmp_path.glob("model*")]:
        ended = cli("predict", model, *context.test, "--json")
        assert (ended.code, ended.err) == (0, "")
        for one, expected in zip(strict(ended.out), (each.as_json() for each in predictions), strict=True):
            assert set(one) == ({"path", "numbers"} if key == "numbers" else {"path", "probabilities", key})
            assert one["path"] == expected["path"]
            assert one[key] == (pytest.approx(expected[key], abs=0.1) if key == "numbers" else expected[key])


def test_numbers_of_a_file_have_the_names_in_it(context: ExportContext, tmp_path: Path) -> None:
    if context.task == REGRESSION:
        file = shutil.copy(context.run.export / "model.onnx", tmp_path / "model.onnx")
        (one,) = app.predict(str(file), [str(context.test[0])])
        assert list(one.outputs) == list(context.run.class_names) and one.task == REGRESSION


def test_answers_follow_the_thresholds(context: ExportContext, predictions: list[app.Prediction]) -> None:
    if context.task == REGRESSION:
        return
    thresholds = json.loads((context.run.path / THRESHOLDS).read_text())
    for one in predictions:
        reached = {name for name, threshold in thresholds.items() if one.outputs[name] >= threshold}
        assert set(one.labels) == (reached if context.task == MULTI_LABEL else reached or {"other"})


@pytest.mark.usefixtures("wide")
def test_predict_says_it_in_words(context: ExportContext, predictions: list[app.Prediction], cli: Cli) -> None:
    ended = cli("predict", context.run.export / "model_float32.tflite", *context.test)
    assert (ended.code, ended.err) == (0, "")
    for path, one in zip(context.test, predictions, strict=True):
        row = next(line for line in ended.out.splitlines() if path.name in line)
        if context.task == REGRESSION:
            assert all(f"{name} {number:.4g}" in row for name, number in one.outputs.items())
        else:
            assert all(f"{name} {one.outputs[name]:.1%}" in row for name in one.labels)
            assert bool(one.labels) != row.rstrip().endswith(" none")


def test_evaluate_gives_the_run_s_own_figures_and_those_of_others(context: ExportContext, tmp_path: Path) -> None:
    run = copy_of(context, tmp_path).run
    task, expected = TASKS[context.task], run.metrics["test"]
    assert app.evaluate(str(run.path))[task.score] == pytest.approx(expected[task.score], abs=1e-6)

    source, _ = RUNS[context.task]
    rows = list(csv.reader((context.examples / source).read_text().splitlines()))
    with open(tmp_path / "other.csv", "w", newline="") as file:  # of the first colours alone
        csv.writer(file).writerows([rows[0], *([context.examples / name, *rest] for name, *rest in rows[1:10])])
    found = app.evaluate(str(run.path), str(tmp_path / "other.csv"))
    assert found["n"] == 9 and found[task.score] > 0.4
    assert set(found) == set(expected)


def test_export_again_gives_the_same(context: ExportContext, tmp_path: Path) -> None:
    run = copy_of(context, tmp_path).run
    before, files = run.parity["formats"]["tflite_float32"], (run.export / "model_float32.tflite").read_bytes()
    app.export(str(run.path), formats=("tflite_float32",))
    after = run.parity["formats"]["tflite_float32"]
    score = TASKS[context.task].score
    assert after["passed"] and after[score] == pytest.approx(before[score])
    assert len((run.export / "model_float32.tflite").read_bytes()) == pytest.approx(len(files), rel=0.01)


def test_pages_say_what_the_model_is_and_how_good(context: ExportContext) -> None:
    task, test = TASKS[context.task], context.run.metrics["test"]
    report = context.run.report.read_text(encoding="utf-8")
    card = (context.run.path / "model_card.md").read_text(encoding="utf-8")
    for page in (report, card):
        assert all(name in page for name in context.names)
        assert all(title in page and text(test) in page for title, text in task.columns.items())
        assert "model_float32.tflite" in page
    assert ("thresholds.json" in card) == (context.task != REGRESSION)
    assert ("ImageClassifier" in card) == (context.task != REGRESSION)
    assert task.highlights(test)[0][0] in report
    for figure in context.run.plots.glob("*.png"):
        assert base64.b64encode(figure.read_bytes()).decode() in report


# --- Bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "options", "text"),
    [
        (
            "red.csv",
            ["--positive", "green", "--target-recall", 0.9],
            "--positive must be one of two classes (other or red)",
        ),
        (
            "red.csv",
            ["--positive", "red"],
            "--positive is about a threshold; give --target-precision or --target-recall",
        ),
        ("red.csv", ["--target-precision", 0.9, "--target-recall", 0.9], "choose one threshold; give one of them"),
        ("red.csv", ["--target-recall", 1.5], "--target-recall must be above 0 and at most 1"),
        ("three", ["--target-precision", 0.9], "--target-precision takes two classes"),
        ("numbers.csv", ["--target-recall", 0.9], "--target-recall is about classes"),
        ("numbers.csv", ["--class-weights"], "--class-weights is for images of one class each"),
        ("colours.csv", ["--class-weights"], "--class-weights is for images of one class each"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_what_cannot_be_asked_for_is_one_sentence(
    source: str,
    options: list[object],
    text: str,
    squares: Path,
    fruit: Path,
    tiny_backbone: str,
    tmp_path: Path,
    cli: Cli,
) -> None:
    path = fruit if source == "three" else squares / source
    columns = ["--columns", "label=brightness"] if source == "numbers.csv" else []
    usual = ["--backbone", tiny_backbone, "--weights", "none", "--output", tmp_path / "run"]
    ended = cli("train", path, *usual, *columns, *options)
    assert ended.code == 2
    assert ended.err.startswith("Error: ") and text in ended.err and ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
