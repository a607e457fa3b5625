"""The notebook `fine_tune` runs from end to end, shows what its text says, and reads the test figures once, at the end."""

from __future__ import annotations

import re

import pytest

import app
from tests.notebooks import Executed, execute_notebook, printed

NAMES = ("head only", "1 block", "4 blocks", "4 blocks, rate 1e-2")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return execute_notebook("fine_tune", tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def runs(executed: Executed) -> dict[str, app.Run]:
    """The runs, in the order in which they were trained."""
    folders = ["digits", *(f"digits-{number}" for number in range(2, len(NAMES) + 1))]
    return {
        name: app.Run.open(executed.checkout / "runs" / folder) for name, folder in zip(NAMES, folders, strict=True)
    }


def accuracy(run: app.Run) -> float:
    value: float = run.metrics["validation"]["accuracy"]
    return value


def test_it_runs_without_a_warning(executed: Executed) -> None:
    executed.check_quiet()


def test_the_runs_are_named_with_their_validation_accuracy(executed: Executed, runs: dict[str, app.Run]) -> None:
    lines = printed(executed.cell("runs = {}")).splitlines()
    assert lines == [f"{name:<22}validation accuracy {accuracy(run):.3f}" for name, run in runs.items()]


def test_the_numbers_of_images_are_those_of_the_text(executed: Executed, runs: dict[str, app.Run]) -> None:
    text = "".join(cell.source for cell in executed.notebook.cells if cell.cell_type == "markdown")
    assert "80 images of each digit to train on; 269 to validate and 269 to test" in text
    metrics = runs["head only"].metrics
    assert (metrics["validation"]["n"], metrics["test"]["n"]) == (269, 269)
    assert "7e-4 for the last block alone, and 3e-4 for" in text
    assert [runs[name].options["fine_tune_learning_rate"] for name in NAMES[1:]] == [7e-4, 3e-4, 1e-2]


def test_the_curves_are_as_the_text_says(executed: Executed, runs: dict[str, app.Run]) -> None:
    curves = {name: [epoch["val_accuracy"] for epoch in run.history] for name, run in runs.items()}
    (head,) = curves["head only"]
    for name in ("1 block", "4 blocks"):
        assert curves[name][0] == pytest.approx(head, abs=0.02) and len(curves[name]) == 7
        assert curves[name][1] < head < curves[name][-1]
    destroyed = runs["4 blocks, rate 1e-2"]
    assert max(curves["4 blocks, rate 1e-2"][1:]) < head - 0.1
    assert destroyed.metrics["best"]["phase"] == "head"
    assert len(executed.images) == 1


def test_the_table_shows_what_each_run_keeps_with_intervals(executed: Executed, runs: dict[str, app.Run]) -> None:
    (table,) = executed.cell('kept["phase"]')
    for run in runs.values():
        low, _ = run.metrics["validation"]["accuracy_ci95"]
        assert (
            f"[{round(low, 3)}" in table.data["text/html"]
            and f"<td>{run.metrics['best']['phase']}</td>" in table.data["text/html"]
        )


def test_a_difference_within_chance_is_called_that(executed: Executed, runs: dict[str, app.Run]) -> None:
    found = re.findall(r"(.+): (\d+), (.+): (\d+), p = ([\d.]+), (.+)", printed(executed.cell("mcnemar(")))
    assert [(one, other) for one, _, other, *_ in found] == [NAMES[:2], NAMES[:3:2], NAMES[1:3]]
    for one, first, other, second, p, verdict in found:
        assert (int(second) - int(first)) / 269 == pytest.approx(accuracy(runs[other]) - accuracy(runs[one]))
        assert verdict == ("more than chance" if float(p) < 0.05 / 3 else "within chance")
    assert float(found[1][-2]) < 0.05  # 4 blocks against the head


def test_the_test_figures_are_read_once_at_the_end(executed: Executed, runs: dict[str, app.Run]) -> None:
    *before, last = (cell for cell in executed.notebook.cells if cell.cell_type == "code")
    assert not re.search("test", "".join(cell.source for cell in before[1:]))
    shown = [
        output.get("text", output.get("data", {}).get("text/html", "")) for cell in before for output in cell.outputs
    ]
    assert not [text for text in shown if "test" in text]
    best = max(runs, key=lambda name: accuracy(runs[name]))
    said, figures = last.outputs
    assert said.text.strip() == best
    assert f"{runs[best].metrics['test']['accuracy']:.3f}" in figures.data["text/html"]
