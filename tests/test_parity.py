"""The verification of an export, and its gate: a file that a phone would get wrong is named, and nobody ships it unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import app
from app.exporting import exports, tflite
from app.exporting.context import ExportContext
from app.exporting.converter import Converter
from app.exporting.evaluation_sets import EvaluationSet
from app.exporting.formats import FORMATS, Format
from app.exporting.metadata import Description, with_metadata
from app.exporting.onnx import write_onnx
from app.exporting.parity import (
    verify,
)
from app.exporting.process import ModelProcess
from app.interface.errors import GateError
from app.interface.sources import open_readable
from data.examples import Examples
from data.image.resizing import RESIZES, load_pixels
from data.image.transform import ImageTransform
from data.loading import Loader
from models.builder import with_predictions
from tests.conftest import TINY, Ended
from tests.handmade import colour_classifier
from tests.images import encode, write_folder

Cli = Callable[..., Ended]


def describe(change: Callable[[Description], Description], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exported files say something else of themselves."""
    honest = exports._describe
    monkeypatch.setattr(exports, "_describe", lambda *arguments: change(honest(*arguments)))


def use(write: Callable[[ExportContext, Path], None], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, name, replace(FORMATS[name], write=write))


def with_other_weights(write: Callable[[ExportContext, Path], None]) -> Callable[[ExportContext, Path], None]:
    """Write a file whose answers are not the model's, and leave the model as it is."""

    def change(context: ExportContext, path: Path) -> None:
        bias = context.model.get_layer("logits").bias
        value = bias.numpy()
        bias.assign(value + [0.1, 0.0, 0.0])
        write(ExportContext(context.model, description=context.description, calibration=lambda: None), path)
        bias.assign(value)

    return change


# --- What is caught ---------------------------------------------------------------------------------------------------


