"""Runs are sent to trackers by their own clients, to files, and what fails there does not end a run.

The tests of Weights & Biases run where `wandb` is installed; it is not among the packages of the tests.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

import app
from app.config import TrainConfig, make_config
from app.interface.events import EpochEnded, Said, emitter, listening
from app.tracking import TRACKERS
from app.tracking.tracked import IDS, tracked
from app.tracking.tracker import Opening, Tracker
from tests.conftest import Ended
from tests.test_docs import ROOT

OLD = Path(__file__).parent / "old_runs"
EPOCHS = [
    {"phase": "head", "epoch": 1, "seconds": 0.5, "finished": 0.0, "loss": 3.0, "val_loss": 3.5},
    {"phase": "head", "epoch": 2, "seconds": 0.5, "finished": 1.0, "loss": 2.0, "val_loss": 2.5},
    {"phase": "fine_tune", "epoch": 1, "seconds": 0.5, "finished": 2.0, "loss": 1.0, "val_loss": 1.5},
]


@pytest.fixture
def new(tiny_copy: app.Run) -> app.Run:
    """A run with results whose epochs are still to come."""
    tiny_copy.write_history([])
    return tiny_copy


def train_epochs(run: app.Run, count: int, *, interrupted: bool = False, **trackers: object) -> list[str]:
    """Let the next epochs of a run end, and return what was said."""
    run.write_options(run.options | trackers)
    heard: list[Any] = []
    with listening(heard.append, alone=True):
        try:
            with tracked(run):
                for record in EPOCHS[len(run.history) :][:count]:
                    run.write_history([*run.history, record])
                    emitter()(EpochEnded(len(run.history), record))
                if interrupted:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            assert interrupted
    return [event.text for event in heard if isinstance(event, Said)]


# --- TensorBoard --------------------------------------------------------------------------------------------------------


def events_of(folder: Path) -> Iterator[Any]:
    """The values in the event files of a folder, with their steps."""
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for path in sorted(folder.glob("events*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                yield event.step, value.tag, tf.make_ndarray(value.tensor) if value.HasField("tensor") else None


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(step, float(value)) for step, name, value in events_of(folder) if name == tag]


def test_tensorboard_gets_every_epoch_the_test_and_the_plots(new: app.Run) -> None:
    assert train_epochs(new, 3, tensorboard=True) == []
    folder = new.path / "tensorboard"
    assert scalars(folder / "train", "epoch_loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert scalars(folder / "validation", "epoch_loss") == [(1, 3.5), (2, 2.5), (3, 1.5)]
    assert scalars(folder / "train", "epoch_phase") == [(1, 1.0), (2, 1.0), (3, 2.0)]
    ((step, accuracy),) = scalars(folder / "test", "epoch_accuracy")
    assert (step, accuracy) == (3, pytest.approx(new.metrics["test"]["accuracy"]))
    tags = {tag for _, tag, _ in events_of(folder)}
    assert {"confusion", "curves"} <= tags and any("hparams" in tag for tag in tags)


def test_a_resumed_run_is_appended_to(new: app.Run) -> None:
    train_epochs(new, 2, interrupted=True, tensorboard=True)
    train_epochs(new, 1, tensorboard=True)
    assert scalars(new.path / "tensorboard/train", "epoch_loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]


@pytest.mark.usefixtures("tiny_backbone")
def test_a_run_that_comes_to_a_tracker_late_is_sent_whole(tmp_path: Path, cli: Callable[..., Ended]) -> None:
    """By the command line, through training: an interrupted run of an earlier version, which had no such option."""
    run = app.Run(Path(shutil.copytree(OLD / "interrupted", tmp_path / "run")))
    options = {"source": str(OLD / "fruit"), "formats": [], "quantize": "none", "tensorboard": True}
    run.write_options(run.options | options)
    assert cli("train", "--resume", run.path).code == 0
    sent = scalars(run.path / "tensorboard/train", "epoch_loss")
    assert sent == [(number, pytest.approx(one["loss"])) for number, one in enumerate(run.history, start=1)]
    assert len(sent) == 8 and scalars(run.path / "tensorboard/test", "epoch_accuracy")


# --- MLflow -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mlflow_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    return mlflow.MlflowClient()


def test_mlflow_gets_a_run_that_is_interrupted_and_resumed(new: app.Run, mlflow_client: Any) -> None:
    assert train_epochs(new, 2, interrupted=True, mlflow="fruit") == []
    experiment = mlflow_client.get_experiment_by_name("fruit")
    (sent,) = mlflow_client.search_runs([experiment.experiment_id])
    assert sent.info.status == "KILLED" and sent.info.run_name == new.path.name
    assert sent.data.params["backbone"] == "tiny" and sent.data.params["seed"] == "0"
    assert train_epochs(new, 1, mlflow="fruit") == []
    (sent,) = mlflow_client.search_runs([experiment.experiment_id])
    assert sent.info.status == "FINISHED"
    losses = mlflow_client.get_metric_history(sent.info.run_id, "val_loss")
    assert [(one.step, one.value) for one in losses] == [(1, 3.5), (2, 2.5), (3, 1.5)]
    assert sent.data.metrics["test_accuracy"] == new.metrics["test"]["accuracy"]
    files = {one.path for one in mlflow_client.list_artifacts(sent.info.run_id)}
    assert {"report.html", "metrics.json", "confusion.png"} <= files
    assert json.loads((new.path / IDS).read_text(encoding="utf-8")) == {"mlflow": sent.info.run_id}


def test_an_mlflow_server_that_is_away_is_said_once(new: app.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (said,) = train_epochs(new, 3, mlflow="fruit", tensorboard=True)
    assert said.startswith("Note: --mlflow stops here, and the run goes on without it: ") and "127.0.0.1" in said
    assert len(scalars(new.path / "tensorboard/train", "epoch_loss")) == 3


# --- Weights & Biases ---------------------------------------------------------------------------------------------------


@pytest.fixture
def wandb() -> Iterator[None]:
    """W&B reads its environment variables once in a process, unless it is torn down."""
    client = pytest.importorskip("wandb")
    client.teardown()
    yield
    client.teardown()


@pytest.mark.usefixtures("wandb")
def test_wandb_writes_files_offline(new: app.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    assert train_epochs(new, 2, interrupted=True, wandb="fruit") == []
    assert train_epochs(new, 1, wandb="fruit") == []
    ids = json.loads((new.path / IDS).read_text(encoding="utf-8"))
    files = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert [file.stem for file in files] == [f"run-{ids['wandb']}"] * 2
    assert b"val_loss" in files[0].read_bytes() and b"test_accuracy" in files[1].read_bytes()


@pytest.mark.usefixtures("wandb")
def test_wandb_without_an_account_asks_nothing(new: app.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (said,) = train_epochs(new, 1, wandb="fruit")
    assert "WANDB_API_KEY" in said


# --- Any tracker --------------------------------------------------------------------------------------------------------


class Recorded:
    """A tracker of a user's own; it fails at the step that is given as its project."""

    opened: ClassVar[list[Opening]] = []

    def __init__(self, opening: Opening) -> None:
        self.opened.append(opening)
        self.id, self.fails_at, self.failed = "one", opening.project, False

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        if str(step) == self.fails_at:
            self.failed = True
            raise OSError(28, "No space left on device")

    def attach(self, path: Path) -> None:
        assert path.is_file()

    def close(self, *, finished: bool) -> None:
        assert not self.failed, "it is called again"


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Opening]:
    monkeypatch.setitem(TRACKERS, "wandb", Tracker("json", "", Recorded))
    monkeypatch.setattr(Recorded, "opened", [])
    return Recorded.opened


