"""The notebook `quickstart` runs from end to end; this is the demo of the README, too."""

from __future__ import annotations

import pytest

import app
from tests.notebooks import Executed, execute_notebook


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return execute_notebook("quickstart", tmp_path_factory.mktemp("checkout"))


def test_it_runs_without_a_warning(executed: Executed) -> None:
    executed.check_quiet()
    assert {output.output_type for output in executed.outputs} == {"display_data", "execute_result", "stream"}


def test_it_shows_bars_tables_and_images(executed: Executed) -> None:
    assert len([one for one in executed.html if "extracting" in one]) >= 1
    assert len([one for one in executed.html if "<table" in one]) >= 2
    assert len(executed.images) == 2


def test_what_it_shows_is_the_run_that_it_made(executed: Executed) -> None:
    run = app.Run(executed.checkout / "runs" / "digits")
    (shown,) = (cell.outputs[-1].data["text/html"] for cell in executed.notebook.cells if cell.source == "run")
    assert run.is_finished and f"{run.metrics['test']['accuracy']:.3f}" in shown and shown.count("<img") == 3
    assert run.metrics["test"]["accuracy"] >= 0.97 and run.parity["passed"]  # what the README promises of the demo
    assert (run.export / "model_float32.tflite").is_file()


def test_predictions_are_shown_once_as_images(executed: Executed) -> None:
    cells = [cell for cell in executed.notebook.cells if cell.source.splitlines()[-1].startswith("predict(")]
    assert len(cells) == 2
    for cell in cells:
        *bars, predictions = (output.data["text/html"] for output in cell.outputs)
        assert not any("<img" in bar for bar in bars)  # what takes no time has no bar
        assert predictions.count("<img") == 8 and "digits-0225.png" in predictions
