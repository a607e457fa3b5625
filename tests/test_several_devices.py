"""Several devices that share each step of training: two logical ones of the processor, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.interface.errors import UsageError
from app.training.devices import find_devices

ROOT = Path(__file__).parent.parent
# Devices can be configured only before TensorFlow uses one.
PROGRAM = """
import json, sys, threading
import numpy as np, tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import app
from app.interface.events import Advanced, cancellable, listening
from app.training.devices import find_devices, shared_by
from app.training.engines import Frozen
from app.training.fit_data import FitData
from app.training.fitting import fit
from data.image.transform import ImageTransform
from data.loading import Loader
from data.sources import open_source
from models.backbones import BACKBONES
from models.builder import build_model
from models.freezing import unfreeze_blocks
from tests.conftest import TINY, TINY_SPEC
from tests.phases import make_phase

source, folder = sys.argv[1:]
BACKBONES["tiny"] = TINY_SPEC
OPTIONS = TINY | {"dropout": 0.0, "cache_limit": 1, "fine_tune_epochs": 2, "engine": "tensorflow", "formats": ()}
found = {}


def figures(history):
    return [[record[name] for name in ("phase", "epoch", "loss", "val_loss", "val_accuracy")] for record in history]


def fit_live(devices, train):
    every = np.arange(24)
    loader = Loader(open_source(source), ImageTransform(32, "stretch"))
    data = FitData(loader, train=every[:train], validation=every[train:], batch_size=8, seed=0)
    run = app.Run.create({}, output=f"{folder}/live-{devices}-{train}")
    with shared_by(find_devices(devices)):
        model = build_model(TINY_SPEC, num_classes=3, weights="none", dropout=0.0)
        phase = make_phase(epochs=2, learning_rate=0.01, weight_decay=0.1, trainable=lambda model: unfreeze_blocks(model, 2))
        fit(model, [phase], data, run)
    return figures(run.history)


# 21 images: the last batch has five, so that the shares are unlike; 17: it has one, so that a share is empty.
found["live"] = {train: [fit_live(devices, train) for devices in (1, 2)] for train in (21, 17)}

whole = app.train(source, output=f"{folder}/whole", **OPTIONS)
stop = threading.Event()


def stop_after_an_epoch(event):
    if isinstance(event, Advanced) and event.name == "fine-tune" and event.note.startswith("epoch 1/"):
        stop.set()


shared = app.Run(f"{folder}/shared")
try:
    with cancellable(stop), listening(stop_after_an_epoch):
        app.train(source, output=str(shared.path), devices=2, **OPTIONS)
except app.Interrupted:
    found["epochs before it was interrupted"] = len(shared.history)
app.train(resume=str(shared.path))
found["runs"] = [figures(run.history) for run in (whole, shared)]
found["tests"] = [run.metrics["test"]["log_loss"] for run in (whole, shared)]
pixels = np.full((1, 32, 32, 3), 100.0)
found["models"] = [run.keras_model()(pixels).numpy().tolist() for run in (whole, shared)]

with tf.device("CPU:1"):
    found["device of an engine"] = Frozen(whole.keras_model()).graph(tf.constant(pixels, tf.float32))[0].device
print("FOUND", json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(fruit: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(fruit), str(tmp_path_factory.mktemp("devices"))],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Each step is shared by CPU:0, CPU:1." in ended.stdout
    assert "ran out of data" not in ended.stderr
    figures: dict[str, Any] = json.loads(ended.stdout.partition("FOUND")[2])
    return figures


def numbers(figures: list[list[Any]], *, first: int) -> np.ndarray:
    return np.array([record[first:] for record in figures], float)


@pytest.mark.parametrize("train", ["21", "17"])
def test_two_devices_give_the_losses_of_one(found: dict[str, Any], train: str) -> None:
    """Whatever the last batch of an epoch has; gradients are clipped and weights decay."""
    alone, shared = found["live"][train]
    np.testing.assert_allclose(numbers(shared, first=3), numbers(alone, first=3), rtol=1e-5)
    assert alone[0][3] != alone[1][3]


def test_an_interrupted_run_on_two_devices_ends_as_on_one(found: dict[str, Any]) -> None:
    """Its head is solved for, and its top trained on cached activations; its batches can be halved."""
    alone, shared = found["runs"]
    assert [record[:2] for record in shared] == [["head", 1], ["fine_tune", 1], ["fine_tune", 2]]
    np.testing.assert_allclose(numbers(shared, first=1), numbers(alone, first=1), rtol=1e-5)
    assert found["epochs before it was interrupted"] == 2
    np.testing.assert_allclose(*found["tests"], rtol=1e-5)
    np.testing.assert_allclose(*found["models"], rtol=1e-4)


def test_an_engine_runs_where_it_is_called(found: dict[str, Any]) -> None:
    assert found["device of an engine"].endswith("CPU:1")


def test_more_devices_than_there_are_are_refused_and_a_resumed_run_takes_those_that_are_there() -> None:
    with pytest.raises(UsageError, match=r"^--devices 3 is more than TensorFlow finds here, which is 1 \(CPU\); give that"):
        find_devices(3)
    assert find_devices(3, resumed=True) == ()
