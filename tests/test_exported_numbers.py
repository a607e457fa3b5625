"""Numbers in exported files: whatever their unit and size, every format answers with as many digits as it has."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from app.exporting.context import ExportContext
from app.exporting.formats import FORMATS
from app.exporting.metadata import Description
from app.exporting.process import ModelProcess
from app.exporting.tflite import with_units
from app.tasks.regression import standardization
from data.labels import REGRESSION
from models.heads import in_units, rescale_outputs, standardized

RANGES = {
    "prices": [(120_000, 520_000)],
    "latitudes": [(48.13, 48.15)],
    "times of a day": [(1.7e9, 1.7e9 + 86_400)],
    "small": [(1e-9, 2e-9)],
    "of very different size": [(0.1, 0.9), (1e6, 5e6), (-40, 40)],
    "all the same": [(7, 7)],
}
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), np.uint8)
PIXELS[:, :, :, 0] = np.linspace(0, 255, 24, dtype=np.uint8)[:, None, None]
# Largest difference in standard deviations; that of float32 is also a step or two from one number to the next.
LARGEST = {"tflite_float32": 1e-3, "tflite_float16": 0.02, "tflite_int8": 0.25, "tflite_int8_weights": 0.25}


def answering(kind: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A model that answers with numbers of such a kind, and the spread and the mean of those of its training."""
    ranges = np.array(RANGES[kind], float)
    scale, offset = standardization(np.linspace(ranges[:, 0], ranges[:, 1], 100).astype(np.float32))
    keras.utils.set_random_seed(1)
    layers = keras.layers
    features = pixels = keras.Input((16, 16, 3), name="pixels")
    features = layers.Rescaling(1 / 127.5, -1)(features)
    features = layers.Conv2D(8, 3, padding="same", activation="relu")(features)
    features = layers.GlobalAveragePooling2D()(features)
    model = keras.Model(pixels, layers.Dense(len(ranges), name="numbers", dtype="float32")(features))
    values = np.asarray(model(PIXELS.astype(np.float32)))
    rescale_outputs(model, 1 / values.std(axis=0), -values.mean(axis=0) / values.std(axis=0))
    rescale_outputs(model, scale, offset)
    return model, scale, offset


def context(kind: str) -> ExportContext:
    model, scale, offset = answering(kind)
    names = tuple(f"number {one}" for one in range(len(scale)))
    description = Description("name", "text", "1", "author", "licence", names, task=REGRESSION)
    return ExportContext(model, description=description, calibration=lambda: PIXELS, scaling=(scale, offset))


@pytest.mark.parametrize("kind", RANGES)
def test_every_format_answers_as_the_model_does(kind: str, tmp_path: Path) -> None:
    model, scale, _ = answering(kind)
    expected = np.asarray(model(PIXELS.astype(np.float32)))
    assert expected.std(axis=0) == pytest.approx(scale, rel=0.05) or kind == "all the same"
    exported = context(kind)
    for name, largest in LARGEST.items():
        file = tmp_path / FORMATS[name].file
        FORMATS[name].write(exported, file)
        with ModelProcess(file) as process:
            assert process.output == "numbers"
            found = process.predict(PIXELS)
        step = np.spacing(np.abs(expected).max(axis=0)) / scale
        difference = np.abs(found.astype(np.float64) - expected).max(axis=0) / scale
        assert (difference <= np.maximum(largest, 2 * step)).all(), (name, difference, step)


def test_units_are_in_float32_behind_everything_else(tmp_path: Path) -> None:
    FORMATS["tflite_float16"].write(context("prices"), tmp_path / "model.tflite")
    model = schema.Model.GetRootAs((tmp_path / "model.tflite").read_bytes())
    graph = model.Subgraphs(0)
    last = [graph.Operators(graph.OperatorsLength() - place) for place in (2, 1)]
    kinds = [model.OperatorCodes(one.OpcodeIndex()).BuiltinCode() for one in last]
    assert kinds == [schema.BuiltinOperator.MUL, schema.BuiltinOperator.ADD]
    for one in last:
        assert graph.Tensors(one.Inputs(1)).Type() == schema.TensorType.FLOAT32


def test_a_model_is_taken_apart_and_put_together() -> None:
    model, scale, offset = answering("of very different size")
    before, weights = np.asarray(model(PIXELS.astype(np.float32))), model.get_weights()
    network = standardized(model, scale, offset)
    values = np.asarray(network(PIXELS.astype(np.float32)))
    np.testing.assert_allclose(values, (before - offset) / scale, atol=1e-4)
    again = np.asarray(in_units(network, scale, offset)(PIXELS.astype(np.float32)))
    np.testing.assert_allclose(again / scale, before / scale, atol=1e-4)
    assert all((one == other).all() for one, other in zip(weights, model.get_weights(), strict=True))
    assert model.layers[-1].name == "numbers"


def test_units_are_added_to_any_file_that_ends_in_float32() -> None:
    made = context("prices")
    file = with_units(made.float32, np.array([2.0], np.float32), np.array([3.0], np.float32))
    from ai_edge_litert.interpreter import Interpreter

    before, after = (Interpreter(model_content=one).get_signature_runner() for one in (made.float32, file))
    pixels = PIXELS[:1].astype(np.float32)
    np.testing.assert_allclose(
        after(pixels=pixels)["numbers"], 2 * before(pixels=pixels)["standardized"] + 3, rtol=1e-6
    )
