"""Exports: what the files are, what phones and servers make of them, and what is left when writing them goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import app
from app.exporting.formats import DEFAULT_FORMATS, FORMATS
from app.exporting.process import ModelProcess
from data.image.resizing import load_pixels
from models.builder import load_model
from tests.conftest import naming_folders
from tests.handmade import softmax
from tests.images import NAMES, encode, smooth

PHONE_FORMATS = [name for name, one in FORMATS.items() if one.is_for_phones]
FIGURES = {
    *("accuracy", "keras_accuracy", "accuracy_drop", "accuracy_drop_ci95", "top1_agreement"),
    *("strict_top1_agreement", "compared_answers"),
    *("max_probability_difference", "mean_probability_difference", "class_drops"),
}

OF_PHONES = {"custom_operations", "mediapipe", "min_runtime_version", "left_to_cpu", "without_xnnpack"}


# --- The folder -------------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_was_asked_for(finished_run: app.Run) -> None:
    parity = finished_run.parity
    kept = parity["quantization"]["kept"]  # `train` looks for a quantised file by itself
    assert set(parity["formats"]) == {*DEFAULT_FORMATS, kept}
    found = {path.name for path in finished_run.export.iterdir()}
    files = {one["file"] for one in parity["formats"].values()}
    assert found == files | {"labels.txt", "parity.json", "golden", "model_card.md", "integration.md"}
    assert (finished_run.export / "labels.txt").read_text() == (finished_run.path / "classes.txt").read_text()
    assert (finished_run.export / "labels.txt").read_text() == "apple\nbanana\ncherry\n"


def test_the_folder_holds_every_format(every_format: app.Run) -> None:
    found = sorted(path.name for path in every_format.export.iterdir())
    files = [one.file for one in FORMATS.values()]
    described = ["labels.txt", "labels_de.txt", "parity.json", "golden", "model_card.md", "integration.md"]
    assert found == sorted([*files, *described])
    assert (every_format.export / "labels_de.txt").read_text(encoding="utf-8") == "Äpfel\nBananen\nKirschen\n"


def test_no_file_names_a_folder_of_this_machine(every_format: app.Run, fruit: Path) -> None:
    assert naming_folders(every_format, fruit) == []


def test_parity_tells_of_the_whole_export(every_format: app.Run) -> None:
    parity = every_format.parity
    assert set(parity) == {"pictures", "passed", "max_drop", "seconds", "formats", "quantization"}
    assert (parity["pictures"], parity["passed"]) == (every_format.metrics["test"]["n"], True)
    assert (parity["max_drop"], parity["quantization"]) == (100.0, None)
    assert list(parity["formats"]) == list(FORMATS)
    assert parity["seconds"] == pytest.approx(sum(one["seconds"] for one in parity["formats"].values()))


@pytest.mark.parametrize("name", FORMATS)
def test_parity_holds_the_documented_figures(name: str, every_format: app.Run) -> None:
    export, one = FORMATS[name], every_format.parity["formats"][name]
    extra = OF_PHONES if export.is_for_phones else {"encoded"} & set(one)
    extra |= set() if export.tolerance else {"within_chance"}
    extra |= {"file", "bytes", "speed", "tolerance", "left_out", "seconds", "failures", "passed"}
    assert set(one) == FIGURES | extra
    assert (one["file"], one["tolerance"]) == (export.file, export.tolerance)
    path = every_format.export / one["file"]
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    assert one["bytes"] == sum(file.stat().st_size for file in files) > 0
    assert (one["passed"], one["failures"]) == (True, [])
    assert one["keras_accuracy"] == pytest.approx(every_format.metrics["test"]["accuracy"])
    assert one["accuracy_drop"] == pytest.approx(one["keras_accuracy"] - one["accuracy"])
    assert one["mean_probability_difference"] <= one["max_probability_difference"]
    if export.tolerance is not None:
        assert one["max_probability_difference"] <= export.tolerance
        assert one["accuracy"] == one["keras_accuracy"]
    if export.is_for_phones:
        assert one["custom_operations"] == []
        assert set(one["mediapipe"]) == FIGURES | {"max_difference_at_size", "within_chance"}
        assert one["mediapipe"]["max_difference_at_size"] < 0.01
        plain = one["without_xnnpack"]
        assert plain["mean_probability_difference"] <= plain["max_probability_difference"] < 0.05
        golden = len(list((every_format.export / "golden").glob("*.png")))
        assert golden and plain["pictures"] == every_format.parity["pictures"] + golden


def test_parity_of_the_signature_for_image_files(every_format: app.Run) -> None:
    encoded = every_format.parity["formats"]["saved_model"]["encoded"]
    assert encoded["pictures"] == every_format.parity["pictures"]
    assert encoded["mean_probability_difference"] <= encoded["max_probability_difference"] < 0.01


# --- Every file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_gives_the_probabilities_of_the_keras_model(name: str, every_format: app.Run, fruit: Path) -> None:
    pixels = np.stack([load_pixels(path.read_bytes(), 32, "stretch") for path in sorted(fruit.glob("*/0[0-3].png"))])
    expected = softmax(np.asarray(load_model(every_format.model)(pixels.astype(np.float32))))
    with ModelProcess(every_format.export / FORMATS[name].file) as model:
        assert model.input.height == 32
        found = model.predict(pixels)
    assert (found.dtype, found.shape) == (np.float32, (12, 3))
    integer = name in ("tflite_int8", "tflite_edge", "tflite_int16x8")
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.02 if integer else 1e-5)
    np.testing.assert_allclose(found, expected, atol=0.03 if FORMATS[name].tolerance is None else 1e-3)


@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_a_file_for_phones_has_builtin_operations_only(name: str, every_format: app.Run) -> None:
    model = schema.Model.GetRootAs((every_format.export / FORMATS[name].file).read_bytes())
    codes = [model.OperatorCodes(number) for number in range(model.OperatorCodesLength())]
    assert len(codes) > 3
    for code in codes:
        assert code.CustomCode() is None
        assert code.BuiltinCode() != schema.BuiltinOperator.CUSTOM


@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_a_file_for_phones_takes_pixels_and_gives_probabilities(name: str, every_format: app.Run) -> None:
    interpreter = Interpreter(str(every_format.export / FORMATS[name].file))
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["pixels"], "outputs": ["probabilities"]}}
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    pixels_type = np.uint8 if name in ("tflite_int8", "tflite_edge") else np.float32
    answers_type = np.uint8 if name == "tflite_edge" else np.float32
    assert (given["dtype"], given["shape"].tolist()) == (pixels_type, [1, 32, 32, 3])
    assert (answer["dtype"], answer["shape"].tolist()) == (answers_type, [1, 3])
    pixels = np.full((1, 32, 32, 3), 77, pixels_type)
    found = interpreter.get_signature_runner()(pixels=pixels)["probabilities"]
    assert found.sum() * (answer["quantization"][0] or 1) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_mediapipe_takes_the_file_as_it_is(name: str, every_format: app.Run, fruit: Path) -> None:
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    file = every_format.export / FORMATS[name].file
    image = fruit / "cherry" / "03.png"
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(file)))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        (answer,) = classifier.classify(mp.Image.create_from_file(str(image))).classifications
    labels = {one.index: one.category_name for one in answer.categories}
    assert labels == {0: "apple", 1: "banana", 2: "cherry"}
    pixels = load_pixels(image.read_bytes(), 32, "stretch", antialias=False).astype(np.float32)
    expected = softmax(np.asarray(load_model(every_format.model)(pixels[None])))[0]
    for one in answer.categories:
        assert one.score == pytest.approx(expected[one.index], abs=0.03)


def test_saved_model_has_two_signatures_that_agree(every_format: app.Run) -> None:
    signatures = tf.saved_model.load(str(every_format.export / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "encoded"}
    (pixels_spec,) = signatures["serving_default"].structured_input_signature[1].values()
    (encoded_spec,) = signatures["encoded"].structured_input_signature[1].values()
    assert (pixels_spec.name, pixels_spec.dtype, pixels_spec.shape) == ("pixels", tf.float32, [None, 32, 32, 3])
    assert (encoded_spec.name, encoded_spec.dtype, encoded_spec.shape) == ("encoded", tf.string, [None])
    kinds: list[tuple[str, dict[str, Any]]] = [("PNG", {}), ("JPEG", {"quality": 90}), ("BMP", {}), ("GIF", {})]
    files = [encode(smooth(90, 60, seed), kind, **options) for seed, (kind, options) in enumerate(kinds)]
    pixels = np.stack([load_pixels(file, 32, "stretch") for file in files]).astype(np.float32)
    expected = signatures["serving_default"](pixels=tf.constant(pixels))
    found = signatures["encoded"](encoded=tf.constant(files))
    assert set(found) == set(expected) == {"probabilities"}
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=2e-3)
    np.testing.assert_allclose(np.sum(expected["probabilities"], axis=1), 1, atol=1e-5)


def test_onnx_takes_any_batch(every_format: app.Run) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(every_format.export / "model.onnx"))
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("pixels", "tensor(float)", [32, 32, 3])
    assert (answer.type, answer.shape[1:]) == ("tensor(float)", [3])
    for batch in (1, 5):
        (found,) = session.run(None, {"pixels": np.zeros((batch, 32, 32, 3), np.float32)})
        assert found.shape == (batch, 3)


def test_names_of_the_images_are_those_of_the_labels(every_format: app.Run) -> None:
    assert every_format.class_names == NAMES[:3]
