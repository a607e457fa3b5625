"""ONNX files: of networks that tf2onnx alone cannot export, and what they say of themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

import app
from app.exporting.context import ExportContext
from app.exporting.metadata import Description
from app.exporting.onnx import write_onnx
from data.labels import MULTI_LABEL
from models.backbones.tf_hub import HubLayer
from tests.test_tf_hub import write_reusable

SIZE = 16
DESCRIPTION = Description(
    name="Früchte & mehr",
    text="Tells 3 classes apart.",
    version="2.1",
    author="Zoë O'Brien",
    licence="MIT",
    class_names=("apple", "näive café", 'a,b;"c"'),
    locales={"de": ("Apfel", "Café", "A")},
    resize="crop",
)


def normalization() -> keras.layers.Layer:
    """Its mean and variance are tensors of their own, which no list of variables names; EfficientNets begin so."""
    return keras.layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[60.0, 61.0, 62.0])


def adapted_normalization() -> keras.layers.Layer:
    layer = keras.layers.Normalization(axis=-1)
    layer.adapt(np.random.default_rng(0).uniform(0, 255, (4, SIZE, SIZE, 3)).astype(np.float32))
    return layer


def grouped_convolution() -> keras.layers.Layer:
    """Keras compiles it for XLA, inside a function that stays a call in the graph; ConvNeXt has them."""
    return keras.layers.Conv2D(6, 3, groups=3, padding="same")


def depthwise_by_groups() -> keras.layers.Layer:
    return keras.layers.Conv2D(3, 7, groups=3, padding="same", activation="gelu")


def layer_normalization() -> keras.layers.Layer:
    return keras.layers.LayerNormalization(epsilon=1e-6)


AWKWARD = (normalization, adapted_normalization, grouped_convolution, depthwise_by_groups, layer_normalization)


def trained_with(*layers: keras.layers.Layer) -> ExportContext:
    features = pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    for layer in (keras.layers.Rescaling(1 / 255), *layers, keras.layers.Conv2D(4, 3), keras.layers.ReLU()):
        features = layer(features)
    predictions = keras.layers.Dense(3, activation="softmax", name="probabilities")(
        keras.layers.GlobalMaxPooling2D()(features)
    )
    model = keras.Model(pixels, predictions)
    return ExportContext(model, description=DESCRIPTION, calibration=lambda: np.zeros((1, SIZE, SIZE, 3), np.uint8))


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (count, SIZE, SIZE, 3)).astype(np.float32)


def agrees(context: ExportContext, file: Path) -> None:
    session = onnxruntime.InferenceSession(str(file))
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("pixels", ["batch", SIZE, SIZE, 3])
    assert (answer.name, answer.shape) == ("probabilities", ["batch", 3])
    for count in (1, 5):
        (found,) = session.run(None, {"pixels": pixels(count)})
        np.testing.assert_allclose(found, context.model(pixels(count), training=False), atol=1e-5)


@pytest.mark.parametrize("make", AWKWARD, ids=lambda one: one.__name__)
def test_a_network_with_it_is_exported(make: object, tmp_path: Path) -> None:
    context = trained_with(make())
    write_onnx(context, tmp_path / "model.onnx")
    agrees(context, tmp_path / "model.onnx")


def test_a_network_with_all_of_them_is_exported(tmp_path: Path) -> None:
    context = trained_with(*(make() for make in AWKWARD))
    write_onnx(context, tmp_path / "model.onnx")
    agrees(context, tmp_path / "model.onnx")


def test_a_reloaded_network_is_exported(tmp_path: Path) -> None:
    context = trained_with(*(make() for make in AWKWARD))
    context.model.save(tmp_path / "model.keras")
    context.model = keras.saving.load_model(tmp_path / "model.keras")
    write_onnx(context, tmp_path / "model.onnx")
    agrees(context, tmp_path / "model.onnx")


def test_a_network_on_a_saved_model_is_exported(tmp_path: Path) -> None:
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    features = HubLayer(write_reusable(tmp_path / "hub"))(keras.layers.Rescaling(1 / 255)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(3, activation="softmax", name="probabilities")(features))
    context = ExportContext(model, description=DESCRIPTION, calibration=lambda: np.zeros((1,)))
    write_onnx(context, tmp_path / "model.onnx")
    agrees(context, tmp_path / "model.onnx")


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    context = trained_with()
    context.description = replace(DESCRIPTION, task=MULTI_LABEL, thresholds=np.array([0.5, np.nan, 0.25]))
    write_onnx(context, tmp_path / "model.onnx")
    found = onnxruntime.InferenceSession(str(tmp_path / "model.onnx")).get_modelmeta()
    assert (found.producer_name, found.graph_name, found.description) == ("graft", DESCRIPTION.name, DESCRIPTION.text)
    properties = dict(found.custom_metadata_map)
    lists = {name: json.loads(properties.pop(name)) for name in ("labels", "labels_de", "thresholds")}
    assert lists == {
        "labels": ["apple", "näive café", 'a,b;"c"'],
        "labels_de": ["Apfel", "Café", "A"],
        "thresholds": [0.5, None, 0.25],
    }
    assert properties == {
        "task": "multi_label",
        "resize": "crop",
        "model_author": "Zoë O'Brien",
        "model_license": "MIT",
        "model_version": "2.1",
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    }


def test_the_file_of_a_run_is_valid_and_names_its_classes(every_format: app.Run) -> None:
    model = onnx.load(every_format.export / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [one.name for one in model.graph.input] == ["pixels"]
    assert {one.key: one.value for one in model.metadata_props}["labels"] == '["apple", "banana", "cherry"]'
