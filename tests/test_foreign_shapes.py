"""Model files of other makers: the shapes and types that they take, failed exports, tables and pipes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from onnx import TensorProto

from app.interface.errors import UsageError
from tests.conftest import Ended
from tests.foreign import (
    COLOURS,
    ask,
    convert,
    labels,
    network,
    with_foreign_metadata,
    write,
    write_onnx,
    write_saved_model,
    written,
)

Cli = Callable[..., Ended]


# --- Shapes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["A.TFLITE", "a.lite", "a.bin", "A.ONNX", "A.KERAS"])
def test_files_are_known_by_any_spelling(name: str, foreign_images: Path, tmp_path: Path) -> None:
    kind = {".onnx": "onnx", ".keras": "keras"}.get(Path(name).suffix.lower(), "tflite")
    model = written(kind, tmp_path, end="softmax").rename(tmp_path / name)
    assert labels(ask(model, foreign_images)) == ["class 0", "class 1", "class 2"]


def dynamic(kind: str, folder: Path, **options: Any) -> Path:
    if kind == "onnx":
        return write_onnx(folder / "a.onnx", ("n", 3, "h", "w"))
    function = network((None, None, None, 3), inside=True)
    if kind == "saved_model":
        return write_saved_model(folder / "saved", function)
    return write(folder / "a.tflite", with_foreign_metadata(convert(function), mean=(0.0,), std=(1.0,), **options))


@pytest.mark.parametrize("kind", ["tflite", "onnx", "saved_model"])
def test_a_file_for_any_size_needs_one(kind: str, foreign_images: Path, tmp_path: Path) -> None:
    model = dynamic(kind, tmp_path)
    with pytest.raises(UsageError, match="takes images of any size; say which with --image-size, such as --image-size"):
        ask(model, foreign_images)
    assert labels(ask(model, foreign_images, image_size=24)) == ["class 0", "class 1", "class 2"]


def test_the_size_that_a_file_was_made_for_is_read(foreign_images: Path, tmp_path: Path, cli: Cli) -> None:
    ended = cli("predict", dynamic("tflite", tmp_path, size=(12, 20)), foreign_images, "--json")
    assert ended.code == 0 and "images are stretched to 20 x 12" in ended.err


def test_another_size_than_the_file_s_is_refused(told: Path, foreign_images: Path) -> None:
    with pytest.raises(UsageError, match="takes images of 16 x 16 pixels, not 32; leave out --image-size"):
        ask(told, foreign_images, image_size=32)


@pytest.mark.parametrize(
    ("kind", "shape", "options"),
    [
        ("tflite", (1, 12, 20, 3), {}),
        ("tflite", (8, 16, 16, 3), {}),
        ("tflite", (8, 12, 20, 3), {}),
        ("tflite", (1, 3, 12, 20), {}),
        ("tflite", (1, 16, 16, 3), {"answer_shape": (1, 1, 3)}),
        ("tflite", (1, 16, 16, 3), {"answer_shape": (3, 1, 1)}),
        ("tflite", (2, 16, 16, 3), {"answer_shape": (1, 1, 3)}),
        ("saved_model", (8, 12, 20, 3), {"answer_shape": (1, 1, 3)}),  # each starts TensorFlow in a process of its own
        ("saved_model", (1, 3, 12, 20), {"answer_shape": (3, 1, 1)}),
    ],
    ids=str,
)
def test_odd_shapes_answer_as_usual_ones(
    kind: str, shape: tuple[int, ...], options: dict[str, Any], foreign_images: Path, tmp_path: Path
) -> None:
    function = network(shape, inside=True, **options)
    model = (
        write(tmp_path / "a.tflite", convert(function))
        if kind == "tflite"
        else write_saved_model(tmp_path / "s", function)
    )
    usual = ask(write(tmp_path / "usual.tflite", convert(network(inside=True))), foreign_images)
    for one, other in zip(ask(model, foreign_images), usual, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)


@pytest.mark.parametrize(
    "shape", [(1, 3, 16, 16), (1, 16, 16, 3), ("n", 3, 12, 20), (8, 3, 16, 16), ("n", 16, 16, 3)], ids=str
)
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8, TensorProto.FLOAT16])
def test_onnx_files_of_any_layout_and_type(
    shape: tuple[Any, ...], kind: int, foreign_images: Path, tmp_path: Path
) -> None:
    found = ask(write_onnx(tmp_path / "a.onnx", shape, kind=kind), foreign_images)
    assert labels(found) == ["class 0", "class 1", "class 2"]
    assert [one.probabilities[one.label or ""] > 0.8 for one in found] == [True] * 3


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32, tf.float16], ids=lambda one: one.name)
def test_saved_models_of_any_type(dtype: tf.DType, foreign_images: Path, tmp_path: Path) -> None:
    model = write_saved_model(tmp_path / "saved", network((None, 16, 16, 3), dtype=dtype, inside=True))
    assert labels(ask(model, foreign_images)) == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize(
    "properties",
    [
        {"labels": '["red", "green", "blue"]'},
        {"names": "{0: 'red', 1: 'green', 2: 'blue'}"},
        {"classes": "red,green,blue"},
        {"class_names": "red\ngreen\nblue"},
        {"names": '{"red": 0, "green": 1, "blue": 2}'},
    ],
)
def test_onnx_files_name_their_classes_in_many_ways(
    properties: dict[str, str], foreign_images: Path, tmp_path: Path
) -> None:
    assert labels(ask(write_onnx(tmp_path / "a.onnx", properties=properties), foreign_images)) == [
        "red",
        "green",
        "blue",
    ]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"Image.BitmapPixelFormat": "Bgr8"}, ["class 2", "class 1", "class 0"]),
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, ["class 0", "class 1", "class 2"]),
    ],
)
def test_onnx_files_say_how_pixels_lie(
    properties: dict[str, str], expected: list[str], foreign_images: Path, tmp_path: Path
) -> None:
    assert labels(ask(write_onnx(tmp_path / "a.onnx", properties=properties), foreign_images)) == expected


@pytest.mark.parametrize(
    ("shape", "text"),
    [((1, 16, 16, 1), r"\(1, 16, 16, 1\)"), ((1, 16, 16, 4), r"\(1, 16, 16, 4\)"), ((16, 3), r"\(16, 3\)")],
)
def test_files_that_take_no_rgb_images_are_refused(
    shape: tuple[int, ...], text: str, foreign_images: Path, tmp_path: Path
) -> None:
    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def call(image: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.reduce_mean(image) + [[0.0, 1.0]], (1, 2))

    model = write(tmp_path / "a.tflite", convert(call.get_concrete_function()))
    with pytest.raises(UsageError, match=f"does not take RGB images; its input has shape {text}"):
        ask(model, foreign_images)


def test_a_file_with_several_outputs_is_refused(foreign_images: Path, tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3), tf.float32)])
    def call(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"boxes": tf.reshape(image[:, 0, :4, 0], (1, 4)), "scores": image[:, 0, :2, 1]}

    model = write(tmp_path / "a.tflite", convert(call.get_concrete_function()))
    with pytest.raises(UsageError, match=r"is no classifier of images: it has 2 outputs, not one"):
        ask(model, foreign_images)


# --- Failed exports, tables, pipes --------------------------------------------------------------------------------------


def test_a_failed_export_is_warned_of(foreign_file: bytes, foreign_images: Path, tmp_path: Path, cli: Cli) -> None:
    model = write(tmp_path / "model_int8_FAILED.tflite", foreign_file)
    text = "Warning: model_int8_FAILED.tflite failed its check when it was exported"
    assert text in cli("predict", model, foreign_images).err
    assert text in cli("benchmark", model, "--seconds", 0.01, "--threads", 1).err
    assert "Warning" not in cli("predict", model.rename(tmp_path / "model.tflite"), foreign_images).err


@pytest.mark.parametrize("everything", [False, True])
def test_answers_are_written_as_a_table(
    everything: bool, told: Path, foreign_images: Path, tmp_path: Path, cli: Cli
) -> None:
    output = tmp_path / "answers.csv"
    ended = cli("predict", told, foreign_images, "--output", output, *(["--all-probabilities"] if everything else []))
    assert ended.code == 0 and str(output) in ended.out and "red" not in ended.out.replace(str(foreign_images), "")
    rows = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    expected = ask(told, foreign_images)
    assert [(one["path"], one["label"]) for one in rows] == [(one.path, one.label) for one in expected]
    assert list(rows[0]) == ["path", "label", "probability", *(COLOURS if everything else ())]
    for row, one in zip(rows, expected, strict=True):
        assert float(row["probability"]) == pytest.approx(one.probabilities[row["label"]])
        assert not everything or float(row["blue"]) == pytest.approx(one.probabilities["blue"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "told.tflite"]


def test_several_labels_and_numbers_are_written_as_a_table(foreign_images: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.csv"
    ask(written("tflite", tmp_path, end="sigmoid"), foreign_images, output=str(output))
    first = next(csv.DictReader(output.read_text().splitlines()))
    assert first["label"].split("|")[0] == "class 0"
    assert len(first["label"].split("|")) == len(first["probability"].split("|"))
    ask(written("tflite", tmp_path, end="linear", outputs=1), foreign_images, output=str(output))
    assert list(next(csv.DictReader(output.read_text().splitlines()))) == ["path", "number 0"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"output": "predictions.txt"}, "--output must be a .csv file"),
        ({"output": "no/such/answers.csv"}, "there is no folder"),
        ({"all_probabilities": True}, "give both"),
        ({"labels": "nowhere.txt"}, "there is no label file nowhere.txt"),
        ({"mean": (1.0, 2.0)}, "--mean takes one number or three"),
        ({"std": (0.0,)}, "--std must be above 0"),
        ({"task": "segmentation"}, "--task cannot be 'segmentation'"),
        ({"image_size": 0}, "--image-size must be above 0"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], text: str, told: Path, foreign_images: Path) -> None:
    with pytest.raises(UsageError, match=text):
        ask(told, foreign_images, **options)


def test_one_bad_file_does_not_lose_the_figures_of_the_others(
    told: Path, foreign_images: Path, tmp_path: Path, cli: Cli
) -> None:
    bad = write(tmp_path / "cut.tflite", told.read_bytes()[:300])
    ended = cli("benchmark", bad, told, "--seconds", 0.01, "--threads", 1, 2, "--json")
    assert ended.code == 0
    figures = json.loads(ended.out)
    assert [one["file"] for one in figures["rows"]] == [str(told)] * 2
    assert [one["file"] for one in figures["failed"]] == [str(bad)]
    assert f"Left out: {bad} cannot be loaded" in ended.err and "Traceback" not in ended.err


def test_odd_files_are_measured_too(tmp_path: Path, cli: Cli) -> None:
    several = write(tmp_path / "batch.tflite", convert(network((8, 12, 20, 3))))
    options = ("--image-size", 24, "--seconds", 0.01, "--threads", 1)
    ended = cli("benchmark", several, dynamic("onnx", tmp_path), *options, "--json")
    first, second = json.loads(ended.out)["rows"]
    assert (first["image_size"], first["batch"], second["image_size"]) == ([12, 20], 8, 24)
    assert "batch.tflite takes 8 images a call" in ended.err