def test_a_wrong_normalisation_is_caught(colour_copy: app.Run, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(lambda one: replace(one, mean=127.5, std=127.5), monkeypatch)
    ended = cli("export", colour_copy.path, "--formats", "tflite_float32")
    assert ended.code == 3
    assert ended.err.startswith("Gate failed: ") and "Traceback" not in ended.err + ended.out
    failed = colour_copy.export / "model_float32_FAILED.tflite"
    assert f"{failed}: MediaPipe Tasks answers pixels otherwise than LiteRT" in ended.err
    assert "a wrong normalisation or colour order" in ended.err
    assert f"See {colour_copy.export / 'parity.json'}" in ended.err
    assert failed.is_file() and not (colour_copy.export / "model_float32.tflite").exists()
    figures = colour_copy.parity["formats"]["tflite_float32"]
    assert (figures["file"], figures["passed"]) == (failed.name, False)
    assert figures["max_probability_difference"] < 1e-5  # LiteRT, which reads no metadata, finds nothing
    assert figures["mediapipe"]["max_difference_at_size"] > 0.1
    assert not colour_copy.parity["passed"]
    for page in (colour_copy.report, colour_copy.path / "model_card.md"):
        assert "a wrong normalisation" in page.read_text(encoding="utf-8")


def test_swapped_labels_are_caught(colour_copy: app.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(lambda one: replace(one, class_names=("apple", "cherry", "banana")), monkeypatch)
    with pytest.raises(GateError, match="MediaPipe Tasks names classes wrongly: banana, cherry"):
        app.export(str(colour_copy.path), formats=("tflite_float32",))
    assert (colour_copy.export / "model_float32_FAILED.tflite").is_file()


@pytest.mark.parametrize(("name", "write"), [("tflite_float32", tflite.write_float32), ("onnx", write_onnx)])
def test_other_weights_are_caught(
    name: str, write: Callable[[ExportContext, Path], None], colour_copy: app.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(with_other_weights(write), name, monkeypatch)
    stem, suffix = FORMATS[name].file.split(".")
    with pytest.raises(
        GateError, match=rf"{stem}_FAILED\.{suffix}: a probability differs by 0\.0\d+, more than 0\.001"
    ):
        app.export(str(colour_copy.path), formats=(name,))
    figures = colour_copy.parity["formats"][name]
    assert figures["max_probability_difference"] > figures["tolerance"]
    assert (figures["accuracy"], figures["accuracy_drop"]) == (1.0, 0.0)  # small as it is
    assert (colour_copy.export / f"{stem}_FAILED.{suffix}").stat().st_size == figures["bytes"]
    assert "Gate" not in colour_copy.report.read_text(encoding="utf-8")
    assert "failed" in colour_copy.report.read_text(encoding="utf-8").lower()


def write_garbage(context: ExportContext, path: Path) -> None:
    path.write_bytes(b"no model")


def write_other_shape(context: ExportContext, path: Path) -> None:
    import keras

    model = keras.Model(context.model.inputs, context.model.output[:, :2])
    path.write_bytes(with_metadata(Converter(model).convert(), context.description))


@pytest.mark.parametrize(
    ("write", "reason"),
    [(write_garbage, "cannot be loaded"), (write_other_shape, "gives answers of shape (3, 2), not (3, 3)")],
)
def test_a_file_without_answers_is_caught(
    write: Callable[[ExportContext, Path], None], reason: str, colour_copy: app.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(write, "tflite_float32", monkeypatch)
    with pytest.raises(GateError) as caught:
        app.export(str(colour_copy.path), formats=("tflite_float32", "onnx"))
    assert reason in str(caught.value) and "model.onnx" not in str(caught.value)
    formats = colour_copy.parity["formats"]
    assert (formats["tflite_float32"]["passed"], formats["onnx"]["passed"]) == (False, True)
    names = {path.name for path in colour_copy.export.iterdir()}
    assert {"model_float32_FAILED.tflite", "model.onnx"} <= names
    assert colour_copy.is_finished  # it has its report


def test_every_failed_file_is_named(colour_copy: app.Run, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    use(write_garbage, "tflite_float32", monkeypatch)
    use(write_garbage, "onnx", monkeypatch)
    ended = cli("export", colour_copy.path, "--formats", "onnx", "tflite_float32")
    assert ended.code == 3
    lines = ended.err.splitlines()
    assert len(lines) == 3 and lines[2] == f"See {colour_copy.export / 'parity.json'}"
    assert "model_FAILED.onnx" in lines[0] and "model_float32_FAILED.tflite" in lines[1]


def test_the_gate_of_train_leaves_a_finished_run(
    fruit: Path, tmp_path: Path, tiny_backbone: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(with_other_weights(write_onnx), "onnx", monkeypatch)
    options = TINY | {"strategy": "feature_extraction"}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    ended = cli("train", fruit, "--output", tmp_path / "run", *words, "--formats", "onnx")
    assert ended.code == 3
    assert ended.err.startswith("Gate failed: ")
    run = app.Run(tmp_path / "run")
    assert run.is_finished and not run.parity["passed"]
    assert run.model.is_file() and (run.export / "model_FAILED.onnx").is_file() and run.metrics["test"]["n"] == 3


# --- Quantised files --------------------------------------------------------------------------------------------------


def test_a_quantised_file_that_loses_too_much_is_explained(brittle_copy: app.Run, cli: Cli) -> None:
    ended = cli("export", brittle_copy.path, "--formats", "tflite_int8", "--max-drop", 60)
    assert ended.code == 3
    sentence = ended.err.splitlines()[0]
    # 2 of the 3 test images could be chance; those of training and validation decide.
    assert (
        "model_int8_FAILED.tflite: loses 66.7 points of accuracy (14 of 21 training and validation images" in sentence
    )
    assert "at most 60 allowed (--max-drop)" in sentence
    assert "Classes that lose most:" in sentence and "(100 points)" in sentence
    assert "wide" in sentence.partition("Layers with most of the error:")[2]
    figures = brittle_copy.parity["formats"]["tflite_int8"]
    assert len(figures["class_drops"]) == 2 and set(figures["class_drops"].values()) == {1.0}
    assert figures["accuracy_drop"] == pytest.approx(2 / 3)
    low, high = figures["accuracy_drop_ci95"]
    assert low < 2 / 3 < high
    shares = [one["share"] for one in figures["layers"]]
    assert shares == sorted(shares, reverse=True) and sum(shares) <= 1 + 1e-6


def test_how_much_it_may_lose_is_the_user_s_choice(brittle_copy: app.Run, cli: Cli) -> None:
    ended = cli("export", brittle_copy.path, "--formats", "tflite_int8", "--max-drop", 67)
    assert (ended.code, ended.err) == (0, "")
    assert "0.333 (-66.7)" in ended.out  # and it is said
    assert (brittle_copy.export / "model_int8.tflite").is_file()
    assert brittle_copy.parity["formats"]["tflite_int8"]["passed"]
    assert brittle_copy.parity["max_drop"] == 67


# --- The images that are asked --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> EvaluationSet:
    """70 images, more than two batches, some of which the clients decode in their own way."""
    folder = tmp_path_factory.mktemp("many")
    for seed, suffix in enumerate((".png", ".jpg", ".webp", ".bmp", ".gif")):
        write_folder(folder / "images", examples=5, size=(50, 35), suffix=suffix, seed=seed)
    examples, _ = open_readable(str(folder / "images"), skip_unreadable=False)
    return compared(examples, "stretch")


def compared(examples: Examples, resize: str) -> EvaluationSet:
    """The images with what the colour classifier gives for them."""
    images = EvaluationSet(Loader(examples, ImageTransform(32, resize)), np.arange(len(examples)), np.empty((0, 3)))
    pixels = images.pixels(range(len(images))).astype(np.float32)
    images.reference = np.asarray(with_predictions(colour_classifier())(pixels))
    return images


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_an_honest_file_passes_whatever_the_images_are(resize: str, many: EvaluationSet, tmp_path: Path) -> None:
    model = with_predictions(colour_classifier())
    names = many.class_names
    description = Description("name", "text", "1", "author", "licence", names, resize=resize)
    context = ExportContext(model, description=description, calibration=lambda: many.pixels(range(len(many))))
    images = compared(many.examples, resize)
    tflite.write_float32(context, tmp_path / "model.tflite")
    verification = verify(tmp_path / "model.tflite", FORMATS["tflite_float32"], images, max_drop=0.0)
    assert verification.failures == []
    by_client = verification.figures["mediapipe"]
    assert len(images) == len(verification.predictions) == by_client["compared_answers"] == 75
    assert by_client["mean_probability_difference"] < 0.02
    assert verification.figures["mediapipe"]["accuracy"] == 1.0


@pytest.mark.parametrize("size", [(90, 50), (50, 90), (301, 200)])
def test_the_client_sees_what_training_saw(size: tuple[int, int], tmp_path: Path) -> None:
    model = with_predictions(colour_classifier())
    file = with_metadata(
        Converter(model).convert(), Description("name", "text", "1", "author", "licence", ("r", "g", "b"))
    )
    (tmp_path / "model.tflite").write_bytes(file)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    height, width = size[1] // 3, size[0] // 3
    pixels[:, :width, 2], pixels[:, width:-width, 0], pixels[:, -width:, 1] = 200, 150, 150
    pixels[:height] //= 2
    with ModelProcess(tmp_path / "model.tflite", "mediapipe") as client:
        found = np.concatenate([client.predict_encoded([encode(pixels)], resize) for resize in RESIZES])
    seen = np.stack([load_pixels(encode(pixels), 32, resize, antialias=False) for resize in RESIZES])
    expected = np.asarray(model(seen.astype(np.float32)))
    assert np.abs(expected[0] - expected[1]).max() > 0.02  # so that another region would be noticed
    np.testing.assert_allclose(found, expected, atol=0.015)


def test_sampled_images_are_spread_over_the_classes(many: EvaluationSet) -> None:
    assert [len(batch) for batch in many.batches()] == [32, 32, 11]
    assert set(many.labels[many.sample(3)]) == {0, 1, 2}
    assert many.sample(1000).tolist() == list(range(75))


def test_a_format_for_phones_is_a_tflite() -> None:
    assert {name for name, one in FORMATS.items() if one.is_for_phones} == {
        name for name in FORMATS if name.startswith("tflite_")
    }
    assert Format("model.onnx", "", write_onnx, None).is_for_phones is False
