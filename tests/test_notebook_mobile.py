"""The notebook `mobile` runs from end to end: a quantised file that agrees, in LiteRT and in MediaPipe Tasks."""

from __future__ import annotations

import re

import pytest

import app
from tests.notebooks import Executed, execute_notebook, printed


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return execute_notebook("mobile", tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def run(executed: Executed) -> app.Run:
    return app.Run.open(executed.checkout / "runs" / "digits")


def test_it_runs_without_a_warning(executed: Executed) -> None:
    executed.check_quiet()


def test_a_quantised_file_is_kept_and_agrees(executed: Executed, run: app.Run) -> None:
    assert run.parity["passed"] and run.parity["quantization"]["kept"]
    files = [one["file"] for one in run.parity["formats"].values()]
    assert len(files) == 2 and "model_float32.tflite" in files
    for part in ("export(run", "benchmark("):
        html = "".join(one["data"].get("text/html", "") for one in executed.cell(part) if "data" in one)
        assert all(file in html for file in files), part


def test_the_folder_for_the_app_is_listed(executed: Executed, run: app.Run) -> None:
    listed = [line.split()[0] for line in printed(executed.cell("iterdir")).splitlines()]
    assert listed == sorted(path.name for path in run.export.iterdir())
    assert {"labels.txt", "parity.json", "golden", "model_float32.tflite"} <= set(listed)


def test_golden_vectors_agree_in_litert(executed: Executed, run: app.Run) -> None:
    found = re.fullmatch(
        r"(.+\.tflite): off by ([\d.]+) at most; ([\d.]+) is allowed\.\n", printed(executed.cell("Interpreter("))
    )
    assert found is not None
    smallest = min(run.parity["formats"].values(), key=lambda one: one["bytes"])["file"]
    assert found[1] == smallest and float(found[2]) <= float(found[3])


def test_mediapipe_names_the_golden_images(executed: Executed) -> None:
    answers = re.findall(r"(\d) is called (\d), (?:0\.\d\d|1\.00)", printed(executed.cell("ImageClassifier")))
    assert len(answers) == 10
    assert sum(label == name for label, name in answers) >= 8


def test_the_file_is_verified_again_on_images_without_labels(executed: Executed) -> None:
    outputs = executed.cell("verify(")
    html = "".join(one.get("data", {}).get("text/html", "") for one in outputs)
    assert "<table" in html and "model_float32.tflite" in html
    assert "predictions stand in" in "".join(one.get("text", "") for one in outputs)
