"""Golden vectors: what an app's tests read from `export/golden` is what the files beside it answer."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

import app
from app.exporting.evaluation_sets import EvaluationSet, GoldenImages
from app.exporting.formats import FORMATS
from app.interface.sources import open_readable
from data.image.decoding import decode
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
                assert category.score == pytest.approx(written[category.index], abs=expected["tolerances"][file.name])


# --- What is in the folder --------------------------------------------------------------------------------------------


def test_every_file_has_its_answers(every_format: app.Run, golden: Path) -> None:
    expected = read(golden)
    assert set(expected) == {
        *("about", "shape", "resize", "tolerance", "tolerances", "mediapipe_tolerances", "pictures", "outputs")
    }
    assert (expected["shape"], expected["resize"]) == ([32, 32, 3], "stretch")
    assert set(expected["outputs"]) == set(expected["tolerances"]) == {one.file for one in FORMATS.values()}
    assert set(expected["mediapipe_tolerances"]) == {FORMATS[name].file for name in PHONE_FORMATS}
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
    of_the_split = {decode((fruit / row[0]).read_bytes()).tobytes(): row[1] for row in rows if row[2] == "test"}
    for one in expected["pictures"]:
        assert of_the_split[decode((golden / one["picture"]).read_bytes()).tobytes()] == one["label"]


def test_tensors_are_the_pixels_of_the_images(golden: Path) -> None:
    expected = read(golden)
    for one, tensor in zip(expected["pictures"], tensors(golden), strict=True):
        np.testing.assert_array_equal(load_pixels((golden / one["picture"]).read_bytes(), 32, "stretch"), tensor)


# --- The images ---------------------------------------------------------------------------------------------------------


def golden_images(folder: Path, size: int = 16) -> GoldenImages:
    examples, _ = open_readable(str(folder), skip_unreadable=False)
    reference = np.full((len(examples), len(examples.class_names)), 0.5, np.float32)
    return EvaluationSet(Loader(examples, ImageTransform(size, "crop")), np.arange(len(examples)), reference).golden


def as_seen_by_decoders(file: bytes) -> list[np.ndarray]:
    """The pixels of a file by decoders that follow no orientation, like Android's, and by one that does."""
    with Image.open(io.BytesIO(file)) as image:
        by_pillow = np.asarray(image)
    array = np.frombuffer(file, np.uint8)
    turned, as_stored = (cv2.imdecode(array, flags) for flags in (cv2.IMREAD_COLOR_RGB, cv2.IMREAD_UNCHANGED))
    return [by_pillow, turned, as_stored[..., ::-1]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP"])
def test_images_of_any_kind_become_png_with_the_same_pixels(kind: str, tmp_path: Path) -> None:
    for label in range(3):  # many of some classes, few of others
        folder = tmp_path / NAMES[label]
        folder.mkdir(parents=True)
        for number in range((30, 4, 3)[label]):
            # A name that says nothing of what is in the file.
            (folder / f"{number}.png").write_bytes(encode(smooth(20, 30, number), kind))
    examples, _ = open_readable(str(tmp_path), skip_unreadable=False)
    golden = golden_images(tmp_path)
    assert len(golden.files) == 10
    assert {examples.labels.text(int(one)) for one in golden.positions} == set(NAMES[:3])
    for position, file, pixels in zip(golden.positions, golden.files, golden.pixels, strict=True):
        assert file.startswith(b"\x89PNG")
        original = np.asarray(decode(examples.read(int(position))))
        for seen in as_seen_by_decoders(file):
            np.testing.assert_array_equal(seen, original)
        np.testing.assert_array_equal(load_pixels(file, 16, "crop"), pixels)


def test_a_large_photo_that_lies_on_its_side_becomes_a_small_upright_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in NAMES[:2]:
        (tmp_path / name).mkdir()
        image = Image.fromarray(smooth(600, 800, 0))
        image.save(tmp_path / name / "photo.jpg", quality=95, exif=exif, icc_profile=profile)
    golden = golden_images(tmp_path)
    upright = decode((tmp_path / NAMES[0] / "photo.jpg").read_bytes())
    upright.thumbnail((512, 512))
    for file, pixels in zip(golden.files, golden.pixels, strict=True):
        for seen in as_seen_by_decoders(file):
            assert seen.shape == (384, 512, 3)
            np.testing.assert_array_equal(seen, np.asarray(upright))
        assert {file[12:16]} | set(re.findall(rb"iCCP|eXIf|tRNS|gAMA", file)) == {b"IHDR"}
        np.testing.assert_array_equal(load_pixels(file, 16, "crop"), pixels)


def test_images_for_a_large_input_are_larger(tmp_path: Path) -> None:
    for name in NAMES[:2]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(encode(smooth(1000, 10, 0), "PNG"))
    assert [decode(file).width for file in golden_images(tmp_path, size=300).files] == [600, 600]
