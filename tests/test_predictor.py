"""`Predictor`: one class that answers for any model file, with what it knows of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import app
import app.prediction.predictor
from app import Predictor
from app.exporting.formats import FORMATS
from app.exporting.process import ModelInMemory, ModelProcess
from app.interface.errors import UsageError
from data.image.decoding import UnreadableImage
from data.image.preparing import Preparation
from data.image.resizing import load_pixels
from tests.images import encode, smooth

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
FILES = ["model.keras", *(f"export/{one.file}" for one in FORMATS.values())]


@pytest.fixture
def tflite(tiny_run: app.Run) -> Path:
    return tiny_run.export / "model_float32.tflite"


@pytest.mark.parametrize("file", FILES)
def test_every_kind_of_file_is_known_and_answers(file: str, every_format: app.Run, fruit: Path) -> None:
    encoded = [(fruit / name / "00.png").read_bytes() for name in every_format.class_names]
    with Predictor(every_format.path / file) as predictor:
        assert (predictor.file, predictor.size, predictor.resize) == (every_format.path / file, (32, 32), "stretch")
        assert predictor.about.names == every_format.class_names
        assert predictor.preparation == Preparation()
        np.testing.assert_array_equal(predictor.load(encoded[0]), load_pixels(encoded[0], 32, "stretch"))
        outputs = predictor.predict_encoded(encoded)
        assert (outputs.shape, outputs.dtype) == ((3, 3), np.float32)
        pixels = np.stack([load_pixels(one, 32, "stretch") for one in encoded])
        np.testing.assert_array_equal(predictor.predict(pixels), outputs)
        predictions = predictor.interpret(outputs)
        assert predictions.names == every_format.class_names and len(predictions.chosen) == 3
        assert len(predictor.latencies(0.01)) >= 10
        if sys.platform != "win32":
            assert (predictor.peak_memory or 0) > 10e6


def test_a_run_is_its_model(tiny_run: app.Run) -> None:
    found = []
    for model in (tiny_run, tiny_run.path, str(tiny_run.path), tiny_run.model):
        with Predictor(model, in_memory=True) as predictor:
            # Keras is loaded here already; a file that need not be ours has a process of its own even so.
            assert isinstance(predictor.process, ModelProcess if model == tiny_run.model else ModelInMemory)
            assert predictor.file == tiny_run.model
            assert predictor.about.names == ("apple", "banana", "cherry")
            found.append(predictor.predict(PIXELS))
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])


def test_what_the_user_says_comes_first(tflite: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    options = {"labels": str(tmp_path / "names.txt"), "resize": "pad", "background": "white", "levels": "0-4095"}
    with Predictor(tflite, **options) as predictor:
        assert predictor.about.names == ("a", "b", "c")
        assert predictor.resize == "pad"
        assert predictor.preparation == Preparation.parse("white", "0-4095")
        wide = encode(smooth(60, 30))
        np.testing.assert_array_equal(predictor.load(wide), load_pixels(wide, 32, "pad"))


def test_plain_pixels_are_given_whatever_a_file_says(told: Path) -> None:
    """The file scales no pixels itself: what its metadata says makes the difference, and a check must not follow it."""
    with Predictor(told) as predictor, Predictor(told, plain=True) as plain:
        pixels = np.random.default_rng(0).integers(0, 256, (3, *predictor.size, 3), np.uint8)
        assert plain.about.names is None and predictor.about.names is not None
        assert np.abs(predictor.predict(pixels) - plain.predict(pixels)).max() > 1e-3
    with Predictor(told, mean=(0.0,), std=(1.0,)) as predictor, Predictor(told, plain=True) as plain:
        np.testing.assert_array_equal(predictor.predict(pixels), plain.predict(pixels))


@pytest.mark.parametrize(
    "pixels",
    [PIXELS[:, :5], PIXELS.astype(np.float32), PIXELS[0], PIXELS[..., :1]],
    ids=["size", "type", "one", "grey"],
)
def test_pixels_of_another_kind_are_refused(pixels: np.ndarray, tflite: Path) -> None:
    with Predictor(tflite) as predictor:
        with pytest.raises(
            UsageError, match=r"takes pixels as uint8 \(n, 32, 32, 3\), not .*; `Predictor.load` makes them"
        ):
            predictor.predict(pixels)
        assert predictor.predict(PIXELS).shape == (3, 3)


def test_a_client_may_decode_itself(every_format: app.Run, fruit: Path) -> None:
    encoded = [(fruit / name / "00.png").read_bytes() for name in every_format.class_names]
    tflite = every_format.export / "model_float32.tflite"
    with Predictor(every_format.export / "saved_model") as saved, Predictor(tflite, client="mediapipe") as phone:
        expected = saved.predict_encoded(encoded)
        np.testing.assert_allclose(saved.predict_encoded(encoded, by_client=True), expected, atol=0.02)
        assert phone.size is phone.batch is None  # it takes images of any size
        np.testing.assert_allclose(phone.predict_encoded(encoded, by_client=True), expected, atol=0.02)
        np.testing.assert_allclose(phone.predict_encoded(encoded), expected, atol=0.02)
        assert phone.interpret(expected).names == every_format.class_names
    with Predictor(tflite) as predictor, pytest.raises(UsageError, match="cannot be run"):
        predictor.predict_encoded(encoded, by_client=True)  # LiteRT decodes none


def test_several_threads_may_ask(tflite: Path) -> None:
    with Predictor(tflite) as predictor, ThreadPoolExecutor(4) as pool:
        expected = predictor.predict(PIXELS)
        for number, found in enumerate(pool.map(lambda number: predictor.predict(PIXELS[number % 3 :]), range(60))):
            np.testing.assert_array_equal(found, expected[number % 3 :])


def test_what_cannot_be_loaded_is_one_sentence(tflite: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no model"):
        Predictor(tmp_path / "gone.tflite")
    with pytest.raises(UsageError, match="there is no label file"):
        Predictor(tflite, labels=str(tmp_path / "gone.txt"))
    with pytest.raises(UsageError, match="there is no client 'caffe'; take one of keras, tensorflow, litert"):
        Predictor(tflite, client="caffe")
    with Predictor(tflite) as predictor, pytest.raises(UnreadableImage):
        predictor.predict_encoded([b"no image"])


def test_its_process_ends_with_it(tflite: Path) -> None:
    with Predictor(tflite) as predictor:
        process = predictor.process._process
        assert process.poll() is None
    assert process.poll() is not None


def test_an_evaluation_leaves_tensorflow_to_the_process_of_the_model(finished_run: app.Run, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished_run.path, tmp_path / "run"))
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "app", "evaluate", str(run)],
        cwd=Path(app.__file__).parents[1],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONUTF8": "1"},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "app" in names and not {"tensorflow", "keras"} & names
