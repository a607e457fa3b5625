"""A run that was stopped in any way goes on where it was and ends where it would have ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import Run, train
from tests.pictures import write_folder

ROOT = Path(__file__).parent.parent
# Dropout, augmentation and two phases: all that is random has to be taken up again.
OPTIONS = {
    "backbone": "mobilenet",
    "weights": "none",
    "image_size": 32,
    "head_epochs": 2,
    "fine_tune_epochs": 4,
    "batch_size": 8,
    "augment": "light",
}
ARGUMENTS = [word for name, value in OPTIONS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("resume") / "pictures", pictures=12)


@pytest.fixture(scope="module")
def uninterrupted(source: Path) -> Run:
    return train(str(source), output=str(source.parent / "whole"), **OPTIONS)


def start(source: Path, output: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "app", "train", str(source), "--output", str(output), *ARGUMENTS]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_epoch(run: Run, phase: str, epoch: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not any(one["phase"] == phase and one["epoch"] == epoch for one in run.history):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def figures(run: Run) -> list[tuple]:
    return [(one["phase"], one["epoch"], *(one[name] for name in FIGURES)) for one in run.history]


def test_kill_9_in_phase_2_then_resume_ends_like_an_uninterrupted_run(
    source: Path,
    uninterrupted: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(tmp_path / "killed")
    process = start(source, run.path)
    wait_for_epoch(run, "fine_tune", 1, process)
    process.kill()
    process.communicate()
    assert not run.is_finished
    # As if the kill had come between the files of a checkpoint: the history ahead of it, half a file left lying.
    run.write_history([*run.history, {**run.history[-1], "epoch": run.history[-1]["epoch"] + 1, "loss": 99.0}])
    (run.checkpoints / ".0000-last-fine_tune-009.weights.h5").write_bytes(b"half a file")

    def out_of_reach(*arguments: object, **options: object) -> None:
        raise AssertionError("the pretrained weights may be gone; the model is in the run folder")

    monkeypatch.setattr("models.builder.build_model", out_of_reach)
    train(resume=str(run.path))

    assert "Resuming after epoch" in capsys.readouterr().out
    assert figures(run) == figures(uninterrupted)
    assert {**run.metrics, "seconds": 0} == {**uninterrupted.metrics, "seconds": 0}
    assert run.splits == uninterrupted.splits
    assert run.parity["passed"]
    assert not list(run.checkpoints.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_say_how_to_continue(source: Path, tmp_path: Path, number: signal.Signals) -> None:
    run = Run(tmp_path / "stopped")
    process = start(source, run.path)
    wait_for_epoch(run, "head", 1, process)
    os.kill(process.pid, number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error.strip() == f"Interrupted. Continue with: python -m app train --resume {run.path}"
