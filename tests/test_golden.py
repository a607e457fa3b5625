"""Golden vectors: what an app's tests read from `export/golden` is what the files beside it answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import app
from app.exporting.evaluation_sets import EvaluationSet
from app.exporting.formats import FORMATS
from app.exporting.golden import write_golden
from app.interface.sources import open_readable
from data.image.resizing import load_pixels
from data.image.transform import ImageTransform
from data.loading import Loader
from tests.images import NAMES, encode, smooth

PHONE_FORMATS = [name for name, one in FORMATS.items() if one.is_for_phones]


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def golden(every_format: app.Run) -> Path:
    return every_format.export / "golden"


def tensors(folder: Path) -> np.ndarray:
    """The `.rgb` files, read as an app reads them: by nothing but the shape."""
    expected = read(folder)
    return np.stack(
        [np.fromfile(folder / one["tensor"], np.uint8).reshape(expected["shape"]) for one in expected["pictures"]]
    )


# --- Plain clients ----------------------------------------------------------------------------------------------------


def by_litert(file: Path, pixels: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    predictions = []
    for one in pixels:
        interpreter.set_tensor(given["index"], one[None].astype(given["dtype"]))
        interpreter.invoke()
        (row,) = interpreter.get_tensor(answer["index"])
        scale, zero_point = answer["quantization"]
        predictions.append((row.astype(np.float32) - zero_point) * scale if scale else row.copy())
    return np.stack(predictions)


def by_onnxruntime(file: Path, pixels: np.ndarray) -> np.ndarray:
    import onnxruntime

    (predictions,) = onnxruntime.InferenceSession(str(file)).run(None, {"pixels": pixels.astype(np.float32)})
    return predictions


def by_tensorflow(file: Path, pixels: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    signature = tf.saved_model.load(str(file)).signatures["serving_default"]
    return signature(pixels=tf.constant(pixels, tf.float32))["probabilities"].numpy()


PLAIN: dict[str, Callable[[Path, np.ndarray], np.ndarray]] = {
    ".tflite": by_litert,
    ".onnx": by_onnxruntime,
    "": by_tensorflow,
}


@pytest.mark.parametrize("name", FORMATS)
def test_tensors_have_the_answers_that_are_written_down(name: str, every_format: app.Run, golden: Path) -> None:
    file, expected = every_format.export / FORMATS[name].file, read(golden)
    written = np.array(expected["outputs"][file.name]["from_tensor"])
    assert written.shape == (len(expected["pictures"]), 3)
    assert np.abs(PLAIN[file.suffix](file, tensors(golden)) - written).max() <= expected["tolerances"][file.name]


@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_images_have_the_answers_that_are_written_down(name: str, every_format: app.Run, golden: Path) -> None:
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    file, expected = every_format.export / FORMATS[name].file, read(golden)
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(file)))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for one, written in zip(expected["pictures"], expected["outputs"][file.name]["mediapipe"], strict=True):
            (answer,) = classifier.classify(mp.Image.create_from_file(str(golden / one["picture"]))).classifications
            assert len(answer.categories) == 3
            for category in answer.categories:
                assert category.score == pytest.approx(written[category.index], abs=expected["tolerance"])


# --- What is in the folder --------------------------------------------------------------------------------------------


def test_every_file_has_its_answers(every_format: app.Run, golden: Path) -> None:
    expected = read(golden)
    assert set(expected) == {"about", "shape", "resize", "tolerance", "tolerances", "pictures", "outputs"}
    assert (expected["shape"], expected["resize"]) == ([32, 32, 3], "stretch")
    assert set(expected["outputs"]) == set(expected["tolerances"]) == {one.file for one in FORMATS.values()}
    assert max(expected["tolerances"].values()) == expected["tolerance"]
    for one in FORMATS.values():
        kinds = {"from_tensor", "mediapipe"} if one.is_for_phones else {"from_tensor"}
        assert set(expected["outputs"][one.file]) == kinds
    named = {one[kind] for one in expected["pictures"] for kind in ("picture", "tensor")}
    assert {path.name for path in golden.iterdir()} == named | {"expected.json"}


def test_images_are_those_of_the_test_split(every_format: app.Run, golden: Path, fruit: Path) -> None:
    expected = read(golden)
    assert sorted(one["label"] for one in expected["pictures"]) == list(every_format.class_names)
    rows = [row.split(",") for row in every_format.splits.splitlines()[1:]]
    of_the_split = {(fruit / row[0]).read_bytes(): row[1] for row in rows if row[2] == "test"}
    for one in expected["pictures"]:
        assert of_the_split[(golden / one["picture"]).read_bytes()] == one["label"]


def test_tensors_are_the_pixels_of_the_images(golden: Path) -> None:
    expected = read(golden)
    for one, tensor in zip(expected["pictures"], tensors(golden), strict=True):
        np.testing.assert_array_equal(load_pixels((golden / one["picture"]).read_bytes(), 32, "stretch"), tensor)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".webp"])
def test_images_keep_their_kind(suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for label in range(3):  # many of some classes, few of others
        (folder / NAMES[label]).mkdir(parents=True)
        for number in range((30, 4, 3)[label]):
            name = "JPEG" if suffix == ".jpg" else suffix[1:].upper()
            # A name that says nothing of what is in the file.
            (folder / NAMES[label] / f"{number}.png").write_bytes(encode(smooth(20, 30, number), name))
    examples, _ = open_readable(str(folder), skip_unreadable=False)
    predictions = np.full((len(examples), 3), 1 / 3, np.float32)
    images = EvaluationSet(Loader(examples, ImageTransform(16, "crop")), np.arange(len(examples)), predictions)
    write_golden(tmp_path / "golden", images, {})
    expected = read(tmp_path / "golden")
    assert len(expected["pictures"]) == 10
    assert {one["label"] for one in expected["pictures"]} == set(NAMES[:3])
    assert {Path(one["picture"]).suffix for one in expected["pictures"]} == {suffix}
    for one, tensor in zip(expected["pictures"], tensors(tmp_path / "golden"), strict=True):
        encoded = (tmp_path / "golden" / one["picture"]).read_bytes()
        np.testing.assert_array_equal(load_pixels(encoded, 16, "crop"), tensor)
