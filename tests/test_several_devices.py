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
from app.training.engines import Frozen
from models.backbones import BACKBONES
from tests.conftest import TINY, TINY_SPEC

source, folder = sys.argv[1:]
BACKBONES["tiny"] = TINY_SPEC
# Of 18 images, the second batch has one, so that a share of it is empty; the others and the three of validation are halved
# unequally. The head is solved for, and the top is trained on cached activations.
OPTIONS = TINY | {"batch_size": 17, "dropout": 0.0, "cache_limit": 1, "fine_tune_epochs": 3}
OPTIONS |= {"engine": "tensorflow", "formats": ()}
found = {}
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
found["runs"] = [run.history for run in (whole, shared)]
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


def test_an_interrupted_run_on_two_devices_ends_as_on_one(found: dict[str, Any]) -> None:
    """All but the training loss that is reported, in which a share of one counts for more."""
    alone, shared = found["runs"]
    assert [record["phase"] for record in shared] == ["head", *["fine_tune"] * 3]
    for name in ("val_loss", "val_accuracy"):
        losses = [[record[name] for record in history] for history in (shared, alone)]
        np.testing.assert_allclose(*losses, rtol=1e-5)
    assert len({record["val_loss"] for record in alone}) == 4  # it learns, so that figures say something
    assert found["epochs before it was interrupted"] == 2
    np.testing.assert_allclose(*found["tests"], rtol=1e-5)
    np.testing.assert_allclose(*found["models"], rtol=1e-4)


def test_an_engine_runs_where_it_is_called(found: dict[str, Any]) -> None:
    assert found["device of an engine"].endswith("CPU:1")


def test_more_devices_than_there_are_are_refused_and_a_resumed_run_takes_those_that_are_there() -> None:
    with pytest.raises(
        UsageError, match=r"^--devices 3 is more than TensorFlow finds here, which is 1 \(CPU\); give that"
    ):
        find_devices(3)
    assert find_devices(3, resumed=True) == ()
