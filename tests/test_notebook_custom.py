"""The notebook `custom` runs from end to end: own `tf.data`, head and `fit`; files that agree, and one that does not."""

from __future__ import annotations

import re

import pytest

import app
from tests.notebooks import Executed, execute_notebook


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return execute_notebook("custom", tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def run(executed: Executed) -> app.Run:
    return app.Run.open(executed.checkout / "runs" / "custom")


def text_of(executed: Executed, part: str) -> str:
    """What the cell with this part has printed."""
    return "".join(output.get("text", "") for output in executed.cell(part))


def test_it_runs_without_a_warning(executed: Executed) -> None:
    executed.check_quiet()


def test_fine_tuning_improves_on_the_head(executed: Executed) -> None:
    head, tuned = (
        [float(value) for value in re.findall(r"val_accuracy: ([\d.]+)", text_of(executed, part))]
        for part in ("models.freeze(", "models.unfreeze_blocks(")
    )
    assert len(head) == len(tuned) == 3
    assert head[-1] > 0.8 and tuned[-1] > head[-1]


def test_the_exported_file_agrees_and_shows_itself(executed: Executed, run: app.Run) -> None:
    assert run.parity["passed"] and set(run.parity["formats"]) == {"tflite_float32"}
    shown = executed.cell("export(model")[-1].data["text/html"]
    assert "model_float32.tflite" in shown and "own:" in shown and "resume" not in shown


def test_the_model_is_tested_on_images_that_it_has_not_seen(executed: Executed) -> None:
    *_, table = (one for one in executed.cell("evaluate(run)") if "<table" in one.get("data", {}).get("text/html", ""))
    assert "269" in table.data["text/html"]


def test_the_file_of_another_converter_agrees(executed: Executed) -> None:
    (table,) = (one for one in executed.cell("TFLiteConverter") if "<table" in one.get("data", {}).get("text/html", ""))
    assert "mine.tflite" in table.data["text/html"] and "integers" in table.data["text/html"]


def test_the_file_of_another_training_does_not(executed: Executed) -> None:
    assert re.search(r"^runs/head_only\.keras: ", text_of(executed, "except GateError"), re.MULTILINE)
