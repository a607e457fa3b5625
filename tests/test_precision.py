"""Mixed precision: 16 bits while a model trains, float32 in everything that is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import app
from app.training.fit_data import FitData
from app.training.fitting import fit
from data.image.transform import ImageTransform
from data.loading import Loader
from data.sources import open_source
from models.backbones.tf_hub import hub_spec
from models.builder import build_model, load_model
from models.precision import mixed_precision
from tests.conftest import TINY, TINY_SPEC
from tests.phases import make_phase
from tests.test_tf_hub import write_reusable


@pytest.fixture
def data(fruit: Path) -> FitData:
    every = np.arange(24)
    loader = Loader(open_source(str(fruit)), ImageTransform(32, "stretch"))
    return FitData(loader, train=every[every % 4 > 0], validation=every[every % 4 == 0], batch_size=8, seed=0)


def tiny_model() -> keras.Model:
    return build_model(TINY_SPEC, num_classes=3, weights="none")


def dtypes(model: keras.Model) -> set[str]:
    return {layer.dtype_policy.name for layer in model._flatten_layers()}


def test_layers_are_float32_again_whatever_happens() -> None:
    model = tiny_model()
    with mixed_precision(model, "float16"):
        assert {layer.compute_dtype for layer in model.layers} == {"float16", "float32"}
        assert model.layers[-1].compute_dtype == "float32"
        assert {weight.dtype for weight in model.weights} == {"float32"}
        assert model(np.zeros((1, 32, 32, 3))).dtype == "float32"
        assert keras.config.dtype_policy().name == "float32"
    assert dtypes(model) == {"float32"}
    with pytest.raises(ZeroDivisionError), mixed_precision(model, "float16"):
        raise ZeroDivisionError
    assert dtypes(model) == {"float32"}


def test_a_saved_model_of_tf_hub_computes_in_float32(tmp_path: Path) -> None:
    model = build_model(hub_spec(str(write_reusable(tmp_path / "hub"))), num_classes=3, image_size=32, weights="hub")
    pixels = np.full((2, 32, 32, 3), 99.0)
    expected = model(pixels).numpy()
    with mixed_precision(model, "bfloat16"):
        np.testing.assert_allclose(model(pixels), expected, rtol=0.02, atol=0.02)
    np.testing.assert_array_equal(model(pixels), expected)


def test_float16_scales_the_loss_and_continues_from_a_checkpoint(data: FitData, tmp_path: Path) -> None:
    scales: list[float] = []

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            scales.append(float(self.model.optimizer.dynamic_scale))
            if epoch == 1 and len(scales) == 2:
                raise KeyboardInterrupt

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            if epoch == 0:
                self.model.optimizer.dynamic_scale.assign(1024.0)  # as after gradients that were too large

    phase = make_phase(epochs=2, learning_rate=0.01)
    whole, halved = (app.Run.create({}, output=str(tmp_path / name)) for name in ("whole", "halved"))
    fit(tiny_model(), [phase], data, whole, precision="float16")
    stopping = replace(phase, callbacks=lambda: [Stop()])
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model(), [stopping], data, halved, precision="float16")
    model = tiny_model()
    fit(model, [stopping], data, halved, precision="float16")

    assert scales == [2.0**15, 1024.0, 1024.0]
    for one, other in zip(halved.history, whole.history, strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-3)
    assert dtypes(model) == {"float32"}


def test_a_run_in_mixed_precision_is_exported_in_float32(
    fruit: Path, tiny_backbone: str, tiny_run: app.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = TINY | {"mixed_precision": "bfloat16", "formats": ("saved_model",)}
    run = app.train(str(fruit), output=str(tmp_path / "run"), **options)

    assert "--mixed-precision is for GPUs, and TensorFlow finds none" in " ".join(capsys.readouterr().out.split())
    assert run.options["mixed_precision"] == "bfloat16"
    assert run.parity["passed"]
    assert dtypes(load_model(run.model)) == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    losses = [[one["val_loss"] for one in trained.history] for trained in (run, tiny_run)]
    np.testing.assert_allclose(*losses, rtol=0.02)
    assert losses[0] != losses[1]  # it did compute in another type
