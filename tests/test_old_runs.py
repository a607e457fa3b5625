"""Run folders that an earlier version wrote are read, evaluated, exported and resumed.

`tests/old_runs/` was written by commit 42e0781, before options had groups: `finished` by `train fruit` with the tiny backbone
of the tests; `interrupted` with six epochs of fine-tuning, killed after the second. Plots and the report were left out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import app
from tests.conftest import Ended

KEPT = Path(__file__).parent / "old_runs"
Cli = Callable[..., Ended]

pytestmark = pytest.mark.usefixtures("tiny_backbone")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the folders and of their images, which the runs find there."""
    shutil.copytree(KEPT, tmp_path / "old")
    for path in (tmp_path / "old").glob("*/config.json"):
        options = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(options | {"source": str(tmp_path / "old" / "fruit")}), encoding="utf-8")
    return tmp_path / "old"


def test_a_finished_run_is_read(old: Path) -> None:
    run = app.Run(old / "finished")
    assert run.class_names == ("apple", "banana", "cherry")
    assert (
        run.metrics["test"]["accuracy"] == json.loads((KEPT / "finished/metrics.json").read_text())["test"]["accuracy"]
    )
    assert [line["phase"] for line in run.history] == ["head", "fine_tune"]
    assert "accuracy" in run._repr_html_()


def test_a_finished_run_is_evaluated_to_the_same_figures(old: Path, cli: Cli) -> None:
    before = app.Run(old / "finished").metrics["test"]
    found = app.evaluate(str(old / "finished"))
    assert found["accuracy"] == before["accuracy"]
    assert found["log_loss"] == pytest.approx(before["log_loss"], abs=1e-4)
    ended = cli("evaluate", old / "finished", old / "fruit")
    assert ended.code == 0 and "accuracy" in ended.out


def test_a_finished_run_predicts_and_is_exported_in_another_format(old: Path) -> None:
    (prediction,) = app.predict(str(old / "finished"), [str(old / "fruit/apple/00.png")])
    assert set(prediction.answers) == {"apple", "banana", "cherry"} and prediction.answers == prediction.outputs
    app.export(str(old / "finished"), formats=("onnx",), max_drop=100.0)
    parity = app.Run(old / "finished").parity["formats"]
    assert set(parity) == {"tflite_float32", "onnx"} and all(one["passed"] for one in parity.values())


def test_an_interrupted_run_is_resumed(old: Path, cli: Cli) -> None:
    before = (old / "interrupted/history.jsonl").read_text(encoding="utf-8").splitlines()
    ended = cli("train", "--resume", old / "interrupted")
    assert ended.code == 0 and "epoch 2 of" in ended.out
    history = (old / "interrupted/history.jsonl").read_text(encoding="utf-8").splitlines()
    assert history[: len(before)] == before
    assert [json.loads(line)["phase"] for line in history] == ["head"] * 2 + ["fine_tune"] * 6
    assert (old / "interrupted/report.html").is_file() and (old / "interrupted/export/model_float32.tflite").is_file()
