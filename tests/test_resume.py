"""A run that was stopped in any way goes on where it was and ends where it would have ended."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from app import Run, train
from app.interface.errors import Interrupted
from app.interface.events import Advanced, Event, cancellable, listening
from tests.images import write_folder

ROOT = Path(__file__).parent.parent
# Dropout, MixUp, augmentation and two phases: all that is random has to be taken up again.
OPTIONS = {
    "backbone": "efficientnet_lite0",
    "weights": "none",
    "image_size": 32,
    "head_epochs": 2,
    "fine_tune_epochs": 4,
    "unfreeze_blocks": 2,
    "batch_size": 8,
    "augment": "light",
    "mixup": 0.2,
    "engine": "tensorflow",  # of those that auto takes the fastest of, each rounds in its own way
    "formats": ("tflite_float32",),
}
FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("resume") / "images", examples=12)


@pytest.fixture(scope="module")
def uninterrupted(source: Path) -> Callable[..., Run]:
    """A run from beginning to end, trained once for each way to augment."""

    @cache
    def run_of(augment: str) -> Run:
        return train(str(source), output=str(source.parent / f"whole {augment}"), **OPTIONS | {"augment": augment})

    return run_of


def start(source: Path, output: Path, *, first: str = "", **options: object) -> subprocess.Popen[str]:
    """The command line in a process of its own; `first` is Python that it carries out before."""
    options = OPTIONS | options
    options["formats"] = " ".join(OPTIONS["formats"])
    arguments = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    call = "\nimport sys\nfrom app.cli import main\nraise SystemExit(main(sys.argv[1:]))"
    program = ["-c", first + call] if first else ["-m", "app"]
    command = [sys.executable, *program, "train", str(source), "--output", str(output), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_epoch(run: Run, phase: str, epoch: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 1800  # a machine may be busy
    while not any(one["phase"] == phase and one["epoch"] == epoch for one in run.history):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def figures(run: Run) -> list[tuple]:
    return [(one["phase"], one["epoch"], *(one[name] for name in FIGURES)) for one in run.history]


# Activations out of the cache; images augmented again.
@pytest.mark.parametrize("augment", ["light", pytest.param("live", marks=pytest.mark.slow)])
def test_kill_9_in_phase_2_then_resume_ends_like_an_uninterrupted_run(
    augment: str,
    source: Path,
    uninterrupted: Callable[..., Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(tmp_path / "killed")
    process = start(source, run.path, augment=augment)
    wait_for_epoch(run, "fine_tune", 1, process)
    process.kill()
    process.communicate()
    assert not run.is_finished
    # As if the kill had come between the files of a checkpoint: the history ahead of it, half a file left lying.
    run.write_history([*run.history, {**run.history[-1], "epoch": run.history[-1]["epoch"] + 1, "loss": 99.0}])
    (run.checkpoints / ".0000-fine_tune-009.npz").write_bytes(b"half a file")

    def out_of_reach(*arguments: object, **options: object) -> None:
        raise AssertionError("the pretrained weights may be gone; the model is in the run folder")

    with monkeypatch.context() as patch:
        patch.setattr("app.job.fit.build_model", out_of_reach)
        train(resume=str(run.path))

    assert "Resuming after epoch" in capsys.readouterr().out
    whole = uninterrupted(augment)
    assert figures(run) == figures(whole)
    assert len({one["val_loss"] for one in run.history}) == len(run.history)  # it learns, so that figures say something
    epochs_of_head = 1 if augment == "light" else OPTIONS["head_epochs"]  # cached, the head is solved for
    assert len(run.history) == epochs_of_head + OPTIONS["fine_tune_epochs"]
    how_long = {"seconds": 0, "extraction": 0, "advice": 0}
    assert run.metrics | how_long == whole.metrics | how_long
    assert run.splits == whole.splits
    assert run.parity["passed"]
    assert not list(run.checkpoints.glob(".*"))


DIE_IN_EXTRACTION = """
import os, signal
from data.cache import partition
add = partition.Writer.add
def add_and_die(writer, keys, rows):
    add(writer, keys, rows)
    writer.finish_shard()
    if len(list(writer._partition.cache.folder.glob("*/*.keys"))) == 2:  # the first batch, for both phases
        os.kill(os.getpid(), signal.SIGKILL)
partition.Writer.add = add_and_die
"""


def test_kill_9_while_extracting_then_resume_extracts_the_rest(
    source: Path, uninterrupted: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = Run(tmp_path / "killed"), tmp_path / "cache"
    process = start(source, run.path, first=DIE_IN_EXTRACTION, cache_folder=folder)
    _, error = process.communicate(timeout=1800)
    assert process.returncode == -signal.SIGKILL, error
    assert not run.history and not run.is_finished

    train(resume=str(run.path))

    assert "Resuming from the beginning: no epoch was finished." in capsys.readouterr().out
    members = [row["split"] for row in csv.DictReader(run.splits.splitlines())]
    every = 2 * members.count("train") + members.count("validation")
    assert run.metrics["extraction"]["views"] == every - 32  # the batch that was finished is not run again
    whole = figures(uninterrupted("light"))
    assert [one[:2] for one in figures(run)] == [one[:2] for one in whole]
    # Rounding may differ, since images came in other batches.
    np.testing.assert_allclose([one[2:] for one in figures(run)], [one[2:] for one in whole], atol=0.05)


WITH_TINY = """
from models.backbones import BACKBONES
from tests.conftest import TINY_SPEC
BACKBONES["tiny"] = TINY_SPEC
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_say_how_to_continue(source: Path, tmp_path: Path, number: signal.Signals) -> None:
    run = Run(tmp_path / "stopped")
    # With so many epochs to come, it is not at its end before the signal arrives.
    process = start(source, run.path, first=WITH_TINY, backbone="tiny", fine_tune_epochs=500, patience=500)
    wait_for_epoch(run, "head", 1, process)
    os.kill(process.pid, number)
    _, error = process.communicate(timeout=1800)
    assert process.returncode == 130
    assert error.strip() == f"Interrupted. Continue with: python -m app train --resume {run.path}"


def test_a_run_that_another_thread_cancels_is_resumed_like_one_that_ctrl_c_ended(
    source: Path, uninterrupted: Callable[..., Run], tmp_path: Path
) -> None:
    run, cancel = Run(tmp_path / "cancelled"), threading.Event()
    ended: list[BaseException] = []

    def wait_in_fine_tuning(event: Event) -> None:
        if isinstance(event, Advanced) and event.name == "fine-tune" and event.note.startswith("epoch 2/"):
            assert cancel.wait(timeout=1800)

    def begin() -> None:
        try:
            with cancellable(cancel), listening(wait_in_fine_tuning):
                train(str(source), output=str(run.path), **OPTIONS)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=begin)
    thread.start()
    while thread.is_alive() and len(run.history) < 3:  # of the head, and two of fine-tuning
        time.sleep(0.02)
    cancel.set()
    thread.join()
    (error,) = ended
    assert isinstance(error, Interrupted)
    assert str(error) == f"Interrupted. Continue with: python -m app train --resume {run.path}"
    assert len(run.history) == 3 and not run.is_finished

    train(resume=str(run.path))
    whole = uninterrupted("light")
    assert figures(run) == figures(whole)
    how_long = {"seconds": 0, "extraction": 0, "advice": 0}
    assert run.metrics | how_long == whole.metrics | how_long