def test_a_tracker_is_a_row(new: app.Run, recorded: list[Opening]) -> None:
    assert train_epochs(new, 1, interrupted=True, wandb="project", tensorboard=False) == []
    assert train_epochs(new, 2, wandb="project") == []
    first, second = recorded
    assert (first.name, first.project, first.id, second.id) == (new.path.name, "project", None, "one")
    assert first.options["backbone"] == "tiny" and None not in first.options.values()


def test_a_failure_is_said_once_and_the_run_goes_on(new: app.Run, recorded: list[Opening]) -> None:
    (said,) = train_epochs(new, 3, wandb="2")
    assert said == ("Note: --wandb stops here, and the run goes on without it: [Errno 28] No space left on device.")
    assert len(new.history) == 3


def test_a_fold_is_named_with_its_folds(new: app.Run, recorded: list[Opening], tmp_path: Path) -> None:
    folds = app.Run.create(new.options | {"folds": 2}, output=str(tmp_path / "folds"))
    fold = app.Run(Path(shutil.copytree(new.path, folds.path / "fold-1")))
    train_epochs(fold, 1, wandb="project")
    assert recorded[0].name == "folds/fold-1"


def test_a_missing_package_is_refused_before_anything_is_written(
    fruit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRACKERS, "wandb", replace(TRACKERS["wandb"], package="no_such_package"))
    sentence = r"--wandb: the package no_such_package is missing; install it with: pip install wandb==[\d.]+$"
    with pytest.raises(app.UsageError, match=sentence):
        app.train(str(fruit), output=str(tmp_path / "run"), wandb="fruit")
    assert not (tmp_path / "run").exists()


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(app.UsageError, match="--mlflow needs a name"):
        make_config(TrainConfig, source="images", mlflow="")


def test_the_versions_to_install_are_those_that_are_tested() -> None:
    tested = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    assert TRACKERS["tensorboard"].install in tested and TRACKERS["mlflow"].install.split()[0] in tested
    assert all("==" in word for one in TRACKERS.values() for word in one.install.split())
